"""Real API servers for tests, one pair a session: `kube_api`, `kube_one`, `kube_pair`, `kube_namespace`.

Tests share the servers and keep apart by namespaces of their own. Every test that uses them is marked `kube`
and, under pytest-xdist with --dist loadgroup, they run in one worker, so that there is one pair of servers.
"""

import os
import sys
import uuid
from collections.abc import AsyncGenerator
from typing import NoReturn, cast

import httpx
import pytest
import pytest_asyncio
from _pytest.capture import CaptureManager

from controlplane.embedded.kube import KubeControlPlane
from controlplane.embedded.kube_assets import KubeAssets, KubeMissing, find_kube_assets
from controlplane.embedded.kube_nodes import pretended_nodes
from schemas.wire.orders import WORKLOAD_LABEL
from tests.kube.build import CannotBuild, build

REQUIRE = "MUSTER_REQUIRE_KUBE"
BASE_NODES = 3

_RECORDS = (
    "/api/v1/namespaces/muster-system/configmaps",
    "/apis/coordination.k8s.io/v1/namespaces/muster-system/leases",
)
_ORDERED = {"labelSelector": WORKLOAD_LABEL}
_why_missing = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in filter(_wants_kube, items):
        item.add_marker(pytest.mark.kube)
        if config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("kube"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build here, where no test's timeout runs, and only when a selected test needs it.

    Marked here and not skipped one by one in a fixture, pytest says the reason once a file.
    """
    wanting = [item for item in session.items if item.get_closest_marker("kube")]
    if not wanting or session.config.option.collectonly:
        return
    reason = _make_available(session.config)
    session.config.stash[_why_missing] = reason
    if reason and not os.environ.get(REQUIRE):
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=reason))


def _make_available(config: pytest.Config) -> str:
    """Why there are no binaries, in one line; empty where there are some."""
    found = find_kube_assets()
    if isinstance(found, KubeAssets) or "KUBEBUILDER_ASSETS" in os.environ:
        return "" if isinstance(found, KubeAssets) else found.reason
    capture = cast("CaptureManager", config.pluginmanager.getplugin("capturemanager"))
    try:
        with capture.global_and_fixture_disabled():
            build(lambda line: print(line, file=sys.stderr, flush=True))
    except CannotBuild as reason:
        return f"{found}; not built here: {reason}"
    return ""


def _wants_kube(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return "kube_assets" in fixtures or item.get_closest_marker("kube") is not None


@pytest.fixture(scope="session")
def kube_assets(pytestconfig: pytest.Config) -> KubeAssets:
    found = find_kube_assets()
    if isinstance(found, KubeMissing):
        _unavailable(pytestconfig.stash.get(_why_missing, "") or found.reason)
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kube_api(
    kube_assets: KubeAssets, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[KubeControlPlane]:
    """A real API server, with whatever controllers there are binaries for."""
    async with KubeControlPlane(tmp_path_factory.mktemp("kube-one"), kube_assets) as plane:
        if kube_assets.runs_workloads:
            await plane.add_nodes(pretended_nodes(BASE_NODES))
        yield plane


@pytest.fixture(scope="session")
def kube_one(kube_assets: KubeAssets, kube_api: KubeControlPlane) -> KubeControlPlane:
    """The same server, where Deployments become pods that run: three nodes of 32 cores, 128 GiB."""
    if not kube_assets.runs_workloads:
        _unavailable(f"no {', '.join(kube_assets.absent)}: no Deployment becomes a running pod")
    return kube_api


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kube_pair(
    kube_one: KubeControlPlane, kube_assets: KubeAssets, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[KubeControlPlane, KubeControlPlane]]:
    """Two clusters that know nothing of each other; the first is `kube_one`."""
    async with KubeControlPlane(tmp_path_factory.mktemp("kube-two"), kube_assets) as second:
        await second.add_nodes(pretended_nodes(BASE_NODES))
        yield kube_one, second


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def member_pair(
    kube_pair: tuple[KubeControlPlane, KubeControlPlane],
) -> AsyncGenerator[tuple[KubeControlPlane, KubeControlPlane]]:
    """The pair as if no agent had ever acted there: the agents of each file obey a centre of its own."""
    for plane in kube_pair:
        async with plane.client() as client:
            await forget_agents(client)
    yield kube_pair
    for plane in kube_pair:
        async with plane.client() as client:
            await forget_agents(client)


async def forget_agents(*members: httpx.AsyncClient) -> None:
    """What agents recorded, and the workloads that they left running: their nodes are needed."""
    for member in members:
        for path in _RECORDS:
            await member.delete(path)
        listed = (await member.get("/apis/apps/v1/deployments", params=_ORDERED)).raise_for_status().json()
        for namespace in {each["metadata"]["namespace"] for each in listed["items"]}:
            path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
            (await member.delete(path, params=_ORDERED)).raise_for_status()


@pytest_asyncio.fixture
async def kube_namespace(kube_api: KubeControlPlane) -> AsyncGenerator[str]:
    """A namespace of the test's own in `kube_api`; its removal is asked for when the test ends."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    async with kube_api.client() as client:
        answer = await client.post("/api/v1/namespaces", json={"metadata": {"name": name}})
        answer.raise_for_status()
        yield name
        await client.delete(f"/api/v1/namespaces/{name}")


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get(REQUIRE):
        pytest.fail(f"{REQUIRE} is set and there is no Kubernetes to test on: {reason}", pytrace=False)
    pytest.skip(reason)
