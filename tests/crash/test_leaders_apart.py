"""Deciding, alerting and the API in processes of their own: `muster serve --loops`."""

from collections.abc import AsyncGenerator

import httpx
import pytest
import pytest_asyncio

from tests.circle import Object, deployment, eventually, only, workload
from tests.crash.load import alert
from tests.crash.replicas import CLUSTERS, Replicas, running_replicas

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apart() -> AsyncGenerator[Replicas]:
    async with running_replicas({"api": "api", "deciding": "deciding", "alerting": "alerting"}) as replicas:
        yield replicas


async def test_who_serves_the_api_leads_in_nothing_and_does_all_that_intent_needs(apart: Replicas) -> None:
    api = apart.centres["api"].url
    for cluster in CLUSTERS:
        # Joined by it, and placed on by another.
        await eventually(
            f"{cluster} is ready",
            lambda cluster=cluster: apart.answer(api, f"/api/v1/clusters/{cluster}"),
            lambda seen: seen[0] == 200 and seen[1]["status"] == "Ready",
        )
    assert (await apart.until_led("deciding")).name == "deciding"
    assert (await apart.until_led("alerting")).name == "alerting"

    made: Object = workload("web", deployment("web", "web", 2), **only("north"))
    dry = await apart.put(made, dry_run=True)
    assert [row["cluster"] for row in dry["clusters"] if row["verdict"] == "Chosen"] == ["north"]
    await apart.put(made)
    await eventually(
        "it runs",
        lambda: apart.answer(api, "/api/v1/workloads/web"),
        lambda seen: seen[0] == 200 and seen[1]["status"]["state"] == "Running",
    )
    for path in ("/api/v1/workloads/web/explain", "/api/v1/quota", "/api/v1/placements", "/readyz"):
        assert (await apart.answer(api, path))[0] == 200


async def test_alerts_are_taken_by_one_and_told_of_by_another(apart: Replicas) -> None:
    async with httpx.AsyncClient() as client:
        url = f"{apart.centres['api'].url}/api/v2/alerts"
        assert (await client.post(url, json=[alert("apart")])).status_code == 200
    await eventually("it is told of", lambda: [each.names for each in apart.webhook.messages], len)
    assert apart.webhook.messages[0].names == {"apart"}


@pytest.mark.parametrize("name", ["deciding", "alerting"])
async def test_who_serves_no_api_says_how_it_is(apart: Replicas, name: str) -> None:
    url = apart.centres[name].url
    for path in ("/healthz", "/readyz"):
        assert (await apart.answer(url, path))[0] == 200
    assert (await apart.answer(url, "/api/v1/clusters"))[0] == 404
    async with httpx.AsyncClient() as client:
        counted = await client.get(f"{url}/metrics", headers=apart.headers)
    assert "muster_loop_passes_total" in counted.text
