"""Alerting put together for one process: its configuration, its board, its part in who leads."""

import asyncio
import random
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from controlplane.alert_files import load_configuration, load_text
from controlplane.alerts.board import Board
from controlplane.alerts.compile import ConfigurationError, Problem
from controlplane.alerts.configuration import Configuration
from controlplane.alerts.templates import TemplateFaults, Templates
from controlplane.api.ports import AlertHistory, Reloaded
from controlplane.api.ports import Alerting as AlertingDoors
from controlplane.known.known import Known
from controlplane.known.owning import Owners
from controlplane.known.records import Lease
from controlplane.loops import holding as holding_loop
from controlplane.loops import ruling as ruling_loop
from controlplane.loops.alert_metrics import AlertMetrics
from controlplane.loops.alert_ports import AlertStore, Channels, DeadMansSwitch
from controlplane.loops.alerting import Alerting, AlertingPorts
from controlplane.loops.board_following import BoardFollower
from controlplane.loops.holding import Holding
from controlplane.loops.leadership import Leadership
from controlplane.loops.notifying import Leading
from controlplane.loops.ports import Clock, Store
from controlplane.loops.ruling import RuleMemory, Ruling
from controlplane.loops.running import LoopMetrics, Wake, keep_running
from controlplane.template_files import load_templates

log = structlog.get_logger()

ROLE = "alerting"
NOBODY_HEARS = b"route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


class AlertsConfiguration:
    """The file as it was last read whole; without a file one receiver that tells nobody."""

    def __init__(self, path: Path | None, metrics: AlertMetrics, now: Callable[[], float]) -> None:
        """Raises ConfigurationError: a process does not begin with a file that it does not understand."""
        self.path = path
        self._metrics = metrics
        self._now = now
        self.current, self.templates = _read(path)
        self._reading = asyncio.Lock()
        self.on_change: list[Callable[[Configuration, Templates], None]] = []
        self._took()

    async def reload(self) -> Reloaded:
        """What is wrong keeps what was there."""
        if self.path is None:
            return Reloaded(("there is no file to reload: the service was started without --alerts-config",))
        async with self._reading:
            try:
                read, templates = await asyncio.to_thread(_read, self.path)
            except ConfigurationError as error:
                self._metrics.loaded.set(0)
                errors = tuple(f"{self.path}:{problem}" for problem in error.problems)
                for each in errors:
                    log.error("alerts_config_refused", error=each)
                log.error("alerts_config_kept", file=str(self.path), errors=len(errors))
                return Reloaded(errors)
            self.current, self.templates = read, templates
            for changed in self.on_change:
                changed(read, templates)
            self._took()
            return Reloaded()

    def _took(self) -> None:
        self._metrics.loaded.set(1)
        self._metrics.loaded_at.set(self._now())
        if self.path is None:
            log.warning("no_alerts_config", detail="alerts are kept and listed, and nobody is told of them")
        else:
            receivers = len(self.current.receivers)
            log.info("alerts_config_loaded", file=str(self.path), receivers=receivers)


def _read(path: Path | None) -> tuple[Configuration, Templates]:
    configuration = load_text(NOBODY_HEARS, Path()) if path is None else load_configuration(path)
    try:
        return configuration, load_templates(configuration)
    except TemplateFaults as error:
        problems = [Problem(1, "templates", str(fault)) for fault in error.faults]
        raise ConfigurationError(problems) from error


@dataclass(frozen=True)
class AlertServicePorts:
    """known: whose an alert is, and what rules look at; until it is loaded, this process decides nothing.

    notifies: whether it ever decides anything, or only follows. draw: of [0, 1), for delays of retries.
    """

    store: Store
    alerts: AlertStore
    history: AlertHistory
    channels: Channels
    switch: DeadMansSwitch
    clock: Clock
    metrics: AlertMetrics
    loop_metrics: LoopMetrics
    rules: RuleMemory
    known: Known
    holder: str
    lease_seconds: float
    notifies: bool = True
    draw: Callable[[], float] = random.random


class AlertService:
    """Composed once, run once."""

    def __init__(self, ports: AlertServicePorts, configuration: AlertsConfiguration) -> None:
        self._ports = ports
        self.configuration = configuration
        self._owners = Owners(ports.known)
        self.follower = BoardFollower(ports.alerts, self._new_board, ports.metrics, ports.loop_metrics)
        self.leadership = Leadership(
            ports.store,
            self._lead,
            role=ROLE,
            holder=ports.holder,
            ttl_seconds=ports.lease_seconds,
            may_lead=lambda: ports.notifies and self.follower.loaded and ports.known.loaded,
        )
        configuration.on_change.append(self._reconfigure)
        self.follower.on_loaded.append(self._catch_up)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.follower.run())
            group.create_task(self.leadership.run())

    def doors(self, *, open_api: bool) -> AlertingDoors:
        """What the API is given."""
        return AlertingDoors(
            board=lambda: self.follower.board,
            append=self.follower.append,
            history=self._ports.history,
            channels=self._ports.channels,
            reload=self.configuration.reload,
            configuration=lambda: self.configuration.current,
            leads=lambda: self.leadership.lease is not None,
            new_id=lambda: str(uuid.uuid4()),
            started_at=self._ports.clock.now(),
            open=open_api,
        )

    def _new_board(self, leads: bool) -> Board:
        return Board(self.configuration.current, self._owners.of, leads=leads)

    def _catch_up(self, board: Board) -> None:
        """A file may have been reloaded while the board was."""
        if board.configuration is not self.configuration.current:
            board.reconfigure(self.configuration.current, self._ports.clock.now())

    def _reconfigure(self, read: Configuration, _: Templates) -> None:
        self.follower.board.reconfigure(read, self._ports.clock.now())

    async def _lead(self, lease: Lease) -> None:
        ports = self._ports
        alerting = Alerting(
            AlertingPorts(
                store=ports.alerts,
                channels=ports.channels,
                switch=ports.switch,
                clock=ports.clock,
                metrics=ports.metrics,
                configuration=lambda: self.configuration.current,
                draw=ports.draw,
                beside=self._beside,
                loops=ports.loop_metrics,
            ),
            self.follower,
            Leading(lease, lambda: self.leadership.holds(lease)),
        )
        await alerting.run()

    def _beside(self, lease: Lease) -> Sequence[Coroutine[Any, Any, None]]:
        """What else appends to the log, for this epoch."""
        ports, append = self._ports, self.follower.append
        ruling = Ruling(ports.rules, ports.known, append, ports.clock, lease)
        holding = Holding(ports.known, lambda: self.follower.board.alerts, append, ports.clock)
        passes = (
            ("rules", ruling.run_pass, ruling_loop.PASS_SECONDS),
            ("holding", holding.run_pass, holding_loop.PASS_SECONDS),
        )
        return [
            keep_running(name, run_pass, Wake(), ports.loop_metrics, period_seconds=period_seconds)
            for name, run_pass, period_seconds in passes
        ]
