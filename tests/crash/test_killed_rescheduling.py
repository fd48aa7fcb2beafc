"""A request to place anew outlives the process that took it, and so does the affinity group used last."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.circle import Circle, Object, deployment, eventually, workload

STAGE = "example.com/stage"
GROUPS: list[Object] = [
    {"affinityName": "open", "labelSelector": {"matchLabels": {STAGE: "open"}}},
    {"affinityName": "rest", "clusterNames": ["west"]},
]


@pytest_asyncio.fixture
async def circle(crash_circle: Circle) -> AsyncGenerator[Circle]:
    yield crash_circle
    crash_circle.client.patch("/clusters/east", {"labels": {STAGE: None}})


def grouped(replicas: int) -> Object:
    return workload("moving", deployment("moving", "moving", replicas), clusterAffinities=GROUPS)


async def until_in(circle: Circle, **clusters: int) -> None:
    await eventually(
        f"moving runs in {clusters}",
        lambda: circle.workload("moving")["status"],
        lambda status: (status["state"], status["clusters"]) == ("Running", clusters),
    )


@pytest.mark.promise(1)
async def test_it_is_carried_out_by_the_next_leader(circle: Circle) -> None:
    await circle.until_ready("east", "west")
    circle.apply(grouped(2))
    await until_in(circle, west=2)
    circle.client.patch("/clusters/east", {"labels": {STAGE: "open"}})
    circle.apply(grouped(3))
    await until_in(circle, west=3)

    await circle.restart_centre()
    await circle.until_ready("east", "west")
    circle.apply(grouped(4))
    await until_in(circle, west=4)

    circle.client.post("/workloads/moving/reschedule", {})
    circle.programs["centre"].kill()
    await circle.start_centre()
    await until_in(circle, east=4)
    await eventually(
        "the request is done, and the group is remembered",
        lambda: circle.client.get("/workloads/moving/explain").body["decided"]["explanation"],
        lambda told: told["affinity"] == "open" and told["rescheduled"] > 0,
    )
    await circle.delete("moving")
