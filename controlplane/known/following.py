"""What was decided elsewhere, taken into the memory of a replica that does not lead."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from controlplane.known.charged import remembered_charges
from controlplane.known.journal import Bearings, Journal, Place, ReadAgain
from controlplane.known.known import Known
from controlplane.known.records import (
    BalanceRecord,
    Cause,
    LedgerLine,
    OutboxRecord,
    PlacementRecord,
)
from schemas.wire.orders import Version
from schemas.wire.reports import WorkState

NOT_RECORDED = Version(0, 0)
"""The version in a report of what an agent refused without having anything recorded."""


def held_versions(known: Known, journal: Journal) -> dict[tuple[str, str], Version]:
    """By (cluster, workload): the orders of which only the marks need to be read again."""
    return {
        (cluster, uid): order.version
        for uid in journal.decided | journal.ordered
        for cluster, order in known.orders.get(uid, {}).items()
    }


def take_again(known: Known, journal: Journal, again: ReadAgain) -> set[Place]:
    """Take what was read again for what was known of it. The places of which the promise may be another."""
    moved = _take_orders(known, journal.decided | journal.ordered, again.outbox)
    placed = _take_decisions(known, journal.decided, again)
    _take_balances(known, journal.charged, again.balances)
    for uid in journal.decided:
        note_asked(known, uid, placed.get(uid, ()))
    return moved | {(uid, cluster) for uid, clusters in placed.items() for cluster in clusters}


def take_bearings(known: Known, bearings: Bearings) -> None:
    known.epochs = tuple(sorted(bearings.epochs, key=lambda record: record.epoch))
    known.last_generation = bearings.last_generation
    known.alert_watermarks = dict(bearings.alert_watermarks)
    for cluster, incarnation in bearings.incarnations.items():
        if cluster in known.clusters:
            known.put_incarnation(cluster, incarnation)


def note_asked(known: Known, uid: str, left: Iterable[str] = ()) -> None:
    """What the placements of a workload come to of quota, as its decision says; nothing where it has left."""
    charges, record = known.quotas.charges, known.workloads.get(uid)
    if record is None or not record.tenant:
        return
    decision, placements = known.decisions.get(uid), known.placements_of(uid)
    asked = remembered_charges(decision.explanation) if decision is not None else {}
    for cluster in {*charges.clusters_of(uid), *placements, *left}:
        held = charges.tenants_of(uid, cluster)
        # Given to another tenant, and not decided on since: whose it was is charged.
        tenant = record.tenant if record.tenant in held or not held else min(held)
        charges.ask(uid, cluster, tenant, asked.get(cluster, {}) if cluster in placements else {})


def forget_gone(known: Known, uids: Iterable[str]) -> list[tuple[str, str]]:
    """Deleted workloads of which nothing is left in any cluster, and reports of what was removed.

    (cluster, workload) of those reports: the leader has purged them.
    """
    purged: list[tuple[str, str]] = []
    for uid in uids:
        purged += _forget_reports(known, uid)
        record, decision = known.workloads.get(uid), known.decisions.get(uid)
        if known.orders.get(uid) or known.placements_of(uid):
            continue
        if record is None:
            # It came and went between two looks.
            known.decisions.pop(uid, None)
            continue
        if not record.deleted:
            continue
        if decision is not None and decision.resource_version >= record.resource_version:
            known.forget_workload(uid)
    return purged


def _forget_reports(known: Known, uid: str) -> Iterator[tuple[str, str]]:
    reports = known.work.get(uid, {})
    for cluster, work in list(reports.items()):
        is_over = work.state is WorkState.WITHDRAWN or work.version == NOT_RECORDED
        if is_over and known.order(cluster, uid) is None:
            del reports[cluster]
            known.stamps.get(cluster, {}).pop(f"work.{uid}", None)
            known.set_aside.get(cluster, {}).pop(f"work.{uid}", None)
            yield cluster, uid


def _take_orders(known: Known, uids: Collection[str], outbox: Iterable[OutboxRecord]) -> set[Place]:
    moved: set[Place] = set()
    found: defaultdict[str, dict[str, OutboxRecord]] = defaultdict(dict)
    for record in outbox:
        found[record.workload][record.cluster] = record
    for uid in uids:
        for cluster in set(known.orders.get(uid, {})) - found[uid].keys():
            known.forget_order(cluster, uid)
            moved.add((uid, cluster))
        for cluster, record in found[uid].items():
            before = known.order(cluster, uid)
            if before is None or before.version != record.version:
                moved.add((uid, cluster))
            elif not record.body:
                record = replace(record, body=before.body, signature=before.signature)
            known.put_order(record)
    return moved


def _take_decisions(known: Known, uids: Collection[str], again: ReadAgain) -> dict[str, set[str]]:
    """By uid, clusters of which the placement is another than it was."""
    moved: dict[str, set[str]] = {}
    placed: defaultdict[str, dict[str, PlacementRecord]] = defaultdict(dict)
    for placement in again.placements:
        placed[placement.workload][placement.cluster] = placement
    decided = {record.workload: record for record in again.decisions}
    for uid in uids:
        before, after = known.placements_of(uid), placed[uid]
        moved[uid] = {each for each in {*before, *after} if before.get(each) != after.get(each)}
        if after:
            known.placements[uid] = after
        else:
            known.placements.pop(uid, None)
        if uid in decided:
            known.decisions[uid] = decided[uid]
        else:
            known.decisions.pop(uid, None)
    return moved


def _take_balances(known: Known, places: Collection[Place], balances: Iterable[BalanceRecord]) -> None:
    """What they differ by, entered: all that is counted of charges follows from lines."""
    charges = known.quotas.charges
    moved: Counter[BalanceRecord] = Counter()
    for each in balances:
        moved[replace(each, amount=0)] += each.amount
    for uid, cluster in places:
        held = {
            False: {t: charges.of(uid, cluster, t) for t in charges.tenants_of(uid, cluster)},
            True: charges.drifting().get((uid, cluster), {}),
        }
        for drift, by_tenant in held.items():
            for tenant, amounts in by_tenant.items():
                for (flavor, resource), amount in amounts.items():
                    moved[BalanceRecord(tenant, uid, cluster, flavor, resource, drift, 0)] -= amount
    lines = [
        LedgerLine(
            key.tenant,
            key.workload,
            key.cluster,
            key.flavor,
            key.resource,
            amount,
            Cause.DRIFTED if key.drift else Cause.MOVED,
        )
        for key, amount in moved.items()
        if amount
    ]
    if lines:
        # What comes before what goes: in between nobody is told that something is free.
        known.quotas.enter(sorted(lines, key=lambda line: line.amount < 0))
