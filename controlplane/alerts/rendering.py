"""What a message is made of: the data of Alertmanager's templates, under its names, and its webhook body.

Fields keep Alertmanager's spelling (`CommonLabels`, `Alerts.Firing`), since people's templates say it so.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from controlplane.alerts.alert import Alert, Labels
from controlplane.alerts.go_time import ZERO, Time
from controlplane.alerts.notice import Notice

FIRING, RESOLVED = "firing", "resolved"
VERSION = "4"
_ALERT_NAME = "alertname"
_SPECIAL = frozenset(r"\.+*?()|[]{}^$")


class Strings(tuple[str, ...]):
    """A list of texts. It may be called, as Go writes a method without brackets and Python does not."""

    __slots__ = ()

    def __call__(self) -> "Strings":
        return self

    def look(self, name: str) -> Any:
        if name == "Join":
            return lambda separator="": str(separator).join(self)
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Pair:
    Name: str
    Value: str

    def look(self, name: str) -> Any:
        return {"Name": self.Name, "Value": self.Value}[name]


class Pairs(tuple[Pair, ...]):
    """Name and value, by name."""

    __slots__ = ()

    def __call__(self) -> "Pairs":
        return self

    def __str__(self) -> str:
        return ", ".join(f"{pair.Name}={pair.Value}" for pair in self)

    @property
    def Names(self) -> Strings:
        return Strings(pair.Name for pair in self)

    @property
    def Values(self) -> Strings:
        return Strings(pair.Value for pair in self)

    def look(self, name: str) -> Any:
        if name in {"Names", "Values"}:
            return getattr(self, name)
        raise KeyError(name)


class KV(Mapping[str, str]):
    """Labels or annotations. A name that is not there reads as "", as a missing key does in Alertmanager."""

    __slots__ = ("_values",)

    def __init__(self, values: Labels) -> None:
        self._values = {name: values[name] for name in sorted(values)}

    def __getitem__(self, name: str) -> str:
        return self._values.get(name, "")

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __str__(self) -> str:
        return str(self.SortedPairs)

    @property
    def SortedPairs(self) -> Pairs:
        """By name, alertname first."""
        ordered = sorted(self._values.items(), key=lambda pair: (pair[0] != _ALERT_NAME, pair[0]))
        return Pairs(Pair(name, value) for name, value in ordered)

    def Remove(self, names: Iterable[str]) -> "KV":
        gone = frozenset(names)
        return KV({name: value for name, value in self._values.items() if name not in gone})

    def look(self, name: str) -> Any:
        """A method comes before a label of its name, as in Go."""
        match name:
            case "SortedPairs":
                return self.SortedPairs
            case "Names":
                return self.SortedPairs.Names
            case "Values":
                return self.SortedPairs.Values
            case "Remove":
                return self.Remove
            case _:
                return self[name]

    def plain(self) -> dict[str, str]:
        return dict(self._values)


@dataclass(frozen=True, slots=True)
class AlertData:
    Status: str
    Labels: KV
    Annotations: KV
    StartsAt: Time
    EndsAt: Time
    GeneratorURL: str
    Fingerprint: str

    def look(self, name: str) -> Any:
        if name in _ALERT_FIELDS:
            return getattr(self, name)
        raise KeyError(name)

    def plain(self) -> dict[str, Any]:
        """As Alertmanager's JSON has it, keys in its order."""
        return {
            "status": self.Status,
            "labels": self.Labels.plain(),
            "annotations": self.Annotations.plain(),
            "startsAt": self.StartsAt.rfc3339(),
            "endsAt": self.EndsAt.rfc3339(),
            "generatorURL": self.GeneratorURL,
            "fingerprint": self.Fingerprint,
        }


_ALERT_FIELDS = frozenset(AlertData.__dataclass_fields__)


class Alerts(tuple[AlertData, ...]):
    def __call__(self) -> "Alerts":
        return self

    @cached_property
    def Firing(self) -> "Alerts":
        return Alerts(alert for alert in self if alert.Status == FIRING)

    @cached_property
    def Resolved(self) -> "Alerts":
        return Alerts(alert for alert in self if alert.Status == RESOLVED)

    def look(self, name: str) -> Any:
        if name in {"Firing", "Resolved"}:
            return getattr(self, name)
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Data:
    """What a template sees. now: of this rendering. TruncatedAlerts: how many are not in Alerts.

    Beyond Alertmanager's: GroupKey, TruncatedAlerts, NumFiring (also of those that a message has no room for)
    and NotificationReason (why this is sent).
    """

    Receiver: str
    Status: str
    Alerts: Alerts
    GroupLabels: KV
    CommonLabels: KV
    CommonAnnotations: KV
    ExternalURL: str
    GroupKey: str
    TruncatedAlerts: int = 0
    NumFiring: int = 0
    NotificationReason: str = ""
    now: Time = field(default=ZERO, compare=False)

    def look(self, name: str) -> Any:
        if name in DATA_FIELDS:
            return getattr(self, name)
        raise KeyError(name)

    def names(self) -> dict[str, Any]:
        """Its fields by name."""
        return {name: getattr(self, name) for name in DATA_FIELDS}

    def first(self, count: int) -> "Data":
        """The same with this many alerts at most; the others are counted."""
        if count >= len(self.Alerts):
            return self
        left = len(self.Alerts) - count
        return replace(self, Alerts=Alerts(self.Alerts[:count]), TruncatedAlerts=self.TruncatedAlerts + left)

    def plain(self) -> dict[str, Any]:
        return {
            "receiver": self.Receiver,
            "status": self.Status,
            "alerts": [alert.plain() for alert in self.Alerts],
            "groupLabels": self.GroupLabels.plain(),
            "commonLabels": self.CommonLabels.plain(),
            "commonAnnotations": self.CommonAnnotations.plain(),
            "externalURL": self.ExternalURL,
        }


DATA_FIELDS = frozenset(Data.__dataclass_fields__) - {"now"}


def data_of(notice: Notice, external_url: str, now: float) -> Data:
    """Which alerts fire is what the notice says, not the clock: what is told is what the log will hold.

    The receiver's name is quoted as in a regular expression: Alertmanager does so, and its links need it.
    """
    alerts = Alerts(_alert_data(alert, alert.fingerprint in notice.firing) for alert in notice.alerts)
    return Data(
        Receiver="".join(f"\\{c}" if c in _SPECIAL else c for c in notice.receiver),
        Status=FIRING if notice.firing else RESOLVED,
        Alerts=alerts,
        GroupLabels=KV(notice.group_labels),
        CommonLabels=KV(_common([alert.Labels for alert in alerts])),
        CommonAnnotations=KV(_common([alert.Annotations for alert in alerts])),
        ExternalURL=external_url,
        GroupKey=notice.group_key,
        TruncatedAlerts=notice.truncated,
        NumFiring=len(notice.firing),
        NotificationReason=notice.why.value,
        now=Time.at(now),
    )


def webhook_body(data: Data) -> dict[str, Any]:
    """Alertmanager's webhook message, version 4, keys in its order."""
    return data.plain() | {
        "version": VERSION,
        "groupKey": data.GroupKey,
        "truncatedAlerts": data.TruncatedAlerts,
    }


def _alert_data(alert: Alert, fires: bool) -> AlertData:
    annotations = alert.owned.annotations
    return AlertData(
        Status=FIRING if fires else RESOLVED,
        Labels=KV(alert.labels),
        Annotations=KV({**annotations, **alert.annotations} if annotations else alert.annotations),
        StartsAt=Time.at(alert.starts_at),
        EndsAt=ZERO if fires else Time.at(alert.ends_at),
        GeneratorURL=alert.generator_url,
        Fingerprint=alert.fingerprint,
    )


def _common(all_of: list[KV]) -> dict[str, str]:
    if not all_of:
        return {}
    common = all_of[0].plain()
    for values in all_of[1:]:
        if not common:
            break
        common = {name: value for name, value in common.items() if values[name] == value}
    return common
