"""One tenant's quota explained: what each of its workloads waits for, who has it, and what would help."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from controlplane.known.admitting import admit, candidate_of
from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.records import OutboxRecord, QuotaRequestRecord, RequestState, WorkloadRecord
from controlplane.known.views import Views
from controlplane.placement import ClusterView
from controlplane.queries.charges import by_flavor, priority_of
from controlplane.queries.not_taken import not_taken
from controlplane.queries.quota import Looking, declared_flavors
from controlplane.queries.quota_changes import smallest_needs
from controlplane.queries.quota_helping import Helping
from controlplane.queries.quota_rows import (
    BorrowerRow,
    ChargedRow,
    GrantRow,
    TenantQuotaExplained,
    UnlimitedRow,
    WaitingRow,
    WindowRow,
)
from controlplane.queries.quota_tallies import waits_for_quota
from controlplane.queries.rows import RefusalRow
from controlplane.quota.declared import in_force, limits_of
from controlplane.quota.lending import borrowed
from controlplane.quota.quota import NOTHING, Amounts
from controlplane.quota.tree import Kind, Node
from controlplane.quota.windows import is_open, next_change
from schemas.wire.limits import limits_key
from schemas.wire.reports import Work

MOST_WAITING = 100
MOST_CHARGED = 500
MOST_BORROWERS = 10


class ExplainingQuota:
    """Of one tenant, over what is known now. requests: of its, those that wait to be decided."""

    def __init__(
        self,
        known: Known,
        tenant: str,
        now: float,
        requests: Iterable[QuotaRequestRecord] = (),
    ) -> None:
        self._known, self._tenant, self._now = known, tenant, now
        known.quotas.refresh(known.documents, now)
        self._looking = Looking(known, now)
        self._requests = tuple(requests)
        self._compiler = Compiler(known)
        self._needs: dict[str, Amounts] = {}

    def steps(self) -> Iterator[None]:
        """Work it out; others may run between two steps."""
        yield from self._looking.steps()
        views = Views(self._known).all(self._now)
        for record in self._records():
            yield
            self._needs[record.uid] = self._asked(record, views)

    def explained(self) -> TenantQuotaExplained:
        """After all steps."""
        known, looking = self._known, self._looking
        node = known.quotas.tree.tenant(self._tenant)
        row = looking.row(node) if node is not None else looking.unbounded(self._tenant)
        windows = tuple(self._windows(node)) if node is not None else ()
        helping = Helping(known, row, windows, self._now)
        return TenantQuotaExplained(
            tenant=row,
            above=tuple(looking.row(each) for each in _above(node)),
            waiting=tuple(self._waiting(node, helping)),
            charged=tuple(islice(self._charged(), MOST_CHARGED)),
            windows=windows,
            grants=tuple(self._grants()),
            unlimited=tuple(self._unlimited()),
        )

    def _waiting(self, node: Node | None, helping: Helping) -> Iterator[WaitingRow]:
        known = self._known
        for record in self._records():
            decision = known.decisions[record.uid]
            asked = self._needs.get(record.uid) or self._asked(record, ())
            missing = known.quotas.usage.lacking(self._tenant, asked)
            yield WaitingRow(
                workload=record.name,
                uid=record.uid,
                priority=priority_of(record),
                since=decision.decided_at,
                reason=decision.reason,
                message=decision.message,
                asked=by_flavor(asked),
                missing=by_flavor(missing),
                borrowers=tuple(self._borrowers(node, missing)),
                helps=tuple(helping.helps(decision.reason, self._compiler, record, asked, missing)),
            )

    def _records(self) -> list[WorkloadRecord]:
        """What waits. Within a tenant the highest priority comes first, then the oldest."""
        records = [
            record
            for uid, record in self._known.workloads.items()
            if record.tenant == self._tenant and waits_for_quota(self._known, uid)
        ]
        records.sort(key=lambda each: (-priority_of(each), each.created_at, each.uid))
        return records[:MOST_WAITING]

    def _asked(self, record: WorkloadRecord, views: Sequence[ClusterView]) -> Amounts:
        """Where it would be placed, all its copies and what clusters add; at least, where that is nowhere."""
        try:
            compiled = self._compiler.compiled(record)
            admission = admit(self._known, compiled, views)
            needs = smallest_needs(self._known, admission, views)
            if needs:
                return needs
            candidate = candidate_of(self._known, compiled)
        except ValueError:
            return NOTHING
        return candidate.needs if candidate is not None else NOTHING

    def _borrowers(self, node: Node | None, missing: Amounts) -> Iterator[BorrowerRow]:
        """Of what is missing, those under the same root who have more than their own, the most first."""
        quotas = self._known.quotas
        others = [each for each in quotas.tree.nodes if node is not None and each.root is node.root]
        for key in sorted(missing):
            amounts = [
                (borrowed(quotas.usage, each, key), each.name)
                for each in others
                if each.kind is Kind.TENANT and each is not node
            ]
            for amount, name in sorted(amounts, key=lambda each: (-each[0], each[1]))[:MOST_BORROWERS]:
                if amount:
                    yield BorrowerRow(Kind.TENANT.value, name, *key, borrowed=amount)

    def _charged(self) -> Iterator[ChargedRow]:
        known, charges, name = self._known, self._known.quotas.charges, self._tenant
        leaving = charges.leaving().get(name, {})
        drift = {place: held[name] for place, held in charges.drifting().items() if name in held}
        charged = {
            (uid, cluster) for uid in known.quotas.workloads_of(name) for cluster in charges.clusters_of(uid)
        }
        rows = [
            self._charged_in(*place, leaving.get(place, NOTHING), drift.get(place, NOTHING))
            for place in charged | drift.keys()
        ]
        return iter(sorted(rows, key=lambda row: (not row.workload, row.workload, row.cluster)))

    def _charged_in(self, uid: str, cluster: str, leaving: Amounts, drift: Amounts) -> ChargedRow:
        record, where = self._known.workloads.get(uid), self._known.clusters.get(cluster)
        return ChargedRow(
            workload=record.name if record is not None else uid,
            uid=uid,
            cluster=where.name if where is not None else cluster,
            priority=priority_of(record) if record is not None else 0,
            charged=by_flavor(self._known.quotas.charges.of(uid, cluster, self._tenant)),
            leaving=by_flavor(leaving),
            drift=by_flavor(drift),
            lost_since=self._known.losses.unreachable.get(cluster, 0.0),
        )

    def _windows(self, node: Node) -> Iterator[WindowRow]:
        for each in (node, *_above(node)):
            record = self._known.documents[each.kind.value].records.get(each.name)
            for flavor in declared_flavors(record) if record is not None else ():
                for resource in flavor.resources:
                    for window in resource.windows:
                        yield WindowRow(
                            kind=each.kind.value,
                            name=each.name,
                            window=window.name,
                            flavor=flavor.name,
                            resource=resource.name,
                            nominal=limits_of(window, resource.name).nominal,
                            open=is_open(window, self._now),
                            changes_at=next_change(window, self._now) or 0.0,
                        )

    def _unlimited(self) -> Iterator[UnlimitedRow]:
        known = self._known
        for cluster, order in known.orders.get(limits_key(self._tenant), {}).items():
            record, work = known.clusters.get(cluster), known.work.get(order.workload, {}).get(cluster)
            if record is None:
                continue
            told = not_taken(known, order, work) or _refusals(order, work)
            for each in told[:1]:
                yield UnlimitedRow(record.name, each.reason, each.message)

    def _grants(self) -> Iterator[GrantRow]:
        held = [
            each
            for each in self._known.quotas.grants
            if each.tenant == self._tenant and in_force(each, self._now)
        ]
        pending = [each for each in self._requests if each.state is RequestState.PENDING]
        for each in sorted((*held, *pending), key=lambda each: each.id):
            yield GrantRow(
                each.id,
                each.state.value,
                each.amounts,
                each.until,
                each.why,
                each.requested_by,
                each.decided_by,
            )


def _refusals(order: OutboxRecord, work: Work | None) -> tuple[RefusalRow, ...]:
    if work is None or work.version != order.version:
        return ()
    return tuple(RefusalRow(each.reason.value, each.message) for each in work.refusals)


def _above(node: Node | None) -> tuple[Node, ...]:
    """From the root down."""
    found: list[Node] = []
    while node is not None and node.parent is not None:
        node = node.parent
        found.append(node)
    return tuple(reversed(found))
