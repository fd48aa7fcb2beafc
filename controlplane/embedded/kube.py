"""A small real Kubernetes control plane on loopback.

etcd and kube-apiserver; where their binaries are there also kube-controller-manager, kube-scheduler and kwok,
so that Deployments become pods that run on pretended nodes.
"""

import asyncio
import secrets
import signal
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import msgspec

from controlplane.embedded.kube_assets import KubeAssets
from controlplane.embedded.kube_flags import (
    ControlPlaneLayout,
    api_server_command,
    controller_manager_command,
    etcd_command,
    kwok_command,
    scheduler_command,
)
from controlplane.embedded.kube_nodes import PretendedNode
from controlplane.embedded.processes import ServerDidNotStart, ServerProcess, free_port, port_answers

POLL_SECONDS = 0.05
NOT_READY_TAINT = "node.kubernetes.io/not-ready"
START_ATTEMPTS = 3
HTTP_OK = 200


@dataclass
class KubeControlPlane:
    """Starts in this order: etcd, API server, then the controllers; stops in the reverse order.

    The folder keeps what the API server stores: a second start in it finds the same objects under the same
    address and token. The servers end with the thread that started them.
    """

    folder: Path
    assets: KubeAssets
    timeout_seconds: float = 60.0
    layout: ControlPlaneLayout | None = field(default=None, init=False)
    _running: list[ServerProcess] = field(default_factory=list[ServerProcess], init=False)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return self._started().url

    @property
    def token(self) -> str:
        """The bearer token of an administrator."""
        return self._started().token

    @property
    def kubeconfig(self) -> Path:
        return self._started().kubeconfig

    @property
    def authority(self) -> Path:
        """PEM file with the certificate authority of the API server."""
        return self._started().authority

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the servers that were started, by the name of their binary."""
        return {server.name: server.pid for server in self._running}

    async def start(self) -> None:
        """Returns once the API server is ready and the controllers are started.

        Raises ServerDidNotStart with the last lines of the log of the server that failed; none is left then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self.timeout_seconds
        for attempt in range(1, START_ATTEMPTS + 1):
            layout = self.layout or ControlPlaneLayout(
                self.folder.absolute(), free_port(), free_port(), secrets.token_urlsafe(24)
            )
            try:
                await self._start(layout, deadline)
            except ServerDidNotStart as error:
                # A port that was free a moment ago may have been taken since; one in use before is kept.
                if attempt == START_ATTEMPTS or self.layout or "address already in use" not in str(error):
                    raise
            else:
                self.layout = layout
                return

    async def _start(self, layout: ControlPlaneLayout, deadline: float) -> None:
        assets = self.assets
        layout.write_tokens()
        try:
            await self._run("etcd", etcd_command(assets, layout), deadline, layout.etcd_port, signal.SIGTERM)
            await self._run("kube-apiserver", api_server_command(assets, layout), deadline, layout.api_port)
            await self._await_ready(layout, deadline)
            layout.write_kubeconfig()
            if assets.kube_controller_manager:
                command = controller_manager_command(assets.kube_controller_manager, layout)
                await self._run("kube-controller-manager", command, deadline)
            if assets.kube_scheduler:
                await self._run("kube-scheduler", scheduler_command(assets.kube_scheduler, layout), deadline)
            if assets.kwok:
                await self._run("kwok", kwok_command(assets.kwok, layout), deadline)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leaves no process. Does nothing when nothing runs."""
        while self._running:
            await self._running[-1].stop()
            self._running.pop()

    def client(self) -> httpx.AsyncClient:
        """An administrator's HTTP client with the API server as its base address; the caller closes it."""
        return _client(self._started())

    async def add_nodes(self, nodes: Iterable[PretendedNode], timeout_seconds: float = 30.0) -> None:
        """Create the nodes and wait until kwok has made each Ready and it can be scheduled on.

        Raises ServerDidNotStart when kwok does not get them ready in time, httpx.HTTPStatusError when the API
        server refuses one.
        """
        nodes = list(nodes)
        names = {node.name for node in nodes}
        async with self.client() as client:
            for node in nodes:
                answer = await client.post("/api/v1/nodes", json=node.manifest())
                answer.raise_for_status()
            deadline = time.monotonic() + timeout_seconds
            while waiting := names - await _schedulable(client):
                if time.monotonic() > deadline:
                    raise ServerDidNotStart(f"kwok did not make ready: {', '.join(sorted(waiting)[:5])}")
                await asyncio.sleep(POLL_SECONDS)

    async def _run(
        self,
        name: str,
        command: list[str],
        deadline: float,
        port: int | None = None,
        stop_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Only etcd keeps a state: the others may be killed, and stop faster so."""
        server = ServerProcess(
            name,
            command,
            self.folder,
            stop_signal,
            # kwok would read a personal configuration from the home folder as well.
            environment={"HOME": str(self.folder)},
        )
        ready: Callable[[], bool] = (lambda: port_answers(port)) if port else (lambda: server.running)
        await server.start(ready, deadline)
        self._running.append(server)

    async def _await_ready(self, layout: ControlPlaneLayout, deadline: float) -> None:
        server = self._running[-1]
        async with _client(layout) as client:
            while True:
                try:
                    if (await client.get("/readyz")).status_code == HTTP_OK:
                        return
                except httpx.TransportError:
                    pass
                if not server.running or time.monotonic() > deadline:
                    raise ServerDidNotStart(f"kube-apiserver did not become ready.\n{server.last_lines()}")
                await asyncio.sleep(POLL_SECONDS)

    def _started(self) -> ControlPlaneLayout:
        if self.layout is None:
            raise RuntimeError("the control plane was not started")
        return self.layout


def _client(layout: ControlPlaneLayout) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=layout.url,
        headers={"Authorization": f"Bearer {layout.token}"},
        verify=ssl.create_default_context(cafile=str(layout.authority)),
        trust_env=False,
        timeout=10.0,
    )


async def _schedulable(client: httpx.AsyncClient) -> set[str]:
    answer = await client.get("/api/v1/nodes")
    answer.raise_for_status()
    nodes = msgspec.json.decode(answer.content, type=_NodeList).items
    return {node.metadata.name for node in nodes if _is_schedulable(node)}


class _Metadata(msgspec.Struct):
    name: str


class _Taint(msgspec.Struct):
    key: str


class _Condition(msgspec.Struct):
    type: str
    status: str


class _NodeSpec(msgspec.Struct):
    taints: list[_Taint] = []


class _NodeStatus(msgspec.Struct):
    conditions: list[_Condition] = []


class _Node(msgspec.Struct):
    metadata: _Metadata
    spec: _NodeSpec
    status: _NodeStatus


class _NodeList(msgspec.Struct):
    items: list[_Node]


def _is_schedulable(node: _Node) -> bool:
    ready = any(
        condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions
    )
    return ready and not any(taint.key == NOT_READY_TAINT for taint in node.spec.taints)
