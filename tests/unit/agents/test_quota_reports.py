"""What an agent tells for quota, on a simulated cluster: ends of Jobs, pods by template, pods of nobody."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agents.simulation.kubelets import CRASHES, RUN_SECONDS
from schemas.wire.codec import unpack_column
from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL, ObjectRef
from schemas.wire.reports import Namespaces, Usage, Work, WorkState
from tests.unit.agents.world import AgentWorld, apply_order, deployment, withdraw_order

pytestmark = pytest.mark.promise(2)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AgentWorld]:
    world = AgentWorld(tmp_path)
    world.start()
    yield world
    await world.close()


def job(workload: str, **annotations: str) -> dict[str, Any]:
    labels = {WORKLOAD_LABEL: workload, TEMPLATE_LABEL: "t1"}
    container = {"name": "main", "image": "x:1", "resources": {"requests": {"cpu": "100m"}}}
    template = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {"containers": [container], "restartPolicy": "Never"},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "sums", "namespace": "shop", "labels": {WORKLOAD_LABEL: workload}},
        "spec": {"parallelism": 2, "completions": 2, "backoffLimit": 0, "template": template},
    }


async def said(world: AgentWorld, what: str, holds: Callable[[Work], bool]) -> Work:
    await world.until(lambda: (work := world.centre.work("w1")) is not None and holds(work), what)
    work = world.centre.work("w1")
    assert work is not None
    return work


@pytest.mark.parametrize(
    ("annotations", "healthy"),
    [({RUN_SECONDS: "0.1"}, True), ({CRASHES: "Error"}, False)],
    ids=["done", "failed"],
)
async def test_a_job_that_ran_to_its_end_is_finished_also_after_a_restart(
    world: AgentWorld, annotations: dict[str, str], healthy: bool
) -> None:
    world.centre.order(apply_order("w1", 1, job("w1", **annotations)))
    work = await said(world, "finished", lambda work: work.finished)
    assert (work.living, work.leaving) == ({}, 0)
    assert work.pods > 0, "they are there, and over"
    assert [(each.finished, each.healthy) for each in work.objects] == [(True, healthy)]
    await world.kill()
    world.centre.reports.clear()
    world.start()
    await said(world, "finished, by another agent", lambda work: work.finished)


async def test_a_job_that_runs_is_not_finished(world: AgentWorld) -> None:
    world.centre.order(apply_order("w1", 1, job("w1", **{RUN_SECONDS: "60"})))
    work = await said(world, "running", lambda work: work.ready == 2)
    assert (work.finished, work.living) == (False, {"t1": 2})


async def test_pods_are_told_by_the_template_that_they_bear(world: AgentWorld) -> None:
    world.centre.order(apply_order("w1", 1, deployment("w1")))
    await said(world, "two", lambda work: work.living == {"t1": 2} and not work.leaving)
    world.centre.order(apply_order("w1", 2, deployment("w1", replicas=1)))
    await said(world, "one", lambda work: work.living == {"t1": 1} and not work.leaving)
    world.centre.order(withdraw_order("w1", 3))
    work = await said(world, "none", lambda work: work.state is WorkState.WITHDRAWN)
    assert (work.living, work.leaving, work.pods) == ({}, 0, 0)


def cpu_by_namespace(world: AgentWorld) -> dict[str, int]:
    report = world.centre.report(Namespaces, "namespaces")
    if report is None or "cpu" not in report.resources:
        return {}
    at = report.resources.index("cpu")
    return {each.name: sum(one.amounts[at] for one in each.foreign) for each in report.namespaces}


async def test_pods_of_nobody_by_namespace_come_to_what_they_are_on_nodes(world: AgentWorld) -> None:
    world.centre.order(apply_order("w1", 1, deployment("w1")))
    await said(world, "two", lambda work: work.ready == 2)

    def agree() -> bool:
        usage = world.centre.report(Usage, "usage.1-0")
        if usage is None or not cpu_by_namespace(world):
            return False
        columns = dict(zip(usage.resources, map(unpack_column, usage.foreign), strict=True))
        return sum(cpu_by_namespace(world).values()) == sum(columns["cpu"])

    await world.until(agree, "both reports say the same")
    assert not cpu_by_namespace(world).get("shop"), "what was ordered there is no stranger"
    profiles = world.centre.report(Namespaces, "namespaces")
    assert profiles is not None
    assert {f"profile.{each}" for each in profiles.profiles if each} <= world.centre.reports.keys()


async def test_what_a_withdrawal_leaves_behind_is_nobodys_from_then_on(world: AgentWorld) -> None:
    world.centre.order(apply_order("w1", 1, deployment("w1")))
    await said(world, "two", lambda work: work.ready == 2)
    world.centre.order(withdraw_order("w1", 2, preserve=True))
    await world.until(lambda: cpu_by_namespace(world).get("shop") == 200, "its pods are told of by namespace")


async def test_a_pod_that_somebody_made_is_told_of_and_its_end_too(world: AgentWorld) -> None:
    container = {"name": "main", "image": "x:1", "resources": {"requests": {"cpu": "300m"}}}
    ref = ObjectRef("v1", "Pod", "shop", "stranger")
    metadata = {"name": "stranger", "namespace": "shop", "labels": {WORKLOAD_LABEL: "forged"}}
    world.centre.order(apply_order("w1", 1, deployment("w1")))
    await said(world, "two", lambda work: work.ready == 2)
    await world.cluster.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
    )
    await world.until(lambda: cpu_by_namespace(world).get("shop") == 300, "it is told of")
    report = world.centre.report(Namespaces, "namespaces")
    assert report is not None
    (shop,) = (each for each in report.namespaces if each.name == "shop")
    assert {each.resource: each.names for each in shop.unset}["requests.memory"] == ["stranger"]
    live = world.cluster.look(ref)
    assert live
    found = live["metadata"]
    await world.cluster.delete(ref, uid=found["uid"], resource_version=found["resourceVersion"])
    await world.until(lambda: not cpu_by_namespace(world).get("shop"), "it is gone")
