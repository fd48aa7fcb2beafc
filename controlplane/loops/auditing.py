"""Whether memory is what the ledger says: what is decided on is the sum of what was committed.

1. Page through the balances, place by place, and compare each place with what is charged in memory.
2. At the end of them: places that are charged in memory, and had no balance when their page was read.
3. A difference is logged and counted, and ends the lease: whoever leads next loads everything anew.

Nothing is decided or released while a page is read, so nothing is on its way between the two. At most so many
places a pass: the next one goes on.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

import structlog

from controlplane.known.known import Known
from controlplane.known.records import BalanceRecord
from controlplane.loops.ports import LeaseLost, Store
from controlplane.loops.running import LoopMetrics

PASS_SECONDS = 60.0
PLACES_AT_ONCE = 500
PAGES_A_PASS = 20
TOLD_AT_MOST = 10
Place = tuple[str, str]
"""(workload, cluster)"""
BEGINNING = ("", "")
log = structlog.get_logger()


class Auditing:
    """In one epoch. ledger: whoever holds it decides or releases."""

    def __init__(self, store: Store, known: Known, ledger: asyncio.Lock, metrics: LoopMetrics) -> None:
        self._store = store
        self._known = known
        self._ledger = ledger
        self._metrics = metrics
        self._after = BEGINNING
        self._seen: set[Place] = set()
        self._unseen: list[Place] = []

    async def run_pass(self) -> None:
        """Raises LeaseLost where the two differ."""
        for _ in range(PAGES_A_PASS):
            async with self._ledger:
                is_last = await self._compare_unseen() if self._unseen else await self._compare_page()
            if is_last:
                return
            await asyncio.sleep(0)

    async def _compare_page(self) -> bool:
        """Whether that was all."""
        page = await self._store.balances_after(self._after, PLACES_AT_ONCE)
        places = {(each.workload, each.cluster) for each in page}
        self._compare(places, page)
        self._seen |= places
        if len(places) == PLACES_AT_ONCE:
            self._after = page[-1].workload, page[-1].cluster
            return False
        charges = self._known.quotas.charges
        self._unseen = list({*charges.places(), *charges.drifting()} - self._seen)
        self._after, self._seen = BEGINNING, set()
        return not self._unseen

    async def _compare_unseen(self) -> bool:
        """Whether that was all."""
        places, self._unseen = self._unseen[:PLACES_AT_ONCE], self._unseen[PLACES_AT_ONCE:]
        self._compare(places, await self._store.balances_of(places))
        return not self._unseen

    def _compare(self, places: Iterable[Place], stored: Sequence[BalanceRecord]) -> None:
        held = {each for place in places for each in self._held(place)}
        differing = sorted(held.symmetric_difference(stored), key=str)
        if not differing:
            return
        self._metrics.ledger_differences.inc(len(differing))
        for each in differing[:TOLD_AT_MOST]:
            log.error("ledger_differs", side="memory" if each in held else "ledger", balance=str(each))
        raise LeaseLost(f"memory is not what the ledger says, by {len(differing)} balances: load it anew")

    def _held(self, place: Place) -> Iterator[BalanceRecord]:
        charges = self._known.quotas.charges
        charged = {tenant: charges.of(*place, tenant) for tenant in charges.tenants_of(*place)}
        for drift, by_tenant in ((False, charged), (True, charges.drifting().get(place, {}))):
            for tenant, amounts in by_tenant.items():
                for (flavor, resource), amount in amounts.items():
                    yield BalanceRecord(tenant, *place, flavor, resource, drift, amount)
