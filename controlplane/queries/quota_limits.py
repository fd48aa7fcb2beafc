"""What limits a tenant has, or would have, in each cluster; what they let in, and which pods they refuse."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controlplane.known.known import Known
from controlplane.known.limiting import ENFORCE, InNamespace, Limiting, LimitsRule, set_by
from controlplane.known.records import ClusterRecord, Standing
from controlplane.queries.not_taken import UNKNOWN, not_taken, not_understood
from controlplane.quota.limit_objects import MOST_NAMESPACES, Set, bounded
from controlplane.quota.limits import REQUESTS, Limits, Placed, Resources, limit_name, limits
from schemas.wire.limits import limits_key
from schemas.wire.orders import Verb
from schemas.wire.reports import Work, WorkState

MOST_SHOWN = 20
_NOTHING: Resources = {}


@dataclass(frozen=True)
class LimitRow:
    """Of one resource in a namespace. name: as the ResourceQuota has it. ordered: what is set there now, by
    the order that stands; null where nothing is.

    limit: share (what is charged there) + surge (of rolling updates) + drift (what is there beside that; of
    it `foreign` is let in for pods that are no workload's). foreign_now: what those ask for at this moment.
    """

    resource: str
    name: str
    limit: int
    ordered: int | None
    share: int
    surge: int
    drift: int
    foreign: int
    foreign_now: int


@dataclass(frozen=True)
class RefusedRow:
    """Pods that the limit refuses, or refuses once they are made anew. workload: "" where it is not known.

    pods: how many of them are there now, 0 where that is not known; names: of a few.
    """

    workload: str
    pods: int
    names: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class NamespaceRow:
    """made: it is made where it is missing, since something of the tenant's is ordered there."""

    namespace: str
    made: bool
    limits: tuple[LimitRow, ...]
    refused: tuple[RefusedRow, ...]


@dataclass(frozen=True)
class ClusterRow:
    """state: NotSet while nothing is ordered; then Queued, Published, or what the agent says of the order;
    Refused also of an order that is not sent while the agent may not carry it out.

    waiting: orders of the tenant's that wait to be published until their limits are spoken of.
    """

    cluster: str
    state: str
    message: str
    refusals: tuple[str, ...]
    waiting: int
    namespaces: tuple[NamespaceRow, ...]


@dataclass(frozen=True)
class TenantLimitsRow:
    """limits: Off, Observe or Enforce. resources: of its quota, that are limited; uncounted: that no
    ResourceQuota can count."""

    tenant: str
    limits: str
    resources: tuple[str, ...]
    uncounted: tuple[str, ...]
    clusters: tuple[ClusterRow, ...]


class TenantLimits:
    """Worked out in steps, one for each cluster, between which others may run."""

    def __init__(self, known: Known, tenant: str) -> None:
        self._known = known
        self._limiting = Limiting(known)
        self._rule = self._limiting.rule(tenant)
        self._clusters: list[ClusterRow] = []

    def steps(self) -> Iterator[None]:
        rule = self._rule
        if rule is None:
            return
        uids = self._limiting.workloads([rule.tenant])
        own, others = (self._limiting.by_cluster(uids[name]) for name in (rule.tenant, ""))
        for record in sorted(self._known.clusters.values(), key=lambda each: each.name):
            yield
            if record.standing is not Standing.REMOVED:
                row = self._cluster(rule, record, own.get(record.id, ()), others.get(record.id, ()))
                if row is not None:
                    self._clusters.append(row)

    def row(self) -> TenantLimitsRow | None:
        """None for no such tenant."""
        if self._rule is None:
            return None
        covered = sorted(self._rule.covered)
        return TenantLimitsRow(
            tenant=self._rule.tenant,
            limits=self._rule.mode,
            resources=tuple(each for each in covered if limit_name(each) is not None),
            uncounted=tuple(each for each in covered if limit_name(each) is None),
            clusters=tuple(self._clusters),
        )

    def _cluster(
        self, rule: LimitsRule, record: ClusterRecord, own: Sequence[str], others: Sequence[str]
    ) -> ClusterRow | None:
        placed = self._limiting.placed(rule, record.id, own)
        seen = self._limiting.seen(rule, record.id)
        order = self._known.order(record.id, limits_key(rule.tenant))
        if not placed and not seen and order is None:
            return None
        before = set_by(order)
        ordered_in = {part.namespace for each in placed for part in each.parts}
        let_in = _let_in(before, seen or {})
        beside = self._limiting.beside(record.id, others, {*let_in, *ordered_in})
        whole = limits(rule.covered, placed, let_in, beside)
        wanted = bounded(whole, ordered_in)
        state, message, refusals = self._standing(rule, record)
        if seen is None and not before:
            message = "its agent has not told what is there by namespace: nothing is limited before"
        elif len(whole) > len(wanted):
            message = f"{len(whole)} namespaces: {MOST_NAMESPACES} are limited, those with workloads first"
        return ClusterRow(
            cluster=record.name,
            state=state,
            message=message,
            refusals=refusals,
            waiting=self._waiting(rule, record.id, own),
            namespaces=tuple(_namespaces(wanted, before, placed, seen or {}, ordered_in)),
        )

    def _standing(self, rule: LimitsRule, record: ClusterRecord) -> tuple[str, str, tuple[str, ...]]:
        order = self._known.order(record.id, limits_key(rule.tenant))
        if order is None:
            return "NotSet", "", ()
        work = self._known.work.get(order.workload, {}).get(record.id)
        refusals = tuple(f"{each.reason}: {each.message}" for each in work.refusals) if work else ()
        is_said = work is not None and work.version == order.version
        state = _said(work) if work is not None and is_said else ""
        if not state:
            state = "Queued" if order.published_sequence is None else "Published"
        message = "" if order.verb is Verb.APPLY else "they are being withdrawn"
        refused = not_taken(self._known, order, work)
        if refused:
            return (
                WorkState.REFUSED.value,
                message,
                tuple(f"{each.reason}: {each.message}" for each in refused),
            )
        if strange := not_understood(self._known, record.id, order.workload, work):
            return UNKNOWN, strange, refusals
        return state, message, refusals if is_said else ()

    def _waiting(self, rule: LimitsRule, cluster: str, uids: Sequence[str]) -> int:
        if rule.mode != ENFORCE:
            return 0
        orders = (self._known.order(cluster, uid) for uid in uids)
        return sum(
            each is not None and each.verb is Verb.APPLY and each.published_sequence is None
            for each in orders
        )


def _said(work: Work) -> str:
    return "" if work.state is WorkState.RECORDED else work.state.value


def _let_in(before: Mapping[str, Set], seen: Mapping[str, InNamespace]) -> dict[str, Resources]:
    """What stands lets in what it says; what would be set lets in what is there."""
    found: dict[str, Resources] = {}
    for namespace in {*before, *seen}:
        there = seen[namespace].foreign if namespace in seen else _NOTHING
        held = before.get(namespace)
        if held is None:
            found[namespace] = there
        else:
            found[namespace] = {**there, **{each: held.foreign.get(each, 0) for each in held.hard}}
    return found


def _namespaces(
    wanted: Limits,
    before: Mapping[str, Set],
    placed: Sequence[Placed],
    seen: Mapping[str, InNamespace],
    ordered_in: set[str],
) -> Iterator[NamespaceRow]:
    for namespace, by_resource in wanted.items():
        held, there = before.get(namespace), seen.get(namespace)
        yield NamespaceRow(
            namespace=namespace,
            made=namespace in ordered_in,
            limits=tuple(
                LimitRow(
                    resource=resource,
                    name=limit_name(resource) or resource,
                    limit=limit.total,
                    ordered=held.hard.get(resource) if held is not None else None,
                    share=limit.share,
                    surge=limit.surge,
                    drift=limit.drift,
                    foreign=limit.foreign,
                    foreign_now=there.foreign.get(resource, 0) if there is not None else 0,
                )
                for resource, limit in by_resource.items()
            ),
            refused=tuple(_refused(namespace, set(by_resource), placed, there))[:MOST_SHOWN],
        )


def _refused(
    namespace: str, limited: set[str], placed: Sequence[Placed], there: InNamespace | None
) -> Iterator[RefusedRow]:
    """A quota on cpu or memory obliges every container to ask for it."""
    for each in placed:
        missing = {
            (container, resource)
            for part in each.parts
            if part.namespace == namespace
            for container, resource in part.unset
            if resource in limited
        }
        if missing:
            listed = ", ".join(
                f"{container} asks for no {resource}" for container, resource in sorted(missing)
            )
            text = f"{listed}: its pods are refused, unless a LimitRange there gives a default"
            yield RefusedRow(each.name, 0, (), text)
    for name, pods, names in there.unset if there is not None else ():
        if name.startswith(REQUESTS) and name.removeprefix(REQUESTS) in limited:
            text = f"{name} is not stated: they run on, and are refused once they are made anew"
            yield RefusedRow("", pods, names, text)
