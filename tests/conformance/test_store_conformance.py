"""What the loops may rely on from `controlplane.loops.ports.Store`, asked of Postgres and of the memory."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from controlplane.known.records import (
    Cause,
    ClusterRecord,
    Lease,
    LedgerLine,
    OutboxRecord,
    Standing,
    WorkloadRecord,
)
from controlplane.loops.ports import DeadLetter, LeaseLost, OrderMark
from controlplane.store.dead_letters import KEPT, KEPT_BODY_BYTES
from controlplane.store.settlement import changed
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Stamp
from tests.conformance.store_worlds import (
    ME,
    TTL_SECONDS,
    AnyStore,
    MemoryWorld,
    World,
    arrived,
    decision,
    draft,
    joined,
    lead,
    link,
    order,
    whats,
)

BOUND_SECONDS = 5.0


pytest_plugins = ["tests.conformance.store_fixtures"]


class TestLease:
    async def test_the_first_takes_it_and_the_second_waits(self, store: AnyStore) -> None:
        lease = await store.take_lease("deciding", "first", TTL_SECONDS)
        assert lease is not None
        assert (lease.role, lease.holder) == ("deciding", "first")
        assert await store.take_lease("deciding", "second", TTL_SECONDS) is None

    async def test_roles_are_led_apart(self, store: AnyStore) -> None:
        assert await store.take_lease("deciding", "first", TTL_SECONDS)
        assert await store.take_lease("alerting", "second", TTL_SECONDS)

    async def test_of_many_at_once_one_takes_it(self, store: AnyStore) -> None:
        taken = await asyncio.gather(
            *(store.take_lease("deciding", f"holder-{number}", TTL_SECONDS) for number in range(8))
        )
        assert len([lease for lease in taken if lease]) == 1

    async def test_renewing_keeps_the_epoch_and_moves_the_end(self, world: World) -> None:
        lease = await lead(world.store)
        await world.pass_time(TTL_SECONDS - 5)
        assert await world.store.renew_lease(lease, TTL_SECONDS)
        await world.pass_time(TTL_SECONDS - 5)
        await world.store.record_changes(lease, [])
        assert await lead(world.store) == lease

    async def test_what_is_ones_own_no_more_is_not_renewed(self, world: World) -> None:
        lease = await lead(world.store)
        await world.pass_time(TTL_SECONDS + 1)
        assert not await world.store.renew_lease(lease, TTL_SECONDS)
        again = await lead(world.store)
        assert not await world.store.renew_lease(lease, TTL_SECONDS), "of an epoch before"
        assert not await world.store.renew_lease(replace(again, holder="second"), TTL_SECONDS)
        assert await world.store.renew_lease(again, TTL_SECONDS)

    @pytest.mark.parametrize("holder", ["first", "second"])
    async def test_what_expired_begins_a_new_epoch(self, world: World, holder: str) -> None:
        before = await lead(world.store)
        await world.pass_time(TTL_SECONDS + 1)
        assert (await lead(world.store, holder)).epoch > before.epoch

    async def test_what_is_released_is_free_and_lost(self, store: AnyStore) -> None:
        lease = await lead(store)
        await store.release_lease(lease)
        with pytest.raises(LeaseLost):
            await store.record_changes(lease, [])
        assert (await lead(store, "second")).epoch > lease.epoch

    async def test_releasing_what_another_holds_changes_nothing(self, world: World) -> None:
        old = await lead(world.store)
        await world.pass_time(TTL_SECONDS + 1)
        new = await lead(world.store, "second")
        await world.store.release_lease(old)
        await world.store.record_changes(new, [])

    async def test_an_epoch_follows_the_clock(self, world: World) -> None:
        assert abs((await lead(world.store)).epoch - await world.now()) < 60

    @pytest.mark.promise(3)
    async def test_a_restored_database_never_issues_an_epoch_again(self, world: World) -> None:
        await world.backup()
        lost = await lead(world.store)
        await asyncio.sleep(0 if isinstance(world, MemoryWorld) else 1.1)
        await world.restore()
        assert (await lead(world.store, "second")).epoch > lost.epoch


class TestGenerations:
    async def test_none_is_issued_twice(self, world: World) -> None:
        lease = await lead(world.store)
        blocks = await asyncio.gather(*(world.store.reserve_generations(lease, 10) for _ in range(8)))
        issued = [generation for block in blocks for generation in block]
        assert sorted(issued) == list(range(1, 81))
        await world.pass_time(TTL_SECONDS + 1)
        later = await lead(world.store, "second")
        assert await world.store.reserve_generations(later, 1) == range(81, 82)

    async def test_an_epoch_is_recorded_with_the_generation_before_it(self, world: World) -> None:
        first = await lead(world.store)
        await world.store.reserve_generations(first, 7)
        await world.pass_time(TTL_SECONDS + 1)
        second = await lead(world.store, "second")
        loaded = await world.store.load()
        assert [(record.epoch, record.first_generation) for record in loaded.epochs] == [
            (first.epoch, 0),
            (second.epoch, 7),
        ]
        assert loaded.last_generation == 7

    async def test_epochs_of_another_role_stay_out(self, store: AnyStore) -> None:
        lease = await lead(store)
        alerting = await store.take_lease("alerting", "other", TTL_SECONDS)
        assert alerting is not None
        assert [record.epoch for record in (await store.load()).epochs] == [lease.epoch]
        with pytest.raises(ValueError, match="deciding"):
            await store.reserve_generations(alerting, 1)

    async def test_a_raised_floor_lies_under_every_later_generation(self, store: AnyStore) -> None:
        lease = await lead(store)
        await store.reserve_generations(lease, 5)
        await store.raise_floor(lease, Version(lease.epoch - 10, 900))
        assert await store.reserve_generations(lease, 1) == range(901, 902)
        await store.raise_floor(lease, Version(lease.epoch - 10, 3))
        assert await store.reserve_generations(lease, 1) == range(902, 903)
        first, own = (await store.load()).epochs
        assert (first.epoch, first.first_generation, own.first_generation) == (lease.epoch - 10, 0, 900)

    async def test_a_floor_of_a_later_epoch_ends_the_lease(self, store: AnyStore) -> None:
        lease = await lead(store)
        ahead = lease.epoch + 5_000
        await store.raise_floor(lease, Version(ahead, 50))
        with pytest.raises(LeaseLost):
            await store.reserve_generations(lease, 1)
        again = await lead(store)
        assert again.epoch > ahead
        assert await store.reserve_generations(again, 1) == range(51, 52)


Held = Callable[[AnyStore, Lease, WorkloadRecord, ClusterRecord], Awaitable[object]]
MARK = OrderMark("cluster", "workload", Version(1, 1), 5)
HELD_WRITES: dict[str, Held] = {
    "reserve_generations": lambda store, lease, work, cluster: store.reserve_generations(lease, 1),
    "commit_decisions": lambda store, lease, work, cluster: store.commit_decisions(
        lease, [decision(work, order(cluster.id, lease, 1))]
    ),
    "commit_lines": lambda store, lease, work, cluster: store.commit_lines(
        lease, [LedgerLine("shop", work.uid, cluster.id, "", "cpu", 5, Cause.DRIFTED)]
    ),
    "move_lines": lambda store, lease, work, cluster: store.move_lines(lease, [], 0),
    "mark_published": lambda store, lease, work, cluster: store.mark_published(lease, [MARK]),
    "mark_acknowledged": lambda store, lease, work, cluster: store.mark_acknowledged(lease, [MARK]),
    "remove_withdrawn": lambda store, lease, work, cluster: store.remove_withdrawn(lease, [MARK]),
    "commit_alerts": lambda store, lease, work, cluster: store.commit_alerts(
        lease, cluster.id, [link("a", 1, 1)]
    ),
    "record_changes": lambda store, lease, work, cluster: store.record_changes(
        lease, [changed("Cluster", "n", "", "Seen", "agent")]
    ),
    "record_incarnation": lambda store, lease, work, cluster: store.record_incarnation(lease, cluster.id, 9),
    "record_standing": lambda store, lease, work, cluster: store.record_standing(
        lease, cluster.id, Standing.CUT_OFF, "too much"
    ),
    "raise_floor": lambda store, lease, work, cluster: store.raise_floor(lease, Version(1, 99)),
}


class TestLeaseLost:
    @pytest.mark.promise(3)
    @pytest.mark.parametrize("write", HELD_WRITES)
    async def test_commits_nothing(self, world: World, write: str) -> None:
        store = world.store
        cluster, work = await joined(store), await store.submit_workload(draft(), ME)

        async def fails(lease: Lease) -> None:
            before = await store.load()
            with pytest.raises(LeaseLost):
                await HELD_WRITES[write](store, lease, work, cluster)
            assert await store.load() == before

        await fails(Lease("deciding", "nobody", 1))
        expired = await lead(store)
        await fails(replace(expired, epoch=expired.epoch + 1))
        await world.pass_time(TTL_SECONDS + 1)
        await fails(expired)
        await lead(store)
        await fails(expired)
        await world.pass_time(TTL_SECONDS + 1)
        await lead(store, "second")
        await fails(expired)


class TestDecisions:
    @pytest.mark.promise(2)
    async def test_all_that_follows_is_there(self, store: AnyStore) -> None:
        lease, work = await lead(store), await store.submit_workload(draft(), ME)
        new = decision(work, order("a", lease, 1), order("b", lease, 2, replicas=3))
        assert not await store.commit_decisions(lease, [new])
        loaded = await store.load()
        assert {(row.cluster, row.replicas, row.version) for row in loaded.placements} == {
            ("a", 2, Version(lease.epoch, 1)),
            ("b", 3, Version(lease.epoch, 2)),
        }
        (decided,) = loaded.decisions
        assert (decided.workload, decided.placed, decided.resource_version) == (
            work.uid,
            True,
            work.resource_version,
        )
        assert {(row.cluster, row.verb, row.body, row.signature) for row in loaded.outbox} == {
            ("a", Verb.APPLY, b"body", b"signature"),
            ("b", Verb.APPLY, b"body", b"signature"),
        }
        assert await store.unpublished(10) == sorted(loaded.outbox, key=lambda row: row.version)

    async def test_where_it_comes_from_is_kept_with_it_and_gives_way_to_what_is_newer(
        self, store: AnyStore
    ) -> None:
        lease = await lead(store)
        work = await store.submit_workload(draft(), replace(ME, trace="written"))
        first = decision(work, order("a", lease, 1), order("b", lease, 2))
        await store.commit_decisions(lease, [replace(first, trace="decided")])
        await store.commit_decisions(lease, [replace(decision(work, order("a", lease, 3)), trace="again")])
        loaded = await store.load()
        assert [row.trace for row in loaded.workloads] == ["written"]
        assert {row.cluster: row.trace for row in loaded.outbox} == {"a": "again", "b": "decided"}
        deleted = await store.delete_workload(work.name, ME)
        assert deleted.trace == "", "the last write bore none"

    async def test_one_is_skipped_where_its_workload_moved(self, store: AnyStore) -> None:
        lease = await lead(store)
        moved, stays = [await store.submit_workload(draft(name), ME) for name in ("moved", "stays")]
        await store.submit_workload(draft("moved", replicas=9), ME)
        skipped = await store.commit_decisions(
            lease, [decision(moved, order("a", lease, 1)), decision(stays, order("a", lease, 2))]
        )
        assert set(skipped) == {moved.uid}
        loaded = await store.load()
        assert {row.workload for row in loaded.placements} == {stays.uid}
        assert {row.workload for row in loaded.outbox} == {stays.uid}
        assert {row.workload for row in loaded.decisions} == {stays.uid}

    async def test_one_for_a_workload_that_is_not_there_is_skipped(self, store: AnyStore) -> None:
        lease, work = await lead(store), await store.submit_workload(draft(), ME)
        unknown = replace(decision(work), workload="unknown")
        assert set(await store.commit_decisions(lease, [unknown])) == {"unknown"}

    async def test_one_for_a_cluster_that_was_removed_is_skipped(self, store: AnyStore) -> None:
        lease, work, cluster = (
            await lead(store),
            await store.submit_workload(draft(), ME),
            await joined(store),
        )
        await store.commit_decisions(lease, [decision(work, order(cluster.id, lease, 1))])
        await store.remove_cluster("north", ME)
        loaded = await store.load()
        assert (loaded.placements, loaded.outbox) == ((), ())
        # Who leads next, and never sees the change, decides again what ran there.
        assert loaded.decisions[0].resource_version < work.resource_version
        assert await store.commit_decisions(lease, [decision(work, order(cluster.id, lease, 2))])
        withdrawal = decision(work, order(cluster.id, lease, 3, verb=Verb.WITHDRAW))
        assert not await store.commit_decisions(lease, [withdrawal])
        assert (await store.load()).outbox == ()

    @pytest.mark.promise(3)
    async def test_an_outbox_version_only_grows(self, store: AnyStore) -> None:
        lease, work = await lead(store), await store.submit_workload(draft(), ME)
        await store.commit_decisions(lease, [decision(work, order("a", lease, 5))])
        for generation in (4, 5):
            late = decision(work, order("a", lease, generation, replicas=9))
            assert await store.commit_decisions(lease, [late])
        (placement,) = (await store.load()).placements
        (row,) = (await store.load()).outbox
        assert (placement.replicas, row.version.generation) == (2, 5)
        assert not await store.commit_decisions(lease, [decision(work, order("a", lease, 6))])

    async def test_withdrawals_remove_placements_and_the_unnamed_stay(self, store: AnyStore) -> None:
        lease, work = await lead(store), await store.submit_workload(draft(), ME)
        await store.commit_decisions(lease, [decision(work, order("a", lease, 1), order("b", lease, 2))])
        await store.commit_decisions(lease, [decision(work, order("a", lease, 3, verb=Verb.WITHDRAW))])
        loaded = await store.load()
        assert [row.cluster for row in loaded.placements] == ["b"]
        assert {(row.cluster, row.verb) for row in loaded.outbox} == {
            ("a", Verb.WITHDRAW),
            ("b", Verb.APPLY),
        }

    async def test_a_change_is_told_only_when_the_outcome_differs(self, store: AnyStore) -> None:
        lease, work = await lead(store), await store.submit_workload(draft(), ME)
        north = (await joined(store, "north")).id
        after = (await store.load()).change_cursor
        told: list[tuple[str, object]] = []
        outcomes = [
            decision(work, placed=False, reason="NoClusterFits"),
            decision(work, placed=False, reason="NoClusterFits"),
            decision(work, order("a", lease, 1)),
            decision(work, order("a", lease, 2)),
            decision(work, order("a", lease, 3, replicas=4)),
            decision(work, order(north, lease, 4), order("a", lease, 5, verb=Verb.WITHDRAW)),
        ]
        for outcome in outcomes:
            await store.commit_decisions(lease, [outcome])
        for change in await store.changes(after, 100):
            assert (change.kind, change.name, change.uid, change.by) == (
                "Workload",
                "web",
                work.uid,
                "muster",
            )
            told.append((change.what, change.detail["clusters"]))
        assert told == [("Refused", {}), ("Placed", {"a": 2}), ("Placed", {"a": 4}), ("Placed", {"north": 2})]

    async def test_a_deleted_workload_is_loaded_until_nothing_is_left_of_it(self, store: AnyStore) -> None:
        lease, work = await lead(store), await store.submit_workload(draft(), ME)
        await store.commit_decisions(lease, [decision(work, order("a", lease, 1))])
        deleted = await store.delete_workload("web", ME)
        withdrawal = order("a", lease, 2, verb=Verb.WITHDRAW)
        for step in (
            store.commit_decisions(lease, [decision(deleted, withdrawal)]),
            store.remove_withdrawn(lease, [OrderMark("a", work.uid, withdrawal.version)]),
        ):
            assert [row.deleted for row in (await store.load()).workloads] == [True]
            await step
        assert (await store.load()).workloads == ()
        assert whats(await store.changes(0, 100))[-1] == "Withdrawn"


class TestMarks:
    async def test_are_made_only_at_their_version(self, store: AnyStore) -> None:
        lease, work = await lead(store), await store.submit_workload(draft(), ME)
        await store.commit_decisions(lease, [decision(work, order("a", lease, 1))])
        old = OrderMark("a", work.uid, Version(lease.epoch, 1), 17)
        await store.mark_published(lease, [old])
        await store.mark_acknowledged(lease, [old])
        (row,) = (await store.load()).outbox
        assert (row.published_sequence, row.acknowledged) == (17, old.version)
        assert await store.unpublished(10) == []

        await store.commit_decisions(lease, [decision(work, order("a", lease, 2, verb=Verb.WITHDRAW))])
        for write in (store.mark_published, store.mark_acknowledged, store.remove_withdrawn):
            await write(lease, [old, OrderMark("b", work.uid, old.version, 3)])
        (row,) = (await store.load()).outbox
        assert (row.verb, row.published_sequence, row.acknowledged) == (Verb.WITHDRAW, None, old.version)

    @pytest.mark.promise(9)
    async def test_only_a_withdrawal_is_ever_removed(self, store: AnyStore) -> None:
        lease, work = await lead(store), await store.submit_workload(draft(), ME)
        await store.commit_decisions(lease, [decision(work, order("a", lease, 1))])
        await store.remove_withdrawn(lease, [OrderMark("a", work.uid, Version(lease.epoch, 1))])
        assert len((await store.load()).outbox) == 1
        await store.commit_decisions(lease, [decision(work, order("a", lease, 2, verb=Verb.WITHDRAW))])
        await store.remove_withdrawn(lease, [OrderMark("a", work.uid, Version(lease.epoch, 2))])
        assert (await store.load()).outbox == ()

    async def test_those_that_follow_from_no_decision_lie_beside_the_others(self, store: AnyStore) -> None:
        """A newer one is never replaced, what was acknowledged stays known, a removed cluster gets none."""
        lease = await lead(store)
        north, south = [(await joined(store, name)).id for name in ("north", "south")]

        def limits(cluster: str, generation: int) -> OutboxRecord:
            version = Version(lease.epoch, generation)
            return OutboxRecord(cluster, "limits-shop", Verb.APPLY, version, b"body", b"signature")

        await store.commit_orders(lease, [limits(north, 2), limits(south, 1)])
        await store.mark_published(lease, [OrderMark(north, "limits-shop", Version(lease.epoch, 2), 7)])
        await store.mark_acknowledged(lease, [OrderMark(north, "limits-shop", Version(lease.epoch, 2))])
        await store.remove_cluster("south", ME)
        await store.commit_orders(lease, [limits(north, 1), limits(south, 3)])
        (row,) = (await store.load()).outbox
        assert (row.version.generation, row.published_sequence) == (2, 7)
        await store.commit_orders(lease, [limits(north, 4)])
        (row,) = (await store.load()).outbox
        acknowledged = Version(lease.epoch, 2)
        assert (row.version.generation, row.published_sequence, row.acknowledged) == (4, None, acknowledged)
        with pytest.raises(LeaseLost):
            await store.commit_orders(replace(lease, epoch=lease.epoch - 1), [limits(north, 5)])

    async def test_the_oldest_unpublished_come_first_up_to_the_limit(self, store: AnyStore) -> None:
        lease, work = await lead(store), await store.submit_workload(draft(), ME)
        orders = [order(f"c{generation}", lease, generation) for generation in (3, 1, 2)]
        await store.commit_decisions(lease, [decision(work, *orders)])
        assert [row.version.generation for row in await store.unpublished(2)] == [1, 2]


ALERT_CASES: dict[str, tuple[list[Stamp], Stamp, int]] = {
    "nothing": ([], (0, 0), 0),
    "consecutive": ([(1, 1), (1, 2)], (1, 2), 2),
    "the same again": ([(1, 1), (1, 1), (1, 2), (1, 1)], (1, 2), 2),
    "out of order": ([(1, 2), (1, 1)], (1, 2), 2),
    "beyond a gap": ([(1, 1), (1, 3), (1, 4)], (1, 1), 1),
    "not from the first": ([(1, 2)], (0, 0), 0),
    "a later spool from its first": ([(1, 1), (2, 1), (2, 2)], (2, 2), 3),
    "a later spool with a gap": ([(1, 1), (2, 2)], (1, 1), 1),
    "an older spool": ([(2, 1), (1, 2)], (0, 0), 0),
}


class TestAlerts:
    @pytest.mark.promise(1)
    @pytest.mark.parametrize("case", ALERT_CASES)
    async def test_each_once_and_none_beyond_a_gap(self, store: AnyStore, case: str) -> None:
        stamps, watermark, count = ALERT_CASES[case]
        lease = await lead(store)
        links = [link("a", *stamp) for stamp in stamps]
        assert await store.commit_alerts(lease, "a", links) == watermark
        assert await store.commit_alerts(lease, "a", links) == watermark
        assert len(await arrived(store, "a")) == count
        assert (await store.load()).alert_watermarks == ({"a": watermark} if count else {})

    @pytest.mark.promise(1)
    async def test_a_gap_is_filled_by_sending_again(self, store: AnyStore) -> None:
        lease = await lead(store)
        sent = [(1, 1), (1, 3), (1, 2), (1, 3), (2, 1), (1, 4)]
        watermarks = [await store.commit_alerts(lease, "a", [link("a", *stamp)]) for stamp in sent]
        assert watermarks == [(1, 1), (1, 1), (1, 2), (1, 3), (2, 1), (2, 1)]
        assert len(await arrived(store, "a")) == 4

    async def test_clusters_have_cursors_of_their_own(self, store: AnyStore) -> None:
        lease = await lead(store)
        assert await store.commit_alerts(lease, "a", [link("a", 1, 1, "Down", "Slow")]) == (1, 1)
        assert await store.commit_alerts(lease, "b", [link("b", 4, 1)]) == (4, 1)
        assert [len(await arrived(store, cluster)) for cluster in "ab"] == [2, 1]

    async def test_text_that_no_database_holds_does_not_stop_the_log(self, store: AnyStore) -> None:
        assert await store.commit_alerts(await lead(store), "a", [link("a", 1, 1, "nul \x00")]) == (1, 1)


class TestChanges:
    async def test_are_numbered_without_gaps_and_read_by_number(self, world: World) -> None:
        store, lease = world.store, await lead(world.store)
        news = [changed("Cluster", f"c{number}", "id", "Seen", "agent", n=number) for number in range(5)]
        await store.record_changes(lease, news)
        read = await store.changes(0, 100)
        assert [change.id for change in read] == [1, 2, 3, 4, 5]
        assert [(change.name, change.detail) for change in read] == [(new.name, new.detail) for new in news]
        now = await world.now()
        assert all(abs(change.at - now) < 60 for change in read)
        assert await store.changes(2, 2) == read[2:4]
        assert (await store.load()).change_cursor == 5
        assert await store.change_horizon() == (1, 5)

    async def test_waiting_ends_with_a_change(self, store: AnyStore) -> None:
        await store.wait_for_change(0.3)
        waiting = asyncio.create_task(store.wait_for_change(60))
        await asyncio.sleep(0)
        await store.submit_workload(draft(), ME)
        await asyncio.wait_for(waiting, BOUND_SECONDS)

    async def test_waiting_ends_at_once_where_one_came_since_reading(self, store: AnyStore) -> None:
        await store.wait_for_change(0.3)
        other = asyncio.create_task(store.wait_for_change(60))
        assert await store.changes(0, 10) == []
        await store.submit_workload(draft(), ME)
        await asyncio.wait_for(other, BOUND_SECONDS)
        await asyncio.wait_for(store.wait_for_change(60), BOUND_SECONDS)

    async def test_waiting_ends_with_its_time(self, store: AnyStore) -> None:
        await store.wait_for_change(0.3)
        await asyncio.wait_for(store.wait_for_change(0.01), BOUND_SECONDS)

    @pytest.mark.promise(1)
    async def test_a_reader_by_number_misses_none_of_many_writers(self, store: AnyStore) -> None:
        lease = await lead(store)

        async def write(writer: int) -> None:
            for number in range(15):
                name = f"{writer}-{number}"
                if writer % 2:
                    await store.submit_document("Tenant", name, {}, ME)
                else:
                    await store.record_changes(lease, [changed("Cluster", name, "", "Seen", "agent")])

        async def read() -> list[int]:
            seen: list[int] = []
            while len(seen) < 8 * 15:
                seen += [change.id for change in await store.changes(seen[-1] if seen else 0, 7)]
            return seen

        reading = asyncio.create_task(read())
        await asyncio.gather(*(write(writer) for writer in range(8)))
        assert await asyncio.wait_for(reading, 30) == list(range(1, 121))


class TestStanding:
    async def test_is_told_once_and_never_brings_back_a_removed_cluster(self, store: AnyStore) -> None:
        lease, cluster = await lead(store), await joined(store)
        for _ in range(2):
            await store.record_standing(lease, cluster.id, Standing.CUT_OFF, "too many subjects")
        (record,) = await store.read_clusters([cluster.id])
        assert (record.standing, record.standing_reason) == (Standing.CUT_OFF, "too many subjects")
        assert record.resource_version > cluster.resource_version
        await store.remove_cluster("north", ME)
        await store.record_standing(lease, cluster.id, Standing.JOINED, "")
        assert (await store.read_clusters([cluster.id]))[0].standing is Standing.REMOVED
        assert whats(await store.changes(0, 100)) == ["Invited", "Joined", "CutOff", "Removed"]

    async def test_an_incarnation_only_grows(self, store: AnyStore) -> None:
        lease, cluster = await lead(store), await joined(store)
        for incarnation in (3, 2):
            await store.record_incarnation(lease, cluster.id, incarnation)
        (record,) = await store.read_clusters([cluster.id])
        assert (record.incarnation, record.resource_version) == (3, cluster.resource_version)


class TestDeadLetters:
    async def test_the_oldest_of_the_same_cluster_give_way(self, store: AnyStore) -> None:
        await store.bury([DeadLetter("b", "subject", "reason \x00", b"\x00body")])
        for start in range(0, KEPT + 200, 400):
            await store.bury([DeadLetter("a", "s", str(start + n), b"") for n in range(400)])
        kept = await store.dead_letters("a", KEPT * 2)
        assert [letter.reason for letter in kept] == [str(KEPT + 199 - n) for n in range(KEPT)]
        assert list(await store.dead_letters("b", 5)) == [
            DeadLetter("b", "subject", "reason \ufffd", b"\x00body")
        ]

    async def test_a_body_is_cut(self, store: AnyStore) -> None:
        await store.bury([DeadLetter("a", "s", "r", b"x" * (KEPT_BODY_BYTES + 1))])
        (letter,) = await store.dead_letters("a", 5)
        assert len(letter.body) == KEPT_BODY_BYTES
