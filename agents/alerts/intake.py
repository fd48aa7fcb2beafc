"""What Prometheus posts, as alerts of the wire: Alertmanager's rules of taking in. Pure.

Source: Alertmanager api/v2 postAlertsHandler and types.Alert.Validate. No startsAt: endsAt where it is set,
else now. No endsAt stays none: the centre ends it by its resolve_timeout. Labels without a value are dropped.
"""

from datetime import datetime

import msgspec

from schemas.wire.alerts import Alert

CLUSTER = "cluster"
MOST_LABELS = 128
LARGEST_ALERT_BYTES = 64 * 1024
MOST_TEXT = 32 * 1024
LAST_SECONDS = 1e11
"""What the centre takes, too: nothing that is accepted here may be refused there."""
RESOLVE_TIMEOUT_SECONDS = 300.0
"""How long the centre takes an alert without an end to last: Alertmanager's own default."""
_NAME_SHOWN = 80


class BadBody(ValueError):
    """Nothing of it can be read; the text says what would be right."""


class BadAlert(ValueError):
    """One alert of a batch is refused; the text names it and what would be right."""


class _Posted(msgspec.Struct):
    labels: dict[str, str]
    annotations: dict[str, str] | None = None
    starts_at: datetime | None = msgspec.field(default=None, name="startsAt")
    ends_at: datetime | None = msgspec.field(default=None, name="endsAt")
    generator_url: str | None = msgspec.field(default=None, name="generatorURL")


class _Named(msgspec.Struct):
    labels: dict[str, str] = {}


_decode_batch = msgspec.json.Decoder(list[msgspec.Raw])
_decode_alert = msgspec.json.Decoder(_Posted)
_decode_named = msgspec.json.Decoder(_Named)


def read_batch(body: bytes) -> list[msgspec.Raw]:
    """Its alerts, not looked at yet. Raises BadBody."""
    try:
        return _decode_batch.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"a JSON list of alerts is expected: {error}") from error


def read_alert(raw: msgspec.Raw, place: int, now: float) -> tuple[Alert, str]:
    """One alert of a batch, and the `cluster` that it named, "" for none: that is not taken over, the centre
    knows who speaks. place: from 0. now: Unix seconds. Raises BadAlert."""
    size = memoryview(raw).nbytes
    if size > LARGEST_ALERT_BYTES:
        raise BadAlert(f"{_which(raw, place)}: {size} bytes; up to {LARGEST_ALERT_BYTES} are taken")
    try:
        posted = _decode_alert.decode(raw)
        starts_at, ends_at = _seconds(posted.starts_at), _seconds(posted.ends_at)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise BadAlert(f"{_which(raw, place)}: {error}") from None
    labels = {name: value for name, value in posted.labels.items() if value}
    named = labels.pop(CLUSTER, "")
    annotations = posted.annotations or {}
    wrong = _what_is_wrong(posted.labels, labels, annotations, starts_at, ends_at, now)
    if wrong:
        raise BadAlert(f"{_which(raw, place)}: {wrong}")
    alert = Alert(
        labels=labels,
        annotations=annotations,
        starts_at=starts_at or ends_at or now,
        ends_at=ends_at,
        generator_url=posted.generator_url or "",
    )
    return alert, named


def _what_is_wrong(
    posted: dict[str, str],
    labels: dict[str, str],
    annotations: dict[str, str],
    starts_at: float,
    ends_at: float,
    now: float,
) -> str:
    if "" in posted or "" in annotations:
        return "a label or annotation without a name"
    if not labels:
        return "at least one label with a value, beside cluster, is expected"
    if max(len(labels), len(annotations)) > MOST_LABELS:
        return f"{len(labels)} labels, {len(annotations)} annotations; up to {MOST_LABELS} are taken"
    for name, value in (*labels.items(), *annotations.items()):
        if len(name) + len(value) > MOST_TEXT:
            return f"{name[:_NAME_SHOWN]!r} is longer than {MOST_TEXT} characters"
        if "\0" in name or "\0" in value:
            return f"{name[:_NAME_SHOWN]!r} has a NUL character"
    if max(starts_at, ends_at) > LAST_SECONDS:
        return "startsAt and endsAt: a time before the year 5138 is expected"
    if ends_at and starts_at and ends_at < starts_at:
        return "endsAt lies before startsAt"
    if not ends_at and starts_at > now + RESOLVE_TIMEOUT_SECONDS:
        return "startsAt lies in the future, and there is no endsAt"
    return ""


def _seconds(at: datetime | None) -> float:
    """Unix seconds; 0 for none and for Go's zero time."""
    if at is None:
        return 0.0
    if at.tzinfo is None:
        raise ValueError("startsAt and endsAt: a time with its offset is expected, as 2026-01-31T12:00:00Z")
    return max(0.0, at.timestamp()) if at.year > 1 else 0.0


def _which(raw: msgspec.Raw, place: int) -> str:
    try:
        name = _decode_named.decode(raw).labels.get("alertname", "")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        name = ""
    return f"alert {place}" + (f" ({name[:_NAME_SHOWN]})" if name else "")
