"""Alertmanager's webhook body, version 4, of what the agent sends by itself. Pure.

Source: Alertmanager template.Data and notify/webhook; the order of the keys is theirs.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from agents.local_notices import LocalNotice
from schemas.wire.alerts import Alert

_NEVER = "0001-01-01T00:00:00Z"
_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF
_encoder = msgspec.json.Encoder()


def webhook_body(notice: LocalNotice, extra: Mapping[str, str]) -> bytes:
    """One message. extra: labels that every alert gets where it has none of that name."""
    firing = [({**extra, **each.labels}, each, False) for each in notice.firing]
    resolved = [({**extra, **each.labels}, each, True) for each in notice.resolved]
    alerts = [*firing, *resolved]
    receiver = f"fallback/{notice.receiver}"
    body: dict[str, Any] = {
        "receiver": receiver,
        "status": "firing" if firing else "resolved",
        "alerts": [_alert(labels, alert, ended) for labels, alert, ended in alerts],
        "groupLabels": {},
        "commonLabels": _common([labels for labels, _, _ in alerts]),
        "commonAnnotations": _common([alert.annotations for _, alert, _ in alerts]),
        "externalURL": "",
        "version": "4",
        "groupKey": f'{{}}/{{fallback="{notice.receiver}"}}:{{}}',
        "truncatedAlerts": 0,
    }
    return _encoder.encode(body)


def fingerprint(labels: Mapping[str, str]) -> str:
    """FNV-1a 64 over sorted name, 0xff, value, 0xff; 16 hex digits."""
    found = _OFFSET
    for name, value in sorted(labels.items()):
        for byte in name.encode() + b"\xff" + value.encode() + b"\xff":
            found = ((found ^ byte) * _PRIME) & _MASK
    return f"{found:016x}"


def _alert(labels: dict[str, str], alert: Alert, ended: bool) -> dict[str, Any]:
    return {
        "status": "resolved" if ended else "firing",
        "labels": dict(sorted(labels.items())),
        "annotations": dict(sorted(alert.annotations.items())),
        "startsAt": _time(alert.starts_at),
        "endsAt": _time(alert.ends_at) if ended else _NEVER,
        "generatorURL": alert.generator_url,
        "fingerprint": fingerprint(labels),
    }


def _common(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    if not each:
        return {}
    shared = set(each[0].items()).intersection(*(other.items() for other in each[1:]))
    return dict(sorted(shared))


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
