"""What an order promises a workload in a cluster: room for every pod of every component."""

from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.fleet import Part, Promise
from controlplane.interpreters import Interpretation, Kinds, interpret
from controlplane.placement import ClusterView, Refused
from controlplane.placement.hardware import alike, needs_of
from controlplane.placement.rooms import Asked, asked_in


def promise_of(
    interpretation: Interpretation,
    asked: Asked,
    replicas: int,
    templates: Mapping[str, str] | None = None,
) -> Promise | None:
    """Of `replicas` as they are placed: of the one component, or whole sets. None where nothing has pods.

    asked: what each component comes to in the cluster. templates: hash by component as the order has it;
    left out: as the objects of `interpretation` have it.
    """
    hashes = templates or {}
    parts = tuple(
        Part(
            hashes.get(each.name, each.template),
            resolved.demand,
            replicas * each.replicas if interpretation.is_set else replicas,
        )
        for each, resolved in zip(interpretation.components, asked, strict=True)
    )
    return Promise(parts) if parts else None


def restored_promise(
    objects: Sequence[Mapping[str, Any]], kinds: Kinds, view: ClusterView, replicas: int
) -> Promise | None:
    """As a committed order has it: its own objects say what a replica asks for."""
    interpretation = interpret(objects, kinds)
    needs = needs_of(None, interpretation.components)
    asked = asked_in(needs, interpretation, view)
    if isinstance(asked, Refused):
        # What it was promised there is gone from the cluster since: its pods still take what they ask for.
        asked = tuple(
            alike(need, each.demand) for need, each in zip(needs, interpretation.components, strict=True)
        )
    return promise_of(interpretation, asked, replicas)
