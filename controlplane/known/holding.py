"""What a workload holds already, against what its newest revision asks for.

A revision that asks for more than its place has goes elsewhere; what vanished from a cluster moves nothing.
"""

from collections.abc import Iterator, Sequence

import msgspec

from controlplane.fleet import Demand
from controlplane.interpreters import interpret
from controlplane.known.compiling import Compiled
from controlplane.known.known import Known
from controlplane.placement import ClusterView, Refused
from controlplane.placement.holding import could_stay
from controlplane.placement.needs import needs_of
from controlplane.placement.rooms import asked_in
from schemas.wire.orders import OrderBody, Verb


def still_fitting(known: Known, compiled: Compiled, views: Sequence[ClusterView]) -> dict[str, int]:
    """Replicas by cluster id as they are placed, but for those that a new revision could not run there.

    Only where it asks for something else than what is promised; who cannot be reached keeps what he has.
    """
    request = compiled.request
    current = dict(request.current)
    for view, demands in _changed(known, compiled, views):
        current[view.id] = could_stay(known.fleet, request, view.id, compiled.record.uid, demands)
        if not current[view.id]:
            del current[view.id]
    return current


def _changed(
    known: Known, compiled: Compiled, views: Sequence[ClusterView]
) -> Iterator[tuple[ClusterView, tuple[Demand, ...]]]:
    """(view, demands) of clusters that it runs in and can reach, where it now asks for something else."""
    record, placements = compiled.record, known.placements_of(compiled.record.uid)
    for view in views:
        placement = placements.get(view.id)
        if view.id not in compiled.request.current or view.standing is not None or placement is None:
            continue
        promise = known.fleet.promises(view.id).get(record.uid)
        if placement.revision == record.revision or promise is None:
            continue
        found = compiled.asked_in(view)
        if isinstance(found, Refused):
            continue
        demands = tuple(each.demand for each in found[1])
        if demands != tuple(part.demand for part in promise.parts):
            yield view, demands


def vanished(known: Known, compiled: Compiled, views: Sequence[ClusterView]) -> frozenset[str]:
    """Clusters that lack what the order that they hold needed as well: it was there when it was placed."""
    current = compiled.request.current
    return frozenset(
        view.id
        for view in views
        if view.id in current
        and isinstance(compiled.asked_in(view), Refused)
        and _needed_before(known, compiled, view)
    )


def _needed_before(known: Known, compiled: Compiled, view: ClusterView) -> bool:
    order = known.order(view.id, compiled.record.uid)
    if order is None or order.verb is not Verb.APPLY:
        return False
    objects = msgspec.json.decode(order.body, type=OrderBody).objects
    if any(each.get("kind") == "ResourceClaimTemplate" for each in objects):
        return True
    interpretation = interpret(objects, known.kinds)
    needs = needs_of(None, interpretation.components)
    return isinstance(asked_in(needs, interpretation, view), Refused)
