"""Which policy has an object: Karmada's order among those that select it.

Source: karmada-io/karmada pkg/detector (compare.go, detector.go).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.migration.objects import Given, GivenPolicy
from schemas.manifests.karmada import Override, Policy, Propagation
from schemas.manifests.overrides import ResourceSelector
from schemas.manifests.selecting import Precision, precision

RESERVED = ("karmada-system", "karmada-cluster")
RESERVED_BEGIN = ("karmada-es-", "kube-")
"""Namespaces that Karmada never propagates, the last one by its default."""


def is_reserved(namespace: str) -> bool:
    return namespace in RESERVED or namespace.startswith(RESERVED_BEGIN)


def claimed(given: Given, policies: Sequence[GivenPolicy]) -> GivenPolicy | None:
    """A PropagationPolicy of the object's namespace comes before every ClusterPropagationPolicy.

    Among several of one kind: by priority, then by how precisely they select it, then by name.
    """
    matching = [each for each in policies if reach(each.policy, given.manifest) is not Precision.NONE]
    at_home = [each for each in matching if each.policy.namespace]
    ranked = sorted(at_home or matching, key=lambda each: _rank(each.policy, given.manifest))
    return ranked[0] if ranked else None


def _rank(policy: Policy, manifest: Mapping[str, Any]) -> tuple[int, int, str]:
    priority = policy.spec.priority if isinstance(policy, Propagation) else 0
    return -priority, -reach(policy, manifest), policy.metadata.name


def reach(policy: Policy, manifest: Mapping[str, Any]) -> Precision:
    """How precisely it selects the object. One with a namespace selects there only.

    An override that has no selectors selects everything.
    """
    if policy.namespace and manifest["metadata"].get("namespace", "") != policy.namespace:
        return Precision.NONE
    selectors: Sequence[ResourceSelector] = policy.spec.resource_selectors
    if not selectors and isinstance(policy, Override):
        return Precision.ALL
    return max((precision(each, manifest) for each in selectors), default=Precision.NONE)


def overriding(manifest: Mapping[str, Any], overrides: Sequence[Override]) -> list[Override]:
    """In the order of application: those of the fleet first, then those of its namespace.

    Among them the less precise first, so that the more precise has the last word; then by name.
    """
    matching = [each for each in overrides if reach(each, manifest) is not Precision.NONE]
    return sorted(
        matching, key=lambda each: (bool(each.namespace), reach(each, manifest), each.metadata.name)
    )
