"""A grant among real processes: what waited runs by it; it runs out, and nothing that runs is stopped."""

import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from controlplane.client import Client, Context, Refused
from tests.circle import Circle, eventually, running_circle
from tests.integration.api_world import deployment, tenant, workload

HOLDS_SECONDS = 15.0
"""Long enough for a workload to be placed and reported."""


@pytest_asyncio.fixture
async def circle() -> AsyncGenerator[Circle, None]:
    """alone has 2 cores, and shares with nobody."""
    async with running_circle() as made:
        await made.join("east", ["--simulate", "edge", "--seed", "1"])
        resource = {"name": "cpu", "nominalQuota": 2}
        quota = {"uncovered": "Allow", "flavors": [{"name": "default", "resources": [resource]}]}
        made.apply({"apiVersion": "muster.dev/v1", "kind": "Flavor", "metadata": {"name": "default"}})
        made.apply(tenant("alone", "alone-*", quota=quota))
        yield made


def of_alone(name: str, cpu: int) -> dict[str, Any]:
    return workload(name, deployment(name, "alone-a", replicas=1, cpu=str(cpu)), tenant="alone")


def state(circle: Circle, id_: int) -> str:
    return circle.client.get(f"/quota/requests/{id_}").body["request"]["state"]


async def until_refused(circle: Circle, name: str) -> None:
    await eventually(
        f"{name} waits for quota",
        lambda: circle.workload(name)["status"]["reason"],
        lambda reason: reason == "QuotaExceeded",
    )


@pytest.mark.promise(2)
async def test_what_waits_runs_by_a_grant_and_goes_on_when_it_runs_out(circle: Circle) -> None:
    circle.apply(of_alone("large", 3))
    await until_refused(circle, "large")
    body = {
        "tenant": "alone",
        "amounts": {"default": {"cpu": "2"}},
        "until": time.time() + HOLDS_SECONDS,
        "why": "a short sale",
    }
    asked = circle.client.post("/quota/requests", body).body["id"]
    seen = circle.client.get(f"/quota/requests/{asked}").body["effect"]
    assert [each["workload"] for each in seen["admissible"]] == ["large"]
    with pytest.raises(Refused, match="somebody else decides"):
        circle.client.post(f"/quota/requests/{asked}/approve", {})
    with Client(Context(circle.installation.url, circle.installation.approver_token)) as approver:
        approver.post(f"/quota/requests/{asked}/approve", {})
        with pytest.raises(Refused, match="is Granted, not Pending"):
            approver.post(f"/quota/requests/{asked}/approve", {})
    await circle.until_running("large")
    with pytest.raises(Refused, match="tenant alone uses 3 cpu"):
        circle.client.post(f"/quota/requests/{asked}/give-back", {})
    await eventually(
        "the grant runs out by itself", lambda: state(circle, asked), lambda seen: seen == "Expired"
    )
    circle.apply(of_alone("small", 1))
    await until_refused(circle, "small")
    assert circle.workload("large")["status"]["state"] == "Running"
    await circle.delete("large")
    await circle.until_running("small")
