"""What a flavor of nodes adds to a workload: its pods go to nodes of it, and tolerate what these are tainted
with. Source of the rule: Kueue, which puts a flavor's node labels and tolerations into what it admits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.fleet import Requirement
from controlplane.fleet.demand import Toleration
from controlplane.interpreters.interpretation import Component
from controlplane.interpreters.pods import NotUnderstood
from controlplane.placement.needs import Needs
from controlplane.placement.rules import Affinity


@dataclass(frozen=True)
class Flavoring:
    """Of one component. names: of its flavors, for people. clusters: those of each flavor, all hold."""

    names: tuple[str, ...] = ()
    traits: tuple[Requirement, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    clusters: tuple[tuple[str, Affinity], ...] = ()


PLAIN = Flavoring()
Flavorings = Mapping[str, Flavoring]
"""By component."""


def flavored(
    needs: Sequence[Needs], components: Sequence[Component], flavorings: Flavorings
) -> tuple[Needs, ...]:
    """NotUnderstood where a pod template is none that nodes could be named in."""
    return tuple(
        _flavored(need, component, flavorings.get(component.name, PLAIN))
        for need, component in zip(needs, components, strict=True)
    )


def _flavored(needs: Needs, component: Component, flavoring: Flavoring) -> Needs:
    if not (flavoring.traits or flavoring.tolerations):
        return needs
    if not component.adaptable:
        raise NotUnderstood(
            f"{component.path} is no pod spec that flavor {', '.join(flavoring.names)} could be put into: "
            "grant its tenant a flavor that is every node"
        )
    return replace(
        needs,
        traits=(*needs.traits, *(each for each in flavoring.traits if each not in needs.traits)),
        tolerations=(*needs.tolerations, *flavoring.tolerations),
    )
