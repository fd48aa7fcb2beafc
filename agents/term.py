"""One term of holding the lease: everything that watches, reports, obeys and beats, under one incarnation.

1. Watch the cluster; number what is spooled provisionally.
2. Say hello (a beat of incarnation 0): the reply names the highest incarnation that the centre has seen. Only
   then is this term's own settled, above that, written beside the lease, and anything sent.
3. Publish reports, pull orders, send alerts; beat, and do what the reply asks.
4. The centre is away: go on; what was not said is said when it is back, as it is by then.
5. The centre can take nothing of the spool where it stands (it was restored from before, or another agent has
   spoken meanwhile): begin a new incarnation and number the spool anew.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import structlog

from agents.alert_sending import SILENT_BEATS, AlertSending
from agents.alerts.offline import Offline
from agents.alerts.watch import AlertRules, AlertWatch, Seen
from agents.alerts.writing import SpoolWriter
from agents.beating import Beating
from agents.carry_out import CarryOut
from agents.fence import Entry
from agents.intake import CAPABILITIES
from agents.keys import OrderKeys
from agents.lease import Held, Lease, next_incarnation
from agents.observe.cache import Cache
from agents.observe.facts import Discovered, Given
from agents.observe.observer import Observer
from agents.observe.reporting import Reporting
from agents.observe.rights import Rights
from agents.orders import Orders
from agents.ports import Bus, Clock, Kube, KubeError
from agents.publishing import Publisher
from agents.records import Records
from agents.spool import SpoolFull
from agents.standing import Standings, kinds_of
from agents.timing import Backoff, signalled
from schemas.wire.beats import BeatReply
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Right, Stamp
from schemas.wire.subjects import Subjects

REPORT_ANYWAY_SECONDS = 60.0
_log = structlog.get_logger()


@dataclass(frozen=True)
class Periods:
    """All in seconds."""

    beat: float = 10.0
    report: float = 1.0
    work: float = 0.1
    resync: float = 600.0
    metrics: float = 30.0
    namespaces: float = 10.0
    lease: float = 15.0
    rights: float = 60.0


@dataclass(frozen=True)
class Member:
    """Which cluster this is, and what people say of it. namespaces: where it may write, if not everywhere."""

    cluster: str
    subjects: Subjects
    given: Given = field(default_factory=lambda: Given(capabilities=CAPABILITIES))
    agent_version: str = ""
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Around:
    """What the agent lives on. `random` only spreads and jitters."""

    kube: Kube
    bus: Bus
    clock: Clock
    random: Random


class Term:
    """Wires the parts of one term together and settles its incarnation."""

    def __init__(
        self,
        member: Member,
        around: Around,
        periods: Periods,
        keys: OrderKeys,
        writer: SpoolWriter,
        lease: Lease,
        held: Held,
        records: Records,
        rules: AlertRules,
        offline: Offline,
    ) -> None:
        self._around = around
        self._periods = periods
        self._spool = spool = writer.spool
        self._lease = lease
        self._records = records
        self._incarnation = next_incarnation(held, spool.incarnation, 0)
        self.heard_at = 0.0
        self._settled = asyncio.Event()
        self._changed = asyncio.Event()
        kube, bus, clock, random = around.kube, around.bus, around.clock, around.random
        cluster, subjects = member.cluster, member.subjects
        cache = self._cache = Cache()
        cache.wake_by(self._changed.set)
        self._publisher = Publisher(bus, clock, random, subjects, cluster)
        self._observer = Observer(
            kube,
            clock,
            random,
            cache,
            self._discovered,
            self._kind_known,
            resync_seconds=periods.resync,
            metrics_seconds=periods.metrics,
        )
        self._standings = Standings(cache, self._observer, records.entries.get)
        self._publisher.trace_of = lambda workload: self._standings.trace_of(workload, clock.now())
        self._reporting = Reporting(cache, self._publisher, member.given, self._standings.report)
        self._reporting.awaits_rights = True
        self._rights = Rights(
            kube,
            clock,
            random,
            self._may,
            lambda: self._reporting.discovered.served,
            namespaces=member.namespaces,
            seconds=periods.rights,
        )
        carry_out = CarryOut(kube, records)
        self._orders = Orders(
            bus,
            clock,
            random,
            keys,
            records,
            carry_out,
            self._standings,
            self._observer.want,
            lambda workload, version: self._beating.recorded(workload, version),
        )
        self._alert_sending = AlertSending(
            bus,
            clock,
            random,
            spool,
            subjects.alert(cluster),
            silent_seconds=SILENT_BEATS * periods.beat,
        )
        self._offline = offline
        self._last_own = spool.incarnation
        self._alerts = AlertWatch(
            kube,
            clock,
            random,
            Seen(cache, self._observer, records, self._standings, self._publisher),
            rules,
            writer,
            offline,
            look_seconds=max(periods.report, 0.05),
            resync_seconds=periods.resync,
        )
        self._beating = Beating(
            bus,
            clock,
            random,
            self,
            member.given.capabilities,
            member.agent_version,
            period=periods.beat,
            settle=self._settle,
            heard=self._hear,
        )

    async def run(self) -> None:
        """Until cancelled."""
        await self._begin_spool()
        _log.info("term_begins", incarnation=self._incarnation, recorded=len(self._records.entries))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._observer.run())
            group.create_task(self._rights.run())
            group.create_task(self._report())
            group.create_task(self._report_namespaces())
            group.create_task(self._alerts.run())
            group.create_task(self._alerts.run_events())
            group.create_task(self._alerts.run_gpus())
            group.create_task(self._beating.run())
            await self._settled.wait()
            group.create_task(self._publisher.run())
            group.create_task(self._orders.run())
            group.create_task(self._alert_sending.run())

    # What a beat tells.

    def stamp(self) -> Stamp:
        return self._publisher.stamp()

    def digests(self, count: int) -> dict[str, tuple[Stamp, str]]:
        return self._publisher.digests(count)

    def versions(self) -> dict[str, Version]:
        return {workload: entry.version for workload, entry in self._records.entries.items()}

    @property
    def held(self) -> int:
        return len(self._records.entries)

    @property
    def orders_repeated(self) -> int:
        return self._orders.repeated

    @property
    def spool_depth(self) -> int:
        return self._spool.depth

    @property
    def holding(self) -> bool:
        return self._orders.holding

    # What its metrics tell beside that.

    @property
    def reports_pending(self) -> int:
        return self._publisher.pending

    @property
    def order_outcomes(self) -> Mapping[str, int]:
        return self._orders.outcomes

    @property
    def states(self) -> Mapping[str, int]:
        return self._standings.states()

    @property
    def reasons(self) -> Mapping[str, int]:
        return self._standings.reasons()

    # What a reply brings.

    async def _begin_spool(self) -> None:
        backoff = Backoff(self._around.random)
        while not self._is_begun(self._incarnation, self._incarnation):
            await self._around.clock.sleep(backoff.failed())

    def _is_begun(self, incarnation: int, renumber_from: int) -> bool:
        try:
            self._spool.begin(incarnation, renumber_from=renumber_from)
        except SpoolFull as error:
            _log.error("spool_not_begun", incarnation=incarnation, detail=str(error))
            return False
        self._incarnation = incarnation
        return True

    async def _settle(self, reply: BeatReply) -> bool:
        """The answer to the hello. False: it is not stored, or the disk is full, and nothing is settled."""
        if reply.incarnation > self._last_own:
            self._offline.another_spoke()
        self._alerts.heard()
        self._spool.trim(reply.alerts_committed)
        provisional, takes = self._incarnation, self._spool.takes(reply.alerts_committed)
        is_above = takes and reply.incarnation < provisional
        wanted = provisional if is_above else max(provisional, reply.incarnation) + 1
        if not await self._is_reserved(wanted):
            return False
        if not is_above and not self._is_begun(wanted, provisional if takes else 0):
            return False
        self._begin()
        return True

    async def _hear(self, reply: BeatReply) -> None:
        self._alerts.heard()
        self.heard_at = self._around.clock.now()
        self._alert_sending.committed(reply.alerts_committed, reply.alerts_resend_from)
        takes = self._spool.takes(reply.alerts_committed)
        if reply.incarnation > self._incarnation or not takes:
            _log.warning("term_renumbered", named=reply.incarnation, takes=takes)
            incarnation = max(self._incarnation, reply.incarnation) + 1
            reserved = await self._is_reserved(incarnation)
            if reserved and self._is_begun(incarnation, incarnation if takes else 0):
                self._begin()
        self._resend(reply.resend)

    async def _is_reserved(self, incarnation: int) -> bool:
        """Written beside the lease, before anything is sent under it. Raises LeaseLost.

        One that was asleep, and acts no more, would take the very one that the next agent takes: the centre
        would go on in the one's log with the other's alerts, and what it did not take would be let go of.
        """
        try:
            await self._lease.store(incarnation)
        except KubeError as error:
            _log.info("incarnation_not_stored", detail=str(error))
            return False
        return True

    def _begin(self) -> None:
        self._publisher.begin(self._incarnation)
        self._alert_sending.begin()
        self._settled.set()
        _log.info("incarnation_settled", incarnation=self._incarnation)

    def _resend(self, tails: list[str]) -> None:
        if "all" in tails:
            self._publisher.resend_all()
            self._cache.touch_workloads(self._records.entries)
            return
        self._publisher.resend(tails)
        self._reporting.answer(tails)
        asked = [tail.partition(".")[2] for tail in tails if tail.startswith("work.")]
        for workload in asked:
            self._standings.ask(workload)

    # What the cluster says.

    def _discovered(self, discovered: Discovered) -> None:
        self._reporting.discovered = discovered
        self._rights.discovered.set()
        self._changed.set()

    def _may(self, rights: list[Right] | None) -> None:
        self._reporting.rights, self._reporting.awaits_rights = rights, False
        self._changed.set()

    def _kind_known(self, kind: tuple[str, str]) -> None:
        """Only now something can be said of workloads with such objects, and of those that have none left."""
        recorded = self._records.entries.items()
        self._cache.touch_workloads(
            workload for workload, entry in recorded if kind in kinds_of(entry.objects)
        )

    async def _report(self) -> None:
        await self._observer.synced.wait()
        while True:
            self._reporting.report()
            # Many changes come at once: gather them, those of workloads for a moment only.
            for _ in range(max(1, round(self._periods.report / self._periods.work))):
                await self._around.clock.sleep(self._periods.work)
                self._reporting.report_workloads()
            if not self._reporting.owes:
                await signalled(self._around.clock, self._changed, REPORT_ANYWAY_SECONDS)

    async def _report_namespaces(self) -> None:
        """Seldom: pods of others come and go all the time, and what they come to is seldom news."""
        await self._observer.synced.wait()
        while True:
            self._reporting.report_namespaces(
                workload for workload, entry in self._records.entries.items() if _is_ours(entry)
            )
            await self._around.clock.sleep(self._periods.namespaces)


def _is_ours(entry: Entry) -> bool:
    """Whether pods that bear its label are its own: not those left behind, nor what comes after the end."""
    return not entry.preserve and not (entry.verb is Verb.WITHDRAW and entry.is_carried_out)
