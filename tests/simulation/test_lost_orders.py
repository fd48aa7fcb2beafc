"""A stream of orders that lost some: what was carried out long ago lies there again for who begins anew."""

from collections.abc import Callable

import pytest

from controlplane.known.known import Heard
from controlplane.known.records import Lease, OutboxRecord
from controlplane.loops.dispatch import Dispatch
from controlplane.loops.lost_orders import CONSUMERS_SECONDS, LOOK_SECONDS
from schemas.wire.beats import Beat
from schemas.wire.codec import decode
from schemas.wire.orders import Order, Verb, Version
from schemas.wire.reports import WorkState
from tests.conformance.store_worlds import BEGIN_SECONDS, joined
from tests.simulation.memory_bus import MemoryNats
from tests.simulation.test_centre_loops import Around, work

WORKLOADS = ("w1", "w2", "w3")


def wiped(nats: MemoryNats) -> None:
    nats.wipe(nats.orders)


def set_back(nats: MemoryNats) -> None:
    nats.orders.lose_newest(2, lambda _: False)


class Done:
    """Three orders of one cluster, published, and carried out long ago."""

    def __init__(self, around: Around, cluster: str, lease: Lease) -> None:
        self.around, self.cluster, self.lease = around, cluster, lease

    @staticmethod
    async def made() -> "Done":
        around = Around()
        cluster = (await joined(around.store)).id
        done = Done(around, cluster, await around.lead())
        done.heard(BEGIN_SECONDS)
        for number, workload in enumerate(WORKLOADS, start=1):
            version = Version(done.lease.epoch, number)
            around.known.put_order(OutboxRecord(cluster, workload, Verb.APPLY, version, b"", b""))
        await done.dispatch().run_pass()
        for number, workload in enumerate(WORKLOADS, start=1):
            version = Version(done.lease.epoch, number)
            around.known.put_acknowledged(cluster, workload, version)
            around.known.work.setdefault(workload, {})[cluster] = work(WorkState.APPLIED, version)
        assert done.stored() == set(WORKLOADS)
        return done

    def heard(self, at: float) -> None:
        beat = Beat(incarnation=1, sequence=1, clock=at, agent_version="1")
        self.around.known.heard[self.cluster] = Heard(at, self.lease.epoch, beat)

    def dispatch(self) -> Dispatch:
        around = self.around
        return Dispatch(around.store, around.bus, around.known, around.clock, self.lease, around.metrics)

    def stored(self) -> set[str]:
        return {decode(Order, each.body).workload for each in self.around.nats.orders.after(0, 100)}


@pytest.mark.promise(1, 9)
@pytest.mark.parametrize("lose", [wiped, set_back])
@pytest.mark.parametrize("leads_on", [True, False])
async def test_all_of_it_lies_there_again(lose: Callable[[MemoryNats], None], leads_on: bool) -> None:
    done = await Done.made()
    before = done.dispatch()
    await before.run_pass()
    lose(done.around.nats)
    done.around.clock.seconds += LOOK_SECONDS
    assert done.stored() != set(WORKLOADS)

    await (before if leads_on else done.dispatch()).run_pass()
    assert done.stored() == set(WORKLOADS)


@pytest.mark.promise(1)
async def test_a_consumer_that_went_with_the_stream_is_made_once_its_agent_is_heard() -> None:
    done = await Done.made()
    dispatch = done.dispatch()
    await dispatch.run_pass()
    done.around.clock.seconds += LOOK_SECONDS
    wiped(done.around.nats)
    await dispatch.run_pass()
    assert done.around.nats.consumers == {}, "it was not heard since"

    done.around.clock.seconds += LOOK_SECONDS
    done.heard(done.around.clock.now())
    await dispatch.run_pass()
    assert set(done.around.nats.consumers) == {done.cluster}
    consumer = done.around.nats.consumers[done.cluster]
    await dispatch.run_pass()
    assert done.around.nats.consumers[done.cluster] is consumer, "once"


@pytest.mark.promise(1)
async def test_a_consumer_that_a_late_deletion_took_is_made_anew_though_nothing_is_unrecorded() -> None:
    done = await Done.made()
    dispatch, nats, clock = done.dispatch(), done.around.nats, done.around.clock
    await done.around.bus.renew_consumer(done.cluster)
    right = nats.consumers[done.cluster]
    clock.seconds += CONSUMERS_SECONDS
    done.heard(clock.now())
    await dispatch.run_pass()
    assert nats.consumers == {done.cluster: right}, "what is right stays"

    await done.around.bus.drop_consumer(done.cluster)
    clock.seconds += CONSUMERS_SECONDS
    await dispatch.run_pass()
    assert nats.consumers == {}, "it was not heard since"

    done.heard(clock.now())
    clock.seconds += LOOK_SECONDS
    await dispatch.run_pass()
    given = nats.consumers[done.cluster].fetch(9, clock.now())
    assert {decode(Order, each.body).workload for each in given} == set(WORKLOADS)


async def test_a_stream_that_lost_nothing_is_left_alone() -> None:
    done = await Done.made()
    dispatch = done.dispatch()
    for _ in range(3):
        await dispatch.run_pass()
    assert done.around.nats.orders.last_sequence == len(WORKLOADS)
    assert done.around.nats.consumers == {}
