"""What the facts of a Postgres come to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controlplane.doctor import replicas
from controlplane.doctor.checks import Check
from controlplane.doctor.findings import Finding
from controlplane.doctor.wording import ago, seconds_text
from controlplane.known.replicas import Replica

OLDEST_VERSION = 140000
SKEW_SECONDS, SKEW_SEVERE_SECONDS = 2.0, 30.0
LONG_SECONDS = 60.0
SCARCE_SHARE = 0.1
STANDBY_LAG_SECONDS = 30.0
EPOCHS_MANY, EPOCHS_A_FIGHT = 4, 12
"""Of one role, within FIGHT_SECONDS. Three that are started anew one by one, twice, come to six, and nothing
is wrong; who loses a lease of three seconds again and again comes to a dozen soon.
"""
FIGHT_SECONDS = 600.0
ORDERS_LATE_SECONDS, ACKNOWLEDGED_LATE_SECONDS = 30.0, 120.0
NOTICES_LATE_SECONDS = 300.0
ROLES = ("deciding", "alerting")


@dataclass(frozen=True)
class LeaseFacts:
    """left_seconds: until it expires, by Postgres' clock; below 0 it has. recent: epochs in FIGHT_SECONDS."""

    holder: str
    epoch: int
    left_seconds: float
    recent: int


@dataclass(frozen=True)
class Late:
    """count of something, the oldest of it so old."""

    count: int
    oldest_seconds: float


@dataclass(frozen=True)
class Delivery:
    """Of one receiver lately: last attempts only."""

    delivered: int
    failed: int
    detail: str
    failed_last: bool


@dataclass(frozen=True)
class PostgresFacts:
    """embedded: it is Muster's own, on this machine. newer: why this release must not use the database.

    missing: names of migrations to come; None where nothing was ever migrated. standbys: (name, sync state,
    lag in seconds). skew_seconds: its clock less ours. unequal: places where ledger and balances differ.
    unacknowledged, dead_letters: by cluster id. Everything below `version` is empty where not known.
    """

    version: str
    version_number: int
    embedded: bool
    read_only: bool
    settings: Mapping[str, str]
    skew_seconds: float
    took_seconds: float
    connections: int
    connections_most: int
    long_seconds: float
    standbys: tuple[tuple[str, str, float], ...]
    missing: tuple[str, ...] | None
    newest: int = 0
    newer: str = ""
    leases: Mapping[str, LeaseFacts] = field(default_factory=dict[str, LeaseFacts])
    replicas: tuple[Replica, ...] = ()
    unpublished: Late = Late(0, 0.0)
    unacknowledged: Mapping[str, Late] = field(default_factory=dict[str, Late])
    dead_letters: Mapping[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    places: int = 0
    unequal: tuple[str, ...] = ()
    clusters: Mapping[str, str] = field(default_factory=dict[str, str])
    deliveries: Mapping[str, Delivery] = field(default_factory=dict[str, Delivery])
    notices: Late = Late(0, 0.0)
    sealed_seed: tuple[str, bytes] | None = None
    signed_order: tuple[str, str, str, int, int, bytes, bytes] | None = None


def judge(facts: PostgresFacts) -> Iterator[Check]:
    """Of the server first, then of what is in it."""
    yield from _server(facts)
    yield from _database(facts)
    if facts.missing is None or facts.newer:
        return
    yield from replicas.judge(facts.replicas)
    yield from _leases(facts)
    yield from _outbox(facts)
    yield from _ledger(facts)
    yield from _letters(facts)
    yield from _deliveries(facts)


def _server(facts: PostgresFacts) -> Iterator[Check]:
    answered = f"{facts.version}, answers in {seconds_text(facts.took_seconds)}"
    old = facts.version_number < OLDEST_VERSION
    yield Check("postgres", answered, Finding.POSTGRES_OLD if old else None)
    if facts.read_only:
        yield Check("postgres.writable", "it is in recovery", Finding.POSTGRES_READ_ONLY)
    off = [name for name, value in facts.settings.items() if value == "off"]
    yield Check(
        "postgres.durable",
        f"{', '.join(off)}: off" if off else "fsync, full_page_writes and synchronous_commit are on",
        Finding.POSTGRES_NOT_DURABLE if off else None,
    )
    yield _standbys(facts)
    skew = abs(facts.skew_seconds)
    yield Check(
        "postgres.clock",
        f"{seconds_text(facts.skew_seconds)} off this machine's",
        Finding.CLOCK_SKEWED if skew > SKEW_SECONDS else None,
        severe=skew > SKEW_SEVERE_SECONDS,
    )
    free = facts.connections_most - facts.connections
    yield Check(
        "postgres.connections",
        f"{facts.connections} of {facts.connections_most} used",
        Finding.CONNECTIONS_SCARCE if free < facts.connections_most * SCARCE_SHARE else None,
    )
    long = facts.long_seconds > LONG_SECONDS
    yield Check(
        "postgres.transactions",
        f"the longest is open for {seconds_text(facts.long_seconds)}",
        Finding.TRANSACTION_LONG if long else None,
    )


def _standbys(facts: PostgresFacts) -> Check:
    name = "postgres.standby"
    if not facts.standbys:
        if facts.embedded:
            return Check(name, "none: it is Muster's own, and as safe as the disk of this machine")
        return Check(name, "none is connected", Finding.NO_STANDBY)
    said = ", ".join(f"{one} ({how}, {seconds_text(lag)} behind)" for one, how, lag in facts.standbys)
    if max(lag for _, _, lag in facts.standbys) > STANDBY_LAG_SECONDS:
        return Check(name, said, Finding.STANDBY_LAGS)
    safe = any(how in ("sync", "quorum") for _, how, _ in facts.standbys)
    return Check(name, said if safe else f"{said}: none is synchronous", None if safe else Finding.NO_STANDBY)


def _database(facts: PostgresFacts) -> Iterator[Check]:
    name = "postgres.migrations"
    if facts.newer:
        yield Check(name, facts.newer, Finding.DATABASE_NEWER)
    elif facts.missing is None:
        yield Check(name, "nothing of Muster's is in it", Finding.DATABASE_EMPTY)
    elif facts.missing:
        yield Check(name, f"lacks {', '.join(facts.missing)}", Finding.DATABASE_BEHIND)
    else:
        yield Check(name, f"at {facts.newest}, as this program")


def _leases(facts: PostgresFacts) -> Iterator[Check]:
    for role in ROLES:
        name, lease = f"lease.{role}", facts.leases.get(role)
        if lease is None or lease.left_seconds <= 0:
            when = "nobody ever led" if lease is None or not lease.epoch else "the lease has expired"
            yield Check(name, when, Finding.NOBODY_LEADS)
        elif lease.recent >= EPOCHS_MANY:
            said = f"{lease.recent} epochs in {ago(FIGHT_SECONDS)}; {lease.holder} holds it now"
            fight = lease.recent >= EPOCHS_A_FIGHT
            yield Check(name, said, Finding.LEADERS_FIGHT if fight else Finding.LEADERS_CHANGED)
        else:
            left = seconds_text(lease.left_seconds)
            yield Check(name, f"{lease.holder} leads in epoch {lease.epoch}, {left} left")


def _outbox(facts: PostgresFacts) -> Iterator[Check]:
    late = facts.unpublished
    said = f"{late.count:,} orders wait to be sent" + (
        f", the oldest since {ago(late.oldest_seconds)}" if late.count else ""
    )
    is_late = late.count and late.oldest_seconds > ORDERS_LATE_SECONDS
    yield Check("outbox", said, Finding.ORDERS_UNPUBLISHED if is_late else None)
    for cluster, waiting in sorted(facts.unacknowledged.items()):
        if waiting.oldest_seconds > ACKNOWLEDGED_LATE_SECONDS:
            told = f"{waiting.count:,} orders, the oldest since {ago(waiting.oldest_seconds)}"
            about = facts.clusters.get(cluster, cluster)
            yield Check("outbox.acknowledged", told, Finding.ORDERS_UNACKNOWLEDGED, about)


def _ledger(facts: PostgresFacts) -> Iterator[Check]:
    if facts.unequal:
        told = "; ".join(facts.unequal)
        yield Check("ledger", f"differs from its balances: {told}", Finding.LEDGER_UNEQUAL)
    else:
        yield Check("ledger", f"comes to its balances in {facts.places:,} places that were looked at")


def _letters(facts: PostgresFacts) -> Iterator[Check]:
    if not facts.dead_letters:
        yield Check("dead-letters", "none within the hour")
    for cluster, (count, reason) in sorted(facts.dead_letters.items()):
        told = f"{count:,} within the hour; the last: {reason[:160]}"
        yield Check("dead-letters", told, Finding.DEAD_LETTERS, facts.clusters.get(cluster, cluster))


def _deliveries(facts: PostgresFacts) -> Iterator[Check]:
    for receiver, one in sorted(facts.deliveries.items()):
        told = f"{one.delivered:,} delivered, {one.failed:,} not, within the hour"
        if one.failed_last:
            said = f"{told}; the last: {one.detail[:160]}"
            yield Check("alerts.receiver", said, Finding.RECEIVER_FAILS, receiver)
        else:
            yield Check("alerts.receiver", told, about=receiver)
    late = facts.notices.count and facts.notices.oldest_seconds > NOTICES_LATE_SECONDS
    yield Check(
        "alerts.notices",
        f"{facts.notices.count:,} wait"
        + (f", the oldest since {ago(facts.notices.oldest_seconds)}" if facts.notices.count else ""),
        Finding.NOTICES_WAIT if late else None,
    )
