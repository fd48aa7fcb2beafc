"""What an order promises a workload in a cluster: room for every pod of every component."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from controlplane.fleet import Part, Promise
from controlplane.interpreters import Interpretation, Kinds, interpret
from controlplane.known.finished import is_finished
from controlplane.known.known import Known
from controlplane.known.views import Views
from controlplane.loops.ports import Clock
from controlplane.placement import ClusterView, Refused
from controlplane.placement.hardware import alike
from controlplane.placement.needs import needs_of
from controlplane.placement.rooms import Asked, asked_in
from schemas.wire.orders import OrderBody, Verb

PROMISED_AT_ONCE = 50


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


class Promises:
    """What the fleet is charged with, as Postgres has it."""

    def __init__(self, known: Known, views: Views, clock: Clock) -> None:
        self._known = known
        self._views = views
        self._clock = clock

    async def restore_all(self) -> None:
        """As Postgres has it, in the order of versions, since packing follows it.

        What this process promised in an earlier epoch may never have been committed. In slices: of 50,000
        it takes seconds, in which the lease has to be renewed.
        """
        fleet = self._known.fleet
        for cluster in fleet.clusters:
            for uid in set(fleet.promises(cluster)):
                if cluster not in self._known.placements_of(uid):
                    fleet.unpromise(cluster, uid)
        every = [placement for each in self._known.placements.values() for placement in each.values()]
        every.sort(key=lambda placement: placement.version)
        for start in range(0, len(every), PROMISED_AT_ONCE):
            for placement in every[start : start + PROMISED_AT_ONCE]:
                self.restore(placement.cluster, placement.workload)
            await asyncio.sleep(0)

    def restore(self, cluster: str, uid: str) -> None:
        """The promise as its committed order has it: that order's own objects say what a replica asks for."""
        order = self._known.order(cluster, uid)
        placement = self._known.placements_of(uid).get(cluster)
        done = is_finished(self._known, uid, cluster)
        if done or order is None or placement is None or order.verb is not Verb.APPLY:
            self._known.fleet.unpromise(cluster, uid)
            return
        objects = msgspec.json.decode(order.body, type=OrderBody).objects
        view = self._views.one(self._known.clusters[cluster], self._clock.now())
        promise = restored_promise(objects, self._known.kinds, view, placement.replicas)
        if promise is not None:
            self._known.fleet.promise(cluster, uid, promise)
