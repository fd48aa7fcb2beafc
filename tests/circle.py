"""A running circle for tests: the real centre (with its NATS and Postgres) and agents, each a process.

What a test waits for it polls, within a bound; when the bound is over it says what was seen last.
"""

import asyncio
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest_asyncio
from nats.aio.client import Client as NatsClient

from agents.bus import Identity
from agents.bus import NatsBus as AgentBus
from agents.simulated import SimulatedCluster
from controlplane.alerts.entry import Arrived
from controlplane.bus import Credentials, NatsBus
from controlplane.bus.session import Session
from controlplane.cli.demo.installation import Installation
from controlplane.client import Client, Refused, Unreachable
from controlplane.embedded.processes import ServerProcess, free_port
from controlplane.identity import accounts, keys
from controlplane.store.alert_codec import entry_of
from schemas.wire.codec import decode
from schemas.wire.orders import Order, Version
from schemas.wire.subjects import Subjects
from tests.reading import HeldConnection

BOUND_SECONDS = 60.0
POLL_SECONDS = 0.05
QUICK = (
    *("--beat-seconds", "0.5", "--report-seconds", "0.1", "--namespaces-seconds", "0.5"),
    *("--lease-seconds", "2", "--tick-seconds", "0.1"),
)
"""An agent that says at once what happened: nothing else is different from the usual one."""
QUICK_SIMULATED = (*QUICK, "--lease-seconds", "1", "--ready-seconds", "0.4", "--termination-seconds", "0.2")
"""And in a cluster where things happen at once: whoever writes to it is on the same disk."""

UNEQUAL = """
with entered as (
    select tenant, workload, cluster, flavor, resource, cause = 'Drifted' as drift, sum(amount) as amount
    from ledger group by 1, 2, 3, 4, 5, 6
)
select * from entered full join balance using (tenant, workload, cluster, flavor, resource, drift)
where coalesce(entered.amount, 0) <> coalesce(balance.amount, 0)
"""
"""Where the ledger of quota does not come to the balances."""

T = TypeVar("T")
Object = dict[str, Any]


async def eventually(
    what: str,
    look: Callable[[], T | Awaitable[T]],
    holds: Callable[[T], Any] = bool,
    bound_seconds: float = BOUND_SECONDS,
) -> T:
    """What `look` gives once `holds` of it is true. The API being away, or not yet knowing, is no answer."""
    deadline = time.monotonic() + bound_seconds
    seen: object = "nothing"
    while True:
        try:
            found = look()
            value = await found if isinstance(found, Awaitable) else found
            seen = value
            if holds(value):
                return value
        except (Refused, Unreachable) as error:
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {bound_seconds:g} s: {what}. Seen last: {seen!r}"[:4000])
        await asyncio.sleep(POLL_SECONDS)


@dataclass
class Circle:
    """One installation; agents by the name of their cluster."""

    installation: Installation
    client: Client
    subjects: Subjects = field(default_factory=Subjects)
    programs: dict[str, ServerProcess] = field(default_factory=dict[str, ServerProcess])
    _arguments: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def __post_init__(self) -> None:
        self._database = HeldConnection(self._dsn)

    # Programs: started, killed, found dead.

    async def start_centre(
        self, failpoints: str = "", settings: Mapping[str, str] | None = None
    ) -> ServerProcess:
        """Returns once the API answers; the fleet is read a little later."""
        environment = {"MUSTER_FAILPOINTS": failpoints, **(settings or {})}
        self.programs["centre"] = await self.installation.start_centre(environment)
        return self.programs["centre"]

    async def restart_centre(self, failpoints: str = "", settings: Mapping[str, str] | None = None) -> None:
        await self.programs["centre"].stop()
        await self.start_centre(failpoints, settings)

    async def join(
        self,
        cluster: str,
        arguments: list[str],
        labels: Mapping[str, str] | None = None,
        failpoints: str = "",
    ) -> None:
        """An agent of a new cluster; returns once the centre places there."""
        quick = QUICK_SIMULATED if "--simulate" in arguments else QUICK
        self._arguments[cluster] = [*arguments, *quick]
        invitation = self.installation.invite(self.client, cluster, labels or {})
        await self.start_agent(cluster, failpoints=failpoints, more=invitation)
        await self.until_ready(cluster)

    async def leave(self, cluster: str) -> None:
        """The operator takes the cluster out; its agent is stopped."""
        await self.programs.pop(cluster).stop()
        del self._arguments[cluster]
        self.client.delete(f"/clusters/{cluster}")

    async def start_agent(
        self, cluster: str, *, failpoints: str = "", more: list[str] | None = None
    ) -> ServerProcess:
        self.programs[cluster] = await self.installation.start_agent(
            cluster, [*self._arguments[cluster], *(more or [])], {"MUSTER_FAILPOINTS": failpoints}
        )
        return self.programs[cluster]

    async def killed_itself(self, program: str) -> None:
        """The failpoint was reached."""
        process = self.programs[program]
        await eventually(f"{program} dies at its failpoint", lambda: not process.running)

    async def restore_programs(self) -> None:
        """Start what is dead; what lives on with a failpoint armed would die in a later test: anew, too."""
        for name, process in list(self.programs.items()):
            if process.running and not process.environment.get("MUSTER_FAILPOINTS"):
                continue
            await process.stop()
            await (self.start_centre() if name == "centre" else self.start_agent(name))
        await self.until_ready(*self._arguments)

    async def until_ready(self, *clusters: str) -> None:
        for name in clusters:
            await eventually(
                f"{name} is placed on", partial(self.cluster, name), lambda row: row["status"] == "Ready"
            )

    # What the API says.

    def cluster(self, name: str) -> Object:
        return self.client.get(f"/clusters/{name}").body

    def apply(self, manifest: Object) -> Object:
        kind, name = manifest["kind"].lower(), manifest["metadata"]["name"]
        return self.client.put(f"/{kind}s/{name}", manifest).body

    def workload(self, name: str) -> Object:
        """status, manifest, placements."""
        return self.client.get(f"/workloads/{name}").body

    def placement(self, workload: str, cluster: str) -> Object:
        """{} while there is none."""
        rows = self.workload(workload)["placements"]
        return next((row for row in rows if row["cluster"] == cluster), {})

    async def until_running(self, name: str, revision: int = 0) -> Object:
        """Every cluster says that it runs as ordered; revision: at least this one."""
        return await eventually(
            f"{name} runs",
            lambda: self.workload(name),
            lambda seen: (
                seen["status"]["state"] == "Running"
                and seen["status"]["revision"] >= revision
                and seen["status"]["ready"] == seen["status"]["replicas"]
            ),
        )

    async def delete(self, name: str) -> None:
        """Withdrawn, and nothing of it is reported any more."""
        self.client.delete(f"/workloads/{name}")
        await self.until_gone(name)

    async def until_gone(self, name: str) -> None:
        await eventually(
            f"{name} is gone everywhere",
            lambda: list(self.client.pages("/placements", filter=f"workload={name}")),
            lambda rows: not rows,
        )

    # What lies in the streams and in Postgres.

    @property
    def home(self) -> Path:
        return self.installation.folder / "centre"

    @property
    def nats_url(self) -> str:
        return f"nats://127.0.0.1:{(self.home / 'nats' / 'port').read_text().strip()}"

    @asynccontextmanager
    async def bus(self) -> AsyncGenerator[NatsBus]:
        """The centre's own account."""
        bus = NatsBus([self.nats_url], keys.load(self.home / "keys"), self.subjects, time.time)
        try:
            yield bus
        finally:
            await bus.close()

    @asynccontextmanager
    async def nats(self) -> AsyncGenerator[NatsClient]:
        """The same account, past our own bus."""
        own = keys.load(self.home / "keys")
        user_jwt = accounts.service_user_jwt(own.centre_account, own.centre_user, "test", int(time.time()))
        session = Session([self.nats_url], Credentials(user_jwt, own.centre_user), "test")
        try:
            yield await session.client()
        finally:
            await session.close()

    async def orders_published(self) -> int:
        """The last sequence of ORDERS: it grows with every order that is published, and with nothing else."""
        async with self.nats() as client:
            info = await client.jetstream().stream_info(self.subjects.orders_stream)
        return info.state.last_seq

    @asynccontextmanager
    async def bus_of_agent(self, cluster: str) -> AsyncGenerator[AgentBus]:
        """The agent's own account, beside the agent: what it may say, a broken agent may say, too."""
        state = self.state(cluster)
        membership = json.loads((state / "membership.json").read_text())
        seed = json.loads((state / "keys.json").read_text())["user_seed"]
        identity = Identity(membership["cluster_id"], membership["user_jwt"], seed)
        bus = AgentBus([self.nats_url], identity, self.subjects)
        try:
            yield bus
        finally:
            await bus.close()

    def cluster_id(self, cluster: str) -> str:
        return json.loads((self.state(cluster) / "membership.json").read_text())["cluster_id"]

    async def order(self, cluster: str, workload: str) -> tuple[int, Order | None]:
        """(sequence, order) that ORDERS holds for a workload's uid."""
        async with self.bus() as bus:
            stored = await bus.last_order(self.cluster_id(cluster), workload)
        return (0, None) if stored is None else (stored.sequence, decode(Order, stored.body))

    async def rows(self, query: str, *arguments: object) -> list[Object]:
        """Of the centre's database."""
        return await self._database.rows(query, *arguments)

    def _dsn(self) -> str:
        postgres = self.home / "postgres"
        password, port = (postgres / "password").read_text().strip(), (postgres / "port").read_text().strip()
        return f"postgresql://muster:{quote(password)}@127.0.0.1:{port}/muster"

    def close(self) -> None:
        """What is held of the centre's servers."""
        self._database.close()

    # What lies in a simulated cluster, read from its file: also while its agent is dead.

    def state(self, cluster: str) -> Path:
        return self.installation.folder / "agents" / cluster / "state"

    def objects(self, cluster: str, plural: str, namespace: str) -> dict[str, Object]:
        """By name."""
        with _reading(self.state(cluster) / "cluster.sqlite") as db:
            rows = db.execute(
                "select name, body from object where plural = ? and namespace = ?", (plural, namespace)
            ).fetchall()
        return {name: json.loads(body) for name, body in rows}

    def recorded(self, cluster: str, workload: str) -> Version:
        """The version that the agent has recorded; (0, 0) for none."""
        record = self.objects(cluster, "configmaps", "muster-system").get(f"order-{workload}")
        if record is None:
            return Version(0, 0)
        epoch, _, generation = record["data"]["version"].partition(".")
        return Version(int(epoch), int(generation))

    def pods(self, cluster: str, namespace: str) -> dict[str, str]:
        """uid to phase, without those that are going."""
        return {
            pod["metadata"]["uid"]: pod["status"]["phase"]
            for pod in self.objects(cluster, "pods", namespace).values()
            if "deletionTimestamp" not in pod["metadata"]
        }

    async def set_node(self, cluster: str, node: str, *, down: bool) -> None:
        """The kubelet falls silent, or is back; the agent, which runs the simulation, is started anew."""
        await self.programs[cluster].stop()
        simulated = SimulatedCluster(self.state(cluster) / "cluster.sqlite", "edge")
        try:
            (simulated.node_down if down else simulated.node_up)(node)
        finally:
            simulated.close()
        await self.start_agent(cluster)

    async def alerts(self, cluster: str) -> list[Object]:
        """Of a cluster's alerts what was committed lately, in order: id of the entry, name, node, whether it
        is their end."""
        rows = await self.rows("select id, kind, body from alert_log order by id")
        entries = [(row["id"], entry_of(row["kind"], row["body"])) for row in rows]
        return [
            {
                "entry": number,
                "name": alert.identity["alertname"],
                "node": alert.identity.get("node"),
                "ended": alert.ends_at <= entry.at,
            }
            for number, entry in entries
            if isinstance(entry, Arrived)
            for alert in entry.alerts
            if alert.source == self.cluster_id(cluster)
        ]

    def spooled(self, cluster: str) -> int:
        """Batches of alerts that wait for the centre."""
        with _reading(self.state(cluster) / "spool.sqlite") as db:
            return db.execute("select count(*) from alert").fetchone()[0]


def open_folder() -> Path:
    """One that `nobody` may enter, unlike pytest's own: Postgres does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="muster-circle-"))
    folder.chmod(0o755)
    return folder


@asynccontextmanager
async def running_circle(
    *, durable: bool = False, settings: Mapping[str, str] | None = None
) -> AsyncGenerator[Circle]:
    """A centre without clusters. durable: where Postgres is killed, too. settings: MUSTER_* of the centre."""
    folder = open_folder()
    # A centre that was killed leaves its lease behind, and the next one waits for its end.
    environment = {"MUSTER_LEASE_SECONDS": "1.5", **(settings or {})}
    installation = Installation(folder, durable=durable, port=free_port(), centre_environment=environment)
    try:
        with installation.client() as client:
            circle = Circle(installation, client)
            try:
                await circle.start_centre()
                yield circle
            finally:
                circle.close()
    finally:
        await installation.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _reading(path: Path) -> closing[sqlite3.Connection]:
    """A SQLite file that another process writes."""
    return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_circle() -> AsyncGenerator[Circle]:
    """Two simulated clusters, `east` and `west`, on a Postgres that may be killed."""
    async with running_circle(durable=True) as circle:
        for seed, name in enumerate(("east", "west")):
            await circle.join(name, ["--simulate", "edge", "--seed", str(seed)])
        yield circle


@pytest_asyncio.fixture
async def crash_circle(shared_circle: Circle) -> AsyncGenerator[Circle]:
    """All of it runs, before the test and for the next one."""
    yield shared_circle
    await shared_circle.restore_programs()


# Manifests.


def deployment(name: str, namespace: str, replicas: int, image: str = "registry.example/web:1") -> Object:
    labels = {"app": name}
    container = {
        "name": "main",
        "image": image,
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def config_map(name: str, namespace: str, **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def workload(name: str, *manifests: Object, **placement: Any) -> Object:
    """Divided evenly over all clusters unless `placement` says otherwise."""
    return {
        "apiVersion": "muster.dev/v1",
        "kind": "Workload",
        "metadata": {"name": name},
        "spec": {
            "placement": placement or {"replicaScheduling": {"replicaSchedulingType": "Divided"}},
            "manifests": list(manifests),
        },
    }


def only(*clusters: str) -> Object:
    """The placement that names its clusters."""
    return {"clusterAffinity": {"clusterNames": list(clusters)}}
