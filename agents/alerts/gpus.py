"""What hurts of GPUs, from the metrics of NVIDIA's DCGM exporter. Pure.

Source: dcgm-exporter's default counters. FB_USED and FB_FREE are MiB a GPU (or MIG instance); XID_ERRORS is
the code of the last error, 0 for none; newer ones count errors by code in DCGM_EXP_XID_ERRORS_COUNT. What
DCGM could not read it gives as a huge number, which is left out. Xid codes: NVIDIA's catalogue of Xid errors.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agents.alerts.troubles import Trouble, by_key, trouble

MEMORY_FULL = "GpuMemoryFull"
XID_ERROR = "GpuXidError"
ALERTNAMES = frozenset((MEMORY_FULL, XID_ERROR))
FULL_SHARE = 0.98
FULL_SECONDS = 120.0
MOST_READINGS = 256
"""Of one exporter: 16 GPUs of 7 instances each."""
BLANK = 1e15
_USED, _FREE = "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
_XID, _XID_COUNT = "DCGM_FI_DEV_XID_ERRORS", "DCGM_EXP_XID_ERRORS_COUNT"
_LINE = re.compile(
    rf"^({_USED}|{_FREE}|{_XID}|{_XID_COUNT})\{{([^\n]*)\}}[ \t]+([0-9.eE+-]+)(?:[ \t]+\d+)?[ \t]*$",
    re.MULTILINE,
)
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
_FATAL_XIDS = frozenset((48, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 140, 143))
"""The GPU itself, its memory or its links; others come of what runs on it."""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU, or one MIG instance of it. Memory in MiB, -1 where it is not known. xids: codes of errors.

    pod: `namespace/name` of who uses it, where the exporter says so.
    """

    node: str
    gpu: str
    uuid: str
    instance: str
    model: str
    pod: str
    used: float
    free: float
    xids: tuple[int, ...]


@dataclass
class _Values:
    labels: dict[str, str]
    used: float = -1.0
    free: float = -1.0
    xids: tuple[int, ...] = ()


def read_metrics(text: str, node: str) -> list[GpuReading]:
    """What an exporter says; lines that are none of these are passed over. node: where its pod runs."""
    found: dict[tuple[str, str], _Values] = {}
    for line in _LINE.finditer(text):
        name, labels = line[1], dict(_LABEL.findall(line[2]))
        value = _number(line[3])
        if value is None:
            continue
        key = labels.get("UUID") or labels.get("gpu", ""), labels.get("GPU_I_ID", "")
        if key not in found and len(found) >= MOST_READINGS:
            continue
        values = found.setdefault(key, _Values(labels))
        if labels.get("pod"):
            values.labels = labels
        if name == _USED:
            values.used = value
        elif name == _FREE:
            values.free = value
        elif name == _XID and value:
            values.xids = tuple(sorted({*values.xids, int(value)}))
        elif name == _XID_COUNT and value and labels.get("xid", "").isdecimal():
            values.xids = tuple(sorted({*values.xids, int(labels["xid"][:6])}))
    return [_reading(key, values, node) for key, values in sorted(found.items())]


def gpu_troubles(readings: Iterable[GpuReading]) -> dict[bytes, Trouble]:
    """By key."""
    found: list[Trouble] = []
    for each in readings:
        about = {"node": each.node, "gpu": each.gpu, "uuid": each.uuid, "gpu_instance": each.instance}
        used_by = f"used by {each.pod}" if each.pod else ""
        whole = each.used + each.free
        if each.used >= 0 and each.free >= 0 and whole > 0 and each.used >= FULL_SHARE * whole:
            found.append(
                trouble(
                    MEMORY_FULL,
                    "warning",
                    f"GPU {each.gpu} of node {each.node}: {each.used:,.0f} of {whole:,.0f} MiB are in use",
                    about,
                    used_by,
                    for_seconds=FULL_SECONDS,
                    keep_seconds=FULL_SECONDS,
                )
            )
        for xid in each.xids:
            found.append(
                trouble(
                    XID_ERROR,
                    "critical" if xid in _FATAL_XIDS else "warning",
                    f"GPU {each.gpu} of node {each.node}: Xid {xid}",
                    {**about, "xid": str(xid)},
                    f"{each.model} {used_by}".strip(),
                )
            )
    return by_key(*found)


def _reading(key: tuple[str, str], values: _Values, node: str) -> GpuReading:
    labels = values.labels
    return GpuReading(
        node=node or labels.get("Hostname") or labels.get("hostname", ""),
        gpu=labels.get("gpu", "")[:20],
        uuid=labels.get("UUID", "")[:100],
        instance=key[1][:20],
        model=labels.get("modelName", "")[:100],
        pod=f"{labels.get('namespace', '')}/{labels['pod']}"[:200] if labels.get("pod") else "",
        used=values.used,
        free=values.free,
        xids=values.xids[:16],
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < BLANK else None
