"""Tenants, Cohorts and Flavors at the API, on a real Postgres: what contradicts is refused and not stored."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from controlplane.known.records import PlacementRecord
from schemas.wire.orders import Version
from tests.installation import NatsInstallation
from tests.integration.api_world import World, api_world, deployment, workload


@pytest_asyncio.fixture
async def world(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    async with api_world(database, nats_installation) as made:
        yield made


@pytest_asyncio.fixture
async def sql(database: str) -> AsyncGenerator["asyncpg.Connection[Any]", None]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def cohort(name: str, parent: str | None = None, *flavors: dict[str, Any]) -> dict[str, Any]:
    return manifest("Cohort", name, {"flavors": list(flavors)} | ({"parent": parent} if parent else {}))


def flavor(name: str = "cpu", **spec: Any) -> dict[str, Any]:
    return manifest("Flavor", name, spec)


def amounts(resource: str = "cpu", nominal: str | int = 10, **fields: Any) -> dict[str, Any]:
    return {"name": resource, "nominalQuota": nominal, **fields}


def of(name: str, *resources: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "resources": list(resources)}


def tenant(name: str, *flavors: dict[str, Any], **quota: Any) -> dict[str, Any]:
    given = {"flavors": list(flavors), **quota}
    return manifest("Tenant", name, {"namespaces": [f"{name}-*"], "quota": given})


async def put(world: World, document: dict[str, Any]) -> httpx.Response:
    path = f"/api/v1/{document['kind'].lower()}s/{document['metadata']['name']}"
    return await world.client.put(path, json=document)


async def stored(world: World, *documents: dict[str, Any]) -> None:
    for each in documents:
        answer = await put(world, each)
        assert answer.status_code in (200, 201), answer.text


async def charged(
    sql: "asyncpg.Connection[Any]", tenant: str, flavor: str, resource: str, amount: int
) -> None:
    await sql.execute(
        "insert into balance (tenant, workload, cluster, flavor, resource, drift, amount)"
        " values ($1, 'some-uid', 'some-cluster', $2, $3, false, $4)",
        tenant,
        flavor,
        resource,
        amount,
    )


async def test_the_tree_is_written_read_and_listed(world: World) -> None:
    await stored(
        world,
        flavor(prices={"currency": "EUR", "perHour": {"cpu": 0.05}}, nodeLabels={"class": "general"}),
        cohort("all", None, of("cpu", amounts(nominal=100))),
        cohort("sales", "all"),
        tenant("shop", of("cpu", amounts()), cohort="sales"),
    )
    (row,) = (await world.client.get("/api/v1/cohorts?filter=parent=all")).json()["items"]
    assert (row["name"], row["tenants"], row["flavors"]) == ("sales", ["shop"], [])
    (row,) = (await world.client.get("/api/v1/flavors")).json()["items"]
    assert (row["name"], row["currency"], row["prices"]) == ("cpu", "EUR", {"cpu": "0.05"})
    assert row["node_labels"] == {"class": "general"}
    assert row["tenants"] == ["shop"]
    (row,) = (await world.client.get("/api/v1/tenants?filter=cohort=sales")).json()["items"]
    assert row["name"] == "shop"


BAD = {
    "lending above nominal": (
        [tenant("shop", of("cpu", amounts(lendingLimit=11)), cohort="all")],
        "spec.quota.flavors[0].resources[0].lendingLimit",
        "no more can be lent",
    ),
    "a negative amount": (
        [tenant("shop", of("cpu", amounts(nominal="-1")))],
        "spec.quota.flavors[0].resources[0].nominalQuota",
        "negative",
    ),
    "an amount that is too large": (
        [tenant("shop", of("cpu", amounts("memory", "16Ei")))],
        "spec.quota.flavors[0].resources[0].nominalQuota",
        "2^63 - 1",
    ),
    "a sum that is too large": (
        [
            cohort("all"),
            tenant("a", of("cpu", amounts("memory", "5Ei")), cohort="all"),
            tenant("b", of("cpu", amounts("memory", "5Ei")), cohort="all"),
        ],
        "",
        "Cohort all: the nominal quota of memory in flavor cpu comes to",
    ),
    "windows that overlap": (
        [
            tenant(
                "shop",
                of(
                    "cpu",
                    amounts(
                        windows=[
                            {"name": "day", "nominalQuota": 1, "closes": "12:00"},
                            {"name": "noon", "nominalQuota": 2, "opens": "11:00", "closes": "13:00"},
                        ]
                    ),
                ),
            )
        ],
        "spec.quota.flavors[0].resources[0].windows[1]",
        "windows day and noon are both open",
    ),
    "a flavor that is not there": (
        [tenant("shop", of("gpu", amounts()))],
        "spec.quota.flavors[0].name",
        "no flavor 'gpu'",
    ),
    "borrowing from nobody": (
        [tenant("shop", of("cpu", amounts(borrowingLimit=1)))],
        "spec.quota.flavors[0].resources[0].borrowingLimit",
        "no cohort",
    ),
    "a budget in a currency without prices": (
        [tenant("shop", of("cpu", amounts()), budget={"amount": 10, "currency": "EUR"})],
        "spec.quota.budget.currency",
        "prices in EUR",
    ),
    "a cohort that is its own parent": ([cohort("all", "all")], "spec.parent", "all > all"),
    "a cycle": (
        [cohort("a", "b"), cohort("b", "c"), cohort("c", "a")],
        "spec.parent",
        "c > a > b > c",
    ),
}


@pytest.mark.parametrize(("documents", "field", "said"), BAD.values(), ids=BAD.keys())
async def test_what_contradicts_is_refused_by_name_and_not_stored(
    world: World, documents: list[dict[str, Any]], field: str, said: str
) -> None:
    await stored(world, flavor(), *documents[:-1])
    refused = await put(world, documents[-1])
    assert refused.status_code == 422, refused.text
    errors = refused.json()["errors"]
    assert field in [each["field"] for each in errors]
    assert said in refused.text
    path = f"/api/v1/{documents[-1]['kind'].lower()}s/{documents[-1]['metadata']['name']}"
    assert (await world.client.get(path)).status_code == 404


async def test_two_writes_do_not_make_a_cycle_together(world: World) -> None:
    await stored(world, cohort("a"), cohort("b"))
    for _ in range(10):
        answers = await asyncio.gather(put(world, cohort("a", "b")), put(world, cohort("b", "a")))
        assert sorted(each.status_code for each in answers) == [200, 422]
        await stored(world, cohort("a"), cohort("b"))


USED = {
    "less nominal quota, of one who shares with nobody": (
        [tenant("shop", of("cpu", amounts(nominal=10)))],
        tenant("shop", of("cpu", amounts(nominal=7))),
        409,
    ),
    "as much as is used": (
        [tenant("shop", of("cpu", amounts(nominal=10)))],
        tenant("shop", of("cpu", amounts(nominal=8))),
        200,
    ),
    "less nominal quota, and the rest can be borrowed": (
        [
            cohort("all", None, of("cpu", amounts(nominal=10))),
            tenant("shop", of("cpu", amounts(nominal=10)), cohort="all"),
        ],
        tenant("shop", of("cpu", amounts(nominal=2)), cohort="all"),
        200,
    ),
    "it could be borrowed, but for the limit": (
        [
            cohort("all", None, of("cpu", amounts(nominal=10))),
            tenant("shop", of("cpu", amounts(nominal=10)), cohort="all"),
        ],
        tenant("shop", of("cpu", amounts(nominal=2, borrowingLimit=5)), cohort="all"),
        409,
    ),
    "what a cohort has that others borrow": (
        [
            cohort("all", None, of("cpu", amounts(nominal=10))),
            tenant("shop", of("cpu", amounts(nominal=0)), cohort="all"),
        ],
        cohort("all", None, of("cpu", amounts(nominal=5))),
        409,
    ),
    "out of the cohort that lends": (
        [
            cohort("all", None, of("cpu", amounts(nominal=10))),
            tenant("shop", of("cpu", amounts(nominal=0)), cohort="all"),
        ],
        tenant("shop", of("cpu", amounts(nominal=0))),
        409,
    ),
    "without a quota nothing is bounded": (
        [tenant("shop", of("cpu", amounts(nominal=10)))],
        manifest("Tenant", "shop", {"namespaces": ["shop-*"]}),
        200,
    ),
}


@pytest.mark.parametrize(("before", "after", "status"), USED.values(), ids=USED.keys())
async def test_a_limit_below_what_is_used_is_refused(
    world: World,
    sql: "asyncpg.Connection[Any]",
    before: list[dict[str, Any]],
    after: dict[str, Any],
    status: int,
) -> None:
    await stored(world, flavor(), *before)
    await charged(sql, "shop", "cpu", "cpu", 8000)
    answer = await put(world, after)
    assert answer.status_code == status, answer.text
    if status == 409:
        assert "tenant shop uses 8 cpu of flavor cpu" in answer.json()["detail"]


async def test_what_is_above_the_quota_already_can_be_made_better(
    world: World, sql: "asyncpg.Connection[Any]"
) -> None:
    await stored(world, flavor(), tenant("shop", of("cpu", amounts(nominal=2))))
    await charged(sql, "shop", "cpu", "cpu", 8000)
    await stored(world, tenant("shop", of("cpu", amounts(nominal=5))))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/flavors/cpu", "Cohort all, Tenant shop"),
        ("/api/v1/cohorts/all", "Cohort sales, Tenant shop"),
    ],
)
async def test_what_is_in_use_stays(world: World, path: str, said: str) -> None:
    await stored(
        world,
        flavor(),
        cohort("all", None, of("cpu", amounts())),
        cohort("sales", "all"),
        tenant("shop", of("cpu", amounts()), cohort="all"),
    )
    refused = await world.client.delete(path)
    assert refused.status_code == 409
    assert said in refused.json()["detail"]
    for each in (
        "/api/v1/tenants/shop",
        "/api/v1/cohorts/sales",
        "/api/v1/cohorts/all",
        "/api/v1/flavors/cpu",
    ):
        assert (await world.client.delete(each)).status_code == 204


async def test_a_flavor_stays_while_something_is_charged_under_it(
    world: World, sql: "asyncpg.Connection[Any]"
) -> None:
    await stored(world, flavor(), tenant("shop"))
    await charged(sql, "shop", "cpu", "cpu", 1)
    refused = await world.client.delete("/api/v1/flavors/cpu")
    assert refused.status_code == 409
    assert "charged to tenant shop" in refused.json()["detail"]


async def test_a_quota_that_comes_to_name_fewer_pods_than_run_is_refused(world: World) -> None:
    """They are in no ledger: nothing named them when they were placed."""
    await stored(world, flavor("default"), manifest("Tenant", "shop", {"namespaces": ["shop-*"]}))
    cluster = await world.join("north")
    world.report(cluster, 2)
    body = workload("web", deployment("web", "shop-a", replicas=3), tenant="shop")
    assert (await world.client.put("/api/v1/workloads/web", json=body)).status_code == 201
    record = world.known.workload("web")
    assert record is not None
    placed = PlacementRecord(record.uid, cluster, 3, 1, Version(1, 1), "")
    world.known.placements[record.uid] = {cluster: placed}
    answer = await put(world, tenant("shop", of("default", amounts("pods", 2))))
    assert answer.status_code == 409, answer.text
    assert "tenant shop uses 3 pods of flavor default: that would be 1 more" in answer.json()["detail"]
    await stored(world, tenant("shop", of("default", amounts("pods", 3)), uncovered="Allow"))
