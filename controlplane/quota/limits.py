"""Limits of one tenant in one member cluster, in the words of Kubernetes' ResourceQuota.

Per namespace and resource: what is charged there for its workloads, what their rolling updates need beside
that, and what is there that nobody ordered here. Only resources that a quota of the tenant names.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from controlplane.quota.quota import PODS
from controlplane.quota.surging import NONE, Surge
from schemas.pods import is_pod_level
from schemas.quantities import quantity_amount, quantity_text

Resources = Mapping[str, int]
"""By resource as pods ask for it: cpu in millicores, everything else in units."""

REQUESTS = "requests."
OBLIGED = ("cpu", "memory")
"""A ResourceQuota on one of these refuses every container that does not ask for it."""
_NATIVE = ("cpu", "memory", "ephemeral-storage")
_MOST = 2**63 - 1
_NOTHING: Resources = MappingProxyType({})
_NOWHERE: Mapping[str, Resources] = MappingProxyType({})


@dataclass(frozen=True)
class Pods:
    """Of one component of a workload, as it is ordered in the cluster. asks: one pod, `pods` left out.

    count: 0 where its nodes count it. unset: (container, resource) of what a container does not ask for.
    template: as a label of its pods says. replaced: pods that are there and not of it, or being deleted.
    """

    namespace: str
    count: int
    asks: Resources
    surge: Surge = NONE
    unset: tuple[tuple[str, str], ...] = ()
    template: str = ""
    replaced: int = 0

    def beside(self, one: int, charged: int = 0, more: int = 0) -> int:
        """What may be there of one resource beside what is ordered. one: what a pod asks for.

        more: of `charged`, what is held for pods on their way out already. Pods that are replaced get room up
        to what is ordered once again: whoever makes pods that look like them gets no further.
        """
        surge = self.surge.of(self.count, one, charged)
        if not self.surge.overlaps:
            return surge
        most = self.count * one if self.count else charged
        return max(surge, min(self.replaced * one - more, most))


@dataclass(frozen=True)
class Placed:
    """One workload in the cluster. charged: to the tenant, over all flavors; drift: seen of it beyond that.

    leaving: namespaces of what it has ordered removed there, for what is charged while nothing is ordered.
    """

    name: str
    charged: Resources
    parts: tuple[Pods, ...] = ()
    drift: Resources = field(default_factory=dict[str, int])
    leaving: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limit:
    """Of one resource in one namespace. foreign: that part of the drift which is of no workload at all."""

    share: int = 0
    surge: int = 0
    drift: int = 0
    foreign: int = 0

    @property
    def total(self) -> int:
        return min(_MOST, self.share + self.surge + self.drift)


Limits = Mapping[str, Mapping[str, Limit]]
"""By namespace, then resource."""


@dataclass
class _Sums:
    """By (namespace, resource)."""

    share: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    surge: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    drift: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    foreign: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def at(self, key: tuple[str, str]) -> Limit:
        return Limit(*(each.get(key, 0) for each in (self.share, self.surge, self.drift, self.foreign)))


def limit_name(resource: str) -> str | None:
    """As `spec.hard` names it; None for what a ResourceQuota cannot count of pods.

    Source: kubernetes.io/docs/concepts/policy/resource-quotas: `cpu` is `requests.cpu`, extended resources
    only as `requests.*`. Objects and addresses of a pool are counted by Muster alone.
    """
    if resource == PODS:
        return PODS
    prefix, slash, _ = resource.partition("/")
    is_extended = bool(slash) and "." in prefix
    return f"{REQUESTS}{resource}" if is_extended or resource in _NATIVE or is_huge(resource) else None


def is_huge(resource: str) -> bool:
    return resource.startswith("hugepages-")


def limits(
    covered: Collection[str],
    placed: Iterable[Placed],
    foreign: Mapping[str, Resources],
    beside: Mapping[str, Resources] = _NOWHERE,
) -> dict[str, dict[str, Limit]]:
    """In the namespaces of its workloads, and those of `foreign`.

    covered: resources that the tenant's quota names. foreign: by namespace, of pods that are no workload's.
    beside: of workloads in these namespaces that are not the tenant's.
    """
    counted = sorted(each for each in set(covered) if limit_name(each) is not None)
    sums, found = _Sums(), dict.fromkeys(foreign)
    for each in placed:
        found |= dict.fromkeys(_namespaces_of(each))
        for resource in counted:
            _add(sums, each, resource)
    for namespace, resource in ((one, other) for one in found for other in counted):
        others = foreign.get(namespace, _NOTHING).get(resource, 0)
        _raise(sums.foreign, (namespace, resource), others)
        _raise(sums.drift, (namespace, resource), others + beside.get(namespace, _NOTHING).get(resource, 0))
    return {
        namespace: {resource: sums.at((namespace, resource)) for resource in counted}
        for namespace in sorted(found)
        if counted
    }


def _namespaces_of(placed: Placed) -> tuple[str, ...]:
    """Where its pods are, or were: what still runs there holds what is charged."""
    ordered = tuple(dict.fromkeys(part.namespace for part in placed.parts))
    return ordered or (placed.leaving if placed.charged else ())


def _add(sums: _Sums, placed: Placed, resource: str) -> None:
    namespaces = _namespaces_of(placed)
    charged, drift = placed.charged.get(resource, 0), placed.drift.get(resource, 0)
    asked = dict.fromkeys(namespaces, 0)
    for part in placed.parts:
        asked[part.namespace] += part.count * _of_one(part, resource)
    # What is charged beyond what is ordered belongs to pods on their way out, and nobody says where they are.
    more = max(0, charged - sum(asked.values()))
    for part in placed.parts:
        _raise(sums.surge, (part.namespace, resource), part.beside(_of_one(part, resource), charged, more))
    for namespace, amount in asked.items():
        _raise(sums.share, (namespace, resource), amount + more)
        _raise(sums.drift, (namespace, resource), drift)


def _of_one(part: Pods, resource: str) -> int:
    return 1 if resource == PODS else part.asks.get(resource, 0)


def _raise(sums: dict[tuple[str, str], int], key: tuple[str, str], amount: int) -> None:
    if amount:
        sums[key] = sums.get(key, 0) + amount


def hard(limits: Mapping[str, Limit]) -> dict[str, str]:
    """`spec.hard` of the ResourceQuota of one namespace."""
    return {
        name: quantity_text(resource, limit.total)
        for resource, limit in sorted(limits.items())
        if (name := limit_name(resource)) is not None
    }


def read_hard(written: Mapping[str, Any]) -> dict[str, int]:
    """Amounts by resource, out of `spec.hard` as `hard` writes it. ValueError for what it does not write."""
    amounts: dict[str, int] = {}
    for name, text in written.items():
        resource = name.removeprefix(REQUESTS)
        amounts[resource] = quantity_amount(resource, text)
    return amounts


def unset(pod: Mapping[str, Any], covered: Collection[str]) -> tuple[tuple[str, str], ...]:
    """(container, resource) of what a ResourceQuota refuses the pod for. pod: its spec, as it is written.

    A request that is left out is the limit, where there is one. A pod that asks for anything itself is not
    looked at further. Source: pkg/quota/v1/evaluator/core/pods.go, Constraints.
    """
    if any(is_pod_level(each) for each in _asked(pod)):
        return ()
    obliged = [each for each in OBLIGED if each in covered]
    return tuple(
        (str(container.get("name", "")), resource)
        for part in ("containers", "initContainers")
        for container in _listed(pod.get(part))
        for resource in obliged
        if resource not in _asked(container)
    )


def _asked(holder: Mapping[str, Any]) -> set[str]:
    resources = _mapped(holder.get("resources"))
    return {*_mapped(resources.get("requests")), *_mapped(resources.get("limits"))}


def _mapped(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]


def _listed(given: Any) -> list[Mapping[str, Any]]:
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []  # pyright: ignore[reportUnknownVariableType]
