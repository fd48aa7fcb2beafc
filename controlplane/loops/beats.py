"""Beats answered: an agent says how it stands, the leader tells it what is missing.

1. Decode; what does not validate is buried and stays unanswered.
2. A new incarnation is stored, and its order consumer made anew, before the reply: it gets every order again.
   That takes a while: a few at once, and beats of all others are answered meanwhile.
3. Remember what was said. A version that this database never issued stops dispatch there.
4. What was recorded there since the last beat is acknowledged here; a brief beat says no more than that.
5. Reply: epoch, alert watermark, what to send again (at most RESEND_AT_ONCE clusters a period are asked).
"""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from controlplane.known.known import Heard, Known
from controlplane.known.records import ClusterRecord, Lease
from controlplane.loops.ports import Bus, Clock, DeadLetter, Store
from controlplane.loops.running import Wake
from schemas.wire.beats import Beat, BeatReply
from schemas.wire.codec import Malformed, decode, encode
from schemas.wire.orders import Version

log = structlog.get_logger()

RESEND_TAILS = 64
RESEND_AT_ONCE = 50
ARRIVING_AT_ONCE = 8
"""After a new epoch all agents arrive within a period: more at once would only time out on each other."""
MISMATCHES_KEPT = 10_000
RESEND_PERIOD_SECONDS = 10.0


def _nobody(_cluster: str, _versions: Mapping[str, Version]) -> None:
    pass


class Beats:
    """Answers for one epoch."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        known: Known,
        clock: Clock,
        lease: Lease,
        beat_heard: Wake,
        recorded: Callable[[str, Mapping[str, Version]], None] = _nobody,
    ) -> None:
        self._store = store
        self._bus = bus
        self._known = known
        self._clock = clock
        self._lease = lease
        self._beat_heard = beat_heard
        self._recorded = recorded
        self._mismatched: dict[str, set[str]] = {}
        self._awaited: dict[str, set[str]] = {}
        self._asked: dict[str, float] = {}
        self._arriving = asyncio.Semaphore(ARRIVING_AT_ONCE)
        self._want_versions: set[str] = set()

    async def answer(self, cluster: str, body: bytes) -> bytes:
        """The reply's bytes. Malformed where the beat is none."""
        try:
            beat = decode(Beat, body)
        except Malformed as error:
            await self._store.bury([DeadLetter(cluster, "beat", str(error), body)])
            raise
        record = self._known.clusters.get(cluster)
        if record is None:
            raise Malformed(f"{cluster} never joined")
        if self._arrives(cluster, beat):
            async with self._arriving:
                # It may have beaten again meanwhile, and another beat of it may have been first.
                if self._arrives(cluster, beat):
                    record = await self._arrive(record, beat)
        self._known.heard[cluster] = Heard(self._clock.now(), self._lease.epoch, beat)
        if beat.versions is not None:
            self._compare_versions(cluster, beat.versions)
        if beat.recorded:
            self._recorded(cluster, beat.recorded)
        if not beat.brief:
            self._beat_heard.up()
        return encode(
            BeatReply(
                epoch=self._lease.epoch,
                incarnation=record.incarnation,
                alerts_committed=self._known.alert_watermarks.get(cluster, (0, 0)),
                alerts_resend_from=self._gap(cluster),
                resend=[] if beat.brief else self._resend(cluster, beat),
                clock=self._clock.now(),
            )
        )

    def _arrives(self, cluster: str, beat: Beat) -> bool:
        """Whether this epoch hears of this incarnation for the first time. A hello names none yet."""
        last = self._known.heard.get(cluster)
        if not beat.incarnation:
            return False
        return last is None or last.epoch != self._lease.epoch or last.beat.incarnation < beat.incarnation

    async def _arrive(self, record: ClusterRecord, beat: Beat) -> ClusterRecord:
        if beat.incarnation > record.incarnation:
            await self._store.record_incarnation(self._lease, record.id, beat.incarnation)
            record = self._known.put_incarnation(record.id, beat.incarnation)
        await self._bus.renew_consumer(record.id)
        self._known.heard[record.id] = Heard(self._clock.now(), self._lease.epoch, beat)
        log.info("agent_arrived", cluster=record.name, incarnation=beat.incarnation)
        return record

    def _gap(self, cluster: str) -> tuple[int, int] | None:
        if cluster not in self._known.alert_gaps:
            return None
        self._known.alert_gaps.discard(cluster)
        return self._known.alert_watermarks.get(cluster, (0, 0))

    def _resend(self, cluster: str, beat: Beat) -> list[str]:
        aside = self._known.set_aside.get(cluster, {})
        # What came and is not understood would come again as it is.
        missing = [tail for tail in self._known.fleet.missing(cluster) if tail not in aside]
        tails = [*missing, *self._lost(cluster, beat)]
        tails += [tail for tail in self._unreported(cluster) if tail not in tails]
        if self._lost_records(cluster, beat):
            tails.append("versions")
        if not tails or not self._may_ask(cluster):
            return []
        return tails[:RESEND_TAILS]

    def _may_ask(self, cluster: str) -> bool:
        """Bounds how many clusters send everything again at once; the others wait for their next beat."""
        now = self._clock.now()
        self._asked = {one: at for one, at in self._asked.items() if now - at < RESEND_PERIOD_SECONDS}
        if len(self._asked) >= RESEND_AT_ONCE and cluster not in self._asked:
            return False
        self._asked[cluster] = now
        return True

    def _lost(self, cluster: str, beat: Beat) -> list[str]:
        """Tails whose last report did not arrive: one mismatch may be a report on its way, two are none.

        A beat tells of a few tails only: of the others the last mismatch stands until they are told again.
        """
        now = set(self._known.behind(cluster))
        before = self._mismatched.get(cluster, set())
        stands = before - beat.digests.keys() if len(before) < MISMATCHES_KEPT else set[str]()
        self._mismatched[cluster] = stands | now
        return sorted(now & before)

    def _unreported(self, cluster: str) -> list[str]:
        """Orders recorded there of which no report is here, and reports of what nobody has ordered.

        What is recorded is reported once it is carried out: it is missed when it was not here at the last
        beat either.
        """
        now = {
            f"work.{uid}"
            for uid, record in self._known.orders_in.get(cluster, {}).items()
            if record.acknowledged and cluster not in self._known.work.get(uid, {})
        }
        missing = sorted(now & self._awaited.get(cluster, set()))
        self._awaited[cluster] = now
        doubted = sorted(f"work.{uid}" for uid in self._known.unordered.get(cluster, ()))
        return [*missing, *doubted][:RESEND_TAILS]

    def _lost_records(self, cluster: str, beat: Beat) -> bool:
        """An agent that holds less than it has acknowledged lost its records, and needs its orders again."""
        if beat.versions is not None:
            return False
        orders = self._known.orders_in.get(cluster, {}).values()
        acknowledged = [record.acknowledged for record in orders if record.acknowledged is not None]
        return bool(acknowledged) and (beat.highest is None or beat.highest < max(acknowledged))

    def _compare_versions(self, cluster: str, versions: dict[str, Version]) -> None:
        for uid, record in list(self._known.orders_in.get(cluster, {}).items()):
            held = versions.get(uid)
            if record.acknowledged and (held is None or held < record.acknowledged):
                self._known.publish_again(cluster, uid)
