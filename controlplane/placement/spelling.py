"""How a cluster's own scheduler is told of what was decided on: features as labels of its nodes."""

from dataclasses import replace

from controlplane.fleet import Demand, Fleet, Requirement
from controlplane.fleet.demand import HOSTNAME, Numa, Operator
from controlplane.fleet.traits import FEATURE
from controlplane.interpreters.adaption import Adaption
from controlplane.placement.needs import Needs
from controlplane.placement.rooms import Asked

MOST_NAMES = 500
"""Nodes that are named where no label says what they have; a new one is used from the next order on."""
MOST_TERMS = 64


def adaptions(fleet: Fleet, cluster: str, needs: tuple[Needs, ...], asked: Asked) -> tuple[Adaption, ...]:
    """What each component's pod template is changed in for this cluster."""
    return tuple(
        _told(fleet, cluster, need, resolved.adaption) for need, resolved in zip(needs, asked, strict=True)
    )


def _told(fleet: Fleet, cluster: str, needs: Needs, adaption: Adaption) -> Adaption:
    features = [each for each in needs.traits if each.key.startswith(FEATURE)]
    if not features and not needs.single_numa:
        return adaption
    terms: list[tuple[Requirement, ...]] = list(adaption.node_terms) or [()]
    unspelled: list[Requirement] = []
    for each in features:
        alternatives = fleet.spelled(cluster, each)
        if alternatives is None or len(terms) * len(alternatives) > MOST_TERMS:
            unspelled.append(each)
        else:
            terms = [(*term, alternative) for term in terms for alternative in alternatives]
    if unspelled or needs.single_numa:
        # No label says what a kubelet aligns.
        numa = Numa(wanted=True) if needs.single_numa else None
        named_for = Demand.of({}, traits=unspelled, numa=numa)
        names = fleet.matching_names(cluster, named_for, MOST_NAMES)
        # Without any, it stays where it is: an expression without values would be refused.
        named = (Requirement(HOSTNAME, Operator.IN, tuple(names)),) if names else ()
        terms = [(*term, *named) for term in terms]
    return replace(adaption, node_terms=tuple(term for term in terms if term))
