"""Who decides: one holder of a row in Postgres, in an epoch of its own.

1. Try to take the lease, every third of its time.
2. Taken: run what only a leader runs, while renewing.
3. A renewal that is refused, or later than the lease: stop what runs, go to 1.
4. Leaving: stop what runs, then give the lease back.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from controlplane.known.records import Lease
from controlplane.loops.ports import LeaseLost, Store, StoreUnavailable

log = structlog.get_logger()

LOOK_SECONDS = 0.2
"""How often one that may not lead yet looks whether it may."""


class Leadership:
    """`lead(lease)` runs until it is cancelled, or raises LeaseLost. may_lead: whether to try to lead now."""

    def __init__(
        self,
        store: Store,
        lead: Callable[[Lease], Awaitable[None]],
        *,
        role: str,
        holder: str,
        ttl_seconds: float = 5.0,
        may_lead: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._lead = lead
        self._role = role
        self._holder = holder
        self._ttl_seconds = ttl_seconds
        self._may_lead = may_lead
        self.lease: Lease | None = None
        self._valid_until = 0.0

    def holds(self, lease: Lease) -> bool:
        """Whether it is ours as far as this process can tell by its own clock: one that slept cannot."""
        return self.lease == lease and asyncio.get_running_loop().time() < self._valid_until

    async def run(self) -> None:
        while True:
            asked_at = asyncio.get_running_loop().time()
            lease = await self._take() if self._may_lead() else None
            if lease is not None:
                self._valid_until = asked_at + self._ttl_seconds
                await self._hold(lease)
            await asyncio.sleep(self._ttl_seconds / 3 if self._may_lead() else LOOK_SECONDS)

    async def _take(self) -> Lease | None:
        try:
            return await self._store.take_lease(self._role, self._holder, self._ttl_seconds)
        except StoreUnavailable as error:
            log.warning("lease_not_taken", role=self._role, detail=str(error))
            return None

    async def _hold(self, lease: Lease) -> None:
        log.info("lease_taken", role=lease.role, epoch=lease.epoch)
        self.lease = lease
        leading = asyncio.ensure_future(self._lead(lease))
        renewing = asyncio.ensure_future(self._renew(lease))
        try:
            await asyncio.wait({leading, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.lease = None
            for task in (leading, renewing):
                task.cancel()
            results = await asyncio.gather(leading, renewing, return_exceptions=True)
            lost = any(isinstance(result, LeaseLost) for result in results)
            if not lost:
                await self._give_back(lease)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, LeaseLost):
                log.error("leading_failed", role=lease.role, epoch=lease.epoch, exc_info=result)
        log.info("lease_ended", role=lease.role, epoch=lease.epoch, lost=lost)

    async def _renew(self, lease: Lease) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < self._valid_until:
            await asyncio.sleep(self._ttl_seconds / 3)
            asked_at = loop.time()
            try:
                renewed = await self._store.take_lease(self._role, self._holder, self._ttl_seconds)
            except StoreUnavailable as error:
                log.warning("lease_not_renewed", role=lease.role, detail=str(error))
                continue
            if renewed != lease:
                raise LeaseLost(f"{lease.role} is led by another now")
            self._valid_until = asked_at + self._ttl_seconds
        raise LeaseLost(f"{lease.role} could not be renewed in {self._ttl_seconds} s")

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self._store.release_lease(lease)
        except (StoreUnavailable, LeaseLost) as error:
            log.warning("lease_not_released", role=lease.role, detail=str(error))
