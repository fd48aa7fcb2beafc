"""What agents said of their orders, entered: the other end of dispatch.

1. Take the (cluster, workload) pairs of which something was reported.
2. An order that is recorded there, as a beat or a report says, is acknowledged here.
3. A report without an order is doubted: the agent is asked for it with the next beat. One of a later order
   than ours says that this database was restored: nothing is sent there until somebody recovers it.
4. What changed for people (applied, refused, ready, gone) becomes change rows.
5. A removal that is reported: purge its order and its report, then the outbox row goes.
   (In this order: a crash between leaves a row whose removal is reported again.)
6. A deleted workload of which nothing is left anywhere is forgotten.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import structlog

from controlplane import tracing
from controlplane.known.finished import is_finished
from controlplane.known.known import Known
from controlplane.known.records import Change, Lease, OutboxRecord
from controlplane.loops.footprint import Footprint
from controlplane.loops.ports import Bus, OrderMark, Store
from controlplane.loops.running import LoopMetrics
from schemas.wire.limits import is_limits, limits_key
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Work, WorkState
from schemas.wire.subjects import RELEASE, Subjects
from schemas.wire.traces import trace_id

log = structlog.get_logger()

AT_ONCE = 2_000
PURGES_AT_ONCE = 32
NOTHING = Version(0, 0)
"""The version in a report of what an agent refused without having anything recorded."""
Pair = tuple[str, str]


class Settle:
    """Settles for one epoch; begins with everything that is known."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        known: Known,
        subjects: Subjects,
        lease: Lease,
        metrics: LoopMetrics,
        footprint: Footprint,
        *,
        removed: Callable[[str, str], None] = lambda _cluster, _workload: None,
    ) -> None:
        """removed: told of (cluster, workload) for which nothing is ordered any more."""
        self._removed = removed
        self._store = store
        self._bus = bus
        self._known = known
        self._subjects = subjects
        self._lease = lease
        self._metrics = metrics
        self._footprint = footprint
        self._said: dict[Pair, str] = {}
        self._waiting: dict[Pair, None] = {}
        self._recorded: dict[Pair, Version] = {}
        self._purging = asyncio.Semaphore(PURGES_AT_ONCE)
        self._carried_out: dict[Pair, Version] = {}
        for uid, works in known.work.items():
            for cluster, work in works.items():
                self.offer(cluster, uid)
                self._said[cluster, uid] = _standing_of(work)

    def offer(self, cluster: str, workload: str) -> None:
        """Something was reported of this pair. A release is no workload: nothing is settled of it."""
        if workload != RELEASE:
            self._waiting[cluster, workload] = None

    def recorded(self, cluster: str, versions: Mapping[str, Version]) -> None:
        """The agent says that it has recorded these; what is no order of ours any more is passed over."""
        for workload, version in versions.items():
            record = self._known.order(cluster, workload)
            if record is not None and record.version == version != record.acknowledged:
                self._recorded[cluster, workload] = version

    @property
    def depth(self) -> int:
        """How much waits to be entered."""
        return len(self._waiting) + len(self._recorded)

    async def run_pass(self) -> None:
        """Enter what was reported; what could not be entered stays for the next pass."""
        # What comes meanwhile is gathered for the next pass.
        for _ in range(0, max(len(self._waiting), len(self._recorded)), AT_ONCE):
            pairs = list(islice(self._waiting, AT_ONCE))
            works = {
                pair: work
                for pair in pairs
                if (work := self._known.work.get(pair[1], {}).get(pair[0])) is not None
            }
            await self._acknowledge(works)
            self._count(works)
            self._note_unordered(works)
            self._note_later(works)
            self._make_room(works)
            await self._tell(works)
            if tracing.is_on():
                self._trace(works)
            await self._remove(works)
            for pair in pairs:
                # A newer report that came meanwhile has offered its pair again; it is looked at again.
                if pair not in works or self._known.work.get(pair[1], {}).get(pair[0]) is works[pair]:
                    self._waiting.pop(pair, None)

    async def _acknowledge(self, works: Mapping[Pair, Work]) -> None:
        recorded = dict(islice(self._recorded.items(), AT_ONCE))
        said = {*recorded.items(), *((pair, work.version) for pair, work in works.items())}
        marks: list[OrderMark] = []
        for (cluster, uid), version in sorted(said):
            record = self._known.order(cluster, uid)
            if record is not None and version == record.version != record.acknowledged:
                marks.append(OrderMark(cluster, uid, version))
        if marks:
            await self._mark_acknowledged(marks)
        for pair, version in recorded.items():
            if self._recorded.get(pair) == version:
                del self._recorded[pair]

    async def _mark_acknowledged(self, marks: Sequence[OrderMark]) -> None:
        await self._store.mark_acknowledged(self._lease, marks)
        self._metrics.orders.labels("acknowledged").inc(len(marks))
        for mark in marks:
            self._known.put_acknowledged(mark.cluster, mark.workload, mark.version)

    def _count(self, works: Mapping[Pair, Work]) -> None:
        for pair, work in works.items():
            if work.carried_out is not None and work.carried_out != self._carried_out.get(pair):
                self._carried_out[pair] = work.carried_out
                self._known.traffic[pair[0]].orders_carried_out += 1

    def _note_later(self, works: Mapping[Pair, Work]) -> None:
        """Of a generation that had been reserved when the database was backed up, and was used since: by what
        it has issued alone it cannot be told from its own.
        """
        known = self._known
        for (cluster, uid), work in works.items():
            order, floor = known.order(cluster, uid), known.clusters[cluster].floor
            if order is None or work.version <= order.version or (floor and work.version <= floor):
                continue
            if cluster not in known.newer_stored:
                known.newer_stored.add(cluster)
                log.error("agent_ahead", cluster=cluster, workload=uid, holds=str(work.version))

    def _note_unordered(self, works: Mapping[Pair, Work]) -> None:
        """An old report may come late, or back from a power cut, after its removal: the agent is asked."""
        for (cluster, uid), work in works.items():
            unordered = self._known.unordered.setdefault(cluster, set())
            is_held = work.state is not WorkState.WITHDRAWN and work.version != NOTHING
            if self._known.order(cluster, uid) is None and is_held:
                unordered.add(uid)
            else:
                unordered.discard(uid)

    def _make_room(self, works: Mapping[Pair, Work]) -> None:
        """What has run to its end takes no room any more."""
        for cluster, uid in works:
            if is_finished(self._known, uid, cluster):
                self._known.fleet.unpromise(cluster, uid)

    async def _remove(self, works: Mapping[Pair, Work]) -> None:
        gone: list[OrderMark] = []
        for (cluster, uid), work in works.items():
            record = self._known.order(cluster, uid)
            # What was delivered there by mistake, refused and never recorded is told once, and then no more.
            is_stray = record is None and work.version == NOTHING
            if work.state is not WorkState.WITHDRAWN and not is_stray:
                continue
            if record is None or _is_removed(record, work):
                gone.append(OrderMark(cluster, uid, work.version))
        if not gone:
            return
        await asyncio.gather(*(self._purge(mark) for mark in gone))
        await self._store.remove_withdrawn(self._lease, gone)
        for mark in gone:
            # Meanwhile place may have ordered anew, and the agent have spoken of it: that stays.
            order = self._known.order(mark.cluster, mark.workload)
            if order is not None and order.version != mark.version:
                continue
            self._known.forget_order(mark.cluster, mark.workload)
            self._known.fleet.unpromise(mark.cluster, mark.workload)
            self._removed(mark.cluster, mark.workload)
            reports = self._known.work.get(mark.workload, {})
            if reports.get(mark.cluster) is works[mark.cluster, mark.workload]:
                del reports[mark.cluster]
                self._known.stamps.get(mark.cluster, {}).pop(f"work.{mark.workload}", None)
                self._known.set_aside.get(mark.cluster, {}).pop(f"work.{mark.workload}", None)
                self._said.pop((mark.cluster, mark.workload), None)
                self._carried_out.pop((mark.cluster, mark.workload), None)
            workload = self._known.workloads.get(mark.workload)
            if workload is not None and workload.deleted and not self._known.orders.get(mark.workload):
                self._known.forget_workload(mark.workload)

    async def _purge(self, mark: OrderMark) -> None:
        cluster, uid = mark.cluster, mark.workload
        record = self._known.order(cluster, uid)
        async with self._purging:
            if record is not None and record.version == mark.version and record.published_sequence:
                await self._bus.purge_order(cluster, uid, record.published_sequence)
            subject = self._subjects.work(cluster, uid)
            await self._bus.purge_report(subject)
            self._footprint.gone(cluster, subject)

    async def _tell(self, works: Mapping[Pair, Work]) -> None:
        changes: list[Change] = []
        said: dict[Pair, str] = {}
        for pair, work in works.items():
            standing = _standing_of(work)
            if self._said.get(pair) == standing:
                continue
            said[pair] = standing
            changes.append(self._change(pair, work, standing))
        if changes:
            await self._store.record_changes(self._lease, changes)
            self._said |= said

    def _trace(self, works: Mapping[Pair, Work]) -> None:
        """Written by now. An agent goes on with the trace of its order, and with nobody else's."""
        for (cluster, uid), work in works.items():
            came = self._known.traced.take_work(cluster, uid)
            if came is None:
                continue
            parent, since_ns = came
            order = self._known.order(cluster, uid)
            if order is None or trace_id(order.trace) != trace_id(parent):
                continue
            tracing.span(
                "settle",
                parent=parent,
                kind="consumer",
                since=since_ns,
                cluster=cluster,
                workload_uid=uid,
                version=f"{work.version.epoch}.{work.version.generation}",
                standing=_standing_of(work),
                reason=",".join(sorted({refusal.reason for refusal in work.refusals})),
            ).end()

    def _change(self, pair: Pair, work: Work, standing: str) -> Change:
        cluster, uid = pair
        workload = self._known.workloads.get(uid)
        record = self._known.clusters.get(cluster)
        return Change(
            id=0,
            at=0.0,
            kind="Limits" if is_limits(uid) else "Workload",
            name=workload.name if workload else self._tenant_of(uid),
            uid=uid,
            what=standing,
            by=f"agent/{record.name if record else cluster}",
            detail={
                "cluster": record.name if record else cluster,
                "ready": work.ready,
                "refusals": [f"{refusal.reason}: {refusal.message}" for refusal in work.refusals],
            },
        )

    def _tenant_of(self, key: str) -> str:
        """Whose limits they are; the key itself where nobody is known by it."""
        names = self._known.tenants if is_limits(key) else ()
        return next((name for name in names if limits_key(name) == key), key)


def _standing_of(work: Work) -> str:
    if work.state is WorkState.APPLIED:
        return "Ready" if all(status.healthy for status in work.objects) else "Applied"
    return work.state.value


def _is_removed(record: OutboxRecord, work: Work) -> bool:
    """Not while pods are there: the record of an agent that began anew is done before they are gone."""
    return record.verb is Verb.WITHDRAW and work.version == record.version and not work.pods
