"""metrics.k8s.io of a simulated cluster: a share of what was requested, over what a node needs for itself."""

import hashlib
import math
from collections.abc import Iterable
from typing import Any

from agents.observe.quantities import amounts
from agents.simulation.kubelets import timestamp
from agents.simulation.scheduler import asks

_WINDOW_SECONDS = 30
_DAY_SECONDS = 86_400
_TURN = 2 * math.pi
# Kernel, kubelet and container runtime, which ask for nothing and show up in no pod.
_BASE_CPU_SHARE = 0.02
_BASE_MEMORY_SHARE = 0.04


def node_metrics(
    nodes: Iterable[dict[str, Any]], pods: Iterable[dict[str, Any]], *, seed: int, now: float
) -> list[dict[str, Any]]:
    """The items of a NodeMetricsList."""
    nodes = list(nodes)
    used = {node["metadata"]["name"]: _base(node, seed, now) for node in nodes}
    for pod in pods:
        node = pod["spec"].get("nodeName", "")
        if node in used:
            cpu, memory = _used(pod, seed, now)
            used[node] = used[node][0] + cpu, used[node][1] + memory
    return [_item("NodeMetrics", node["metadata"], used[node["metadata"]["name"]], now) for node in nodes]


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


def _base(node: dict[str, Any], seed: int, now: float) -> tuple[int, int]:
    """(millicores, KiB) of a node without pods."""
    whole = amounts(node["status"]["allocatable"])
    swing = 1 + 0.5 * _chance(seed, node["metadata"]["name"], now)
    return (
        int(whole.get("cpu", 0) * _BASE_CPU_SHARE * swing),
        int(whole.get("memory", 0) * _BASE_MEMORY_SHARE) // 1024,
    )


def _used(pod: dict[str, Any], seed: int, now: float) -> tuple[int, int]:
    """(millicores, KiB): cpu 40 to 90 % of the requests, by the hour and by chance; memory hardly moves."""
    wanted = asks(pod)
    hour = math.sin(_TURN * (now % _DAY_SECONDS) / _DAY_SECONDS + seed)
    share = 0.65 + 0.1 * hour + 0.15 * _chance(seed, pod["metadata"]["uid"], now)
    return int(wanted.get("cpu", 0) * share), int(wanted.get("memory", 0) * (0.7 + 0.05 * hour)) // 1024


def _chance(seed: int, name: str, now: float) -> float:
    """-1 to 1, another one in every window, always the same one for the same seed and time."""
    digest = hashlib.sha256(f"{seed}/{name}/{int(now // _WINDOW_SECONDS)}".encode()).digest()
    return digest[0] / 127.5 - 1
