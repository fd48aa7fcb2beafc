"""The centre is killed at its seams, by SIGKILL and with it NATS and Postgres, and started again.

Holds up promise 1 (what was committed is carried out, what was spooled is committed, each once) and promise 6
(without the centre, what runs goes on).
"""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.circle import Circle, Object, deployment, eventually, only, workload

NODE = "edge-001"
FIRING = {"name": "NodeNotReady", "node": NODE}


@pytest_asyncio.fixture
async def circle(crash_circle: Circle) -> AsyncGenerator[Circle]:
    yield crash_circle


async def committed_order(circle: Circle, name: str) -> Object:
    (row,) = await circle.rows(
        "select uid, epoch, generation, published_sequence from outbox join workload on uid = workload"
        " where name = $1 and not deleted",
        name,
    )
    return row


@pytest.mark.promise(1)
async def test_an_order_that_was_committed_and_not_published_arrives_when_the_centre_is_back(
    circle: Circle,
) -> None:
    await circle.restart_centre(failpoints="centre.after_commit")
    await circle.until_ready("east")
    circle.apply(workload("unsent", deployment("unsent", "unsent", 2), **only("east")))
    await circle.killed_itself("centre")
    assert circle.objects("east", "deployments", "unsent") == {}

    await circle.start_centre()
    running = await circle.until_running("unsent")
    committed = await committed_order(circle, "unsent")
    assert running["placements"][0]["version"] == [committed["epoch"], committed["generation"]]
    (epoch,) = await circle.rows("select max(epoch) as newest from epoch")
    assert committed["epoch"] < epoch["newest"], "it was decided anew, and not carried on with"


@pytest.mark.promise(1)
async def test_an_order_that_was_published_and_not_marked_is_not_published_again(circle: Circle) -> None:
    await circle.until_ready("east")
    before = await circle.orders_published()
    await circle.restart_centre(failpoints="centre.after_publish")
    await circle.until_ready("east")
    circle.apply(workload("unmarked", deployment("unmarked", "unmarked", 2), **only("east")))
    await circle.killed_itself("centre")

    await circle.start_centre()
    running = await circle.until_running("unmarked")
    committed = await eventually(
        "the order is marked as published",
        lambda: committed_order(circle, "unmarked"),
        lambda row: row["published_sequence"] is not None,
    )
    sequence, order = await circle.order("east", running["status"]["uid"])
    assert await circle.orders_published() == before + 1 == sequence == committed["published_sequence"]
    assert order is not None
    assert (order.version.epoch, order.version.generation) == (committed["epoch"], committed["generation"])


@pytest.mark.promise(1)
async def test_alerts_that_were_committed_and_not_purged_are_not_committed_again(circle: Circle) -> None:
    await circle.restart_centre(failpoints="centre.after_alert_commit")
    await circle.until_ready("east")
    before = await circle.alerts("east")
    await circle.set_node("east", NODE, down=True)
    await circle.killed_itself("centre")

    await circle.start_centre()
    await eventually("the agent may forget", lambda: circle.spooled("east"), lambda depth: depth == 0)
    assert [_what(row) for row in await circle.alerts("east")] == [*map(_what, before), FIRING]
    await circle.set_node("east", NODE, down=False)


@pytest.mark.promise(1, 6)
async def test_while_the_centre_is_dead_what_runs_goes_on_and_alerts_wait_for_it(circle: Circle) -> None:
    circle.apply(workload("steady", deployment("steady", "steady", 4)))
    await circle.until_running("steady")
    before = await circle.alerts("west")
    pods = {name: circle.pods(name, "steady") for name in ("east", "west")}
    circle.programs["centre"].kill()

    await circle.set_node("west", NODE, down=True)
    await eventually("an alert is on the disk", lambda: circle.spooled("west"), lambda depth: depth == 1)
    assert {name: circle.pods(name, "steady") for name in ("east", "west")} == pods
    assert all(circle.programs[name].running for name in ("east", "west"))

    await circle.start_centre()
    await eventually("the agent may forget", lambda: circle.spooled("west"), lambda depth: depth == 0)
    assert [_what(row) for row in await circle.alerts("west")] == [*map(_what, before), FIRING]
    await circle.set_node("west", NODE, down=False)
    await circle.until_running("steady")
    assert {name: circle.pods(name, "steady") for name in ("east", "west")} == pods


def _what(alert: Object) -> Object:
    return {"name": alert["name"], "node": alert["node"]}
