"""Records followed: what people and other processes committed since we last looked.

1. Read the change rows above the cursor, in commit order.
2. Where one of them bounds quota: read the version of all that does, and the grants.
3. Re-read each workload, cluster and document (tenant, interpreter, ...) that they name, once. They are as
   new as that version, or newer: were they older, what is decided on them would be committed.
4. Put them into memory; say which workloads were touched, by a write or by what became of a cluster.
"""

from controlplane.known.known import Known
from controlplane.loops.ports import Store

CHANGES_AT_ONCE = 2_000
BOUNDING = frozenset({"Tenant", "Cohort", "Flavor", "QuotaRequest"})
"""Kinds of changes with which anybody's quota may be another."""


class Follow:
    """Keeps the records of `Known` as Postgres has them."""

    def __init__(self, store: Store, known: Known) -> None:
        self._store = store
        self._known = known
        self._touched: dict[str, None] = {}

    async def take_changes(self) -> list[str]:
        """uids of the workloads that were written, or lost a cluster, since the last call that returned."""
        while True:
            changes = await self._store.changes(self._known.change_cursor, CHANGES_AT_ONCE)
            if not changes:
                touched, self._touched = self._touched, {}
                return list(touched)
            uids = {change.uid for change in changes if change.kind == "Workload" and not _ours(change.by)}
            clusters = {change.uid for change in changes if change.kind == "Cluster"}
            if uids:
                for record in await self._store.read_workloads(uids):
                    held = self._known.workloads.get(record.uid)
                    if held is None and record.deleted:
                        continue
                    # The same version, remembered by the API: what it understood of it goes by that object.
                    if held is None or held.resource_version != record.resource_version:
                        self._known.put_workload(record)
                    self._touched[record.uid] = None
            if clusters:
                for record in await self._store.read_clusters(clusters):
                    self._touched |= dict.fromkeys(self._known.put_cluster(record))
            kinds = {change.kind for change in changes}
            quota = await self._store.read_quota() if kinds & BOUNDING else None
            for kind in kinds & self._known.documents.keys():
                named = {change.name for change in changes if change.kind == kind}
                self._known.documents[kind].take(await self._store.read_documents(kind, named), named)
            if quota is not None:
                self._known.quotas.take(quota.version, quota.grants)
            self._known.change_cursor = changes[-1].id


def _ours(by: str) -> bool:
    """Written by the decider itself, of which it already knows."""
    return by == "muster" or by.startswith("agent/")
