"""An agent told to remove much of what it runs holds, says so, and goes on by a release (promise 9)."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from agents.removals import ALWAYS_ALLOWED
from tests.circle import Circle, deployment, eventually, only, workload

CLUSTER = "held"
NAMES = [f"held-{number}" for number in range(8)]


def left(circle: Circle) -> list[str]:
    """The workloads whose objects are in the cluster still."""
    return [name for name in NAMES if name in circle.objects(CLUSTER, "deployments", name)]


def awaited(circle: Circle) -> list[str]:
    """The withdrawn workloads that the centre has not heard the end of."""
    rows = circle.client.pages("/placements", filter=f"cluster={CLUSTER}")
    return sorted(row["workload"] for row in rows if row["workload"] in NAMES)


async def until_holding(circle: Circle) -> None:
    await eventually(
        "the agent holds, and says so",
        lambda: circle.cluster(CLUSTER),
        lambda row: (
            row["status"] == "AgentHolding" and f"muster clusters release {CLUSTER}" in row["message"]
        ),
    )


@pytest_asyncio.fixture
async def circle(crash_circle: Circle) -> AsyncGenerator[Circle]:
    """With a cluster of the test's own: what others removed within the hour counts in theirs."""
    await crash_circle.join(CLUSTER, ["--simulate", "edge", "--seed", "9"])
    yield crash_circle
    await crash_circle.leave(CLUSTER)


@pytest.mark.promise(9)
async def test_an_agent_told_to_remove_all_it_runs_holds_until_it_is_released(circle: Circle) -> None:
    for name in NAMES:
        circle.apply(workload(name, deployment(name, name, 1), **only(CLUSTER)))
    for name in NAMES:
        await circle.until_running(name)
    for name in NAMES:
        circle.client.delete(f"/workloads/{name}")

    await until_holding(circle)
    await eventually("what may go is gone", lambda: awaited(circle), lambda rows: len(rows) == 3)
    kept = left(circle)
    assert len(NAMES) - len(kept) == ALWAYS_ALLOWED, "max(5, a fifth of 8)"
    assert awaited(circle) == kept
    pods = {name: circle.pods(CLUSTER, name) for name in kept}
    assert all(list(phases.values()) == ["Running"] for phases in pods.values())

    await circle.programs[CLUSTER].stop()
    await circle.start_agent(CLUSTER)
    await until_holding(circle)
    assert {name: circle.pods(CLUSTER, name) for name in left(circle)} == pods

    circle.client.post(f"/clusters/{CLUSTER}/release", {})
    stood: set[str] = set()
    await eventually(
        "all is gone, and it stands ready",
        lambda: (awaited(circle), circle.cluster(CLUSTER)["status"]),
        lambda seen: stood.add(seen[1]) or seen == ([], "Ready"),
    )
    assert stood <= {"AgentHolding", "Ready"}
    assert left(circle) == []

    circle.apply(workload("after-release", deployment("after-release", "after-release", 2), **only(CLUSTER)))
    await circle.until_running("after-release")
    assert circle.cluster(CLUSTER)["status"] == "Ready"
    await circle.delete("after-release")
