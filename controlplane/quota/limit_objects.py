"""Limits as objects of Kubernetes, and read again out of an order: what it says is all that is remembered."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.quota.limits import Limit, Limits, Resources, hard, limit_name, read_hard
from schemas.quantities import quantity_amount, quantity_text
from schemas.wire.limits import WHERE_THERE, limits_key
from schemas.wire.orders import FIELD_MANAGER, MANAGED_BY_LABEL, WORKLOAD_LABEL

TENANT_LABEL = "muster.dev/tenant"
SHARE, SURGE, DRIFT = "muster.dev/share", "muster.dev/surge", "muster.dev/drift"
FOREIGN = "muster.dev/foreign"
"""Annotations: what a limit is made of, for people, and for whoever works out the next one."""
MOST_NAMESPACES = 500
"""So many fit into one order."""
_LONGEST_LABEL = 63
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Set:
    """What one order sets in a namespace. foreign: what it lets in that is of no workload.

    made: also where the namespace is not there yet.
    """

    hard: Resources
    foreign: Resources
    made: bool


def bounded(limits: Limits, ordered_in: Collection[str]) -> Limits:
    """Up to MOST_NAMESPACES: those first in which the tenant has ordered something."""
    if len(limits) <= MOST_NAMESPACES:
        return limits
    first = sorted(limits, key=lambda each: (each not in ordered_in, each))[:MOST_NAMESPACES]
    return {each: limits[each] for each in sorted(first)}


def objects(tenant: str, limits: Limits, ordered_in: Collection[str]) -> list[dict[str, Any]]:
    """One for each namespace. ordered_in: namespaces that are made for it where they are missing."""
    return [_object(tenant, each, limits[each], each in ordered_in) for each in limits]


def name_of(tenant: str) -> str:
    """Of the ResourceQuota in each namespace."""
    return f"muster-{tenant}" if len(tenant) <= _LONGEST_NAME else f"muster-{limits_key(tenant)}"


def _object(tenant: str, namespace: str, limits: Mapping[str, Limit], made: bool) -> dict[str, Any]:
    labels = {WORKLOAD_LABEL: limits_key(tenant), MANAGED_BY_LABEL: FIELD_MANAGER}
    if len(tenant) <= _LONGEST_LABEL:
        labels[TENANT_LABEL] = tenant
    annotations = {
        SHARE: _text({resource: each.share for resource, each in limits.items()}),
        SURGE: _text({resource: each.surge for resource, each in limits.items()}),
        DRIFT: _text({resource: each.drift for resource, each in limits.items()}),
        FOREIGN: _text({resource: each.foreign for resource, each in limits.items()}),
    }
    if not made:
        annotations[WHERE_THERE] = "true"
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {
            "name": name_of(tenant),
            "namespace": namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {"hard": hard(limits)},
    }


def read(manifests: Iterable[Mapping[str, Any]]) -> dict[str, Set]:
    """By namespace, as `objects` wrote them. ValueError or KeyError for what it did not write."""
    found: dict[str, Set] = {}
    for each in manifests:
        metadata = each["metadata"]
        annotations: Mapping[str, str] = metadata["annotations"]
        found[metadata["namespace"]] = Set(
            read_hard(each["spec"]["hard"]), _amounts(annotations[FOREIGN]), WHERE_THERE not in annotations
        )
    return found


def is_raised(before: Mapping[str, Set], limits: Limits, ordered_in: Collection[str]) -> bool:
    """Whether something would be refused by what stands that is to be let in, or let in that is not."""
    for namespace, wanted in limits.items():
        held = before.get(namespace)
        if held is None or (namespace in ordered_in and not held.made):
            return True
        if any(resource not in held.hard for resource in wanted):
            return True
        if any(each.total > held.hard[resource] for resource, each in wanted.items()):
            return True
    return False


def is_changed(before: Mapping[str, Set], limits: Limits) -> bool:
    """Whether what is set would be anything else."""
    if before.keys() != limits.keys():
        return True
    return any(
        {resource: each.total for resource, each in wanted.items()} != before[namespace].hard
        or {resource: each.foreign for resource, each in wanted.items() if each.foreign}
        != before[namespace].foreign
        for namespace, wanted in limits.items()
    )


def _text(amounts: Mapping[str, int]) -> str:
    """`requests.cpu=1500m, requests.memory=4Gi`; what is 0 is left out."""
    return ", ".join(
        f"{limit_name(resource)}={quantity_text(resource, amount)}"
        for resource, amount in sorted(amounts.items())
        if amount
    )


def _amounts(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in filter(None, text.split(", ")):
        name, _, quantity = each.partition("=")
        resource = name.removeprefix("requests.")
        found[resource] = quantity_amount(resource, quantity)
    return found
