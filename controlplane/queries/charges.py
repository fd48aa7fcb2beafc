"""What is charged of quota for one workload, cluster by cluster, and of which flavors it is."""

from collections.abc import Mapping

from controlplane.known.charged import remembered_charges
from controlplane.known.flavors import held_flavors
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.queries.rows import ChargeRow, FlavorAmounts
from controlplane.quota.quota import NOTHING, FlavorResource


def charges_of(known: Known, uid: str) -> tuple[ChargeRow, ...]:
    """Also of what is on its way out; of two tenants while it passes from one to the other."""
    charges = known.quotas.charges
    drifting = {place[1]: held for place, held in charges.drifting().items() if place[0] == uid}
    rows: list[ChargeRow] = []
    for cluster in {*charges.clusters_of(uid), *drifting}:
        record = known.clusters.get(cluster)
        drift = drifting.get(cluster, {})
        for tenant in {*charges.tenants_of(uid, cluster), *drift}:
            rows.append(
                ChargeRow(
                    cluster=record.name if record is not None else cluster,
                    tenant=tenant,
                    charged=by_flavor(charges.of(uid, cluster, tenant)),
                    leaving=by_flavor(charges.leaving().get(tenant, {}).get((uid, cluster), NOTHING)),
                    drift=by_flavor(drift.get(tenant, NOTHING)),
                )
            )
    return tuple(sorted(rows, key=lambda row: (row.cluster, row.tenant)))


def chosen_flavors(known: Known, uid: str) -> Mapping[str, Mapping[str, str]]:
    """By component, then resource, of all that it is charged by its placement; nothing where it has none."""
    decision = known.decisions.get(uid)
    if decision is None:
        return {}
    charged = {key for amounts in remembered_charges(decision.explanation).values() for key in amounts}
    chosen = {
        component: {resource: flavor for resource, flavor in each.items() if (flavor, resource) in charged}
        for component, each in (held_flavors(decision.explanation) or {}).items()
    }
    return {component: each for component, each in chosen.items() if each}


def flavor_names(known: Known, uid: str) -> tuple[str, ...]:
    return tuple(sorted({name for each in chosen_flavors(known, uid).values() for name in each.values()}))


def by_flavor(amounts: Mapping[FlavorResource, int]) -> FlavorAmounts:
    found: dict[str, dict[str, int]] = {}
    for (flavor, resource), amount in sorted(amounts.items()):
        found.setdefault(flavor, {})[resource] = amount
    return found


def priority_of(record: WorkloadRecord) -> int:
    return int(record.spec.get("priority", 0))
