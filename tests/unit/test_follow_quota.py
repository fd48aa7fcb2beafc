"""What is decided on is never older than the version that a commit of it names: else more would be charged
than the quota of the moment gives."""

from collections.abc import Collection, Sequence
from typing import Any

import pytest

from controlplane.intent import QuotaDraft, QuotaGrant, Write
from controlplane.known.known import Known
from controlplane.known.records import Change, DocumentRecord
from controlplane.loops.follow import Follow
from controlplane.loops.ports import StoreUnavailable
from tests.conformance.store_worlds import ME, SettableClock
from tests.simulation.memory_store import MemoryStore

GPU = "nvidia.com/gpu"


class Racing(MemoryStore):
    """Somebody writes just before documents are read; then the database is not to be had."""

    def __init__(self) -> None:
        super().__init__(SettableClock())
        self.spec: dict[str, Any] | None = None
        self.fails_at = ""

    async def read_documents(self, kind: str, names: Collection[str]) -> Sequence[DocumentRecord]:
        if self.fails_at == "documents":
            raise StoreUnavailable("gone")
        if self.spec is not None:
            spec, self.spec, self.fails_at = self.spec, None, "changes"
            await self.submit_document("Tenant", "shop", spec, ME)
        return await super().read_documents(kind, names)

    async def changes(self, after: int, limit: int) -> Sequence[Change]:
        if self.fails_at == "changes":
            raise StoreUnavailable("gone")
        return await super().changes(after, limit)


def tenant(nominal: int) -> dict[str, Any]:
    amount = {"name": GPU, "nominalQuota": nominal}
    return {"namespaces": ["n"], "quota": {"flavors": [{"name": "amd", "resources": [amount]}]}}


@pytest.fixture
async def store() -> Racing:
    store = Racing()
    await store.submit_document("Flavor", "amd", {}, ME)
    await store.submit_document("Tenant", "shop", tenant(5), ME)
    return store


async def loaded(store: MemoryStore) -> tuple[Known, Follow]:
    known = Known()
    known.replace_records(await store.load())
    return known, Follow(store, known)


def nominal(known: Known) -> int:
    known.quotas.refresh(known.documents, 0.0)
    return known.quotas.tenants["shop"].limits["amd", GPU].nominal


@pytest.mark.promise(2)
async def test_what_is_written_is_known_with_its_version(store: Racing) -> None:
    known, follow = await loaded(store)
    assert (known.quotas.version, nominal(known)) == (store.tables.quota_version, 5)
    await store.submit_document("Tenant", "shop", tenant(3), ME)
    await follow.take_changes()
    assert (known.quotas.version, nominal(known)) == (store.tables.quota_version, 3)


@pytest.mark.promise(2)
async def test_documents_may_be_newer_than_their_version_and_never_older(store: Racing) -> None:
    known, follow = await loaded(store)
    await store.submit_document("Tenant", "shop", tenant(3), ME)
    between, store.spec = store.tables.quota_version, tenant(2)
    with pytest.raises(StoreUnavailable):
        await follow.take_changes()
    assert (known.quotas.version, nominal(known)) == (between, 2)
    assert between < store.tables.quota_version
    store.fails_at = ""
    await follow.take_changes()
    assert known.quotas.version == store.tables.quota_version


@pytest.mark.promise(2)
async def test_where_documents_could_not_be_read_the_version_is_the_old_one(store: Racing) -> None:
    known, follow = await loaded(store)
    before = known.quotas.version
    await store.submit_document("Tenant", "shop", tenant(3), ME)
    store.fails_at = "documents"
    with pytest.raises(StoreUnavailable):
        await follow.take_changes()
    assert (known.quotas.version, nominal(known)) == (before, 5)


async def test_a_grant_is_known_when_it_is_given_and_when_it_is_given_back(store: Racing) -> None:
    known, follow = await loaded(store)
    asked = await store.request_quota(QuotaDraft("shop", {"amd": {GPU: "4"}}, 0.0, "more"), ME)
    await store.approve_quota_request(asked.id, QuotaGrant(), Write("you"))
    await follow.take_changes()
    assert (known.quotas.version, nominal(known)) == (store.tables.quota_version, 9)
    await store.give_back_quota(asked.id, None, ME)
    await follow.take_changes()
    assert (known.quotas.version, nominal(known)) == (store.tables.quota_version, 5)
