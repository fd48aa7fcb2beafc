"""What alerting may rely on from `loops.alert_ports.AlertStore`, asked of Postgres and of the memory."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from math import inf

import pytest
import pytest_asyncio

from controlplane.alerts.alert import Alert, Owned
from controlplane.alerts.configuration import History
from controlplane.alerts.entry import Arrived, Entry, SavedAlert, SavedBoard, SavedGroup, SentLocally
from controlplane.alerts.fingerprint import fingerprint
from controlplane.alerts.history import HistoryQuery
from controlplane.alerts.matchers import Matcher, Operator
from controlplane.alerts.notice import Answer, Attempt, Flush, Happened, Notice, Sent, What, Why
from controlplane.alerts.silence import Acknowledgement, Silence
from controlplane.known.records import Lease
from controlplane.loops.alert_ports import Attempted
from controlplane.loops.ports import LeaseLost
from controlplane.store.alert_history import ATTEMPT_BYTES, LINE_BYTES
from controlplane.store.alert_store import PostgresAlertStore
from controlplane.store.store import PostgresStore
from tests.simulation.memory_alert_store import MemoryAlertStore

ROLE = "alerting"
NOW = 1_767_225_600.0
BOUND_SECONDS = 10.0
AnyAlertStore = PostgresAlertStore | MemoryAlertStore


@dataclass
class World:
    store: AnyAlertStore
    lease: Lease


@pytest.fixture
def memory_world() -> World:
    lease = Lease(ROLE, "me", 7)

    def check(held: Lease) -> None:
        if held != lease:
            raise LeaseLost("another leads")

    return World(MemoryAlertStore(check), lease)


@pytest_asyncio.fixture
async def postgres_world(database: str) -> AsyncGenerator[World]:
    async with PostgresStore(database, connections=4) as store:
        lease = await store.take_lease(ROLE, "me", 300)
        assert lease is not None
        yield World(store.alerting, lease)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    return request.getfixturevalue(f"{request.param}_world")


def alert(name: str = "Down", **fields: object) -> Alert:
    identity = {"alertname": name, "cluster": "north"}
    made = Alert(fingerprint(identity), identity, {"summary": "gone"}, NOW, NOW + 300, NOW, timed=True)
    return replace(made, **fields)


def arrived(*names: str) -> Arrived:
    return Arrived(NOW, [alert(name) for name in names])


def silence(id_: str = "s1", **fields: object) -> Silence:
    matchers = (Matcher("alertname", Operator.MATCHES, "Down|Slow"),)
    return replace(Silence(id_, matchers, NOW, NOW + 3600, "ada", "moving", NOW), **fields)


def notice(key: str = "k1", group: str = '{}:{alertname="Down"}', **fields: object) -> Notice:
    down = alert(owned=Owned({"tenant": "shop"}, {"placement": "north"}, ("shop-oncall",)))
    made = Notice(
        key=key,
        group_key=group,
        receiver="ops",
        integration="webhook[0]",
        why=Why.FIRST,
        at=NOW,
        deadline=NOW + 300,
        group_labels={"alertname": "Down"},
        alerts=(down,),
        firing=frozenset({down.fingerprint}),
        resolved=frozenset(),
    )
    return replace(made, **fields)


def group(key: str = '{}:{alertname="Down"}', next_at: float = NOW + 300) -> SavedGroup:
    return SavedGroup(key, next_at, {"alertname": "Down"}, flushed=True, looked_at=NOW, looked_entry=3)


def flush(*notices: Notice, next_at: float | None = NOW + 300, **fields: object) -> Flush:
    line = Happened(alert().fingerprint, NOW, NOW, What.RECEIVED)
    made = Flush('{}:{alertname="Down"}', NOW, next_at, notices, (line,))
    return replace(made, **fields)


def sent(**fields: object) -> Sent:
    fires = frozenset({alert().fingerprint})
    made = Sent('{}:{alertname="Down"}', "ops", "webhook[0]", fires, frozenset(), NOW, owed=fires)
    return replace(made, **fields)


def attempt(key: str = "k1", number: int = 1, *, last: bool, delivered: bool = True) -> Attempt:
    answer = Answer(delivered, retry=not delivered, code="HTTP 200", detail="ok")
    return Attempt(key, number, NOW + number, 0.25, answer, last)


TOLD = Happened(alert().fingerprint, NOW, NOW + 1, What.NOTIFIED, "ops", "HTTP 200")

ENTRIES: dict[str, Entry] = {
    "arrived": arrived("Down", "Slow", "Größe 🚨"),
    "what has no end yet": Arrived(NOW, [alert(generator_url="http://p", source="ACCOUNT", timed=False)]),
    "many": Arrived(NOW, [alert(f"a{number}") for number in range(500)]),
    "a silence": silence(),
    "one that returns": silence(cron="0 2 * * *", duration_seconds=3600, timezone="Europe/Berlin"),
    "an acknowledgement": Acknowledgement(alert().fingerprint, NOW, NOW + 1, "ada", "on it"),
    "sent by an agent": SentLocally(NOW, "pager", [(alert().fingerprint, NOW)], "HTTP 200"),
    "nothing": Arrived(NOW, []),
}


class TestLog:
    @pytest.mark.parametrize("case", ENTRIES)
    async def test_what_is_appended_is_read_as_it_was(self, world: World, case: str) -> None:
        (number,) = await world.store.append_entries([ENTRIES[case]])
        ((found, entry),) = await world.store.read_entries(0, 10)
        assert (found, entry) == (number, ENTRIES[case])

    @pytest.mark.promise(4)
    @pytest.mark.parametrize(
        ("case", "what", "detail"),
        [
            ("an acknowledgement", "Acknowledged", "ada: on it"),
            ("sent by an agent", "SentLocally", "HTTP 200"),
        ],
    )
    async def test_some_are_history_by_themselves(
        self, world: World, case: str, what: str, detail: str
    ) -> None:
        await world.store.append_entries([ENTRIES[case], ENTRIES["arrived"]])
        (line,) = await world.store.read_history(HistoryQuery())
        assert (line.happened.what, line.happened.detail, line.happened.starts_at) == (what, detail, NOW)

    @pytest.mark.promise(1)
    async def test_ids_have_no_gaps_and_each_caller_gets_its_own(self, world: World) -> None:
        async def append(caller: int) -> tuple[int, list[int]]:
            entries = [arrived(f"{caller}-{number}") for number in range(caller % 4 + 1)]
            return caller, list(await world.store.append_entries(entries))

        given = await asyncio.gather(*(append(caller) for caller in range(40)))
        entries = dict(await world.store.read_entries(0, 1_000))
        assert sorted(entries) == list(range(1, len(entries) + 1))
        for caller, ids in given:
            assert ids == list(range(ids[0], ids[0] + caller % 4 + 1))
            for number, id_ in enumerate(ids):
                assert entries[id_] == arrived(f"{caller}-{number}")

    async def test_reading_goes_on_where_it_was(self, world: World) -> None:
        await world.store.append_entries([arrived(str(number)) for number in range(5)])
        assert [number for number, _ in await world.store.read_entries(2, 2)] == [3, 4]
        assert await world.store.read_entries(5, 2) == []
        assert await world.store.entry_horizon() == (1, 5)

    async def test_an_entry_wakes_who_waits(self, world: World) -> None:
        await world.store.wait_for_entry(0.3)
        await world.store.read_entries(0, 10)
        waiting = asyncio.create_task(world.store.wait_for_entry(60))
        await asyncio.sleep(0)
        await world.store.append_entries([arrived("Down")])
        await asyncio.wait_for(waiting, BOUND_SECONDS)

    async def test_a_silence_is_there_at_once_and_its_newest_form_stays(self, world: World) -> None:
        ended = silence(ends_at=NOW + 1, updated_at=NOW + 1)
        await world.store.append_entries([silence(), silence("s2")])
        await world.store.append_entries([ended])
        saved = await world.store.load_board()
        assert sorted(saved.silences, key=lambda each: each.id) == [ended, silence("s2")]

    async def test_the_log_below_the_checkpoint_is_trimmed_when_it_is_not_new(self, world: World) -> None:
        store, lease = world.store, world.lease
        await store.append_entries([arrived("a"), arrived("b"), arrived("c")])
        await store.checkpoint(lease, 2, [SavedAlert(alert("a")), SavedAlert(alert("b"))], [])
        await store.trim(lease, NOW + 60, History())
        assert (await store.entry_horizon())[0] == 1
        await store.trim(lease, NOW + 3600, History())
        assert await store.entry_horizon() == (3, 3)
        assert (await store.load_board()).applied == 2


class TestBoard:
    async def test_an_empty_one(self, world: World) -> None:
        assert await world.store.load_board() == SavedBoard()

    async def test_what_was_saved_is_loaded_as_it_was(self, world: World) -> None:
        store, lease = world.store, world.lease
        acknowledged = Acknowledgement(alert().fingerprint, NOW, NOW + 1, "ada", "on it")
        await store.append_entries([silence(), acknowledged, arrived("Down")])
        saved = SavedAlert(
            alert(owned=Owned({"tenant": "shop"})), (NOW - 60, NOW), 3, 1, NOW, 2, NOW, ((NOW - 600, 1),)
        )
        await store.checkpoint(lease, 3, [saved, SavedAlert(alert("Gone"))], [])
        await store.checkpoint(lease, 0, [], [alert("Gone").fingerprint])
        empty = group("{}:{}", inf)
        await store.commit_flushes(lease, [flush(notice()), flush(cleared=(sent(),))], [group(), empty])
        assert await store.load_board() == SavedBoard(
            applied=3,
            alerts=(saved,),
            silences=(silence(),),
            acknowledgements=(acknowledged,),
            groups={group().group_key: group(), "{}:{}": empty},
            sent=(sent(),),
            pending=(notice(),),
        )

    async def test_a_group_that_is_forgotten_takes_its_log_along(self, world: World) -> None:
        store, lease = world.store, world.lease
        await store.commit_flushes(lease, [flush(cleared=(sent(),))], [group()])
        await store.commit_flushes(lease, [flush(next_at=None)], [])
        saved = await store.load_board()
        assert (saved.groups, saved.sent) == ({}, ())

    @pytest.mark.promise(4)
    async def test_a_notice_is_pending_until_its_last_attempt_is_recorded(self, world: World) -> None:
        store, lease = world.store, world.lease
        await store.commit_flushes(lease, [flush(notice(), notice("k2", at=NOW - 1))], [group()])
        assert [each.key for each in (await store.load_board()).pending] == ["k2", "k1"]
        await store.record_attempts(lease, [Attempted(attempt(last=False, delivered=False))])
        assert [each.key for each in (await store.load_board()).pending] == ["k2", "k1"]
        told = replace(group(), first_told_at=NOW + 2)
        await store.record_attempts(lease, [Attempted(attempt(number=2, last=True), sent(), (TOLD,), told)])
        saved = await store.load_board()
        assert [each.key for each in saved.pending] == ["k2"]
        assert (saved.sent, saved.groups) == ((sent(),), {told.group_key: told})

    async def test_the_same_notice_decided_again_is_one(self, world: World) -> None:
        for _ in range(2):
            await world.store.commit_flushes(world.lease, [flush(notice())], [group()])
        assert (await world.store.load_board()).pending == (notice(),)


class TestHistory:
    @pytest.mark.promise(4)
    async def test_attempts_say_what_they_were_about_and_are_recorded_once(self, world: World) -> None:
        store, lease = world.store, world.lease
        await store.commit_flushes(lease, [flush(notice())], [group()])
        done = [
            Attempted(attempt(last=False, delivered=False)),
            Attempted(attempt(number=2, last=True), sent(), (TOLD,)),
        ]
        for _ in range(2):
            await store.record_attempts(lease, done)
        lines = await store.read_attempts()
        assert [(line.attempt.number, line.attempt.answer.delivered) for line in lines] == [
            (2, True),
            (1, False),
        ]
        assert {(line.receiver, line.integration, line.why) for line in lines} == {
            ("ops", "webhook[0]", "First")
        }
        assert lines[0].attempt == done[1].attempt
        told = await store.read_history(HistoryQuery(what="Notified"))
        assert [line.happened for line in told] == [TOLD]
        assert await store.read_attempts(receiver="dev") == []
        assert await store.read_attempts(before=lines[1].id) == []

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (HistoryQuery(), [4, 3, 2, 1, 0]),
            (HistoryQuery(fingerprint=alert("a").fingerprint), [2, 0]),
            (HistoryQuery(receiver="ops"), [4, 3]),
            (HistoryQuery(what="Silenced"), [2]),
            (HistoryQuery(matching=(("alertname", "b"),)), [4, 3, 1]),
            (HistoryQuery(matching=(("alertname", "c"),), fresh=(alert("a").fingerprint,)), [2, 0]),
            (HistoryQuery(since=NOW + 1, until=NOW + 3), [2, 1]),
            (HistoryQuery(limit=2), [4, 3]),
            (HistoryQuery(what="x'; drop table alert_history; --"), []),
        ],
        ids=str,
    )
    async def test_is_found_by_any_of_these(
        self, world: World, query: HistoryQuery, found: list[int]
    ) -> None:
        store, lease = world.store, world.lease
        lines = [
            Happened(alert(name).fingerprint, NOW, NOW + number, what, receiver, "because \x00")
            for number, (name, what, receiver) in enumerate(
                (
                    ("a", What.RECEIVED, ""),
                    ("b", What.RECEIVED, ""),
                    ("a", What.SILENCED, ""),
                    ("b", What.NOTIFIED, "ops"),
                    ("b", What.RESOLVED, "ops"),
                )
            )
        ]
        await store.checkpoint(lease, 0, [SavedAlert(alert("a")), SavedAlert(alert("b"))], [])
        await store.record_happened(lease, lines)
        read = await store.read_history(query)
        assert [int(line.happened.at - NOW) for line in read] == found
        if read:
            page = await store.read_history(replace(query, before=read[-1].id))
            assert [int(line.happened.at - NOW) for line in page] == ([2, 1] if query.limit == 2 else [])

    @pytest.mark.parametrize(
        ("bounds", "kept"),
        [
            (History(), 10),
            (History(days=1 / 24), 4),
            (History(max_bytes=7 * LINE_BYTES), 7),
            (History(max_bytes=7 * LINE_BYTES + 1), 7),
            (History(max_bytes=0), 0),
        ],
        ids=str,
    )
    async def test_the_oldest_gives_way(self, world: World, bounds: History, kept: int) -> None:
        """By age, and by bytes."""
        lines = [Happened("f", NOW, NOW + 900 * number, What.RECEIVED) for number in range(10)]
        await world.store.record_happened(world.lease, lines)
        while await world.store.trim(world.lease, NOW + 9000, bounds):
            pass
        read = await world.store.read_history(HistoryQuery())
        assert [line.happened for line in reversed(read)] == lines[10 - kept :]

    @pytest.mark.parametrize(("kept", "expected"), [(7, 3), (2, 2), (0, 0)])
    async def test_attempts_are_bounded_by_size_too(self, world: World, kept: int, expected: int) -> None:
        store, lease = world.store, world.lease
        refused = Answer(delivered=False, retry=True)
        await store.record_attempts(
            lease,
            [Attempted(Attempt("k", number, NOW + number, 0.1, refused, False)) for number in (1, 2, 3)],
        )
        while await store.trim(lease, NOW + 9000, History(max_bytes=kept * ATTEMPT_BYTES)):
            pass
        found = await store.read_attempts()
        assert [line.attempt.number for line in found] == [3, 2, 1][:expected]


HELD: dict[str, Callable[[AnyAlertStore, Lease], object]] = {
    "commit_flushes": lambda store, lease: store.commit_flushes(lease, [flush(notice())], [group()]),
    "record_attempts": lambda store, lease: store.record_attempts(
        lease, [Attempted(attempt(last=True), sent(), (TOLD,))]
    ),
    "record_happened": lambda store, lease: store.record_happened(lease, [TOLD]),
    "checkpoint": lambda store, lease: store.checkpoint(lease, 1, [SavedAlert(alert())], []),
    "write_heartbeats": lambda store, lease: store.write_heartbeats(lease, {"late": NOW}),
    "trim": lambda store, lease: store.trim(lease, NOW + 1e9, History(max_bytes=0)),
}


@pytest.mark.promise(4)
@pytest.mark.parametrize("write", HELD)
async def test_who_does_not_lead_any_more_writes_nothing(world: World, write: str) -> None:
    store = world.store
    await store.append_entries([arrived("Down")])
    await store.record_happened(world.lease, [TOLD])
    before = await store.load_board()
    with pytest.raises(LeaseLost):
        await HELD[write](store, replace(world.lease, epoch=world.lease.epoch + 1))  # type: ignore[misc]
    assert await store.load_board() == before
    assert len(await store.read_history(HistoryQuery())) == 1
    assert await store.read_heartbeats() == {}


async def test_when_heartbeats_were_heard_of_is_kept_and_forgotten_with_them(world: World) -> None:
    await world.store.write_heartbeats(world.lease, {"a": NOW, "b": NOW + 1})
    await world.store.write_heartbeats(world.lease, {"b": NOW + 2, "c": NOW})
    assert await world.store.read_heartbeats() == {"b": NOW + 2, "c": NOW}
    await world.store.write_heartbeats(world.lease, {})
    assert await world.store.read_heartbeats() == {}


async def test_what_was_sent_lately_counts_a_digest_once(world: World) -> None:
    store, early = world.store, attempt("k0", last=True)
    await store.commit_flushes(world.lease, [flush(notice("k0"), notice("k1"), notice("k2"))], [])
    digest = notice("digest", group="digest:ops/webhook[0]", folded=("k1", "k2"))
    await store.commit_flushes(world.lease, [flush(digest)], [])
    assert digest in (await store.load_board()).pending
    said = Answer(delivered=True, detail="in digest digest")
    late = replace(attempt("digest", 60, last=True), number=1)
    parts = [replace(late, key=key, answer=said) for key in ("k1", "k2")]
    await store.record_attempts(world.lease, [Attempted(each) for each in (early, *parts, late)])
    assert [(each.key, each.at) for each in await store.recent_messages(NOW + 30, [])] == [
        ("digest", NOW + 60)
    ]
    recent = await store.recent_messages(NOW + 30, ["k0", "k9"])
    assert [(each.receiver, each.integration, each.key) for each in recent] == [
        ("ops", "webhook[0]", "k0"),
        ("ops", "webhook[0]", "digest"),
    ]
    assert (await store.load_board()).pending == ()
