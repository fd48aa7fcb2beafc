"""Which flavors a workload may be given, in the order in which they are tried.

A component takes one flavor of each group of resources that it asks for. Source: Kueue's flavor assigner,
which tries the flavors of a resource group in their order, for each pod set.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, cast

from controlplane.fleet import Requirement
from controlplane.fleet.demand import Operator
from controlplane.interpreters.interpretation import Component
from controlplane.placement.flavoring import Flavoring, Flavorings
from controlplane.placement.rules import Refused
from controlplane.quota.quota import (
    COUNTED_WHERE_NAMED,
    EVERYWHERE,
    UNFLAVORED,
    Flavor,
    Group,
    TenantQuota,
)
from schemas.reasons import Reason

MOST_TRIED = 32
FLAVORS = "flavors"
"""Of a decision's explanation: by component, then resource."""
Chosen = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Assignment:
    """chosen: by component, the flavor of each resource that is covered; `""` is the workload itself."""

    chosen: Chosen
    flavorings: Flavorings

    def flavor(self, component: str, resource: str) -> str:
        return self.chosen.get(component, {}).get(resource, UNFLAVORED)


UNBOUNDED = Assignment({}, {})
"""Of a tenant without a quota."""


def assignments(
    quota: TenantQuota,
    flavors: Mapping[str, Flavor],
    components: Sequence[Component],
    requests: Sequence[Mapping[str, int]],
    held: Chosen | None = None,
    *,
    anew: bool = True,
) -> list[Assignment] | Refused:
    """At most `MOST_TRIED`; what is held comes first, and without `anew` is all there is.

    requests: of each component, what one replica asks for. Refused (QuotaNotGranted) names what no flavor of
    the tenant covers.
    """
    if quota.refuses_uncovered:
        lacking = sorted(
            {name for each in requests for name in each} - quota.covered - {*COUNTED_WHERE_NAMED}
        )
        if lacking:
            text = f"tenant {quota.name} was granted no {', '.join(lacking)}: muster quota request"
            return Refused(Reason.QUOTA_NOT_GRANTED, text)
    found: list[Assignment] = []
    if held is not None and _is_offered(quota, held):
        found.append(_assignment(quota, flavors, components, requests, held))
        if not anew:
            return found
    names = [each.name for each in components] or [""]
    asked = dict(zip(names, requests, strict=False))
    choices = [group.flavors if _needs(group, asked.get(name, {})) else group.flavors[:1]
               for name in names for group in quota.groups]  # fmt: skip
    for picked in islice(product(*choices), MOST_TRIED):
        chosen = _chosen(quota.groups, names, picked)
        if chosen != held:
            found.append(_assignment(quota, flavors, components, requests, chosen))
    return found


def held_flavors(explanation: Mapping[str, Any]) -> Chosen | None:
    """As the last decision has them."""
    held = explanation.get(FLAVORS)
    return cast(Chosen, held) if isinstance(held, dict) else None


def _is_offered(quota: TenantQuota, held: Chosen) -> bool:
    """Each resource that is covered has a flavor of its group."""
    return all(
        each.get(resource) in group.flavors
        for each in held.values()
        for group in quota.groups
        for resource in group.resources
    )


def _needs(group: Group, requests: Mapping[str, int]) -> bool:
    return not group.resources.isdisjoint(requests)


def _chosen(groups: Sequence[Group], names: Sequence[str], picked: Sequence[str]) -> Chosen:
    chosen: dict[str, dict[str, str]] = {}
    for (name, group), flavor in zip(((n, g) for n in names for g in groups), picked, strict=True):
        chosen.setdefault(name, {}).update(dict.fromkeys(sorted(group.resources), flavor))
    return chosen


def _assignment(
    quota: TenantQuota,
    flavors: Mapping[str, Flavor],
    components: Sequence[Component],
    requests: Sequence[Mapping[str, int]],
    chosen: Chosen,
) -> Assignment:
    flavorings = {
        each.name: _flavoring(flavors, sorted(set(_given(quota, asked, chosen.get(each.name, {})))))
        for each, asked in zip(components, requests, strict=True)
    }
    return Assignment(chosen, flavorings)


def _given(quota: TenantQuota, asked: Mapping[str, int], chosen: Mapping[str, str]) -> Iterator[str]:
    """Flavors of the groups of which it asks for something: the others say nothing of its nodes."""
    for group in quota.groups:
        if _needs(group, asked):
            yield from (chosen[each] for each in sorted(group.resources)[:1] if each in chosen)


def _flavoring(flavors: Mapping[str, Flavor], names: Sequence[str]) -> Flavoring:
    known = [flavors[name] for name in names if name in flavors]
    labels = [
        Requirement(key, Operator.IN, (value,))
        for each in known
        for key, value in sorted(each.node_labels.items())
    ]
    return Flavoring(
        tuple(names),
        (*labels, *(one for each in known for one in each.requirements)),
        tuple(one for each in known for one in each.tolerations),
        tuple((f"flavor {each.name}", each.clusters) for each in known if each.clusters != EVERYWHERE),
    )
