"""The kubelets, and the part of the node controller that reacts when one falls silent."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agents.observe.rows import STUCK
from agents.simulation import catalogue
from agents.simulation.admission import runtime_class_of, starts_on
from agents.simulation.bodies import annotations_of, has_condition, owners_of, renewed
from agents.simulation.events import Telling
from agents.simulation.networks import NETWORKS, Networks
from agents.simulation.scheduler import Room, is_finished, is_ready, tolerates
from agents.simulation.store import Kind, Name, Objects, Stored, name_of
from agents.simulation.zones import HELD, REFUSED, Zones

NODES = Kind(catalogue.NODES.group, catalogue.NODES.plural)
PODS = Kind(catalogue.PODS.group, catalogue.PODS.plural)
RUN_SECONDS = "simulation.muster.dev/run-seconds"
CRASHES = "simulation.muster.dev/crashes"
"""On a pod, with any value: its containers end as soon as they are started; a pod of a Job fails for good.
With `ErrImagePull` or another such reason, they wait for that."""
_EARLY_SECONDS = 0.01
UNREACHABLE = "node.kubernetes.io/unreachable"


@dataclass(frozen=True)
class Pace:
    """How long things take in the simulated cluster, in seconds.

    zones_seconds: until the topology updater has seen a change. back_off_seconds: from one event of a
    container that fails to the next.
    """

    ready_seconds: float = 2.0
    termination_seconds: float = 1.0
    eviction_seconds: float = 300.0
    job_seconds: float = 30.0
    zones_seconds: float = 0.0
    back_off_seconds: float = 10.0


def timestamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Kubelets:
    """Binds, starts, ends and evicts pods. `remove` is the deletion of the controllers.

    A tick looks at the pods for which something may be due: one is settled once it is what it stays until it,
    its node or the cluster's room changes.
    """

    def __init__(
        self,
        objects: Objects,
        pace: Pace,
        networks: Networks,
        remove: Callable[[Kind, dict[str, Any], str], None],
    ) -> None:
        self._objects = objects
        self._pace = pace
        self._networks = networks
        self._remove = remove
        self._tell = Telling(objects)
        self._zones = Zones(
            objects, lambda node: self._bodies(self._pods_on.get(node, set())), pace.zones_seconds
        )
        self._room = Room()
        self._room_changed = True
        self._waiting: set[Name] = set()
        self._unsettled: set[Name] = set()
        self._later: list[tuple[float, Name]] = []
        self._pods_on: dict[str, set[Name]] = {}
        for kind in (NODES, PODS):
            for stored in objects.of(kind):
                self._changed(kind, name_of(stored.body), None, stored)
        objects.on_change(self._changed, NODES, PODS)

    def _changed(self, kind: Kind, name: Name, before: Stored | None, after: Stored | None) -> None:
        if kind == NODES:
            self._node_changed(name.name, before and before.body, after and after.body)
        else:
            self._pod_changed(name, before and before.body, after and after.body)
        self._room_changed = True

    def _node_changed(self, name: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        self._room.node_changed(name, before, after)
        self._unsettled |= self._pods_on.get(name, set())

    def _pod_changed(self, name: Name, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        if before is not None and (node := before["spec"].get("nodeName")):
            self._pods_on[node].discard(name)
            if not self._pods_on[node]:
                del self._pods_on[node]
        self._waiting.discard(name)
        self._unsettled.discard(name)
        self._room.pod_changed(name, before, after)
        if after is None:
            return
        if node := after["spec"].get("nodeName"):
            self._pods_on.setdefault(node, set()).add(name)
            self._unsettled.add(name)
        elif _is_alive(after):
            self._waiting.add(name)

    def _bodies(self, names: set[Name]) -> list[dict[str, Any]]:
        found = (self._objects.peek(PODS, name) for name in sorted(names))
        return [body for body in found if body is not None]

    def schedule(self) -> None:
        """Bind what waits, oldest first."""
        if not self._waiting or not self._room_changed:
            return
        self._room_changed = False
        waiting = self._bodies(self._waiting)
        for pod in sorted(waiting, key=lambda each: int(each["metadata"]["resourceVersion"])):
            node, why_not = self._room.choose(pod)
            condition = {"type": "PodScheduled", "status": "True" if node else "False"}
            if why_not:
                condition |= {"reason": "Unschedulable", "message": why_not}
            if not node and pod["status"].get("conditions") == [condition]:
                continue
            bound = renewed(pod, status=pod["status"] | {"conditions": [condition]})
            if node:
                bound["spec"] = pod["spec"] | {"nodeName": node}
            self._objects.put(PODS, bound)

    def run(self, now: float) -> None:
        """One pass of the kubelets over the pods that are not settled."""
        unsettled, self._unsettled = self._unsettled, set()
        while self._later and self._later[0][0] <= now:
            unsettled.add(heapq.heappop(self._later)[1])
        for pod in self._bodies(unsettled):
            if "nodeName" not in pod["spec"]:
                continue
            node = self._objects.peek(NODES, Name("", pod["spec"]["nodeName"]))
            if node is None:
                # The pod collector: a node that is gone takes its pods with it.
                self._objects.delete(PODS, name_of(pod))
            elif not (self._tend(pod, node, now) if is_ready(node) else self._abandon(pod, node, now)):
                self._unsettled.add(name_of(pod))
        self._networks.release()
        self._zones.publish(now)

    def _tend(self, pod: dict[str, Any], node: dict[str, Any], now: float) -> bool:
        """Whether the pod is settled; one that was changed here is unsettled by that."""
        metadata, status = pod["metadata"], pod["status"]
        if "deletionTimestamp" in metadata:
            if now - seconds(metadata["deletionTimestamp"]) < self._pace.termination_seconds:
                return False
            self._objects.delete(PODS, name_of(pod))
            return True
        if is_finished(pod):
            return True
        if "startTime" not in status:
            return self._start(pod, node, now)
        age = now - seconds(status["startTime"])
        if CRASHES in annotations_of(pod):
            return self._crash(pod, age, now)
        limit = _run_seconds(pod, self._pace.job_seconds)
        if limit is not None and age >= limit + self._pace.ready_seconds:
            self._put_status(pod, phase="Succeeded", conditions=_conditions(ready=False))
            return True
        if _ready(pod):
            return limit is None
        if age < self._pace.ready_seconds:
            # Nothing becomes of it before; it is looked at a moment early, and then at every tick.
            due = seconds(status["startTime"]) + self._pace.ready_seconds - _EARLY_SECONDS
            if now >= due:
                return False
            heapq.heappush(self._later, (due, name_of(pod)))
            return True
        self._put_status(pod, phase="Running", conditions=_conditions(ready=True))
        return True

    def _crash(self, pod: dict[str, Any], age: float, now: float) -> bool:
        """The container dies again and again, and an event says so, ever more often."""
        if age < self._pace.ready_seconds:
            return False
        if any(owner["kind"] == "Job" for owner in owners_of(pod)):
            self._put_status(pod, phase="Failed", conditions=_conditions(ready=False))
            return True
        if "containerStatuses" not in pod["status"]:
            self._put_status(pod, **_crashing(pod))
        times = int(age / self._pace.back_off_seconds)
        self._tell.warn(pod, "BackOff", "Back-off restarting failed container", times, now)
        return False

    def _start(self, pod: dict[str, Any], node: dict[str, Any], now: float) -> bool:
        """Admit, then make the sandbox. Who is not admitted has failed; a sandbox is tried again."""
        held, why_not = self._zones.admit(pod) if HELD not in annotations_of(pod) else ("", "")
        if why_not:
            self._put_status(pod, phase="Failed", reason=REFUSED, message=why_not)
            return True
        runtime_class = runtime_class_of(self._objects, pod)
        if runtime_class is not None and not starts_on(node, runtime_class):
            why_not = f"no runtime for {runtime_class['handler']!r} is configured"
        elif NETWORKS in annotations_of(pod):
            why_not = self._networks.attach(pod)
        if why_not:
            conditions = _conditions(ready=False, message=f"FailedCreatePodSandBox: {why_not}")
            if pod["status"].get("conditions") != conditions or held:
                self._put_status(pod, held, conditions=conditions)
            return False
        self._put_status(pod, held, startTime=timestamp(now), conditions=_conditions(ready=False))
        return True

    def _abandon(self, pod: dict[str, Any], node: dict[str, Any], now: float) -> bool:
        """The kubelet is silent: its pods are not ready, and go when they are not meant to stay."""
        if _ready(pod):
            self._put_status(pod, conditions=_conditions(ready=False))
        if tolerates(pod["spec"], {"key": UNREACHABLE, "effect": "NoExecute"}):
            return True
        since = next(each for each in node["status"]["conditions"] if each["type"] == "Ready")
        silent = now - seconds(since.get("lastTransitionTime") or timestamp(now))
        if silent < self._pace.eviction_seconds:
            return False
        self._remove(PODS, pod, timestamp(now))
        return True

    def _put_status(self, pod: dict[str, Any], held: str = "", **status: Any) -> None:
        live = self._objects.peek(PODS, name_of(pod)) or pod
        copy = renewed(live, status=live["status"] | status)
        if held:
            copy["metadata"]["annotations"] = annotations_of(live) | {HELD: held}
        self._objects.put(PODS, copy)


def _run_seconds(pod: dict[str, Any], usual: float) -> float | None:
    owners = owners_of(pod)
    if not any(owner["kind"] == "Job" for owner in owners):
        return None
    given = annotations_of(pod).get(RUN_SECONDS)
    return float(given) if given else usual


def _crashing(pod: dict[str, Any]) -> dict[str, Any]:
    given = annotations_of(pod)[CRASHES]
    reason = given if given in STUCK else "CrashLoopBackOff"
    waiting = {"reason": reason, "message": "back-off 5m0s restarting failed container"}
    containers = [
        {"name": each["name"], "ready": False, "restartCount": 5, "state": {"waiting": waiting}}
        for each in pod["spec"]["containers"]
    ]
    conditions = _conditions(ready=False, message="containers with unready status")
    return {"phase": "Running", "conditions": conditions, "containerStatuses": containers}


def _conditions(*, ready: bool, message: str = "") -> list[dict[str, str]]:
    why = {"reason": "ContainersNotReady", "message": message} if message else {}
    return [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "True" if ready else "False", **why},
    ]


def _ready(pod: dict[str, Any]) -> bool:
    return has_condition(pod, "Ready")


def _is_alive(pod: dict[str, Any]) -> bool:
    return not is_finished(pod) and "deletionTimestamp" not in pod["metadata"]
