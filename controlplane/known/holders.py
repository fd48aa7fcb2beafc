"""Who holds quota and might give it up, and what is on its way out already."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from controlplane.known.charges import Charges
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.quota.quota import Admitted, Amounts, FlavorResource
from controlplane.rollout import held_data


def added(every: Iterable[Amounts]) -> dict[FlavorResource, int]:
    """The sum, without what is 0."""
    found: dict[FlavorResource, int] = {}
    for amounts in every:
        for key, amount in amounts.items():
            if amount:
                found[key] = found.get(key, 0) + amount
    return found


def admitted_of(known: Known) -> Callable[[str], Iterator[Admitted]]:
    """By tenant, what is charged to it, runs, and is not on its way out."""

    def admitted(tenant: str) -> Iterator[Admitted]:
        for uid in sorted(known.quotas.workloads_of(tenant)):
            record, decision = known.workloads.get(uid), known.decisions.get(uid)
            if record is None or decision is None or record.deleted or not known.placements_of(uid):
                continue
            amounts = _held(known, uid, tenant)
            if amounts:
                yield Admitted(
                    uid,
                    tenant,
                    int(record.spec.get("priority", 0)),
                    decision.decided_at,
                    amounts,
                    is_preemptible(known, record),
                    record.created_at,
                )

    return admitted


def _held(known: Known, uid: str, tenant: str) -> dict[FlavorResource, int]:
    """What would be released if it gave way: not what is on its way out already, nor in a lost cluster."""
    charges = known.quotas.charges
    return added(
        {
            key: min(amount, charges.asked(uid, cluster, tenant).get(key, 0))
            for key, amount in charges.of(uid, cluster, tenant).items()
        }
        for cluster in charges.clusters_of(uid)
        if cluster not in known.losses.unreachable
    )


def leaving_of(known: Known, uid: str) -> Mapping[str, Amounts]:
    """By tenant, of others than `uid`: of what it has left itself, it could be charged as much again.

    What a lost cluster holds may never be reported gone: nobody waits for that.
    """
    charges, unreachable = known.quotas.charges, known.losses.unreachable
    if not unreachable:
        return _without(charges, uid)
    found: dict[str, Amounts] = {}
    for tenant, places in charges.leaving().items():
        found[tenant] = added(
            amounts
            for (workload, cluster), amounts in places.items()
            if workload != uid and cluster not in unreachable
        )
    return found


def _without(charges: Charges, uid: str) -> Mapping[str, Amounts]:
    found = charges.all_leaving()
    for cluster in charges.clusters_of(uid):
        for tenant in charges.tenants_of(uid, cluster):
            own = charges.leaving().get(tenant, {}).get((uid, cluster))
            if own:
                left = {key: amount - own.get(key, 0) for key, amount in found[tenant].items()}
                found = {**found, tenant: left}
    return found


def is_preemptible(known: Known, record: WorkloadRecord) -> bool:
    """As it is stated; else all that holds no data of its own. Each version is looked at once."""
    held = known.preemptible.get(record.uid)
    if held is None or held[0] is not record:
        stated = record.spec.get("preemptible")
        found = bool(stated) if stated is not None else not held_data(record.spec["manifests"])
        held = known.preemptible[record.uid] = record, found
    return held[1]
