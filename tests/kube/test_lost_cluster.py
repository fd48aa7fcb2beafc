"""One of two real API servers is lost to the centre, and comes back.

Holds up promise 9: what is placed again leaves the lost cluster by an explicit order, and what must not run
twice, or holds data, stays there.
"""

from collections.abc import AsyncGenerator

import httpx
import pytest
import pytest_asyncio

from controlplane.embedded.kube import KubeControlPlane
from tests.circle import Circle, Object, deployment, eventually, running_circle, workload
from tests.kube.fixtures import forget_agents

NAMES = ("one", "two")
NAMESPACE = "lost"
SETTINGS = {"MUSTER_BEAT_LOST_SECONDS": "4", "MUSTER_UNREACHABLE_TOLERATION_SECONDS": "1"}
DIVIDED = {
    "replicaScheduling": {
        "replicaSchedulingType": "Divided",
        "weightPreference": {"dynamicWeight": "AvailableReplicas"},
    }
}


@pytest_asyncio.fixture
async def planes(
    kube_pair: tuple[KubeControlPlane, KubeControlPlane],
) -> AsyncGenerator[dict[str, httpx.AsyncClient]]:
    """As if no agent had ever acted there, before and after: each test's agents obey a centre of its own."""
    one, two = kube_pair
    async with one.client() as first, two.client() as second:
        await forget_agents(first, second)
        yield dict(zip(NAMES, (first, second), strict=True))
        await forget_agents(first, second)


@pytest_asyncio.fixture
async def circle(
    planes: dict[str, httpx.AsyncClient], kube_pair: tuple[KubeControlPlane, KubeControlPlane]
) -> AsyncGenerator[Circle]:
    async with running_circle(settings=SETTINGS) as circle:
        for name, plane in zip(NAMES, kube_pair, strict=True):
            await circle.join(name, ["--kubeconfig", str(plane.kubeconfig)])
        yield circle


async def replicas_in(plane: httpx.AsyncClient, name: str) -> int | None:
    """What the API server itself says; None where there is no such Deployment."""
    answer = await plane.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    return answer.raise_for_status().json()["spec"]["replicas"]


def reasons(circle: Circle, name: str, cluster: str) -> list[str]:
    clusters: list[Object] = circle.client.get(f"/workloads/{name}/explain").body["clusters"]
    verdict = next(each for each in clusters if each["cluster"] == cluster)
    return [each["reason"] for each in verdict["reasons"]]


@pytest.mark.promise(9)
async def test_stateless_work_is_placed_again_a_singleton_stays_and_the_old_copy_goes_later(
    circle: Circle, planes: dict[str, httpx.AsyncClient]
) -> None:
    circle.apply(workload("alone", deployment("alone", NAMESPACE, 1), **DIVIDED))
    alone = await circle.until_running("alone")
    (lost,) = alone["status"]["clusters"]
    (other,) = set(NAMES) - {lost}
    circle.apply(workload("many", deployment("many", NAMESPACE, 6), **DIVIDED))
    before = (await circle.until_running("many"))["status"]["clusters"]
    assert set(before) == set(NAMES)

    circle.programs[lost].kill()
    await eventually(
        "all replicas run in the other cluster",
        lambda: circle.workload("many")["status"],
        lambda row: row["clusters"] == {other: 6} and row["state"] == "Running" and row["ready"] == 6,
    )
    assert await replicas_in(planes[other], "many") == 6
    going = circle.placement("many", lost)
    assert (going["state"], going["verb"]) == ("Withdrawing", "withdraw")
    assert "unreachable since" in going["message"]
    (taint,) = circle.cluster(lost)["effective_taints"]
    assert (taint["key"], taint["effect"]) == ("muster.dev/unreachable", "NoExecute")
    assert taint["since"] > 0
    assert circle.placement("alone", lost)["state"] == "Unreachable"
    assert "Singleton" in reasons(circle, "alone", lost)
    # Without its agent, the cluster goes on as it was.
    assert await replicas_in(planes[lost], "many") == before[lost]
    assert await replicas_in(planes[lost], "alone") == 1

    await circle.start_agent(lost)
    await eventually(
        "the old copy is withdrawn",
        lambda: replicas_in(planes[lost], "many"),
        lambda replicas: replicas is None,
    )
    await eventually("it is reported", lambda: circle.placement("many", lost), lambda row: not row)
    assert circle.cluster(lost)["effective_taints"] == []
    assert (await circle.until_running("many"))["status"]["clusters"] == {other: 6}
    assert (await circle.until_running("alone"))["status"]["clusters"] == {lost: 1}
    assert await replicas_in(planes[lost], "alone") == 1
    for name in ("alone", "many"):
        await circle.delete(name)
