"""The configuration as decisions need it: compiled once from schemas/manifests/alertmanager.py, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.alerts.intervals import Interval
from controlplane.alerts.matchers import Matcher

OWNER = "owner"
"""The receiver that stands for whoever owns the alert; no receiver of that name can be declared."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """Who hears too, when nobody has acknowledged `after_seconds` after the first message was delivered."""

    after_seconds: float
    receiver: str


@dataclass(frozen=True, slots=True)
class Route:
    """A node of the tree. key: `{}/{owner="team-A"}`; id: key with the index among its siblings.

    group_by_all: `...`. Everything that a child inherits is filled in. mute, active: names of intervals.
    """

    key: str
    id: str
    receiver: str
    matchers: tuple[Matcher, ...] = ()
    continues: bool = False
    group_by: tuple[str, ...] = ()
    group_by_all: bool = False
    group_wait_seconds: float = 30.0
    group_interval_seconds: float = 300.0
    repeat_interval_seconds: float = 4 * 3600.0
    mute: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    routes: tuple["Route", ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one integration. per_minute, per_second: 0 is no limit. max_alerts: in one message, 0 is all.

    robot: integrations of the same one share what it takes; "" for one of its own.
    """

    per_minute: int = 0
    max_alerts: int = 0
    per_second: int = 0
    robot: str = ""


@dataclass(frozen=True, slots=True)
class Integration:
    """One way to one receiver. kind: webhook, email, slack, dingtalk, feishu, wecom, apprise, ...

    name: `webhook[0]`. settings: the validated manifest of that kind with what `global` fills in.
    """

    kind: str
    index: int
    send_resolved: bool
    settings: Any
    limits: Limits = Limits()

    @property
    def name(self) -> str:
        return f"{self.kind}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Receiver:
    name: str
    integrations: tuple[Integration, ...] = ()


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """equal: labels that must be identical; missing is the same as empty."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Something that must be heard of: an alert like this at least every `every_seconds`."""

    name: str
    matchers: tuple[Matcher, ...]
    every_seconds: float
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class FlapDamping:
    """Off at transitions 0. What fires and ends more often within the window is held until it was quiet."""

    transitions: int = 0
    window_seconds: float = 1800.0
    quiet_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class SilenceGuard:
    """A silence that would swallow more than this share of what fires must be forced; 1: no guard."""

    max_share: float = 1.0
    from_alerts: int = 10


@dataclass(frozen=True, slots=True)
class DeadMansSwitch:
    """Called at `url` every so often while all is well here; whoever is there alarms when it stays silent."""

    url: str
    every_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class History:
    """How long, and how much of it: the older gives way."""

    days: float = 30.0
    max_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Beyond:
    """The key `muster:` of the file: what Alertmanager does not know. Left out, all is as it has it."""

    heartbeats: tuple[Heartbeat, ...] = ()
    flap_damping: FlapDamping = FlapDamping()
    silence_guard: SilenceGuard = SilenceGuard()
    dead_mans_switch: DeadMansSwitch | None = None
    history: History = History()


@dataclass(frozen=True, slots=True)
class Configuration:
    """text: the file as it was read, for /api/v2/status, with secrets left out. templates: file patterns.

    owners_email: the e-mail settings of `global`, by which owners without a receiver are written to.
    """

    root: Route
    receivers: Mapping[str, Receiver]
    inhibit_rules: tuple[InhibitRule, ...] = ()
    intervals: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict[str, tuple[Interval, ...]])
    templates: tuple[str, ...] = ()
    resolve_timeout_seconds: float = 300.0
    beyond: Beyond = Beyond()
    text: str = ""
    owners_email: Any = None
