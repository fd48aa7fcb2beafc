"""Interpreters, asked of Postgres and of the memory alike: who is declared, who uses it."""

import asyncio
from typing import Any

import pytest

from controlplane.intent import NotFound, PreconditionFailed, Taken, Write
from tests.conformance.store_worlds import ME, AnyStore, draft, whats

pytest_plugins = ["tests.conformance.store_fixtures"]
KEYED = Write("me", idempotency_key="once")


def spec(kind: str = "Widget", group: str = "example.com", **fields: Any) -> dict[str, Any]:
    return {"group": group, "kind": kind, "components": [{"template": "spec.template"}], **fields}


def using(name: str = "web", kind: str = "example.com/v1/Widget", **fields: Any) -> Any:
    api_version, _, named = kind.rpartition("/")
    return draft(name, manifests=[{"apiVersion": api_version, "kind": named}], **fields)


class TestInterpreters:
    async def test_are_written_changed_and_deleted(self, store: AnyStore) -> None:
        first = await store.submit_document("Interpreter", "widget", spec(), Write("me", if_match=0))
        assert await store.submit_document("Interpreter", "widget", spec(), ME) == first
        second = await store.submit_document("Interpreter", "widget", spec(divisible=True), ME)
        assert second.resource_version > first.resource_version
        assert await store.read_documents("Interpreter", ["widget", "other"]) == [second]
        assert (await store.load()).documents == {"Interpreter": (second,)}
        with pytest.raises(PreconditionFailed):
            await store.delete_document("Interpreter", "widget", Write("me", if_match=first.resource_version))
        await store.delete_document("Interpreter", "widget", ME)
        with pytest.raises(NotFound):
            await store.delete_document("Interpreter", "widget", ME)
        assert (await store.load()).documents == {}
        assert whats(await store.changes(0, 10)) == ["Created", "Changed", "Deleted"]

    async def test_the_same_key_is_one_write(self, store: AnyStore) -> None:
        first = await store.submit_document("Interpreter", "widget", spec(), KEYED)
        assert await store.submit_document("Interpreter", "widget", spec(), KEYED) == first
        with pytest.raises(Taken):
            await store.submit_document("Interpreter", "widget", spec(divisible=True), KEYED)

    async def test_a_kind_is_declared_once(self, store: AnyStore) -> None:
        await store.submit_document("Interpreter", "widget", spec(), ME)
        with pytest.raises(Taken, match=r"example\.com/Widget is declared by interpreter 'widget' already"):
            await store.submit_document("Interpreter", "other", spec(), ME)
        await store.submit_document("Interpreter", "other", spec("Gadget"), ME)

    async def test_of_many_at_once_one_declares_it(self, store: AnyStore) -> None:
        writes = (store.submit_document("Interpreter", f"w{number}", spec(), ME) for number in range(8))
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert sum(isinstance(result, Taken) for result in results) == 7, results
        assert len((await store.load()).documents["Interpreter"]) == 1


class TestUsers:
    async def test_are_decided_again_when_it_comes_and_when_it_changes(self, store: AnyStore) -> None:
        user = await store.submit_workload(using(), ME)
        stranger = await store.submit_workload(using("db", "other.com/v1/Widget"), ME)
        await store.submit_document("Interpreter", "widget", spec(), ME)
        (touched,) = await store.read_workloads([user.uid])
        assert touched.resource_version > user.resource_version
        assert (touched.revision, touched.spec) == (user.revision, user.spec)
        assert await store.read_workloads([stranger.uid]) == [stranger]
        named = [(each.kind, each.name, each.what) for each in await store.changes(0, 10)]
        assert named[-2:] == [("Workload", "web", "Reinterpreted"), ("Interpreter", "widget", "Created")]
        await store.submit_document("Interpreter", "widget", spec(divisible=True), ME)
        (again,) = await store.read_workloads([user.uid])
        assert again.resource_version > touched.resource_version
        await store.submit_document("Interpreter", "widget", spec(divisible=True), ME)
        assert await store.read_workloads([user.uid]) == [again]

    async def test_keep_it(self, store: AnyStore) -> None:
        await store.submit_document("Interpreter", "widget", spec(), ME)
        for number in range(7):
            await store.submit_workload(using(f"w{number}"), ME)
        with pytest.raises(Taken, match=r"'widget' is used by workloads: w0, w1, w2, w3, w4 and 2 more"):
            await store.delete_document("Interpreter", "widget", ME)
        with pytest.raises(Taken, match=r"'widget' is used by"):
            await store.submit_document("Interpreter", "widget", spec("Gadget"), ME)
        for number in range(7):
            await store.delete_workload(f"w{number}", ME)
        await store.delete_document("Interpreter", "widget", ME)
