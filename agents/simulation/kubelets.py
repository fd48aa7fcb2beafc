"""The kubelets, and the part of the node controller that reacts when one falls silent."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agents.simulation import catalogue
from agents.simulation.bodies import annotations_of, has_condition, owners_of
from agents.simulation.scheduler import Room, is_ready, tolerates
from agents.simulation.store import Kind, Name, Objects

NODES = Kind(catalogue.NODES.group, catalogue.NODES.plural)
PODS = Kind(catalogue.PODS.group, catalogue.PODS.plural)
RUN_SECONDS = "simulation.muster.dev/run-seconds"
UNREACHABLE = "node.kubernetes.io/unreachable"


@dataclass(frozen=True)
class Pace:
    """How long things take in the simulated cluster, in seconds."""

    ready_seconds: float = 2.0
    termination_seconds: float = 1.0
    eviction_seconds: float = 300.0
    job_seconds: float = 30.0


def timestamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Kubelets:
    """Binds, starts, ends and evicts pods. `remove` is the deletion of the controllers."""

    def __init__(
        self, objects: Objects, pace: Pace, remove: Callable[[Kind, dict[str, Any], str], None]
    ) -> None:
        self._objects = objects
        self._pace = pace
        self._remove = remove

    def schedule(self) -> None:
        """Bind what waits, oldest first."""
        pods = [stored.body for stored in self._objects.of(PODS)]
        waiting = [pod for pod in pods if not pod["spec"].get("nodeName") and _is_alive(pod)]
        if not waiting:
            return
        nodes = [stored.body for stored in self._objects.of(NODES)]
        bound = [pod for pod in pods if pod["spec"].get("nodeName") and not _is_finished(pod)]
        room = Room(nodes, bound)
        for pod in sorted(waiting, key=lambda each: int(each["metadata"]["resourceVersion"])):
            node, why_not = room.bind(pod)
            condition = {"type": "PodScheduled", "status": "True" if node else "False"}
            if why_not:
                condition |= {"reason": "Unschedulable", "message": why_not}
            if not node and pod["status"].get("conditions") == [condition]:
                continue
            copy = self._objects.get(PODS, _name(pod)) or pod
            copy["status"]["conditions"] = [condition]
            if node:
                copy["spec"]["nodeName"] = node
            self._objects.put(PODS, copy)

    def run(self, now: float) -> None:
        """One pass of every kubelet over its pods."""
        nodes = {stored.body["metadata"]["name"]: stored.body for stored in self._objects.of(NODES)}
        for stored in self._objects.of(PODS):
            pod = stored.body
            node = nodes.get(pod["spec"].get("nodeName", ""))
            if not pod["spec"].get("nodeName"):
                continue
            if node is None:
                # The pod collector: a node that is gone takes its pods with it.
                self._objects.delete(PODS, _name(pod))
            elif is_ready(node):
                self._tend(pod, now)
            else:
                self._abandon(pod, node, now)

    def _tend(self, pod: dict[str, Any], now: float) -> None:
        metadata, status = pod["metadata"], pod["status"]
        if "deletionTimestamp" in metadata:
            if now - seconds(metadata["deletionTimestamp"]) >= self._pace.termination_seconds:
                self._objects.delete(PODS, _name(pod))
            return
        if _is_finished(pod):
            return
        copy = self._objects.get(PODS, _name(pod)) or pod
        status = copy["status"]
        if "startTime" not in status:
            status |= {"startTime": timestamp(now), "conditions": _conditions(ready=False)}
            self._objects.put(PODS, copy)
            return
        age = now - seconds(status["startTime"])
        limit = _run_seconds(pod, self._pace.job_seconds)
        if limit is not None and age >= limit + self._pace.ready_seconds:
            status |= {"phase": "Succeeded", "conditions": _conditions(ready=False)}
        elif age >= self._pace.ready_seconds and not _ready(pod):
            status |= {"phase": "Running", "conditions": _conditions(ready=True)}
        else:
            return
        self._objects.put(PODS, copy)

    def _abandon(self, pod: dict[str, Any], node: dict[str, Any], now: float) -> None:
        """The kubelet is silent: its pods are not ready, and go when they are not meant to stay."""
        if _ready(pod):
            copy = self._objects.get(PODS, _name(pod)) or pod
            copy["status"]["conditions"] = _conditions(ready=False)
            self._objects.put(PODS, copy)
        taint = {"key": UNREACHABLE, "effect": "NoExecute"}
        since = next(each for each in node["status"]["conditions"] if each["type"] == "Ready")
        silent = now - seconds(since.get("lastTransitionTime") or timestamp(now))
        if silent >= self._pace.eviction_seconds and not tolerates(pod["spec"], taint):
            self._remove(PODS, pod, timestamp(now))


def _run_seconds(pod: dict[str, Any], usual: float) -> float | None:
    owners = owners_of(pod)
    if not any(owner["kind"] == "Job" for owner in owners):
        return None
    given = annotations_of(pod).get(RUN_SECONDS)
    return float(given) if given else usual


def _conditions(*, ready: bool) -> list[dict[str, str]]:
    return [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "True" if ready else "False"},
    ]


def _ready(pod: dict[str, Any]) -> bool:
    return has_condition(pod, "Ready")


def _is_finished(pod: dict[str, Any]) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def _is_alive(pod: dict[str, Any]) -> bool:
    return not _is_finished(pod) and "deletionTimestamp" not in pod["metadata"]


def _name(pod: dict[str, Any]) -> Name:
    return Name(pod["metadata"].get("namespace", ""), pod["metadata"]["name"])
