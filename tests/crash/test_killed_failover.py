"""The centre is killed while it places again what a lost cluster ran: it is one decision, made once.

Holds up promise 1 (what was committed is carried out) and promise 9 (one explicit withdrawal, and no other).
"""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.circle import Circle, Object, deployment, eventually, workload

QUICK = {"MUSTER_BEAT_LOST_SECONDS": "4", "MUSTER_UNREACHABLE_TOLERATION_SECONDS": "1"}


@pytest_asyncio.fixture
async def circle(crash_circle: Circle) -> AsyncGenerator[Circle]:
    try:
        yield crash_circle
    finally:
        await crash_circle.restart_centre()


async def orders(circle: Circle, name: str) -> dict[str, tuple[str, int, int]]:
    """Of the outbox, by cluster: verb and version."""
    rows: list[Object] = await circle.rows(
        "select c.name as cluster, verb, epoch, generation from outbox o join cluster c on c.id = o.cluster"
        " join workload w on w.uid = o.workload where w.name = $1 and not w.deleted",
        name,
    )
    return {row["cluster"]: (row["verb"], row["epoch"], row["generation"]) for row in rows}


@pytest.mark.promise(1, 9)
@pytest.mark.parametrize("failpoint", ["centre.after_commit", "centre.after_publish"])
async def test_a_leader_killed_while_it_places_again_leaves_one_decision(
    circle: Circle, failpoint: str
) -> None:
    name = failpoint.replace(".", "-").replace("_", "-")
    circle.apply(workload(name, deployment(name, name, 4)))
    before = await circle.until_running(name)
    assert set(before["status"]["clusters"]) == {"east", "west"}
    circle.programs["east"].kill()
    await circle.restart_centre(failpoint, QUICK)
    await circle.killed_itself("centre")
    assert len(circle.pods("east", name)) == before["status"]["clusters"]["east"]

    # It has to hear its clusters first: until then what stands is what the dead one left.
    await circle.start_centre(settings=QUICK)
    committed = await orders(circle, name)
    assert {cluster: order[0] for cluster, order in committed.items()} == {
        "east": "withdraw",
        "west": "apply",
    }
    await eventually(
        "all run in west",
        lambda: circle.workload(name)["status"],
        lambda row: row["clusters"] == {"west": 4} and row["state"] == "Running" and row["ready"] == 4,
    )
    # East is lost to this leader, too; the decision stands.
    await eventually("east is lost", lambda: circle.cluster("east")["effective_taints"])
    assert await orders(circle, name) == committed

    await circle.start_agent("east")
    await eventually("the old copy is gone", lambda: circle.pods("east", name), lambda pods: not pods)
    await eventually("it is reported", lambda: circle.placement(name, "east"), lambda row: not row)
    assert (await circle.until_running(name))["status"]["clusters"] == {"west": 4}
    assert await orders(circle, name) == {"west": committed["west"]}
    await circle.delete(name)
