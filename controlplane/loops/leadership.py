"""Who decides: one holder of a row in Postgres, in an epoch of its own.

1. Look often whether the lease is to be had, while one may lead.
2. Taken: run what only a leader runs, while renewing, every third of its time.
3. A renewal that is refused, or none within the time of the lease: stop what runs, go to 1. By then another
   may lead.
4. What runs has ended by itself, or we are leaving: stop, then give the lease back: others have it at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from controlplane.known.records import Lease
from controlplane.loops.ports import BusUnavailable, LeaseLost, Store, StoreUnavailable
from controlplane.troubles import Trouble

log = structlog.get_logger()

LOOKS = 10
"""How often one that does not lead looks, within the time of a lease."""
RENEWALS = 3
"""How often one that leads renews, within the time of a lease."""


class Leadership:
    """`lead(lease)` runs until it is cancelled, or raises LeaseLost. may_lead: whether to try to lead now."""

    def __init__(
        self,
        store: Store,
        lead: Callable[[Lease], Awaitable[None]],
        *,
        role: str,
        holder: str,
        ttl_seconds: float = 3.0,
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
        self._not_taken = Trouble("lease_not_taken", "lease_asked_for_again", role=role)

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
            await asyncio.sleep(self._ttl_seconds / LOOKS)

    async def _take(self) -> Lease | None:
        try:
            lease = await self._store.take_lease(self._role, self._holder, self._ttl_seconds)
        except StoreUnavailable as error:
            self._not_taken.met(detail=str(error))
            return None
        self._not_taken.over()
        return lease

    async def _hold(self, lease: Lease) -> None:
        log.info("lease_taken", role=lease.role, epoch=lease.epoch)
        self.lease = lease
        running = [
            asyncio.ensure_future(run)
            for run in (self._lead(lease), self._renew(lease), self._watch_time(lease))
        ]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.lease = None
            for task in running:
                task.cancel()
            results = await asyncio.gather(*running, return_exceptions=True)
            lost = any(isinstance(result, LeaseLost) for result in results)
            if not lost:
                await self._give_back(lease)
        self._tell(lease, results, lost=lost)

    async def _renew(self, lease: Lease) -> None:
        loop = asyncio.get_running_loop()
        not_renewed = Trouble("lease_not_renewed", "lease_renewed_again", role=lease.role)
        pause = self._ttl_seconds / RENEWALS
        while True:
            await asyncio.sleep(pause)
            asked_at = loop.time()
            try:
                renewed = await self._store.renew_lease(lease, self._ttl_seconds)
            except StoreUnavailable as error:
                not_renewed.met(detail=str(error))
                pause = self._ttl_seconds / RENEWALS / LOOKS
                continue
            if not renewed:
                raise LeaseLost(f"{lease.role} is led by another now, or its time was over")
            not_renewed.over()
            self._valid_until = asked_at + self._ttl_seconds
            pause = self._ttl_seconds / RENEWALS

    async def _watch_time(self, lease: Lease) -> None:
        """An answer that is still awaited then comes too late, whatever it says."""
        loop = asyncio.get_running_loop()
        while (left := self._valid_until - loop.time()) > 0:  # noqa: ASYNC110 - a renewal moves it
            await asyncio.sleep(left)
        raise LeaseLost(f"{lease.role} could not be renewed in {self._ttl_seconds} s")

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self._store.release_lease(lease)
        except (StoreUnavailable, LeaseLost) as error:
            log.warning("lease_not_released", role=lease.role, detail=str(error))

    def _tell(self, lease: Lease, results: Sequence[object], *, lost: bool) -> None:
        for result in results:
            if isinstance(result, BusUnavailable | StoreUnavailable):
                log.warning("leading_given_up", role=lease.role, epoch=lease.epoch, detail=str(result))
            elif isinstance(result, Exception) and not isinstance(result, LeaseLost):
                log.error("leading_failed", role=lease.role, epoch=lease.epoch, exc_info=result)
        log.info("lease_ended", role=lease.role, epoch=lease.epoch, lost=lost)
