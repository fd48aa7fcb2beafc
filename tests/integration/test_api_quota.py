"""The tree of quota, one tenant's explained, and the ledger by the API, on a real Postgres."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from controlplane.known.records import Cause, Lease, LedgerLine, QuotaRequestRecord, RequestState
from controlplane.loops.ports import NewDecision
from schemas.reasons import Reason
from schemas.wire.orders import Version
from tests.installation import NatsInstallation
from tests.integration.api_world import World, api_world, deployment, tenant, workload

SALE = {"name": "sale", "nominalQuota": 30, "firstDay": "2990-01-01"}


def document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def quota_of(cohort: str, cpu: int, *windows: dict[str, Any], **more: Any) -> dict[str, Any]:
    resource = {"name": "cpu", "nominalQuota": cpu, "windows": list(windows)}
    return {"cohort": cohort, "flavors": [{"name": "default", "resources": [resource]}], **more}


async def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


@dataclass
class Quota:
    """A tree of two teams and one tenant beside it, in front of the API."""

    world: World
    lease: Lease

    async def get(self, path: str, **parameters: Any) -> Any:
        return await ok(await self.world.client.get(f"/api/v1{path}", params=parameters))

    async def rows(self, **parameters: Any) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in (await self.get("/quota", **parameters))["items"]}

    async def decide(
        self,
        name: str,
        of: str,
        cpu: int = 0,
        reason: Reason | None = None,
        priority: int = 0,
        flavor: str = "default",
    ) -> str:
        """A workload that is charged for so many millicores, or that waits. Its uid."""
        body = workload(name, deployment(name, f"{of}-a", replicas=1, cpu="4"), tenant=of, priority=priority)
        await ok(await self.world.client.put(f"/api/v1/workloads/{name}", json=body), 201)
        record = self.world.known.workload(name)
        assert record is not None
        lines = (
            [LedgerLine(of, record.uid, "north", flavor, "cpu", cpu, Cause.PLACED, Version(1, 7))]
            if cpu
            else []
        )
        said = "" if reason is None else reason.value
        new = NewDecision(
            record.uid,
            record.resource_version,
            record.revision,
            reason is None,
            said,
            "why",
            {},
            (),
            tuple(lines),
        )
        version = (await self.world.store.read_quota()).version
        assert not await self.world.store.commit_decisions(self.lease, [new], version)
        return record.uid

    async def enter(self, *lines: LedgerLine) -> None:
        await self.world.store.commit_lines(self.lease, lines)

    async def fresh(self) -> None:
        """As a leader that begins."""
        self.world.known.replace_records(await self.world.store.load())
        self.world.known.quotas.refresh(self.world.known.documents, time.time())


@pytest_asyncio.fixture
async def quota(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[Quota, None]:
    async with api_world(database, nats_installation) as world:
        put = world.client.put
        flavor = document("Flavor", "default", prices={"currency": "EUR", "perHour": {"cpu": "0.05"}})
        await ok(await put("/api/v1/flavors/default", json=flavor), 201)
        own = [{"name": "default", "resources": [{"name": "cpu", "nominalQuota": 2}]}]
        await ok(await put("/api/v1/cohorts/company", json=document("Cohort", "company", flavors=own)), 201)
        await ok(
            await put("/api/v1/cohorts/online", json=document("Cohort", "online", parent="company")), 201
        )
        budget = {"amount": 100, "currency": "EUR", "period": "Year"}
        for name, spec in (
            ("shop", quota_of("online", 10, budget=budget)),
            ("search", quota_of("online", 6, SALE, weight=2)),
            ("research", quota_of("company", 4)),
            ("ops", None),
        ):
            more = {"quota": spec} if spec else {}
            body = tenant(name, f"{name}-*", **more)
            await ok(await put(f"/api/v1/tenants/{name}", json=body), 201)
        lease = await world.store.take_lease("deciding", "test", 60.0)
        assert lease is not None
        made = Quota(world, lease)
        await made.fresh()
        yield made


async def test_the_tree_is_in_order_with_what_each_uses_borrows_and_lends(quota: Quota) -> None:
    await quota.decide("batch", "research", 8_000)
    await quota.decide("tool", "ops", 3_000, flavor="")
    await quota.decide("front", "shop", reason=Reason.QUOTA_EXCEEDED)
    await quota.enter(LedgerLine("research", "", "north", "default", "cpu", 500, Cause.DRIFTED))
    await quota.fresh()
    page = await quota.get("/quota")
    assert [(row["name"], row["depth"], row["kind"]) for row in page["items"]] == [
        ("company", 0, "Cohort"),
        ("online", 1, "Cohort"),
        ("search", 2, "Tenant"),
        ("shop", 2, "Tenant"),
        ("research", 1, "Tenant"),
        ("ops", 0, "Tenant"),
    ]
    rows = {row["name"]: row for row in page["items"]}
    (of,) = rows["research"]["quotas"]
    assert (of["nominal"], of["used"], of["drift"], of["borrowed"]) == (4_000, 8_500, 500, 4_500)
    assert (of["available"], of["potential"]) == (13_500, 22_000)
    assert rows["research"]["share"] == 205
    # The company's own comes first, the rest from what stands idle in the teams.
    assert rows["online"]["quotas"][0]["lent"] == 2_500
    assert {name: rows[name]["quotas"][0]["lent"] for name in ("shop", "search")} == {
        "shop": 1_562,
        "search": 938,
    }
    assert {name: row["waiting"] for name, row in rows.items() if row["waiting"]} == {
        "company": 1,
        "online": 1,
        "shop": 1,
    }
    assert (rows["ops"]["bounded"], rows["ops"]["quotas"][0]["used"]) == (False, 3_000)
    assert rows["ops"]["quotas"][0]["available"] is None


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        ({"filter": "kind=Tenant"}, ["search", "shop", "research"]),
        ({"filter": "below=online"}, ["search", "shop"]),
        ({"filter": "below=company", "sort": "-name"}, ["shop", "search", "research", "online"]),
        ({"filter": "name=research"}, ["research"]),
    ],
)
async def test_the_tree_is_filtered_and_sorted(quota: Quota, terms: dict[str, str], names: list[str]) -> None:
    assert list(await quota.rows(**terms)) == names


async def test_a_page_goes_on_where_the_one_before_ended(quota: Quota) -> None:
    names: list[str] = []
    following = ""
    for _ in range(10):
        page = await quota.get("/quota", limit=2, **({"continue": following} if following else {}))
        names += [row["name"] for row in page["items"]]
        following = page["next"]
        if not following:
            break
    assert names == ["company", "online", "search", "shop", "research"]


async def test_a_budget_is_told_with_how_fast_it_goes(quota: Quota) -> None:
    await quota.decide("front", "shop", 10_000)
    await quota.fresh()
    budget = (await quota.rows())["shop"]["budget"]
    assert (budget["amount"], budget["currency"], budget["period"]) == ("100", "EUR", "Year")
    assert (budget["state"], budget["per_hour"]) == ("Within", "0.5")


async def test_what_waits_is_explained_with_who_has_it_and_what_to_ask_for(quota: Quota) -> None:
    await quota.decide("index", "search", 12_000)
    await quota.decide("front", "shop", 8_000)
    await quota.decide("train", "research", reason=Reason.QUOTA_EXCEEDED, priority=5)
    await quota.decide("later", "research", reason=Reason.QUOTA_EXCEEDED)
    await quota.fresh()
    body = await quota.get("/quota/tenants/research")
    assert [row["name"] for row in body["above"]] == ["company"]
    assert [row["workload"] for row in body["waiting"]] == ["train", "later"]
    train = body["waiting"][0]
    assert train["asked"] == {"default": {"cpu": 4_000}}
    assert train["reason"] == "QuotaExceeded"
    assert train["missing"] == {"default": {"cpu": 2_000}}
    assert [(each["name"], each["borrowed"]) for each in train["borrowers"]] == [("search", 6_000)]
    request = next(each for each in train["helps"] if each["kind"] == "Request")
    assert (
        request["command"] == "muster quota request --tenant research --add default:cpu=2 --why 'for train'"
    )


async def test_what_is_charged_is_told_by_workload_and_cluster(quota: Quota) -> None:
    uid = await quota.decide("front", "shop", 8_000)
    await quota.enter(LedgerLine("shop", "", "north", "default", "cpu", 250, Cause.DRIFTED))
    await quota.fresh()
    charged = (await quota.get("/quota/tenants/shop"))["charged"]
    assert [(row["workload"], row["uid"], row["cluster"]) for row in charged] == [
        ("front", uid, "north"),
        ("", "", "north"),
    ]
    assert charged[0]["charged"] == {"default": {"cpu": 8_000}}
    assert charged[0]["leaving"] == {"default": {"cpu": 8_000}}
    assert charged[1]["drift"] == {"default": {"cpu": 250}}


async def test_windows_and_grants_are_told(quota: Quota) -> None:
    known = quota.world.known
    amounts = {"default": {"cpu": "4"}}
    state, until = RequestState.GRANTED, time.time() + 3_600
    grant = QuotaRequestRecord(
        7, "search", amounts, until, "the sale", state, "ann", 1.0, taken_from=("Tenant", "shop")
    )
    known.quotas.take(known.quotas.version, [grant])
    body = await quota.get("/quota/tenants/search")
    (window,) = body["windows"]
    assert (window["window"], window["nominal"], window["kind"]) == ("sale", 30_000, "Tenant")
    assert window["changes_at"] > time.time()
    assert [(each["id"], each["state"]) for each in body["grants"]] == [(7, "Granted")]
    rows = await quota.rows()
    assert rows["search"]["quotas"][0]["granted"] == 4_000
    assert rows["shop"]["quotas"][0]["granted"] == -4_000
    assert rows["shop"]["quotas"][0]["nominal"] == 6_000


async def test_a_tenant_that_is_not_there_is_named(quota: Quota) -> None:
    answer = await quota.world.client.get("/api/v1/quota/tenants/nobody")
    assert answer.status_code == 404
    assert "nobody" in answer.json()["detail"]


async def test_the_ledger_tells_every_entry_with_the_balance_it_left(quota: Quota) -> None:
    uid = await quota.decide("front", "shop", 8_000)
    await quota.decide("other", "search", 1_000)
    await quota.enter(LedgerLine("shop", uid, "north", "default", "cpu", -3_000, Cause.RELEASED))
    await quota.enter(LedgerLine("shop", uid, "north", "default", "cpu", 700, Cause.DRIFTED))
    await quota.enter(LedgerLine("shop", uid, "north", "default", "cpu", -5_000, Cause.RELEASED))
    page = await quota.get("/ledger", tenant="shop")
    assert [(row["amount"], row["balance"], row["cause"]) for row in page["items"]] == [
        (-5_000, 0, "Released"),
        (700, 700, "Drifted"),
        (-3_000, 5_000, "Released"),
        (8_000, 8_000, "Placed"),
    ]
    first = page["items"][-1]
    assert (first["workload"], first["uid"], first["cluster"]) == ("front", uid, "north")
    assert (first["epoch"], first["generation"]) == (1, 7)
    assert [
        row["amount"] for row in (await quota.get("/ledger", workload="front", oldestFirst=True))["items"]
    ] == [
        8_000,
        -3_000,
        700,
        -5_000,
    ]


async def test_the_ledger_is_paged_and_filtered(quota: Quota) -> None:
    uid = await quota.decide("front", "shop", 1_000)
    await quota.decide("other", "search", 500)
    for _ in range(4):
        await quota.enter(LedgerLine("shop", uid, "north", "default", "cpu", -100, Cause.RELEASED))
    found: list[int] = []
    following = ""
    for _ in range(10):
        page = await quota.get(
            "/ledger", tenant="shop", limit=2, **({"continue": following} if following else {})
        )
        found += [row["balance"] for row in page["items"]]
        following = page["next"]
        if not following:
            break
    assert found == [600, 700, 800, 900, 1_000]
    assert [row["tenant"] for row in (await quota.get("/ledger", workload="other"))["items"]] == ["search"]
    assert (await quota.get("/ledger", cluster="south"))["items"] == []
    assert (await quota.get("/ledger", since=time.time() + 60))["items"] == []


async def test_a_cursor_that_is_none_is_refused_by_name(quota: Quota) -> None:
    answer = await quota.world.client.get("/api/v1/ledger", params={"continue": "x"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "continue"


@pytest.mark.parametrize("path", ["/quota", "/quota/tenants/shop", "/ledger"])
async def test_nobody_reads_it_without_a_token(quota: Quota, path: str) -> None:
    answer = await quota.world.client.get(f"/api/v1{path}", headers={"Authorization": "Bearer none"})
    assert answer.status_code == 401
