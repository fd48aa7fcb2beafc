"""An installation whose servers are the test's own: NATS and Postgres beside the centre, ways that can be
cut, clocks that can be set off, and a load that goes on meanwhile. One a session; each test leaves it whole.
"""

import json
import shutil
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agents.simulated import SimulatedCluster
from controlplane.cli.demo.installation import Installation
from controlplane.embedded import EmbeddedNats, EmbeddedPostgres
from controlplane.embedded.processes import ServerProcess, free_port
from controlplane.identity import keys as key_folder
from controlplane.identity.server_configuration import Trust
from schemas.wire.orders import ObjectRef
from schemas.wire.subjects import Subjects
from tests.circle import QUICK_SIMULATED, Circle, deployment, open_folder, workload
from tests.crash.clocks import Clocks
from tests.crash.disks import Disk, NoDisk
from tests.crash.load import Load
from tests.crash.proxy import Way
from tests.peers.debian import NoPeers
from tests.served import Webhook, webhook

CLUSTERS = ("north", "south")
STEADY = "steady"
CONFIGURATION = """
route: {{receiver: ops, group_by: ['...'], group_wait: 200ms, group_interval: 2s, repeat_interval: 24h}}
receivers:
  - name: ops
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""
CENTRE_SETTINGS = {"MUSTER_LEASE_SECONDS": "1.5"}


@dataclass
class Fire(Circle):
    """ways: of each agent to NATS. clocks: None where libfaketime cannot be had."""

    ways: dict[str, Way] = field(default_factory=dict[str, Way])
    doors: dict[str, str] = field(default_factory=dict[str, str])
    clocks: Clocks | None = None
    why_no_clocks: str = ""

    async def start_centre(
        self, failpoints: str = "", settings: Mapping[str, str] | None = None
    ) -> ServerProcess:
        return await super().start_centre(failpoints, {**self._clock("centre"), **(settings or {})})

    async def start_agent(
        self, cluster: str, *, failpoints: str = "", more: list[str] | None = None
    ) -> ServerProcess:
        environment = {"MUSTER_FAILPOINTS": failpoints, **self._clock(cluster)}
        arguments = ["--simulate", "edge", "--seed", str(CLUSTERS.index(cluster)), *QUICK_SIMULATED]
        arguments += ["--alerts-listen", self.doors[cluster].removeprefix("http://")]
        self.programs[cluster] = await self.installation.start_agent(
            cluster, [*arguments, *(more or [])], environment
        )
        return self.programs[cluster]

    def _clock(self, program: str) -> dict[str, str]:
        return self.clocks.environment(program) if self.clocks is not None else {}

    async def join_all(self) -> None:
        for name in CLUSTERS:
            await self.join(name, [])
            # From now on by a way of its own.
            await self.programs[name].stop()
            path = self.state(name) / "membership.json"
            membership = json.loads(path.read_text())
            membership["nats_urls"] = [f"nats://127.0.0.1:{self.ways[name].port}"]
            path.write_text(json.dumps(membership))
            await self.start_agent(name)
        await self.until_ready(*CLUSTERS)
        self.apply(workload(STEADY, deployment(STEADY, STEADY, 4)))
        await self.until_running(STEADY)

    async def delete_by_hand(self, cluster: str, ref: ObjectRef) -> None:
        """Of an object, while nobody watches; then the agent, which runs the simulation, begins anew."""
        await self.programs[cluster].stop()
        simulated = SimulatedCluster(self.state(cluster) / "cluster.sqlite", "edge")
        try:
            simulated.remove(ref)
        finally:
            simulated.close()
        await self.start_agent(cluster)

    def steady_pods(self) -> dict[str, set[str]]:
        return {name: set(self.pods(name, STEADY)) for name in CLUSTERS}


class RoomyNats(EmbeddedNats):
    """Promises its streams more than its disk has. Of itself it promises three quarters of what is free."""

    def _configuration(self, port: int) -> str:
        return super()._configuration(port).replace("jetstream {", "jetstream {\n  max_file_store: 8GB")


@dataclass
class UnderFire:
    """All of it, and what nobody but the test has in hand. disks: of `nats`, of the spool of `north`."""

    circle: Fire
    nats: EmbeddedNats
    postgres: EmbeddedPostgres
    webhook: Webhook
    disks: dict[str, Disk]
    why_no_disks: str = ""

    def load(self) -> Load:
        doors = {**self.circle.doors, "centre": self.circle.installation.url}
        return Load(self.circle, self.webhook, CLUSTERS, doors)

    @asynccontextmanager
    async def fault(self) -> AsyncGenerator[Load]:
        """Break something in the block, under load, and mend it; afterwards nothing that was accepted is
        lost, and what ran ran on."""
        pods = self.circle.steady_pods()
        load = self.load()
        async with load.running():
            yield load
            await load.goes_on()
        await self.circle.until_ready(*CLUSTERS)
        await load.all_carried_out()
        await load.all_told()
        assert self.circle.steady_pods() == pods, "what runs goes on"


@asynccontextmanager
async def under_fire() -> AsyncGenerator[UnderFire]:
    folder = open_folder()
    home = folder / "centre"
    home.mkdir(mode=0o755)
    own = key_folder.load_or_init(home / "keys")
    nats = RoomyNats(home / "nats", Trust.of(own, (Subjects(),), int(time.time())))
    disks, why_no_disks = _disks(folder, nats)
    postgres = EmbeddedPostgres(home / "postgres", durable=True)
    try:
        async with nats, postgres, webhook() as receiver:
            configuration = home / "alertmanager.yml"
            configuration.write_text(CONFIGURATION.format(url=receiver.url))
            port = free_port()
            installation = Installation(
                folder,
                port=port,
                centre_environment={
                    **CENTRE_SETTINGS,
                    "MUSTER_NATS_URL": nats.url,
                    "MUSTER_POSTGRES_DSN": await postgres.ensure_database("muster"),
                    "MUSTER_ALERTS_CONFIG": str(configuration),
                    # There /api/v2 is open to whoever posts alerts.
                    "MUSTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{port}",
                },
            )
            with installation.client() as client:
                circle = Fire(installation, client)
                try:
                    await _begin(circle, nats)
                    made = UnderFire(circle, nats, postgres, receiver, disks, why_no_disks)
                    yield made
                    postgres = made.postgres
                finally:
                    await installation.stop()
                    await postgres.stop()
                    for way in circle.ways.values():
                        await way.close()
    finally:
        for disk in disks.values():
            disk.unmount()
        shutil.rmtree(folder, ignore_errors=True)


def _disks(folder: Path, nats: EmbeddedNats) -> tuple[dict[str, Disk], str]:
    """And why there are none."""
    disks: dict[str, Disk] = {}
    state = folder / "agents" / "north" / "state"
    try:
        disks["nats"] = Disk.mounted(nats.folder / "jetstream", mebibytes=96)
        disks["north"] = Disk.mounted(folder / "disk-of-north", mebibytes=24)
    except NoDisk as reason:
        return disks, str(reason)
    state.mkdir(mode=0o700, parents=True)
    (state / "spool.sqlite").symlink_to(disks["north"].folder / "spool.sqlite")
    return disks, ""


async def _begin(circle: Fire, nats: EmbeddedNats) -> None:
    try:
        circle.clocks = Clocks.at(circle.installation.folder / "clocks")
    except NoPeers as reason:
        circle.why_no_clocks = str(reason)
    for name in CLUSTERS:
        circle.ways[name] = Way(nats.port)
        await circle.ways[name].open()
        circle.doors[name] = f"http://127.0.0.1:{free_port()}"
    await circle.start_centre()
    await circle.join_all()
