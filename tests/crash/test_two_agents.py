"""Two agents of one cluster, on a real API server, under load: stopped still, killed, come back.

Holds up promise 1 (what either accepted arrives), promise 3 (what one has recorded the other does not undo,
nor does one that wakes up) and promise 4 (told of once).
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from controlplane.embedded.kube import KubeControlPlane
from controlplane.embedded.processes import free_port
from tests.circle import QUICK, Circle, Object, eventually, running_circle
from tests.crash.fire import CONFIGURATION
from tests.crash.load import NAMESPACE, Load
from tests.kube.fixtures import forget_agents
from tests.served import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLUSTER, TWIN = "twin", "twin-too"
RECORDS = "/api/v1/namespaces/muster-system/configmaps"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/muster-system/leases/muster-agent"


@dataclass
class MemberLoad(Load):
    """What lies in a cluster is asked of its API server."""

    member: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)

    async def found(self, cluster: str) -> Mapping[str, Object]:
        answer = (await self.member.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps")).raise_for_status()
        return {each["metadata"]["name"]: each for each in answer.json()["items"]}


@dataclass
class Twins:
    circle: Circle
    member: httpx.AsyncClient
    load: Load
    arguments: list[str]

    async def start(self, name: str, more: list[str]) -> None:
        door = self.load.doors[name].removeprefix("http://")
        arguments = [*self.arguments, "--alerts-listen", door, *more]
        self.circle.programs[name] = await self.circle.installation.start_agent(name, arguments)

    async def holder(self) -> str:
        """Which of the two acts, by its process id in the lease; "" for neither."""
        spec = (await self.member.get(LEASE)).raise_for_status().json()["spec"]
        words = (spec.get("holderIdentity") or "").split("-")
        names = {str(self.circle.programs[name].pid): name for name in (CLUSTER, TWIN) if self.runs(name)}
        return next((names[word] for word in words if word in names), "")

    def runs(self, name: str) -> bool:
        return name in self.circle.programs and self.circle.programs[name].running

    async def until_acts(self, name: str) -> None:
        await eventually(f"{name} acts", self.holder, lambda found: found == name)

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None]:
        """While the block runs no record of an order goes back."""
        highest: dict[str, tuple[int, ...]] = {}

        async def watch() -> None:
            while True:
                listed = (await self.member.get(RECORDS)).raise_for_status().json()["items"]
                for record in listed:
                    if text := record.get("data", {}).get("version"):
                        name, version = record["metadata"]["name"], tuple(map(int, text.split(".")))
                        assert version >= highest.get(name, version), f"{name} went back to {version}"
                        highest[name] = version
                await asyncio.sleep(0.1)

        watching = asyncio.create_task(watch())
        try:
            yield
            assert highest
            assert not watching.done(), watching.exception()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def configured(folder: Path, url: str) -> Path:
    path = folder / "alertmanager.yml"
    path.write_text(CONFIGURATION.format(url=url))
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def twins(
    kube_one: KubeControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Twins]:
    folder = tmp_path_factory.mktemp("twins")
    async with webhook() as receiver, kube_one.client() as member:
        await forget_agents(member)
        configuration = configured(folder, receiver.url)
        async with running_circle(settings={"MUSTER_ALERTS_CONFIG": str(configuration)}) as circle:
            doors = {name: f"http://127.0.0.1:{free_port()}" for name in (CLUSTER, TWIN)}
            load = MemberLoad(circle, receiver, (CLUSTER,), doors, member=member)
            arguments = ["--kubeconfig", str(kube_one.kubeconfig), *QUICK, "--keys-secret", "twin-keys"]
            made = Twins(circle, member, load, arguments)
            await made.start(CLUSTER, circle.installation.invite(circle.client, CLUSTER, {}))
            await circle.until_ready(CLUSTER)
            await made.start(TWIN, [])
            yield made
        await forget_agents(member)
        await member.delete(f"/api/v1/namespaces/{NAMESPACE}")
        await member.delete("/api/v1/namespaces/muster-system/secrets/twin-keys")


@pytest.mark.promise(1, 3, 4)
async def test_one_of_two_agents_is_stopped_still_and_wakes_up(twins: Twins) -> None:
    await twins.until_acts(CLUSTER)
    async with twins.watched(), twins.load.running():
        pid = twins.circle.programs[CLUSTER].pid
        os.kill(pid, signal.SIGSTOP)
        await twins.until_acts(TWIN)
        await twins.load.goes_on(TWIN)
        os.kill(pid, signal.SIGCONT)
        await twins.load.goes_on()
        assert await twins.holder() in (CLUSTER, TWIN)
        await twins.load.all_carried_out()
        await twins.load.all_told()


@pytest.mark.promise(1, 3, 4)
async def test_the_one_that_acts_is_killed_and_the_other_goes_on(twins: Twins) -> None:
    await eventually("one acts", twins.holder)
    async with twins.watched(), twins.load.running():
        acting = await twins.holder()
        other = TWIN if acting == CLUSTER else CLUSTER
        twins.circle.programs[acting].kill()
        await twins.until_acts(other)
        await twins.load.goes_on(other)
        await twins.start(acting, [])
        await twins.load.goes_on()
        # What the dead one had accepted lies on its own disk: it is let in to bring it, though the other goes
        # on taking alerts.
        await twins.load.all_told()
        await twins.load.all_carried_out()
