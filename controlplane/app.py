"""The composition root: settings in, adapters made, loops and API run, taken down in reverse."""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import structlog
import uvicorn
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from controlplane import tracing
from controlplane.access.tokens import Access, parse_tokens
from controlplane.alert_service import AlertsConfiguration, AlertService, AlertServicePorts
from controlplane.alerts.compile import ConfigurationError
from controlplane.api import create_api
from controlplane.api.ports import ApiDeps, NotReady, Reloaded
from controlplane.bus.adapter import NatsBus
from controlplane.bus.opening import Opening
from controlplane.channels.dead_mans_switch import HttpSwitch
from controlplane.channels.http import Http
from controlplane.channels.sending import AsyncChannels
from controlplane.embedded.nats import EmbeddedNats
from controlplane.embedded.postgres import EmbeddedPostgres
from controlplane.embedded.supervising import keep_up
from controlplane.identity import keys as key_folder
from controlplane.identity.keys import Keys
from controlplane.identity.order_keys import OrderKeys, SecretValues
from controlplane.identity.server_configuration import Trust
from controlplane.joining import Registrar
from controlplane.logging import configure_logging
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.leading import Centre, Ports
from controlplane.loops.running import LoopMetrics
from controlplane.rollout import LossRules
from controlplane.settings import Settings
from controlplane.store.store import PostgresStore
from schemas.wire.subjects import Subjects

log = structlog.get_logger()

COLLECT_AFTER = (10_000, 20, 50)
"""Python looks for cycles after so many new objects: at its own 700, among all that a centre keeps, that is a
seventh of the work of a placement."""


class WallClock:
    """Time as the machine has it."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ApiServer(uvicorn.Server):
    """Signals belong to the composition root: uvicorn's own handlers would end the API before the loops."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class CannotListen(Exception):
    """The address is none of ours, or somebody listens there."""


async def run(settings: Settings) -> None:
    """Until SIGINT or SIGTERM. Prints `Listening on address=HOST:PORT` to stderr once the API answers."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        await _compose(settings, stack, stopping)
        await stopping.wait()
        log.info("stopping")


async def _compose(settings: Settings, stack: AsyncExitStack, stopping: asyncio.Event) -> None:
    clock, registry = WallClock(), CollectorRegistry()
    loop_metrics, alert_metrics = LoopMetrics(registry), AlertMetrics(registry)
    configuration = AlertsConfiguration(settings.alerts_config, alert_metrics, clock.now)
    subjects = Subjects(settings.subject_prefix)
    keys = key_folder.load_or_init(settings.keys_folder)
    store = await _open_store(settings, stack, stopping)
    bus, nats_url = await _make_bus(settings, stack, stopping, keys, subjects, clock)
    opening = Opening(bus)
    holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    centre = Centre(
        Ports(
            store=store,
            bus=bus,
            clock=clock,
            signer=OrderKeys(keys),
            subjects=subjects,
            metrics=loop_metrics,
            holder=holder,
            lease_seconds=settings.lease_seconds,
            bus_opened=opening.wait,
            resolve_timeout_seconds=lambda: configuration.current.resolve_timeout_seconds,
            held_alerts=lambda: alerting.follower.board.held,
            loss_rules=LossRules(
                lost_seconds=settings.beat_lost_seconds,
                toleration_seconds=settings.unreachable_toleration_seconds,
                suspect_share=settings.suspect_share,
            ),
        )
    )
    listener = _listen(*settings.address)
    host, port = listener.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    external_url = settings.public_url or f"http://{address}"
    channels = AsyncChannels(configuration.current, configuration.templates, external_url, clock.now)
    stack.push_async_callback(channels.close)
    configuration.on_change.append(channels.reconfigure)
    http = Http("muster")
    stack.push_async_callback(http.close)
    alerting = AlertService(
        AlertServicePorts(
            store=store,
            alerts=store.alerting,
            history=store.alerting,
            channels=channels,
            switch=HttpSwitch(http, clock.now, holder),
            clock=clock,
            metrics=alert_metrics,
            loop_metrics=loop_metrics,
            rules=store.alerting,
            known=centre.known,
            holder=holder,
            lease_seconds=settings.lease_seconds,
        ),
        configuration,
    )
    registrar = Registrar(
        keys=keys,
        subjects=subjects,
        intent=store,
        seeds=store,
        admission=bus,
        nats_urls=(settings.nats_public_url or nats_url,),
        random_bytes=os.urandom,
        now=clock.now,
    )
    api = create_api(
        ApiDeps(
            known=centre.known,
            intent=store,
            changes=store,
            ledger=store,
            registrar=registrar,
            sealer=SecretValues(keys.master),
            access=_read_access(settings),
            clock=clock,
            not_ready=lambda: _not_ready(centre, opening, alerting),
            random_bytes=os.urandom,
            metrics=registry,
            public_url=external_url,
            alerting=alerting.doors(open_api=bool(settings.web_listen_address)),
        )
    )
    await _start(stack, "bus", opening.run(), stopping)
    await _start(stack, "centre", centre.run(), stopping)
    await _start(stack, "alerting", alerting.run(), stopping)
    _reload_on_hangup(configuration, stack)
    await _start(stack, "joining", registrar.readmit_silent(centre.known), stopping)
    server = ApiServer(
        uvicorn.Config(api, log_config=None, lifespan="off", timeout_graceful_shutdown=3, access_log=False)
    )
    serving = await _start(stack, "api", server.serve(sockets=[listener]), stopping)
    stack.push_async_callback(_stop_server, server, serving)
    await _wait_until(lambda: (server.started and alerting.follower.loaded) or stopping.is_set())
    if not stopping.is_set():
        print(f"Listening on address={address}", file=sys.stderr, flush=True)  # noqa: T201


async def _open_store(settings: Settings, stack: AsyncExitStack, stopping: asyncio.Event) -> PostgresStore:
    dsn = settings.postgres_dsn
    if not dsn:
        postgres = EmbeddedPostgres(settings.data_dir / "postgres", durable=settings.postgres_durable)
        await stack.enter_async_context(postgres)
        await _start(stack, "postgres", keep_up("postgres", postgres), stopping)
        dsn = await postgres.ensure_database("muster")
    return await stack.enter_async_context(PostgresStore(dsn, namespace=settings.namespace))


async def _make_bus(
    settings: Settings,
    stack: AsyncExitStack,
    stopping: asyncio.Event,
    keys: Keys,
    subjects: Subjects,
    clock: WallClock,
) -> tuple[NatsBus, str]:
    url = settings.nats_url
    if not url:
        trust = Trust.of(keys, (subjects,), int(clock.now()))
        nats = await stack.enter_async_context(EmbeddedNats(settings.data_dir / "nats", trust))
        await _start(stack, "nats", keep_up("nats", nats), stopping)
        url = nats.url
    bus = NatsBus(url.split(","), keys, subjects, clock.now)
    stack.push_async_callback(bus.close)
    return bus, url


def _listen(host: str, port: int) -> socket.socket:
    """host: "" for every interface."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise CannotListen(f"cannot listen on {host or '*'}:{port}: {error.strerror or error}") from error
    return listener


def _reload_on_hangup(configuration: AlertsConfiguration, stack: AsyncExitStack) -> None:
    loop = asyncio.get_running_loop()
    reloading: set[asyncio.Task[Reloaded]] = set()

    def reload() -> None:
        task = asyncio.create_task(configuration.reload())
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    stack.callback(loop.remove_signal_handler, signal.SIGHUP)


def _read_access(settings: Settings) -> Access:
    if not settings.tokens_path.exists():
        log.warning(
            "no_tokens", file=str(settings.tokens_path), detail="nobody may use /api/v1: muster token"
        )
        return Access()
    return parse_tokens(settings.tokens_path.read_text().splitlines())


def _not_ready(centre: Centre, opening: Opening, alerting: AlertService) -> Sequence[NotReady]:
    waits: list[NotReady] = []
    if opening.reason:
        waits.append(NotReady("bus", f"NATS: {opening.reason}; no agent is heard, alerts are served"))
    if not alerting.follower.loaded:
        waits.append(NotReady("alerts", "the log of alerts is being read"))
    if not centre.known.caught_up:
        waits.append(NotReady("streams", "STATE and USAGE are being replayed"))
    if not centre.known.loaded:
        waits.append(NotReady("records", "Postgres is being loaded, or another process leads"))
    return waits


async def _start(
    stack: AsyncExitStack, name: str, running: Coroutine[Any, Any, None], stopping: asyncio.Event
) -> "asyncio.Task[None]":
    """Run beside the others; when it ends by itself, everything ends."""
    task = asyncio.create_task(running, name=name)

    def ended(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("ended", part=name, exc_info=error)
        stopping.set()

    task.add_done_callback(ended)
    stack.push_async_callback(_cancel, task)
    return task


async def _wait_until(holds: Callable[[], bool]) -> None:
    """uvicorn tells of its start by a flag only."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _stop_server(server: ApiServer, serving: "asyncio.Task[None]") -> None:
    server.should_exit = True
    await asyncio.wait({serving}, timeout=5)


def main() -> None:
    """`python -m controlplane`; `muster serve` ends up here."""
    import uvloop

    try:
        settings = Settings()
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in ("MUSTER", *each["loc"])).upper()
            print(f"muster: {name}: {each['msg'].removeprefix('Value error, ')}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
    configure_logging(settings.log_format)
    tracing.configure("muster-centre")
    gc.set_threshold(*COLLECT_AFTER)
    try:
        uvloop.run(run(settings))
    except CannotListen as error:
        print(f"muster: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
    except ConfigurationError as error:
        print(f"muster: {settings.alerts_config} is not understood:\n{error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
