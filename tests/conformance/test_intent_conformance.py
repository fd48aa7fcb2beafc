"""What the API may rely on from `controlplane.loops.ports.Intent`, asked of Postgres and of the memory."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio

from controlplane.fleet.headroom import Make
from controlplane.intent import JoinDraft, NotFound, PreconditionFailed, Taken, WorkloadDraft, Write
from controlplane.known.records import ClusterRecord, Request, Standing, WorkloadRecord
from controlplane.store.settlement import KEPT_SECONDS
from schemas.wire.orders import Version
from schemas.wire.reports import Taint
from tests.conformance.store_worlds import ME, AnyStore, World, draft, joined, whats

pytest_plugins = ["tests.conformance.store_fixtures"]
MAKE = Make(
    3, {"cpu": 4000, "pods": 110}, {"pool": "x"}, (Taint("own", "NoSchedule"),), {"f": ""}, ("kata",), 2
)
KEYED = Write("me", idempotency_key="once")


class TestWorkloads:
    async def test_a_new_one_is_revision_one(self, store: AnyStore) -> None:
        record = await store.submit_workload(draft(), ME)
        assert (record.name, record.tenant, record.revision, record.deleted) == ("web", "shop", 1, False)
        assert (record.labels, record.spec) == (draft().labels, draft().spec)
        assert await store.read_workloads([record.uid]) == [record]
        (change,) = await store.changes(0, 10)
        assert (change.kind, change.name, change.uid, change.what, change.by) == (
            "Workload",
            "web",
            record.uid,
            "Created",
            "me",
        )

    async def test_the_same_again_is_the_record_as_it_is(self, store: AnyStore) -> None:
        record = await store.submit_workload(draft(), ME)
        assert await store.submit_workload(draft(), ME) == record
        assert len(await store.changes(0, 10)) == 1

    async def test_another_spec_is_a_new_revision_and_every_one_is_kept(self, store: AnyStore) -> None:
        first = await store.submit_workload(draft(replicas=1), ME)
        second = await store.submit_workload(draft(replicas=2), Write("you"))
        assert (second.uid, second.revision, second.created_at) == (first.uid, 2, first.created_at)
        assert second.resource_version > first.resource_version
        kept = await store.revisions(first.uid)
        assert [(row.revision, row.spec["replicas"], row.created_by) for row in kept] == [
            (1, 1, "me"),
            (2, 2, "you"),
        ]

    async def test_other_labels_are_a_write_but_no_revision(self, store: AnyStore) -> None:
        first = await store.submit_workload(draft(), ME)
        second = await store.submit_workload(replace(draft(), labels={"team": "b"}), ME)
        assert (second.revision, second.labels) == (1, {"team": "b"})
        assert second.resource_version > first.resource_version
        assert whats(await store.changes(0, 10)) == ["Created", "Changed"]

    async def test_rollback_issues_an_old_spec_as_a_new_revision(self, store: AnyStore) -> None:
        await store.submit_workload(draft(replicas=1), ME)
        await store.submit_workload(draft(replicas=2), ME)
        record = await store.rollback_workload("web", 1, ME)
        assert (record.revision, record.spec) == (3, draft(replicas=1).spec)
        assert [row.cause for row in await store.revisions(record.uid)][-1] == "rollback to 1"
        for name, revision in (("web", 9), ("other", 1)):
            with pytest.raises(NotFound, match=name):
                await store.rollback_workload(name, revision, ME)

    @pytest.mark.promise(1)
    async def test_a_request_to_place_anew_is_kept_on_the_row(self, store: AnyStore) -> None:
        """So that whoever leads next finds it; it is a write, and no revision."""
        first = await store.submit_workload(draft(), ME)
        asked = await store.reschedule_workload("web", Write("you"))
        assert (first.rescheduled, asked.rescheduled, asked.revision) == (0, asked.resource_version, 1)
        assert asked.resource_version > first.resource_version
        assert (await store.load()).workloads == (asked,)
        changes = await store.changes(0, 10)
        assert [(each.what, each.by) for each in changes] == [
            ("Created", "me"),
            ("RescheduleRequested", "you"),
        ]
        again = await store.submit_workload(draft(replicas=2), ME)
        assert again.rescheduled == asked.rescheduled
        with pytest.raises(NotFound, match="other"):
            await store.reschedule_workload("other", ME)

    @pytest.mark.promise(9)
    async def test_deletion_frees_the_name_and_keeps_the_uid(self, store: AnyStore) -> None:
        first = await store.submit_workload(draft(), ME)
        deleted = await store.delete_workload("web", ME)
        assert (deleted.uid, deleted.deleted) == (first.uid, True)
        with pytest.raises(NotFound, match="web"):
            await store.delete_workload("web", ME)
        second = await store.submit_workload(draft(), ME)
        assert (second.uid != first.uid, second.revision) == (True, 1)
        assert await store.read_workloads([first.uid]) == [deleted]
        assert len(await store.revisions(first.uid)) == 1

    async def test_of_many_writers_of_one_name_each_is_a_revision(self, store: AnyStore) -> None:
        records = await asyncio.gather(
            *(store.submit_workload(draft(replicas=number), ME) for number in range(40))
        )
        assert len({record.uid for record in records}) == 1
        assert sorted(record.revision for record in records) == list(range(1, 41))
        assert [change.id for change in await store.changes(0, 100)] == list(range(1, 41))

    async def test_of_many_creators_of_one_name_one_creates(self, store: AnyStore) -> None:
        must_not_exist = Write("me", if_match=0)
        answers = await asyncio.gather(
            *(store.submit_workload(draft(replicas=number), must_not_exist) for number in range(20)),
            store.submit_workload(draft("neighbour"), ME),
            return_exceptions=True,
        )
        records = [answer for answer in answers if isinstance(answer, WorkloadRecord)]
        assert sorted(record.name for record in records) == ["neighbour", "web"]
        assert len([answer for answer in answers if isinstance(answer, PreconditionFailed)]) == 19

    @pytest.mark.parametrize(
        "spec", [{"bad": object()}, {"bad": "\ud800"}], ids=["no JSON", "half a character"]
    )
    async def test_what_is_no_json_fails_alone(self, store: AnyStore, spec: dict[str, object]) -> None:
        bad = WorkloadDraft("bad", {}, {}, "shop", spec)
        refused, record = await asyncio.gather(
            store.submit_workload(bad, ME), store.submit_workload(draft(), ME), return_exceptions=True
        )
        assert isinstance(refused, TypeError | UnicodeEncodeError)
        assert isinstance(record, WorkloadRecord)


class TestConditions:
    async def test_if_match_names_the_version_or_the_write_fails(self, store: AnyStore) -> None:
        first = await store.submit_workload(draft(), Write("me", if_match=0))
        matching = Write("me", if_match=first.resource_version)
        second = await store.submit_workload(draft(replicas=2), matching)
        writes: list[Callable[[Write], Awaitable[object]]] = [
            lambda write: store.submit_workload(draft(replicas=3), write),
            lambda write: store.rollback_workload("web", 1, write),
            lambda write: store.reschedule_workload("web", write),
            lambda write: store.delete_workload("web", write),
        ]
        for write in writes:
            for stale in (0, first.resource_version):
                with pytest.raises(PreconditionFailed) as failed:
                    await write(Write("me", if_match=stale))
                assert failed.value.current == second.resource_version
        assert await store.read_workloads([first.uid]) == [second]
        await store.delete_workload("web", Write("me", if_match=second.resource_version))

    async def test_what_is_not_there_matches_only_zero(self, store: AnyStore) -> None:
        with pytest.raises(PreconditionFailed) as failed:
            await store.submit_workload(draft(), Write("me", if_match=7))
        assert failed.value.current == 0

    async def test_a_version_is_never_that_of_an_earlier_namesake(self, store: AnyStore) -> None:
        first = await store.submit_workload(draft(), ME)
        await store.delete_workload("web", ME)
        await store.submit_workload(draft(), ME)
        with pytest.raises(PreconditionFailed):
            await store.delete_workload("web", Write("me", if_match=first.resource_version))


async def _submit(store: AnyStore, replicas: int) -> object:
    return await store.submit_workload(draft(replicas=replicas), KEYED)


async def _rollback(store: AnyStore, revision: int) -> object:
    return await store.rollback_workload("web", revision, KEYED)


async def _tenant(store: AnyStore, number: int) -> object:
    return await store.submit_document("Tenant", "shop", {"number": number}, KEYED)


async def _change(store: AnyStore, number: int) -> object:
    return await store.change_cluster("north", {"n": str(number)}, (Taint("k", "NoSchedule"),), KEYED)


async def _remove(store: AnyStore, number: int) -> object:
    return await store.remove_cluster(["", "north", "south"][number], KEYED)


async def _delete(store: AnyStore, number: int) -> object:
    return await store.delete_workload(["", "web", "other"][number], KEYED)


async def _invite(store: AnyStore, number: int) -> object:
    token = b"token %d" % len(await store.join_invitations())
    return await store.invite_cluster(JoinDraft(token, f"new-{number}", {}, (), 4e9), KEYED)


KEYED_WRITES = [_submit, _rollback, _delete, _tenant, _change, _remove, _invite]


class TestIdempotencyKeys:
    @pytest_asyncio.fixture(autouse=True)
    async def something_there(self, store: AnyStore) -> None:
        await joined(store)
        for replicas in (7, 8):
            await store.submit_workload(draft(replicas=replicas), ME)

    @pytest.mark.promise(1)
    @pytest.mark.parametrize("write", KEYED_WRITES)
    async def test_the_same_again_answers_with_the_first_result(
        self, store: AnyStore, write: Callable[[AnyStore, int], Awaitable[object]]
    ) -> None:
        first = await write(store, 1)
        before = await store.load()
        assert await write(store, 1) == first
        assert await store.load() == before
        with pytest.raises(Taken, match="once"):
            await write(store, 2)
        assert await store.load() == before

    async def test_the_first_result_stays_when_others_write_on(self, store: AnyStore) -> None:
        first = await _submit(store, 1)
        await store.submit_workload(draft(replicas=5), ME)
        assert await _submit(store, 1) == first

    @pytest.mark.parametrize("write", [_submit, _tenant])
    async def test_together_they_are_one_write(
        self, store: AnyStore, write: Callable[[AnyStore, int], Awaitable[object]]
    ) -> None:
        records = await asyncio.gather(*(write(store, 1) for _ in range(10)))
        assert all(record == records[0] for record in records)

    async def test_one_principals_key_says_nothing_to_another(self, store: AnyStore) -> None:
        await _submit(store, 1)
        other = Write("you", idempotency_key="once")
        assert (await store.submit_workload(draft(replicas=2), other)).spec["replicas"] == 2

    async def test_a_refused_write_does_not_use_the_key(self, store: AnyStore) -> None:
        with pytest.raises(PreconditionFailed):
            await store.submit_workload(draft("new"), replace(KEYED, if_match=99))
        assert (await store.submit_workload(draft("new"), KEYED)).revision == 1

    async def test_a_day_later_the_key_is_free(self, world: World) -> None:
        await _submit(world.store, 1)
        await world.pass_time(KEPT_SECONDS + 1)
        assert await _tenant(world.store, 2)


class TestTenants:
    async def test_are_written_changed_and_deleted(self, store: AnyStore) -> None:
        first = await store.submit_document("Tenant", "shop", {"owners": ["a"]}, Write("me", if_match=0))
        assert await store.submit_document("Tenant", "shop", {"owners": ["a"]}, ME) == first
        second = await store.submit_document("Tenant", "shop", {"owners": ["b"]}, ME)
        assert second.resource_version > first.resource_version
        assert await store.read_documents("Tenant", ["shop", "other"]) == [second]
        with pytest.raises(PreconditionFailed):
            await store.delete_document("Tenant", "shop", Write("me", if_match=first.resource_version))
        await store.delete_document("Tenant", "shop", ME)
        with pytest.raises(NotFound, match="shop"):
            await store.delete_document("Tenant", "shop", ME)
        assert (await store.load()).documents == {}
        assert whats(await store.changes(0, 10)) == ["Created", "Changed", "Deleted"]

    async def test_of_many_writers_of_one_each_is_a_change(self, store: AnyStore) -> None:
        await asyncio.gather(
            *(store.submit_document("Tenant", "shop", {"n": number}, ME) for number in range(10))
        )
        assert len(await store.changes(0, 20)) == 10


class TestDocuments:
    async def test_a_kind_needs_nothing_and_is_apart_from_others(self, store: AnyStore) -> None:
        one = await store.submit_document("Tenant", "shop", {"n": 1}, ME)
        other = await store.submit_document("Anything", "shop", {"n": 2}, Write("me", if_match=0))
        assert (one.spec, other.spec) == ({"n": 1}, {"n": 2})
        assert await store.read_documents("Anything", ["shop"]) == [other]
        assert (await store.load()).documents == {"Anything": (other,), "Tenant": (one,)}
        await store.delete_document("Anything", "shop", ME)
        with pytest.raises(NotFound, match="there is no anything 'shop'"):
            await store.delete_document("Anything", "shop", ME)
        assert await store.read_documents("Tenant", ["shop"]) == [one]
        named = [(each.kind, each.what) for each in await store.changes(0, 10)]
        assert named == [("Tenant", "Created"), ("Anything", "Created"), ("Anything", "Deleted")]

    async def test_one_key_is_for_one_kind(self, store: AnyStore) -> None:
        await store.submit_document("Tenant", "shop", {}, KEYED)
        with pytest.raises(Taken):
            await store.submit_document("Anything", "shop", {}, KEYED)


class TestJoining:
    async def test_a_token_is_redeemed_once(self, store: AnyStore) -> None:
        taints = (Taint("edge", "NoSchedule", "yes"),)
        invitation = JoinDraft(b"hash", "north", {"env": "test"}, taints, 4e9)
        await store.invite_cluster(invitation, ME)
        assert await store.join_invitations() == [invitation]
        record = await _join(store, b"hash", "ACCOUNT", "uid")
        assert (record.id, record.name, record.labels, record.taints, record.standing) == (
            "ACCOUNT",
            "north",
            {"env": "test"},
            taints,
            Standing.JOINED,
        )
        assert (await store.load()).clusters == (record,)
        assert await store.account_seed("ACCOUNT") == b"sealed"
        assert await store.join_invitations() == []
        with pytest.raises(NotFound):
            await _join(store, b"hash", "OTHER", "other")

    async def test_of_many_with_one_token_one_joins(self, store: AnyStore) -> None:
        await store.invite_cluster(JoinDraft(b"hash", "north", {}, (), 4e9), ME)
        answers = await asyncio.gather(
            *(_join(store, b"hash", f"ACCOUNT{number}", f"uid{number}") for number in range(8)),
            return_exceptions=True,
        )
        assert len([answer for answer in answers if isinstance(answer, NotFound)]) == 7
        assert len((await store.load()).clusters) == 1

    async def test_an_unknown_or_expired_token_is_not_found(self, world: World) -> None:
        with pytest.raises(NotFound, match="token"):
            await _join(world.store, b"unknown", "ACCOUNT", "uid")
        draft_ = JoinDraft(b"hash", "north", {}, (), await world.now() + 100)
        await world.store.invite_cluster(draft_, ME)
        await world.pass_time(101)
        with pytest.raises(NotFound, match="token"):
            await _join(world.store, b"hash", "ACCOUNT", "uid")

    @pytest.mark.parametrize(
        ("cluster", "uid", "names"), [("ACCOUNT", "other", "id"), ("OTHER", "uid", "cluster_uid")]
    )
    async def test_what_is_registered_is_taken_and_the_token_stays(
        self, store: AnyStore, cluster: str, uid: str, names: str
    ) -> None:
        for token, name in ((b"1", "north"), (b"2", "south")):
            await store.invite_cluster(JoinDraft(token, name, {}, (), 4e9), ME)
        await _join(store, b"1", "ACCOUNT", "uid")
        with pytest.raises(Taken, match=names):
            await _join(store, b"2", cluster, uid)
        assert (await _join(store, b"2", "OTHER", "other")).name == "south"

    async def test_names_and_tokens_in_use_are_taken(self, store: AnyStore) -> None:
        await joined(store, "north")
        with pytest.raises(Taken, match="north"):
            await store.invite_cluster(JoinDraft(b"h", "north", {}, (), 4e9), ME)
        await store.invite_cluster(JoinDraft(b"h", "south", {}, (), 4e9), ME)
        with pytest.raises(Taken, match="token"):
            await store.invite_cluster(JoinDraft(b"h", "west", {}, (), 4e9), ME)


async def _join(store: AnyStore, token_hash: bytes, cluster: str, uid: str) -> ClusterRecord:
    return await store.join_cluster(
        token_hash,
        cluster=cluster,
        cluster_uid=uid,
        agent_key="UKEY",
        sealing_key=b"key",
        account_seed=b"sealed",
    )


class TestClusters:
    async def test_labels_and_taints_are_the_operators(self, store: AnyStore) -> None:
        first, taints = await joined(store), (Taint("k", "NoSchedule"),)
        second = await store.change_cluster("north", {"a": "b"}, taints, ME, (MAKE,))
        assert (await store.load()).clusters == (second,)
        assert second.headroom == (MAKE,)
        assert (second.id, second.labels, second.taints) == (first.id, {"a": "b"}, taints)
        assert second.resource_version > first.resource_version
        assert await store.change_cluster("north", {"a": "b"}, taints, ME) == second
        with pytest.raises(PreconditionFailed):
            await store.change_cluster("north", {}, (), Write("me", if_match=first.resource_version))
        with pytest.raises(NotFound, match="south"):
            await store.change_cluster("south", {}, (), ME)

    async def test_removal_frees_the_name_and_keeps_the_record(self, store: AnyStore) -> None:
        first = await joined(store)
        removed = await store.remove_cluster("north", ME)
        assert (removed.id, removed.standing) == (first.id, Standing.REMOVED)
        second = await joined(store)
        assert second.id != first.id
        assert {record.id for record in await store.read_clusters([first.id, second.id])} == {
            first.id,
            second.id,
        }
        with pytest.raises(NotFound, match="ghost"):
            await store.remove_cluster("ghost", ME)


class TestRequests:
    """What operators ask the leader to do about a cluster."""

    async def test_one_is_kept_until_it_is_done(self, world: World) -> None:
        store = world.store
        record = await joined(store)
        lease = await store.take_lease("deciding", "a", 10)
        assert lease is not None
        asked = await store.request(record.name, Request.RECOVERY, ME)
        assert (await store.load()).clusters == (asked,)
        floor = Version(7, 40)
        await store.record_request_done(lease, record.id, Request.RECOVERY, floor)
        (done,) = (await store.load()).clusters
        assert (done.requested, done.floor) == (Request.NONE, floor)

    async def test_another_is_taken_while_one_is_not_done(self, store: AnyStore) -> None:
        record = await joined(store)
        await store.request(record.name, Request.RECOVERY, ME)
        with pytest.raises(Taken, match="recovery of"):
            await store.request(record.name, Request.RELEASE, ME)
        assert (await store.request(record.name, Request.RECOVERY, ME)).requested is Request.RECOVERY

    async def test_done_is_only_what_is_asked_for(self, store: AnyStore) -> None:
        record = await joined(store)
        lease = await store.take_lease("deciding", "a", 10)
        assert lease is not None
        await store.request(record.name, Request.RELEASE, ME)
        await store.record_request_done(lease, record.id, Request.RECOVERY, Version(7, 40))
        (still,) = (await store.load()).clusters
        assert (still.requested, still.floor) == (Request.RELEASE, None)


class TestJoiningAgain:
    async def test_the_same_agent_gets_what_it_got(self, store: AnyStore) -> None:
        await store.invite_cluster(JoinDraft(b"hash", "north", {}, (), 4e9), ME)
        first = await _join(store, b"hash", "ACCOUNT", "uid")
        assert await _join(store, b"hash", "ACCOUNT-OF-SECOND-TRY", "uid") == first

    async def test_nobody_else_does(self, store: AnyStore) -> None:
        await store.invite_cluster(JoinDraft(b"hash", "north", {}, (), 4e9), ME)
        await _join(store, b"hash", "ACCOUNT", "uid")
        with pytest.raises(NotFound):
            await _join(store, b"hash", "ACCOUNT-OF-SECOND-TRY", "uid-of-another")
