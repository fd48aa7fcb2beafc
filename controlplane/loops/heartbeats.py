"""Heartbeats: alerts that must keep coming. One that stays away is an alert itself, said by the leader.

1. Of each entry that is applied, remember which heartbeat it is.
2. One not heard of for its time: HeartbeatMissing{heartbeat="NAME"} is appended, and said again every minute.
3. Heard of again: its end is appended.
4. When each was heard of last, or first expected, is kept: a leader that has just begun counts on from there.
   It waits for a minute before it says that one stays away: nobody may have listened until now.
"""

from collections.abc import Callable, Collection

import structlog

from controlplane.alerts.alert import Alert, Labels
from controlplane.alerts.configuration import Configuration, Heartbeat
from controlplane.alerts.entry import Arrived, Entry
from controlplane.alerts.fingerprint import fingerprint
from controlplane.known.records import Lease
from controlplane.loops.alert_ports import HeartbeatStore
from controlplane.loops.board_following import BoardFollower
from controlplane.loops.ports import Clock, StoreUnavailable

log = structlog.get_logger()

ALERTNAME = "HeartbeatMissing"
LOOK_SECONDS = 1.0
SAY_AGAIN_SECONDS = 60.0
GOOD_FOR_SECONDS = 240.0
LISTEN_SECONDS = 60.0
KEEP_SECONDS = 60.0
REMEMBERED = 65_536


class Heartbeats:
    """For one epoch of the leader."""

    def __init__(
        self,
        follower: BoardFollower,
        configuration: Callable[[], Configuration],
        clock: Clock,
        store: HeartbeatStore,
        lease: Lease,
    ) -> None:
        self._follower = follower
        self._store = store
        self._lease = lease
        self._kept: dict[str, float] = {}
        self._kept_at = 0.0
        self._configuration = configuration
        self._clock = clock
        self._began_at = clock.now()
        self._heard_at: dict[str, float] = {}
        self._said_at: dict[str, float] = {}
        self._missing: dict[str, Alert] = {}
        self._meant: dict[str, tuple[str, ...]] = {}
        self._meant_by: tuple[Heartbeat, ...] = ()

    def heard(self, entry: Entry) -> None:
        """Of an entry that was applied: cheap where it is none's heartbeat."""
        expected = self._expected()
        if not expected or not isinstance(entry, Arrived):
            return
        for alert in entry.alerts:
            for name in self._names(alert, expected):
                self._heard_at[name] = max(self._heard_at.get(name, 0.0), entry.at)

    async def run(self) -> None:
        """Until cancelled. What could not be said is said again within a minute."""
        self._recall()
        recalled = False
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                if not recalled:
                    await self._recall_kept()
                    recalled = True
                await self._look()
                await self._keep()
            except StoreUnavailable as error:
                log.warning("heartbeats_not_said", detail=str(error))

    def _recall(self) -> None:
        expected = self._expected()
        for alert in self._follower.board.alerts.values() if expected else ():
            for name in self._names(alert, expected):
                self._heard_at[name] = max(self._heard_at.get(name, 0.0), alert.updated_at)
        for heartbeat in expected:
            before = self._follower.board.alerts.get(fingerprint(_identity(heartbeat)))
            if before is not None and not before.resolved(self._clock.now()):
                self._missing[heartbeat.name] = before

    async def _recall_kept(self) -> None:
        self._kept = dict(await self._store.read_heartbeats())
        for name, heard_at in self._kept.items():
            self._heard_at[name] = max(self._heard_at.get(name, 0.0), heard_at)

    async def _keep(self) -> None:
        """At once for one that is new, and for one that is not expected any more; else now and then."""
        heard = {
            each.name: self._heard_at[each.name] for each in self._expected() if each.name in self._heard_at
        }
        now = self._clock.now()
        if heard == self._kept or (heard.keys() == self._kept.keys() and now < self._kept_at + KEEP_SECONDS):
            return
        await self._store.write_heartbeats(self._lease, heard)
        self._kept, self._kept_at = heard, now

    async def _look(self) -> None:
        now = self._clock.now()
        alerts: list[Alert] = []
        for heartbeat in self._expected():
            name = heartbeat.name
            heard_at = self._heard_at.setdefault(name, now)
            missing = now - heard_at > heartbeat.every_seconds
            before = self._missing.get(name)
            if missing and before is None and now < self._began_at + LISTEN_SECONDS:
                continue
            if missing and (before is None or now - self._said_at.get(name, 0.0) >= SAY_AGAIN_SECONDS):
                starts_at = before.starts_at if before is not None else now
                self._missing[name] = _alert(heartbeat, starts_at, now + GOOD_FOR_SECONDS, heard_at, now)
                self._said_at[name] = now
                alerts.append(self._missing[name])
            elif not missing and before is not None:
                alerts.append(_alert(heartbeat, before.starts_at, now, heard_at, now))
                del self._missing[name]
        if alerts:
            log.warning("heartbeats", missing=sorted(self._missing))
            await self._follower.append([Arrived(now, alerts)])

    def _expected(self) -> tuple[Heartbeat, ...]:
        expected = self._configuration().beyond.heartbeats
        if expected is not self._meant_by:
            self._meant, self._meant_by = {}, expected
        return expected

    def _names(self, alert: Alert, expected: Collection[Heartbeat]) -> tuple[str, ...]:
        names = self._meant.get(alert.fingerprint)
        if names is None:
            if len(self._meant) >= REMEMBERED:
                self._meant.clear()
            names = tuple(
                heartbeat.name
                for heartbeat in expected
                if all(matcher.matches(alert.identity) for matcher in heartbeat.matchers)
            )
            self._meant[alert.fingerprint] = names
        return names


def _identity(heartbeat: Heartbeat) -> Labels:
    labels = {**heartbeat.labels, "alertname": ALERTNAME, "heartbeat": heartbeat.name}
    return dict(sorted(labels.items()))


def _alert(heartbeat: Heartbeat, starts_at: float, ends_at: float, heard_at: float, now: float) -> Alert:
    identity = _identity(heartbeat)
    summary = f"Nothing was heard of {heartbeat.name} for more than {heartbeat.every_seconds:g} s"
    return Alert(fingerprint(identity), identity, {"summary": summary}, starts_at, ends_at, now)
