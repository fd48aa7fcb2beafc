"""Alerts as API v2 shows them: by fingerprint, or in their groups; in steps, so that no loop waits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from controlplane.alerts.alert import Alert, Labels
from controlplane.alerts.groups import Group
from controlplane.alerts.matchers import Matcher, Operator, matches_all, parse_matcher
from controlplane.alerts.timing import Timing

if TYPE_CHECKING:
    from controlplane.alerts.board import Board, Suppressed

STEP = 64
MOST_MATCHERS = 64
_BUCKETS = 256
_encode = msgspec.json.Encoder().encode


class BadMatcher(ValueError):
    """A parameter of a query that cannot be answered."""


class Named(msgspec.Struct, frozen=True):
    name: str


class AlertStatus(msgspec.Struct, frozen=True):
    inhibitedBy: Sequence[str]
    mutedBy: Sequence[str]
    silencedBy: Sequence[str]
    state: str


class GettableAlert(msgspec.Struct, frozen=True, omit_defaults=True):
    annotations: Labels
    endsAt: str
    fingerprint: str
    receivers: Sequence[Named]
    startsAt: str
    status: AlertStatus
    updatedAt: str
    labels: Labels
    generatorURL: str = ""


class GettableGroup(msgspec.Struct, frozen=True):
    alerts: Sequence[GettableAlert]
    labels: Labels
    receiver: Named
    routeLabels: Labels


ACTIVE = AlertStatus((), (), (), "active")


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """receiver: a matcher of the label `receiver`; None for all."""

    matchers: tuple[Matcher, ...] = ()
    receiver: Matcher | None = None
    active: bool = True
    silenced: bool = True
    inhibited: bool = True

    def takes(self, status: AlertStatus) -> bool:
        if not self.active and status.state == "active":
            return False
        return (self.silenced or not status.silencedBy) and (self.inhibited or not status.inhibitedBy)

    def takes_receiver(self, name: str) -> bool:
        return self.receiver is None or self.receiver.matches({"receiver": name})


def parse_filter(texts: Sequence[str]) -> tuple[Matcher, ...]:
    """Each is one matcher, in either syntax. Raises BadMatcher."""
    if len(texts) > MOST_MATCHERS:
        raise BadMatcher(f"{len(texts)} filters; up to {MOST_MATCHERS}")
    try:
        return tuple(parse_matcher(each) for each in texts)
    except ValueError as error:
        raise BadMatcher(f"bad matcher format: {error}") from error


def parse_receiver(text: str) -> Matcher | None:
    """Raises BadMatcher."""
    if not text:
        return None
    try:
        return Matcher("receiver", Operator.MATCHES, text)
    except ValueError as error:
        raise BadMatcher(f"failed to parse receiver param: {error}") from error


def written_time(at: float) -> str:
    """`2026-11-23T00:41:10.500Z`, as Alertmanager writes it: UTC, three digits."""
    seconds, milliseconds = divmod(round(at * 1000), 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=65_536)
def _second(at: int) -> str:
    bounded = min(max(at, -62_135_596_800), 253_402_300_799)
    return datetime.fromtimestamp(bounded, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass
class Listing:
    """All alerts that fire and pass the filter, by fingerprint. First `find`, to its end, then `bodies`.

    Alerts are spread over buckets by how their fingerprint begins: to sort them all at once takes too long.
    """

    board: "Board"
    wanted: AlertFilter
    now: float
    _buckets: list[list[tuple[Alert, AlertStatus]]] = field(
        default_factory=lambda: [[] for _ in range(_BUCKETS)]
    )

    def find(self) -> Iterator[None]:
        """A step is some dozens of alerts."""
        board, wanted, now = self.board, self.wanted, self.now
        for number, alert in enumerate(list(board.alerts.values()), 1):
            if number % STEP == 0:
                yield
            if alert.ends_at <= now or (wanted.matchers and not matches_all(wanted.matchers, alert.labels)):
                continue
            if wanted.receiver is not None and not any(map(wanted.takes_receiver, board.receivers_of(alert))):
                continue
            status = status_of(board.state_of(alert, now))
            if wanted.takes(status):
                self._buckets[int(alert.fingerprint[:2], 16)].append((alert, status))

    def bodies(self) -> Iterator[bytes]:
        """What stands between the brackets of the list, in bits to be joined by commas; some are empty."""
        for bucket in self._buckets:
            bucket.sort(key=_fingerprint)
            for begin in range(0, len(bucket), 2 * STEP):
                rows = [
                    gettable(alert, self.board.receivers_of(alert), status)
                    for alert, status in bucket[begin : begin + 2 * STEP]
                ]
                yield _encode(rows)[1:-1]
            bucket.clear()


def _fingerprint(pair: tuple[Alert, AlertStatus]) -> str:
    return pair[0].fingerprint


def group_rows(
    board: "Board", wanted: AlertFilter, now: float, with_muted: bool
) -> Iterator[GettableGroup | None]:
    """By the labels of the groups, then the receiver; None is a step without a row."""
    found = list[tuple[Group, str]]()
    timing = Timing(board.configuration.intervals)
    for number, group in enumerate(list(board.groups.values()), 1):
        if number % STEP == 0:
            yield None
        receiver = group.route.receiver
        if wanted.takes_receiver(receiver):
            found.append((group, receiver))
    found.sort(key=lambda pair: (len(pair[0].labels), sorted(pair[0].labels.items()), pair[1], pair[0].key))
    for group, receiver in found:
        rows = list[GettableAlert]()
        muted: Sequence[str] | None = None
        for fingerprint in sorted(group.members):
            alert = group.members[fingerprint].alert
            if alert.ends_at <= now or not matches_all(wanted.matchers, alert.labels):
                continue
            status = status_of(board.state_of(alert, now))
            if not wanted.takes(status):
                continue
            if muted is None:
                muted = muted_by(timing, group, now)
            if len(rows) % STEP == STEP - 1:
                yield None
            receivers = sorted(filter(wanted.takes_receiver, set(board.receivers_of(alert))))
            rows.append(gettable(alert, receivers, _muted(status, muted)))
        if rows and (with_muted or not muted):
            yield GettableGroup(rows, group.labels, Named(receiver), {})
        else:
            yield None


def gettable(alert: Alert, receivers: Sequence[str], status: AlertStatus) -> GettableAlert:
    """The annotations are those that were reported, and what the fleet knows beside them."""
    owned = alert.owned.annotations
    return GettableAlert(
        {**owned, **alert.annotations} if owned else alert.annotations,
        written_time(alert.ends_at),
        alert.fingerprint,
        [_named(each) for each in receivers],
        written_time(alert.starts_at),
        status,
        written_time(alert.updated_at),
        alert.labels,
        alert.generator_url,
    )


def status_of(suppressed: "Suppressed") -> AlertStatus:
    """Without intervals: they mute groups, and an alert may be in several."""
    if not suppressed.silenced_by and not suppressed.inhibited_by:
        return ACTIVE
    return AlertStatus(suppressed.inhibited_by, (), suppressed.silenced_by, "suppressed")


def muted_by(timing: Timing, group: Group, now: float) -> Sequence[str]:
    silent = timing.silent(group.route, now)
    return silent[1].split(",") if silent is not None else ()


def _muted(status: AlertStatus, muted: Sequence[str]) -> AlertStatus:
    if not muted:
        return status
    return AlertStatus(status.inhibitedBy, muted, status.silencedBy, "suppressed")


@lru_cache(maxsize=4_096)
def _named(name: str) -> Named:
    return Named(name)
