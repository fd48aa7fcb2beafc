"""Alerts, what became of them, and silences, as /api/v1 shows them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.alerts.alert import Alert, Labels
from controlplane.alerts.history import AttemptLine, HistoryLine
from controlplane.alerts.silence import Silence, State
from controlplane.alerts.silencing import active, state
from controlplane.alerts.timing import Timing
from controlplane.queries.alerts import STEP, muted_by
from controlplane.queries.paging import Page, Query
from controlplane.queries.tables import Table

if TYPE_CHECKING:
    from controlplane.alerts.board import Board


@dataclass(frozen=True)
class AlertRow:
    """state: Firing, Silenced, Inhibited, Resolved. acknowledged_by: "" while nobody has.

    source: name of the cluster whose agent brought it; "" for the centre's own doors.
    """

    fingerprint: str
    name: str
    state: str
    severity: str
    cluster: str
    tenant: str
    workload: str
    labels: Labels
    annotations: Labels
    receivers: Sequence[str]
    starts_at: float
    ends_at: float
    updated_at: float
    silenced_by: Sequence[str]
    inhibited_by: Sequence[str]
    acknowledged_by: str
    generator_url: str


@dataclass(frozen=True)
class GroupRow:
    """next_at: Unix seconds at which it is looked at again; 0: nothing is planned."""

    key: str
    receiver: str
    labels: Labels
    alerts: int
    muted_by: Sequence[str]
    next_at: float


@dataclass(frozen=True)
class AlertDetail:
    alert: AlertRow
    groups: Sequence[GroupRow]


@dataclass(frozen=True)
class HistoryRow:
    """One thing that happened to an episode, which is (fingerprint, starts_at)."""

    id: int
    at: float
    what: str
    fingerprint: str
    starts_at: float
    receiver: str
    detail: str
    labels: Labels


@dataclass(frozen=True)
class DeliveryRow:
    """One attempt. number: from 1; last: no other follows. key: of the message, the same for each attempt."""

    id: int
    at: float
    receiver: str
    integration: str
    delivered: bool
    code: str
    detail: str
    took_seconds: float
    number: int
    last: bool
    why: str
    key: str
    group_key: str


@dataclass(frozen=True)
class SilenceRow:
    """state: active, pending, expired; silencing: whether it does now: one that returns may not."""

    id: str
    state: str
    silencing: bool
    matchers: Sequence[str]
    starts_at: float
    ends_at: float
    created_by: str
    comment: str
    updated_at: float
    maintenance: bool
    cron: str
    duration_seconds: float
    timezone: str


ALERTS: Table[AlertRow] = Table(
    fields={
        "fingerprint": lambda row: row.fingerprint,
        "name": lambda row: row.name,
        "state": lambda row: row.state,
        "severity": lambda row: row.severity,
        "cluster": lambda row: row.cluster,
        "tenant": lambda row: row.tenant,
        "workload": lambda row: row.workload,
        "receiver": lambda row: tuple(row.receivers),
        "acknowledged_by": lambda row: row.acknowledged_by,
        "starts_at": lambda row: row.starts_at,
        "updated_at": lambda row: row.updated_at,
    },
    identity=lambda row: row.fingerprint,
    labels=lambda row: row.labels,
)

SILENCES: Table[SilenceRow] = Table(
    fields={
        "id": lambda row: row.id,
        "state": lambda row: row.state,
        "silencing": lambda row: row.silencing,
        "created_by": lambda row: row.created_by,
        "starts_at": lambda row: row.starts_at,
        "ends_at": lambda row: row.ends_at,
        "maintenance": lambda row: row.maintenance,
        "recurring": lambda row: bool(row.cron),
    },
    identity=lambda row: row.id,
)


class AlertPage:
    """A page of the alerts; `steps` to its end first, so that no loop waits for a long board."""

    def __init__(self, board: "Board", query: Query, now: float) -> None:
        self._board, self._now = board, now
        self._terms, self._builder = ALERTS.filter(query), ALERTS.builder(query)

    def steps(self) -> Iterator[None]:
        held = list(self._board.alerts.values())
        for begin in range(0, len(held), STEP):
            rows = (alert_row(self._board, alert, self._now) for alert in held[begin : begin + STEP])
            self._builder.add(row for row in rows if ALERTS.holds(self._terms, row))
            yield

    def page(self) -> Page[AlertRow]:
        return self._builder.page()


def alert_row(board: "Board", alert: Alert, now: float) -> AlertRow:
    labels, suppressed = alert.labels, board.state_of(alert, now)
    acknowledged = board.acknowledgements.get(alert.episode)
    if alert.resolved(now):
        stands = "Resolved"
    elif suppressed.silenced_by:
        stands = "Silenced"
    else:
        stands = "Inhibited" if suppressed.inhibited_by else "Firing"
    return AlertRow(
        fingerprint=alert.fingerprint,
        name=labels.get("alertname", ""),
        state=stands,
        severity=labels.get("severity", ""),
        cluster=labels.get("cluster", ""),
        tenant=labels.get("tenant", ""),
        workload=labels.get("workload", ""),
        labels=labels,
        annotations={**alert.owned.annotations, **alert.annotations},
        receivers=board.receivers_of(alert),
        starts_at=alert.starts_at,
        ends_at=alert.ends_at,
        updated_at=alert.updated_at,
        silenced_by=suppressed.silenced_by,
        inhibited_by=suppressed.inhibited_by,
        acknowledged_by=acknowledged.by if acknowledged is not None else "",
        generator_url=alert.generator_url,
    )


def alert_detail(board: "Board", alert: Alert, now: float) -> AlertDetail:
    timing = Timing(board.configuration.intervals)
    groups = [
        GroupRow(
            group.key,
            group.route.receiver,
            group.labels,
            len(group.members),
            muted_by(timing, group, now),
            group.next_at if group.next_at < 1e15 else 0.0,
        )
        for group in board.groups.values()
        if alert.fingerprint in group.members
    ]
    return AlertDetail(alert_row(board, alert, now), groups)


def history_row(line: HistoryLine, known: Mapping[str, Alert]) -> HistoryRow:
    """known: alerts of now, for labels that are not saved yet."""
    happened = line.happened
    alert = known.get(happened.fingerprint)
    labels = line.labels or (alert.labels if alert is not None else {})
    return HistoryRow(
        line.id,
        happened.at,
        happened.what.value,
        happened.fingerprint,
        happened.starts_at,
        happened.receiver,
        happened.detail,
        labels,
    )


def delivery_row(line: AttemptLine) -> DeliveryRow:
    attempt = line.attempt
    return DeliveryRow(
        line.id,
        attempt.at,
        line.receiver,
        line.integration,
        attempt.answer.delivered,
        attempt.answer.code,
        attempt.answer.detail,
        attempt.took_seconds,
        attempt.number,
        attempt.last,
        line.why,
        attempt.key,
        line.group_key,
    )


def silence_row(silence: Silence, now: float) -> SilenceRow:
    stands = state(silence, now)
    return SilenceRow(
        silence.id,
        stands.value,
        stands is State.ACTIVE and active(silence, now),
        [str(each) for each in silence.matchers],
        silence.starts_at,
        silence.ends_at,
        silence.created_by,
        silence.comment,
        silence.updated_at,
        silence.maintenance,
        silence.cron,
        silence.duration_seconds,
        silence.timezone,
    )
