"""The composition root: settings in, adapters made, loops and API run, taken down in reverse."""

import asyncio
import gc
import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version

import structlog
from prometheus_client import CollectorRegistry

from controlplane import tracing
from controlplane.access.tokens import Access, parse_tokens
from controlplane.alert_service import AlertsConfiguration, AlertService, AlertServicePorts
from controlplane.alerts.compile import ConfigurationError
from controlplane.api import create_api, create_health
from controlplane.api.ports import ApiDeps, Reloaded
from controlplane.bus.adapter import NatsBus
from controlplane.bus.opening import BEING_OPENED, Opening
from controlplane.channels.dead_mans_switch import HttpSwitch
from controlplane.channels.http import Http
from controlplane.channels.sending import AsyncChannels
from controlplane.clock import SteadyClock, WallClock
from controlplane.engines import make_bus, open_store
from controlplane.examining import Examiner
from controlplane.identity import keys as key_folder
from controlplane.identity.keys import Keys
from controlplane.identity.order_keys import OrderKeys, SecretValues
from controlplane.joining import Registrar
from controlplane.known.replicas import Replica
from controlplane.listening import CannotListen, address_of, listen, serve
from controlplane.logging import configure_logging
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.centre import Centre
from controlplane.loops.centre_ports import Ports
from controlplane.loops.running import LoopMetrics, measure_lag
from controlplane.parts import Parts
from controlplane.presence import Presence
from controlplane.readiness import DEAF_SECONDS, Readiness, Standing
from controlplane.rollout import LossRules
from controlplane.settings import BadSettings, Settings, read_settings
from controlplane.store.store import PostgresStore
from schemas.wire.subjects import Subjects

log = structlog.get_logger()

COLLECT_AFTER = (10_000, 20, 50)
"""Python looks for cycles after so many new objects: at its own 700, among all that a centre keeps, that is a
seventh of the work of a placement."""


@dataclass(frozen=True)
class Ground:
    """What everything else stands on. holder: of leases, one a process start. url: of the API, for others."""

    settings: Settings
    parts: Parts
    keys: Keys
    subjects: Subjects
    store: PostgresStore
    bus: NatsBus
    nats_url: str
    holder: str
    url: str
    clock: WallClock
    registry: CollectorRegistry
    loop_metrics: LoopMetrics


async def run(settings: Settings) -> None:
    """Until SIGINT or SIGTERM. Prints `Listening on address=HOST:PORT` to stderr once the API answers."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        await _compose(settings, Parts(stack, stopping))
        await stopping.wait()
        log.info("stopping")


async def _compose(settings: Settings, parts: Parts) -> None:
    clock, registry = WallClock(), CollectorRegistry()
    alert_metrics = AlertMetrics(registry)
    configuration = AlertsConfiguration(settings.alerts_config, alert_metrics, clock.now)
    subjects, keys = Subjects(settings.subject_prefix), key_folder.load_or_init(settings.keys_folder)
    store = await open_store(settings, parts)
    bus, nats_url = await make_bus(settings, parts, keys, subjects, clock.now)
    listener = listen(*settings.address)
    address = address_of(listener)
    ground = Ground(
        settings=settings,
        parts=parts,
        keys=keys,
        subjects=subjects,
        store=store,
        bus=bus,
        nats_url=nats_url,
        holder=f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
        url=settings.public_url or f"http://{address}",
        clock=clock,
        registry=registry,
        loop_metrics=LoopMetrics(registry),
    )
    opening = Opening(bus)
    centre = Centre(_centre_ports(ground, opening, configuration, lambda: alerting))
    alerting = _alert_service(ground, configuration, alert_metrics, centre)
    registrar = _registrar(ground)
    presence = Presence(
        store,
        _replica(settings, address),
        silent_seconds=lambda: centre.reaching.silent_seconds,
        is_ready=lambda: readiness.is_ready,
    )
    readiness = Readiness(lambda: _standing(centre, opening, alerting, presence), registry)
    deps = _api_deps(ground, centre, readiness, alerting, registrar)
    application = create_api(deps) if settings.serves_api else create_health(deps)
    parts.start("bus", opening.run())
    parts.start("presence", presence.run())
    parts.start("centre", centre.run())
    parts.start("alerting", alerting.run())
    parts.start("lag", measure_lag(ground.loop_metrics))
    _reload_on_hangup(configuration, parts.stack)
    if settings.decides:
        parts.start("joining", registrar.readmit_silent(centre.known, lambda: ground.bus.returned_at))
    server = serve(application, listener, parts)
    if await parts.wait_until(lambda: server.started and alerting.follower.loaded and centre.known.loaded):
        print(f"Listening on address={address}", file=sys.stderr, flush=True)  # noqa: T201


def _centre_ports(
    ground: Ground,
    opening: Opening,
    configuration: AlertsConfiguration,
    alerting: Callable[[], AlertService],
) -> Ports:
    settings = ground.settings
    return Ports(
        store=ground.store,
        bus=ground.bus,
        clock=SteadyClock(),
        alerts_clock=ground.clock,
        signer=OrderKeys(ground.keys),
        subjects=ground.subjects,
        metrics=ground.loop_metrics,
        holder=ground.holder,
        lease_seconds=settings.lease_seconds,
        decides=settings.decides,
        bus_opened=opening.wait,
        bus_reached=ground.bus.reach,
        resolve_timeout_seconds=lambda: configuration.current.resolve_timeout_seconds,
        held_alerts=lambda: alerting().follower.board.held,
        loss_rules=LossRules(
            lost_seconds=settings.beat_lost_seconds,
            toleration_seconds=settings.unreachable_toleration_seconds,
            suspect_share=settings.suspect_share,
        ),
        surge_seconds=settings.surge_seconds,
        limits_lower_seconds=settings.limits_lower_seconds,
    )


def _alert_service(
    ground: Ground, configuration: AlertsConfiguration, metrics: AlertMetrics, centre: Centre
) -> AlertService:
    settings, store, clock, stack = ground.settings, ground.store, ground.clock, ground.parts.stack
    channels = AsyncChannels(configuration.current, configuration.templates, ground.url, clock.now)
    stack.push_async_callback(channels.close)
    configuration.on_change.append(channels.reconfigure)
    http = Http("muster")
    stack.push_async_callback(http.close)
    return AlertService(
        AlertServicePorts(
            store=store,
            alerts=store.alerting,
            history=store.alerting,
            channels=channels,
            switch=HttpSwitch(http, clock.now, ground.holder),
            clock=clock,
            metrics=metrics,
            loop_metrics=ground.loop_metrics,
            rules=store.alerting,
            known=centre.known,
            holder=ground.holder,
            lease_seconds=settings.lease_seconds,
            notifies=settings.notifies,
        ),
        configuration,
    )


def _registrar(ground: Ground) -> Registrar:
    return Registrar(
        keys=ground.keys,
        subjects=ground.subjects,
        intent=ground.store,
        seeds=ground.store,
        admission=ground.bus,
        nats_urls=tuple((ground.settings.nats_public_url or ground.nats_url).split(",")),
        random_bytes=os.urandom,
        now=ground.clock.now,
    )


def _api_deps(
    ground: Ground, centre: Centre, readiness: Readiness, alerting: AlertService, registrar: Registrar
) -> ApiDeps:
    store, settings = ground.store, ground.settings
    return ApiDeps(
        known=centre.known,
        intent=store,
        changes=store,
        ledger=store,
        registrar=registrar,
        sealer=SecretValues(ground.keys.master),
        access=_read_access(settings),
        clock=ground.clock,
        not_ready=readiness.found,
        random_bytes=os.urandom,
        metrics=ground.registry,
        public_url=ground.url,
        alerting=alerting.doors(open_api=bool(settings.web_listen_address)),
        doctor=Examiner(settings, centre.known, lambda: centre.leads),
    )


def _replica(settings: Settings, address: str) -> Replica:
    port = address.rpartition(":")[2]
    return Replica(
        f"{socket.gethostname()}:{port}", settings.loops, version("muster"), settings.replicas, hears=False
    )


def _standing(centre: Centre, opening: Opening, alerting: AlertService, presence: Presence) -> Standing:
    silent_seconds = centre.reaching.silent_seconds
    return Standing(
        is_loaded=centre.known.loaded,
        alerts_loaded=alerting.follower.loaded,
        is_caught_up=centre.known.caught_up,
        hears=silent_seconds <= DEAF_SECONDS,
        nats_tried=opening.reason not in ("", BEING_OPENED) or silent_seconds < float("inf"),
        nats_said=opening.reason,
        hearing=presence.hearing(),
        postgres_silent_seconds=centre.following.behind_seconds(),
    )


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


def main() -> None:
    """`python -m controlplane`; `muster serve` ends up here."""
    import uvloop

    try:
        settings = read_settings()
    except BadSettings as error:
        print(*(f"muster: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)  # noqa: T201
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
