"""A replica that does not lead, kept as warm as the one that does.

1. Load Postgres. Once the streams are replayed, promise the fleet what the placements take.
2. When a change is told of, and twice a second: follow what people wrote (follow.py), then the journal of
   what was decided, and read again what it names.
3. Beats are heard by every replica, though one answers: which clusters are lost is known here, too.
4. Whoever takes the lease catches up by the same way, and stands where its predecessor stood.
5. After it has led, or where what was read last is stored no more, all is loaded anew: it may remember what
   was never committed, or another database.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import asynccontextmanager

import structlog

from controlplane.known.finished import is_finished
from controlplane.known.following import (
    NOT_RECORDED,
    forget_gone,
    held_versions,
    take_again,
    take_bearings,
)
from controlplane.known.journal import Bearings, Journal
from controlplane.known.known import Heard, Known
from controlplane.known.records import Lease, Position, Standing
from controlplane.known.views import Views
from controlplane.loops.follow import Follow
from controlplane.loops.ingest import Ingest
from controlplane.loops.ports import Clock, Store, StoreUnavailable
from controlplane.loops.promises import Promises
from controlplane.loops.running import LoopMetrics
from controlplane.troubles import Trouble
from schemas.wire.beats import Beat
from schemas.wire.codec import Malformed, decode
from schemas.wire.reports import WorkState
from schemas.wire.subjects import Subjects

log = structlog.get_logger()

NAME = "following"

PERIOD_SECONDS = 0.5
GATHER_SECONDS = 0.05
RETRY_SECONDS = 1.0
ENTRIES_AT_ONCE = 100
PROMISES_AT_ONCE = 50
UNORDERED_SECONDS = 5.0
WORKS_AT_ONCE = 2_000
BEARINGS_SECONDS = 1.0
UNJOURNALED_SECONDS = 10.0
AWAY_SECONDS = 5.0
"""Without a look: beats of this time may not have been heard."""


class Following:
    """Writes `known` while this process does not lead."""

    def __init__(
        self,
        store: Store,
        known: Known,
        clock: Clock,
        subjects: Subjects,
        ingest: Ingest,
        is_reached: Callable[[], bool],
        metrics: LoopMetrics,
    ) -> None:
        """ingest: its counts of what lies in the streams have to know what the leader purged. is_reached:
        whether NATS answers, by which beats are heard.
        """
        self._is_reached = is_reached
        self._metrics = metrics
        self._ingest = ingest
        self._store = store
        self._known = known
        self._clock = clock
        self._subjects = subjects
        self._follow = Follow(store, known)
        self._promises = Promises(known, Views(known), clock)
        self._turn = asyncio.Lock()
        self._is_stale = True
        self._promised = False
        self._loaded_in = 0
        self._read_to = Position()
        self._answered_at: float | None = None
        self._counted_at = 0.0
        self._bearings_at = self._unjournaled_at = float("-inf")
        self.leads = False

    def behind_seconds(self) -> float:
        """Since Postgres answered last; 0 for who leads, whose lease says as much."""
        if self.leads or self._answered_at is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._answered_at

    async def run(self) -> None:
        """Until cancelled. Postgres away is waited for."""
        with self._metrics.watched(NAME, self.behind_seconds):
            await self._run()

    async def _run(self) -> None:
        trouble = Trouble("records_not_followed", "records_followed_again")
        while True:
            try:
                async with self._turn:
                    with self._metrics.passing(NAME):
                        await self.run_pass()
                trouble.over()
                self._answered_at = asyncio.get_running_loop().time()
                await self._store.wait_for_change(PERIOD_SECONDS)
                await asyncio.sleep(GATHER_SECONDS)
            except StoreUnavailable as error:
                trouble.met(detail=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                # What is half taken is not to be gone on with.
                log.exception("records_not_followed")
                self._is_stale = True
                await asyncio.sleep(RETRY_SECONDS)

    async def run_pass(self) -> None:
        """One look at what is new, or everything. Raises StoreUnavailable."""
        await self._look_for_unjournaled()
        await self._load_or_catch_up()
        known, now = self._known, self._clock.now()
        known.quotas.refresh(known.documents, now)
        self._forget_cut_off()
        if known.caught_up:
            await self._promise_all()
            self._watch(now)
            if now - self._counted_at >= UNORDERED_SECONDS:
                self._counted_at = now
                await self._count_unordered()

    @asynccontextmanager
    async def leading(self, lease: Lease) -> AsyncGenerator[None]:
        """Nothing is followed meanwhile: whoever leads knows what it decides. Raises StoreUnavailable."""
        async with self._turn:
            bearings = await self._store.read_bearings()
            if not self._is_stale and not self._is_journaled(bearings, lease):
                log.info("loading_anew", detail="an earlier release led meanwhile, and kept no journal")
                self._is_stale = True
            await self._load_or_catch_up()
            take_bearings(self._known, bearings)
            await self._ingest.drained.wait()
            await self._promise_all()
            self.leads = True
            self._is_stale, self._promised = True, False
            try:
                yield
            finally:
                self.leads = False
                self._answered_at = asyncio.get_running_loop().time()

    async def heard(self, cluster: str, body: bytes) -> None:
        """A beat that another process answers; what is wrong with it, is its to say."""
        known = self._known
        if cluster not in known.clusters:
            return
        try:
            beat = decode(Beat, body)
        except Malformed:
            return
        if beat.highest is not None and not known.issued(beat.highest):
            await self._take_bearings()
        if not self.leads:
            known.heard[cluster] = Heard(self._clock.now(), 0, beat)

    def reported(self, cluster: str, workload: str) -> None:
        """What has run to its end takes no room any more."""
        if not self.leads and is_finished(self._known, workload, cluster):
            self._known.fleet.unpromise(cluster, workload)

    async def _look_for_unjournaled(self) -> None:
        """What an earlier release decides, or has decided since, is in no journal: load all, now and then."""
        loop = asyncio.get_running_loop()
        if self._is_stale or loop.time() - self._unjournaled_at < UNJOURNALED_SECONDS:
            return
        self._unjournaled_at = loop.time()
        bearings = await self._store.read_bearings()
        if any(self._loaded_in <= epoch for epoch in bearings.unjournaled):
            log.info("loading_anew", detail="an earlier release leads or led, and keeps no journal")
            self._is_stale = True

    def _is_journaled(self, bearings: Bearings, lease: Lease) -> bool:
        return not any(self._loaded_in <= epoch < lease.epoch for epoch in bearings.unjournaled)

    def _watch(self, now: float) -> None:
        known = self._known
        if not known.losses.began:
            known.begin_watch(now)
        if not self._is_reached() or now - known.losses.at > AWAY_SECONDS:
            known.heard_since = now
        known.heard_since = min(known.heard_since, now)
        known.watch(now)

    async def _load_or_catch_up(self) -> None:
        if self._is_stale or not await self._catch_up():
            await self._load()

    async def _load(self) -> None:
        loaded = await self._store.load()
        self._known.replace_records(loaded)
        self._known.newer_stored.clear()
        self._loaded_in = max((record.epoch for record in loaded.epochs), default=0)
        self._is_stale, self._promised = False, False
        self._read_to = await self._last_read()
        log.info("records_loaded", clusters=len(loaded.clusters), workloads=len(loaded.workloads))

    async def _catch_up(self) -> bool:
        """False where what changed, or the journal, does not go on from where it was read to."""
        if await self._last_read() != self._read_to:
            log.info("loading_anew", detail="the database is another than it was")
            return False
        self._forget_gone(await self._follow.take_changes())
        if self._known.change_cursor != self._read_to.id:
            self._read_to = await self._last_read()
        while True:
            named = await self._store.read_journal(self._known.journal, ENTRIES_AT_ONCE)
            if named is None:
                log.info("loading_anew", detail="the journal does not go on from where it was read to")
                return False
            if named.end != self._known.journal:
                await self._take(named)
            if named.is_whole:
                return True

    async def _last_read(self) -> Position:
        """The change that was read last, as it is stored: another or none where the database was restored."""
        cursor = self._known.change_cursor
        found = await self._store.changes(cursor - 1, 1)
        return next((Position(each.id, each.at) for each in found if each.id == cursor), Position(cursor))

    async def _take(self, named: Journal) -> None:
        known = self._known
        again = await self._store.read_again(named, held_versions(known, named))
        unknown = named.decided - known.workloads.keys()
        records = await self._store.read_workloads(unknown) if unknown else ()
        standing = {record.workload for record in (*again.outbox, *again.placements)}
        for record in records:
            if record.uid not in known.workloads and (not record.deleted or record.uid in standing):
                known.put_workload(record)
        places = take_again(known, named, again)
        known.last_generation = max(
            known.last_generation, *(order.version.generation for order in again.outbox), 0
        )
        known.journal = named.end
        for subject in named.purged:
            self._purged(subject)
        self._forget_gone(named.decided | named.ordered)
        if self._promised:
            await self._promise(places)
        epochs = {record.epoch for record in known.epochs}
        if any(order.version.epoch not in epochs for order in again.outbox):
            await self._take_bearings()

    def _forget_gone(self, uids: Collection[str]) -> None:
        for cluster, uid in forget_gone(self._known, uids):
            self._ingest.footprint.gone(cluster, self._subjects.work(cluster, uid))

    def _purged(self, subject: str) -> None:
        cluster, tail = self._subjects.of_cluster(subject)
        tail = f"usage.{tail}" if subject.startswith(f"{self._subjects.prefix}.usage.") else tail
        self._ingest.footprint.gone(cluster, subject)
        self._known.fleet.purged(cluster, tail)
        self._known.stamps.get(cluster, {}).pop(tail, None)

    def _forget_cut_off(self) -> None:
        """The leader has purged what they sent. What is found too much here, who leads finds anew."""
        self._ingest.over_bound.clear()
        for record in self._known.clusters.values():
            if record.standing is not Standing.JOINED:
                self._ingest.footprint.forget(record.id)

    async def _promise_all(self) -> None:
        if not self._promised:
            await self._promises.restore_all()
            self._promised = True

    async def _promise(self, places: Iterable[tuple[str, str]]) -> None:
        for number, (uid, cluster) in enumerate(sorted(places), 1):
            if cluster in self._known.clusters:
                self._promises.restore(cluster, uid)
            if number % PROMISES_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _take_bearings(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._bearings_at < BEARINGS_SECONDS:
            return
        self._bearings_at = loop.time()
        bearings = await self._store.read_bearings()
        if not self.leads:
            take_bearings(self._known, bearings)

    async def _count_unordered(self) -> None:
        """What agents report that nobody has ordered, as the leader finds it in the reports that come."""
        known = self._known
        unordered: dict[str, set[str]] = {}
        for number, (uid, works) in enumerate(list(known.work.items()), 1):
            for cluster, work in works.items():
                is_held = work.state is not WorkState.WITHDRAWN and work.version != NOT_RECORDED
                if is_held and known.order(cluster, uid) is None:
                    unordered.setdefault(cluster, set()).add(uid)
            if number % WORKS_AT_ONCE == 0:
                await asyncio.sleep(0)
        known.unordered = unordered
