"""Requests for quota, in memory: the transitions are the store's own, of its pure modules."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from controlplane.intent import NotFound, QuotaAmounts, QuotaDraft, QuotaGrant, Write
from controlplane.known.records import Change, DocumentRecord, Lease, QuotaRequestRecord, RequestState
from controlplane.store import quota_asking, quota_rules
from controlplane.store.outcomes import DECIDER
from controlplane.store.quota_asking import Moment, Step, operation
from controlplane.store.quota_rules import Bounds
from tests.simulation.memory_tables import Tables

T = TypeVar("T")


class MemoryQuotaRequests:
    """What it stands on (tables, time, carrying, changes) is the store's."""

    tables: Tables

    def now(self) -> float:
        raise NotImplementedError

    async def carry(self, effect: Callable[[], T]) -> T:
        raise NotImplementedError

    async def _once(self, write: Write, content: bytes, kind: type[T], act: Callable[[], T]) -> T:
        raise NotImplementedError

    async def carry_held(self, lease: Lease, effect: Callable[[], T]) -> T:
        raise NotImplementedError

    def append(self, changes: Sequence[Change]) -> None:
        raise NotImplementedError

    async def request_quota(self, draft: QuotaDraft, write: Write) -> QuotaRequestRecord:
        def act() -> QuotaRequestRecord:
            quota_rules.check_draft(draft, self._bounds())
            pending = [
                each
                for each in self.tables.quota_requests.values()
                if (each.tenant, each.state) == (draft.tenant, RequestState.PENDING)
            ]
            id_ = max(self.tables.quota_requests, default=0) + 1
            return self._take(quota_asking.asked(id_, draft, len(pending), write, self._moment()))

        return await self._once(write, quota_asking.draft_content(draft), QuotaRequestRecord, act)

    async def quota_request(self, id: int) -> QuotaRequestRecord:
        return await self.carry(lambda: self._request(id))

    async def quota_requests(
        self, tenant: str = "", states: Collection[RequestState] = (), before: int = 0, limit: int = 100
    ) -> Sequence[QuotaRequestRecord]:
        def read() -> list[QuotaRequestRecord]:
            found = [
                each
                for _, each in sorted(self.tables.quota_requests.items(), reverse=True)
                if (not tenant or each.tenant == tenant)
                and (not states or each.state in states)
                and (not before or each.id < before)
            ]
            return found[:limit]

        return await self.carry(read)

    async def withdraw_quota_request(self, id: int, write: Write) -> QuotaRequestRecord:
        return await self._step(
            id,
            write,
            operation("withdraw", id),
            lambda record, moment: quota_asking.withdrawn(record, write, moment),
        )

    async def refuse_quota_request(self, id: int, why: str, write: Write) -> QuotaRequestRecord:
        return await self._step(
            id,
            write,
            operation("refuse", id, why),
            lambda record, moment: quota_asking.refused(record, why, write, moment),
        )

    async def approve_quota_request(self, id: int, grant: QuotaGrant, write: Write) -> QuotaRequestRecord:
        return await self._step(
            id,
            write,
            operation("approve", id, grant),
            lambda record, moment: quota_asking.granted(record, grant, write, moment),
            moves=True,
        )

    async def give_back_quota(
        self, id: int, amounts: QuotaAmounts | None, write: Write
    ) -> QuotaRequestRecord:
        return await self._step(
            id,
            write,
            operation("give back", id, amounts),
            lambda record, moment: quota_asking.given_back(record, amounts, write, moment),
            moves=True,
        )

    async def expire_quota_requests(self, lease: Lease, limit: int) -> int:
        def act() -> int:
            due = [
                each
                for each in self.tables.quota_requests.values()
                if each.state in quota_asking.OPEN and 0 < each.until <= self.now()
            ]
            due = sorted(due, key=lambda each: (each.until, each.id))[:limit]
            if any(each.state is RequestState.GRANTED for each in due):
                self.tables.quota_version += 1
            beyond = quota_rules.beyond_nominal(self._bounds(), due, self.now())
            for each in due:
                self._take(quota_asking.expired(each, DECIDER, self._moment(), beyond=beyond.get(each.id)))
            return len(due)

        return await self.carry_held(lease, act)

    def end_of_tenant(self, tenant: str, by: str) -> list[Change]:
        """The changes, to be appended."""
        held = sorted(self.tables.quota_requests.values(), key=lambda each: each.id)
        steps = [
            quota_asking.expired(each, by, self._moment(), quota_asking.NO_TENANT)
            for each in held
            if each.tenant == tenant and each.state in quota_asking.OPEN
        ]
        self.tables.quota_requests.update({step.record.id: step.record for step in steps})
        return [step.change for step in steps]

    async def _step(
        self,
        id: int,
        write: Write,
        content: bytes,
        become: Callable[[QuotaRequestRecord, Moment], Step],
        *,
        moves: bool = False,
    ) -> QuotaRequestRecord:
        def act() -> QuotaRequestRecord:
            step = become(self._request(id), self._moment())
            if moves:
                quota_rules.check_moved(self._bounds(), step.record, self.now())
                self.tables.quota_version += 1
            return self._take(step)

        return await self._once(write, content, QuotaRequestRecord, act)

    def _request(self, id: int) -> QuotaRequestRecord:
        if id not in self.tables.quota_requests:
            raise NotFound(f"there is no request {id} for quota")
        return self.tables.quota_requests[id]

    def _moment(self) -> Moment:
        return Moment(self.now(), self.tables.next_resource_version())

    def _take(self, step: Step) -> QuotaRequestRecord:
        self.tables.quota_requests[step.record.id] = step.record
        self.append([step.change])
        return step.record

    def _bounds(self) -> Bounds:
        charged: dict[str, dict[tuple[str, str], int]] = {}
        for (_, _, tenant, flavor, resource, _), amount in self.tables.balances.items():
            held = charged.setdefault(tenant, {})
            held[flavor, resource] = held.get((flavor, resource), 0) + amount
        documents: dict[str, list[DocumentRecord]] = {}
        for (kind, _), record in self.tables.documents.items():
            documents.setdefault(kind, []).append(record)
        granted = [each for each in self.tables.quota_requests.values() if each.state is RequestState.GRANTED]
        return Bounds.of(documents, granted, charged)
