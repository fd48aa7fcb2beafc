"""The agent as a process: the only place where its parts meet real time, real files and a real bus."""

import asyncio
import gc
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from random import Random

import structlog

from agents import tracing
from agents.agent import Agent
from agents.alerts.accepting import Accepting
from agents.alerts.door import Door
from agents.alerts.events import BUILT_IN, EventRule, EventRulesFile
from agents.alerts.fallback import Fallback
from agents.alerts.fallback_file import BadFile, read_fallback_file, read_yaml
from agents.alerts.reaching import Reaching
from agents.alerts.watch import AlertRules
from agents.alerts.writing import Run, SpoolWriter
from agents.bus import Identity, NatsBus
from agents.clock import SteadyClock, SystemClock
from agents.intake import CAPABILITIES
from agents.joining import (
    CannotJoin,
    CentreAway,
    Joined,
    Keeping,
    StateFolder,
    join,
    known_membership,
    own_keys,
)
from agents.keys import OrderKeys
from agents.kube import KubernetesApi, find_access
from agents.metrics import AgentMetrics
from agents.observe.facts import Given
from agents.ports import Kube, KubeError
from agents.reserve import RESERVE_BYTES
from agents.settings import AgentSettings
from agents.shared_keys import SharedSecret
from agents.simulated import SimulatedCluster
from agents.simulation.kubelets import Pace
from agents.spool import Spool
from agents.term import Member, Periods
from agents.timing import Backoff, ended
from schemas.wire.subjects import Subjects

_log = structlog.get_logger()

COLLECT_AFTER = (50_000, 20, 50)
"""Python looks for cycles after so many new objects: at its own 700, among all that an agent keeps, that is a
seventh of the work of an order; at 10,000 still a tenth, most of it what is soon replaced."""


def configure_logging(level: str, *, as_json: bool) -> None:
    """structlog to standard error."""
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=os.fdopen(os.dup(2), "w", buffering=1)),
        cache_logger_on_first_use=True,
    )


async def run(settings: AgentSettings) -> None:
    """Until SIGTERM or SIGINT. Raises BadFile, CannotJoin and AccessError."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.create_task(_run(settings))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        _log.info("stopping")
    await ended(work, stopping)
    if not work.cancelled():
        work.result()


async def _run(settings: AgentSettings) -> None:
    clock, random = SystemClock(), Random()
    file = read_fallback_file(settings.fallback_file) if settings.fallback_file is not None else None
    events = _event_rules(settings)
    folder = StateFolder(settings.state_dir)
    async with AsyncExitStack() as stack:
        kube = await _open_cluster(settings, folder, stack)
        uid = await _cluster_uid(kube, clock, random)
        keeping = SharedSecret(kube, settings.keys_secret) if settings.keys_secret else folder
        joined = await _join(settings, keeping, uid, clock, random)
        membership = joined.membership
        structlog.contextvars.bind_contextvars(cluster=membership.cluster_id)
        subjects = Subjects(membership.prefix)
        identity = Identity(membership.cluster_id, membership.user_jwt, joined.keys.user_seed)
        bus = NatsBus(membership.nats_urls, identity, subjects)
        stack.push_async_callback(bus.close)
        spool = Spool(folder.path("spool.sqlite"), reserve_bytes=RESERVE_BYTES)
        stack.callback(spool.close)
        reaching = Reaching()
        stack.push_async_callback(reaching.close)
        keys = OrderKeys(
            membership.cluster_id, membership.order_key_bytes, bytes(joined.keys.sealing_private)
        )
        holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        namespaces = tuple(settings.namespaces)
        member = Member(
            membership.cluster_id, subjects, _given(settings), version("muster"), namespaces=namespaces
        )
        writer = SpoolWriter(spool, clock, _thread(stack))
        rules = _alert_rules(settings, kube, reaching, events)
        agent = Agent(
            member, kube, bus, SteadyClock(), random, keys, spool, holder, _periods(settings), writer, rules
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(_serve_alerts(settings, agent, writer, clock, random))
            if file is not None:
                group.create_task(Fallback(file, writer, clock, random, reaching.post).run())
            group.create_task(agent.run())


def _alert_rules(
    settings: AgentSettings, kube: Kube, reaching: Reaching, events: tuple[EventRule, ...]
) -> AlertRules:
    # What stands in a simulated cluster has no network.
    scrape = kube.scrape if isinstance(kube, SimulatedCluster) else reaching.scrape
    return AlertRules(events, settings.degraded_seconds, settings.gpu_seconds, scrape)


def _event_rules(settings: AgentSettings) -> tuple[EventRule, ...]:
    path = settings.event_rules_file
    return BUILT_IN if path is None else tuple(read_yaml(path, EventRulesFile).events)


def _thread(stack: AsyncExitStack) -> Run:
    """What waits for the disk does so in a thread of its own."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="spool")
    stack.callback(executor.shutdown)
    return partial(asyncio.get_running_loop().run_in_executor, executor)


async def _serve_alerts(
    settings: AgentSettings, agent: Agent, writer: SpoolWriter, clock: SystemClock, random: Random
) -> None:
    """Until cancelled. An address that is taken does not stop the agent: it is tried again."""
    address = settings.alerts_address
    if address is None:
        return
    door = Door(Accepting(writer, clock), clock, version=version("muster"), ready=lambda: agent.acting)
    door.page = AgentMetrics(writer.spool, lambda: agent.term, lambda: door.outcomes, clock.now).page
    backoff = Backoff(random)
    try:
        while True:
            try:
                await door.open(*address)
                await asyncio.Event().wait()
            except OSError as error:
                _log.error("alerts_door_shut", address=f"{address[0]}:{address[1]}", detail=str(error))
                await door.close()
                await clock.sleep(backoff.failed())
    finally:
        await door.close()


async def _open_cluster(settings: AgentSettings, folder: StateFolder, stack: AsyncExitStack) -> Kube:
    if settings.simulate is None:
        api = KubernetesApi(find_access(settings.kubeconfig, settings.context))
        stack.push_async_callback(api.close)
        return api
    pace = Pace(ready_seconds=settings.ready_seconds, termination_seconds=settings.termination_seconds)
    cluster = SimulatedCluster(
        folder.path("cluster.sqlite"), settings.simulate, settings.seed, nodes=settings.nodes, pace=pace
    )
    stack.callback(cluster.close)
    ticking = asyncio.create_task(_tick(cluster, settings.tick_seconds))
    stack.push_async_callback(ended, ticking)
    return cluster


async def _tick(cluster: SimulatedCluster, seconds: float) -> None:
    clock = SystemClock()
    while True:
        cluster.tick(clock.now())
        await clock.sleep(seconds)


async def _cluster_uid(kube: Kube, clock: SystemClock, random: Random) -> str:
    backoff = Backoff(random)
    while True:
        try:
            return await kube.cluster_uid()
        except KubeError as error:
            _log.warning("cluster_not_reached", detail=str(error))
            await clock.sleep(backoff.failed())


async def _join(
    settings: AgentSettings, keeping: Keeping, uid: str, clock: SystemClock, random: Random
) -> Joined:
    backoff = Backoff(random)
    while True:
        try:
            membership = await known_membership(keeping, uid)
            if membership is None:
                membership = await join(keeping, settings.join_url, settings.join_token, uid)
            return Joined(await own_keys(keeping), membership)
        except CentreAway as error:
            _log.warning("centre_away", detail=str(error))
        except KubeError as error:
            _log.warning("keys_not_kept", detail=str(error))
        await clock.sleep(backoff.failed())


def _given(settings: AgentSettings) -> Given:
    labels = tuple(sorted(settings.labels.items()))
    return Given(settings.provider, settings.region, labels, CAPABILITIES)


def _periods(settings: AgentSettings) -> Periods:
    return Periods(
        beat=settings.beat_seconds,
        report=settings.report_seconds,
        resync=settings.resync_seconds,
        metrics=settings.metrics_seconds,
        namespaces=settings.namespaces_seconds,
        lease=settings.lease_seconds,
        rights=settings.rights_seconds,
    )


def main(settings: AgentSettings) -> int:
    """The process's exit code."""
    configure_logging(settings.log_level, as_json=settings.log_json)
    tracing.configure("muster-agent")
    gc.set_threshold(*COLLECT_AFTER)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run(settings))
    except CannotJoin as error:
        _log.error("cannot_join", detail=str(error))
        return 2
    except BadFile as error:
        _log.error("bad_file", detail=str(error))
        return 2
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one (not on Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
