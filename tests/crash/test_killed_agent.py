"""An agent is killed at its seams while it takes an order, and while an alert fires, and started again.

Holds up promise 1 (what was ordered is carried out and reported) and promise 3 (the version that an agent
holds never goes back, whatever it dies of).
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

import pytest

from schemas.wire.orders import Version
from tests.circle import Circle, config_map, deployment, eventually, only, workload

_numbers = count(100)


@dataclass(frozen=True)
class Seam:
    """What is true of the cluster in the moment of death."""

    config_made: bool = True
    deployment_made: bool = True


SEAMS = {
    "agent.after_record": Seam(config_made=False, deployment_made=False),
    "agent.after_acknowledge": Seam(config_made=False, deployment_made=False),
    "agent.between_objects": Seam(deployment_made=False),
    "agent.after_apply": Seam(),
}


@asynccontextmanager
async def mortal(circle: Circle, failpoints: str) -> AsyncGenerator[str]:
    """A cluster of the test's own: an agent that starts again takes all its orders again."""
    name = f"mortal-{next(_numbers)}"
    await circle.join(name, ["--simulate", "edge", "--seed", name.rpartition("-")[2]], failpoints=failpoints)
    try:
        yield name
    finally:
        left = [row["workload"] for row in circle.client.pages("/placements", filter=f"cluster={name}")]
        await circle.leave(name)
        # Without a place they would be decided on whenever another test starts the centre.
        for each in left:
            if circle.client.find(f"/workloads/{each}"):
                circle.client.delete(f"/workloads/{each}")


@pytest.mark.promise(1, 3)
@pytest.mark.parametrize("failpoint", SEAMS)
async def test_an_agent_that_died_over_an_order_carries_it_out_and_reports_it_when_it_is_back(
    crash_circle: Circle, failpoint: str
) -> None:
    circle, seam, name = crash_circle, SEAMS[failpoint], failpoint.rpartition(".")[2].replace("_", "-")
    async with mortal(circle, failpoint) as cluster:
        before = await circle.orders_published()
        manifests = config_map(name, name, key="value"), deployment(name, name, 2)
        uid = circle.apply(workload(name, *manifests, **only(cluster)))["status"]["uid"]
        await circle.killed_itself(cluster)
        _, order = await circle.order(cluster, uid)
        assert order is not None
        assert circle.recorded(cluster, uid) == order.version
        assert (name in circle.objects(cluster, "configmaps", name)) is seam.config_made
        assert (name in circle.objects(cluster, "deployments", name)) is seam.deployment_made

        await circle.start_agent(cluster)
        running = await circle.until_running(name)
        assert circle.recorded(cluster, uid) == order.version == _version(running)
        assert len(circle.pods(cluster, name)) == 2
        assert await circle.orders_published() == before + 1


@pytest.mark.promise(3)
async def test_an_agent_that_died_over_a_change_never_holds_the_older_version_again(
    crash_circle: Circle,
) -> None:
    circle = crash_circle
    async with mortal(circle, "agent.after_record=2") as cluster:
        circle.apply(workload("change", deployment("change", "change", 2), **only(cluster)))
        first = await circle.until_running("change")
        uid = first["status"]["uid"]
        circle.apply(
            workload("change", deployment("change", "change", 2, "registry.example/web:2"), **only(cluster))
        )
        await circle.killed_itself(cluster)
        held = circle.recorded(cluster, uid)
        assert held > _version(first)
        assert image_of(circle, cluster, "change") == "registry.example/web:1"

        await circle.start_agent(cluster)
        second = await circle.until_running("change", revision=2)
        assert image_of(circle, cluster, "change") == "registry.example/web:2"
        assert circle.recorded(cluster, uid) == held == _version(second)


@pytest.mark.promise(1, 3)
async def test_an_agent_that_died_over_a_withdrawal_removes_all_of_it_when_it_is_back(
    crash_circle: Circle,
) -> None:
    circle = crash_circle
    async with mortal(circle, "agent.after_apply=2") as cluster:
        manifests = config_map("leaving", "leaving", key="value"), deployment("leaving", "leaving", 2)
        circle.apply(workload("leaving", *manifests, **only(cluster)))
        uid = (await circle.until_running("leaving"))["status"]["uid"]
        circle.client.delete("/workloads/leaving")
        await circle.killed_itself(cluster)
        held = circle.recorded(cluster, uid)

        await circle.start_agent(cluster)
        await circle.until_gone("leaving")
        assert "leaving" not in circle.objects(cluster, "deployments", "leaving")
        assert "leaving" not in circle.objects(cluster, "configmaps", "leaving")
        assert circle.pods(cluster, "leaving") == {}
        assert circle.recorded(cluster, uid) == held


@pytest.mark.promise(1)
async def test_an_agent_that_died_while_an_alert_fired_says_its_end_when_it_is_back(
    crash_circle: Circle,
) -> None:
    circle = crash_circle
    async with mortal(circle, "") as cluster:
        await circle.set_node(cluster, "edge-001", down=True)
        await eventually("it fires", lambda: ended(circle, cluster), lambda rows: rows == [False])
        await eventually("the agent may forget", lambda: circle.spooled(cluster), lambda depth: depth == 0)
        circle.programs[cluster].kill()

        await circle.set_node(cluster, "edge-001", down=False)
        await eventually(
            "its end is said", lambda: ended(circle, cluster), lambda rows: rows == [False, True]
        )


async def ended(circle: Circle, cluster: str) -> list[bool]:
    """Of each alert that is committed of the cluster's one troubled node, whether it says the end."""
    return [row["ended"] for row in await circle.alerts(cluster)]


def image_of(circle: Circle, cluster: str, name: str) -> str:
    template = circle.objects(cluster, "deployments", name)[name]["spec"]["template"]
    return template["spec"]["containers"][0]["image"]


def _version(workload: dict[str, list[dict[str, list[int]]]]) -> Version:
    return Version(*workload["placements"][0]["version"])
