"""The part of the ports Intent and Store that is about requests for quota."""

from collections.abc import Collection, Sequence

from controlplane.intent import QuotaAmounts, QuotaDraft, QuotaGrant, Write
from controlplane.known.records import Lease, QuotaRequestRecord, RequestState
from controlplane.store import quota_requests
from controlplane.store.pool import Pool


class QuotaRequests:
    """Each method is a transaction."""

    _pool: Pool

    async def request_quota(self, draft: QuotaDraft, write: Write) -> QuotaRequestRecord:
        return await self._pool.retried(lambda connection: quota_requests.ask(connection, draft, write))

    async def quota_request(self, id: int) -> QuotaRequestRecord:
        async with self._pool.connection() as connection:
            return await quota_requests.read(connection, id)

    async def quota_requests(
        self, tenant: str = "", states: Collection[RequestState] = (), before: int = 0, limit: int = 100
    ) -> Sequence[QuotaRequestRecord]:
        async with self._pool.connection() as connection:
            return await quota_requests.page(connection, tenant, states, before, limit)

    async def withdraw_quota_request(self, id: int, write: Write) -> QuotaRequestRecord:
        return await self._pool.retried(lambda connection: quota_requests.withdraw(connection, id, write))

    async def approve_quota_request(self, id: int, grant: QuotaGrant, write: Write) -> QuotaRequestRecord:
        return await self._pool.retried(
            lambda connection: quota_requests.approve(connection, id, grant, write)
        )

    async def refuse_quota_request(self, id: int, why: str, write: Write) -> QuotaRequestRecord:
        return await self._pool.retried(lambda connection: quota_requests.refuse(connection, id, why, write))

    async def give_back_quota(
        self, id: int, amounts: QuotaAmounts | None, write: Write
    ) -> QuotaRequestRecord:
        return await self._pool.retried(
            lambda connection: quota_requests.give_back(connection, id, amounts, write)
        )

    async def expire_quota_requests(self, lease: Lease, limit: int) -> int:
        async with self._pool.transaction() as connection:
            return await quota_requests.expire(connection, lease, limit)
