"""Bounds that the clusters of the moment cannot keep: refused before anything is stored."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.api_world import World, deployment, workload
from tests.integration.test_cli import Muster, muster, world, write

__all__ = ["muster", "world"]

FIELD = "spec.placement.replicaScheduling.replicaBounds"
ROOM = {"dynamicWeight": "AvailableReplicas"}
SAYS = "minReplicas sum to 6 (ap-1 2, eu-1 2, us-1 2), and 4 replicas are wanted"


def bounded(replicas: int = 4, image: str = "a", **rule: Any) -> dict[str, Any]:
    scheduling = {"weightPreference": ROOM, "replicaBounds": [{"minReplicas": 2, **rule}]}
    web = deployment("web", replicas=replicas)
    web["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return workload("web", web, placement={"replicaScheduling": scheduling})


async def joined(world: World, *names: str, nodes: int = 4) -> None:
    for name in names:
        world.report(await world.join(name), nodes=nodes)


async def put(world: World, body: dict[str, Any], **parameters: str) -> httpx.Response:
    return await world.client.put("/api/v1/workloads/web", json=body, params=parameters)


@pytest.mark.promise(7)
@pytest.mark.parametrize("parameters", [{}, {"dryRun": "true"}], ids=["written", "tried"])
async def test_minima_over_the_clusters_that_match_are_refused(
    world: World, parameters: dict[str, str]
) -> None:
    await joined(world, "eu-1", "us-1", "ap-1")
    refused = await put(world, bounded(), **parameters)
    assert refused.status_code == 422
    problem = refused.json()
    assert (problem["reason"], problem["errors"][0]["field"]) == ("Invalid", FIELD)
    assert SAYS in problem["errors"][0]["message"]
    assert "lower them, select fewer clusters, or ask for 6 replicas" in problem["errors"][0]["message"]
    assert (await world.store.load()).workloads == ()
    assert (await world.store.changes(0, 100))[-1].kind == "Cluster"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(bounded(6), id="as many replicas"),
        pytest.param(bounded(targetCluster={"clusterNames": ["eu-1", "us-1"]}), id="fewer clusters"),
        pytest.param(bounded(minReplicas=1), id="lower minima"),
    ],
)
async def test_what_was_said_to_be_right_is_right(world: World, body: dict[str, Any]) -> None:
    await joined(world, "eu-1", "us-1", "ap-1")
    tried = await put(world, body, dryRun="true")
    assert tried.json()["placed"], tried.text
    assert (await put(world, body)).status_code == 201


async def test_before_all_clusters_are_known_nothing_is_refused(world: World) -> None:
    assert (await put(world, bounded())).status_code == 201, "no cluster has joined"
    await joined(world, "eu-1", "us-1", "ap-1")
    await world.join("late")
    assert (await put(world, bounded(image="b"))).status_code == 200, "one has not reported yet"


async def test_clusters_that_come_later_refuse_the_decision_and_no_repetition(world: World) -> None:
    await joined(world, "eu-1", "us-1")
    first = await put(world, bounded())
    assert first.status_code == 201
    await joined(world, "ap-1")
    again = await put(world, bounded())
    assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"])
    why = (await world.client.get("/api/v1/workloads/web/explain")).json()
    assert (why["placed"], why["reason"]) == (False, "Invalid")
    assert SAYS in why["message"]
    assert (await put(world, bounded(image="b"))).status_code == 422


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)], ids=["apply", "apply --dry-run"])
async def test_the_command_says_so(
    world: World, muster: Muster, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    await joined(world, "eu-1", "us-1", "ap-1")
    file = write(tmp_path / "web.yaml", bounded())
    said = await muster("apply", "-f", str(file), *arguments, expect=1)
    assert FIELD in said.err
    assert "minReplicas sum to 6" in said.err
    assert (await world.store.load()).workloads == ()
