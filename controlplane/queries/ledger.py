"""Entries of the ledger, with names in place of ids."""

from controlplane.known.known import Known
from controlplane.known.records import LedgerEntry
from controlplane.queries.quota_rows import LedgerRow


def ledger_row(known: Known, entry: LedgerEntry, balance: int) -> LedgerRow:
    """balance: what it left of its key."""
    line = entry.line
    record, cluster = known.workloads.get(line.workload), known.clusters.get(line.cluster)
    return LedgerRow(
        id=entry.id,
        at=entry.at,
        tenant=line.tenant,
        workload=record.name if record is not None else line.workload,
        uid=line.workload,
        cluster=cluster.name if cluster is not None else line.cluster,
        flavor=line.flavor,
        resource=line.resource,
        amount=line.amount,
        balance=balance,
        cause=line.cause.value,
        epoch=line.version.epoch if line.version is not None else 0,
        generation=line.version.generation if line.version is not None else 0,
    )


def workload_uid(known: Known, name: str) -> str:
    """Of the living workload of this name; else it is taken for a uid: the ledger remembers longer."""
    record = known.workload(name)
    return record.uid if record is not None else name


def cluster_id(known: Known, name: str) -> str:
    record = known.cluster_named(name)
    return record.id if record is not None else name
