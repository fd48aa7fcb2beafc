"""metrics.k8s.io of a simulated cluster: what is really used wanders around what was requested."""

import hashlib
import math
from collections.abc import Iterable
from typing import Any

from agents.simulation.kubelets import timestamp
from agents.simulation.scheduler import asks

_WINDOW_SECONDS = 30
_DAY_SECONDS = 86_400


def node_metrics(
    nodes: Iterable[dict[str, Any]], pods: Iterable[dict[str, Any]], *, seed: int, now: float
) -> list[dict[str, Any]]:
    """The items of a NodeMetricsList."""
    used: dict[str, tuple[int, int]] = {}
    for pod in pods:
        cpu, memory = _used(pod, seed, now)
        node = pod["spec"].get("nodeName", "")
        before = used.get(node, (0, 0))
        used[node] = before[0] + cpu, before[1] + memory
    return [
        _item("NodeMetrics", node["metadata"], used.get(node["metadata"]["name"], (0, 0)), now)
        for node in nodes
    ]


def pod_metrics(pods: Iterable[dict[str, Any]], *, seed: int, now: float) -> list[dict[str, Any]]:
    """The items of a PodMetricsList."""
    items: list[dict[str, Any]] = []
    for pod in pods:
        item = _item("PodMetrics", pod["metadata"], (0, 0), now)
        cpu, memory = _used(pod, seed, now)
        item["containers"] = [{"name": "main", "usage": {"cpu": f"{cpu}m", "memory": f"{memory}Ki"}}]
        del item["usage"]
        items.append(item)
    return items


def _item(kind: str, metadata: dict[str, Any], used: tuple[int, int], now: float) -> dict[str, Any]:
    names = {key: metadata[key] for key in ("name", "namespace", "labels") if metadata.get(key)}
    return {
        "kind": kind,
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": names,
        "timestamp": timestamp(now - now % _WINDOW_SECONDS),
        "window": f"{_WINDOW_SECONDS}s",
        "usage": {"cpu": f"{used[0]}m", "memory": f"{used[1]}Ki"},
    }


def _used(pod: dict[str, Any], seed: int, now: float) -> tuple[int, int]:
    """(millicores, KiB): between a tenth and nine tenths of the requests, by the hour and by chance."""
    wanted = asks(pod)
    bucket = int(now // _WINDOW_SECONDS)
    digest = hashlib.sha256(f"{seed}/{pod['metadata']['uid']}/{bucket}".encode()).digest()
    phase = 2 * math.pi * (now % _DAY_SECONDS) / _DAY_SECONDS
    share = 0.5 + 0.2 * math.sin(phase + seed) + 0.2 * (digest[0] / 255 - 0.5)
    return int(wanted.get("cpu", 0) * share), int(wanted.get("memory", 0) * (0.4 + share / 2)) // 1024
