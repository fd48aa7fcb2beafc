"""Budgets run out also while nothing is charged: they are looked at again and again, by every replica."""

from collections.abc import Callable

from controlplane.known.known import Known
from controlplane.loops.ports import Clock, Store

PASS_SECONDS = 10.0


class Budgeting:
    """quota_freed: somebody may be charged again."""

    def __init__(self, store: Store, known: Known, clock: Clock, quota_freed: Callable[[], None]) -> None:
        self._store = store
        self._known = known
        self._clock = clock
        self._quota_freed = quota_freed

    async def run_pass(self) -> None:
        known, spending = self._known, self._known.spending
        if any(spending.budget(each) is not None for each in list(known.tenants.values())):
            await self._store.settle_budgets()
            spending.take(await self._store.read_spent())
        elif not spending.exhausted:
            return
        back = spending.look(known.tenants, known.quotas, self._clock.now())
        for tenant in back:
            known.quotas.usage.free(known.quotas.tree.root(tenant))
        if back:
            self._quota_freed()
