"""What happens behind Muster's back, entered in the ledger: seen in clusters beyond what is charged.

1. Look at each cluster: pods of workloads on nodes beside what is charged for them there, and pods in
   namespaces of tenants with quota that are no workload's. What is not known stays as it is entered.
2. What grew is believed after a while (the surge of an update passes), what shrank at once.
3. Commit the lines, then take them into memory. What was not committed is seen again.
"""

import asyncio
from collections.abc import Callable, Mapping

from controlplane.known.known import Known
from controlplane.known.records import Cause, Lease, LedgerLine
from controlplane.known.seeing import Seeing
from controlplane.loops.ports import Clock, LeaseLost, Store, StoreUnavailable
from controlplane.quota.drifting import Key, Patience

PASS_SECONDS = 3.0
WORKLOAD_SECONDS = 20.0
FOREIGN_SECONDS = 12.0
"""Agents tell of these every 10 s only."""
LINES_AT_ONCE = 2_000


class Drifting:
    """Looks for one epoch."""

    def __init__(
        self,
        store: Store,
        known: Known,
        clock: Clock,
        lease: Lease,
        ledger: asyncio.Lock | None = None,
        *,
        quota_freed: Callable[[], None] = lambda: None,
        workload_seconds: float = WORKLOAD_SECONDS,
    ) -> None:
        """ledger: whoever holds it may write to it. quota_freed: called when some of it is gone.

        workload_seconds: for so long a workload may have more than it is charged for, as a surge.
        """
        self._store = store
        self._known = known
        self._clock = clock
        self._lease = lease
        self._ledger = ledger or asyncio.Lock()
        self._freed = quota_freed
        self._seeing = Seeing(known)
        self._patience = Patience(workload_seconds, min(FOREIGN_SECONDS, workload_seconds))

    async def run_pass(self) -> None:
        """One look at every cluster, and at those of which drift is entered though they are there no more."""
        known, entered = self._known, self._entered()
        lines: list[LedgerLine] = []
        for cluster in sorted({*known.clusters, *entered}):
            before = entered.get(cluster, {})
            found = self._seeing.beyond(cluster, before)
            if found is not None:
                moves = self._patience.moved(cluster, before, found, self._clock.now())
                lines += [
                    LedgerLine(tenant, uid, cluster, flavor, resource, amount, Cause.DRIFTED)
                    for (tenant, uid, flavor, resource), amount in sorted(moves.items())
                ]
            while len(lines) >= LINES_AT_ONCE:
                await self._commit(lines[:LINES_AT_ONCE])
                del lines[:LINES_AT_ONCE]
            await asyncio.sleep(0)
        if lines:
            await self._commit(lines)

    def _entered(self) -> Mapping[str, Mapping[Key, int]]:
        by_cluster: dict[str, dict[Key, int]] = {}
        for (uid, cluster), by_tenant in self._known.quotas.charges.drifting().items():
            entered = by_cluster.setdefault(cluster, {})
            for tenant, amounts in by_tenant.items():
                for (flavor, resource), amount in amounts.items():
                    entered[tenant, uid, flavor, resource] = amount
        return by_cluster

    async def _commit(self, lines: list[LedgerLine]) -> None:
        async with self._ledger:
            try:
                await self._store.commit_lines(self._lease, lines)
            except StoreUnavailable as error:
                # Committed or not: only a leader that loads everything anew knows which.
                raise LeaseLost(f"the outcome of a commit is unknown: {error}") from error
            self._known.quotas.enter(lines)
        if any(line.amount < 0 for line in lines):
            self._freed()
