"""NUMA zones of simulated nodes: what a kubelet admits, and the NodeResourceTopology that says what is left.

CPU and memory manager are static: they pin containers of Guaranteed pods, whole CPUs only; devices are handed
out to any pod. What a pod holds stands in its annotation, so that it outlives this process. The updater tells
of which pods the zones are, as NFD's does: of all that are bound and not finished.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from agents.observe.fingerprint import ATTRIBUTE, fingerprint
from agents.observe.quantities import amounts
from agents.simulation import catalogue
from agents.simulation.bodies import Body, annotations_of, items, part
from agents.simulation.store import Kind, Name, Objects, Stored
from schemas.quantities import quantity_text

HELD = "simulation.muster.dev/zones"
REFUSED = "TopologyAffinityError"
_TOPOLOGIES = Kind(catalogue.NODE_TOPOLOGIES.group, catalogue.NODE_TOPOLOGIES.plural)
_PODS = Kind(catalogue.PODS.group, catalogue.PODS.plural)
_FINISHED = ("Succeeded", "Failed")
_Amounts = dict[str, int]
_Held = dict[str, _Amounts]
"""By zone name."""


class Zones:
    """What the kubelets of all nodes have given out. `pods_on` names a node's pods."""

    def __init__(self, objects: Objects, pods_on: Callable[[str], list[Body]], update_seconds: float) -> None:
        self._objects = objects
        self._pods_on = pods_on
        self._update_seconds = update_seconds
        self._changed_on = {name.name for name in objects.names(_TOPOLOGIES)}
        self._due: dict[str, float] = {}
        objects.on_change(self._changed, _PODS, _TOPOLOGIES)

    def _changed(self, kind: Kind, name: Name, before: Stored | None, after: Stored | None) -> None:
        if kind == _PODS:
            told = [_told(stored.body) if stored is not None else ("", "") for stored in (before, after)]
            if told[0] != told[1]:
                self._changed_on.update(node for node, _ in told if node)
        elif after is not None:
            self._changed_on.add(name.name)

    def admit(self, pod: Body) -> tuple[str, str]:
        """(what the pod holds, for its annotation, "" for nothing; why it is refused, "" where it is not)."""
        node = pod["spec"]["nodeName"]
        topology = self._objects.peek(_TOPOLOGIES, Name("", node))
        if topology is None:
            return "", ""
        policy, scope = _policy(topology)
        free = self._free(topology, node)
        wanted = [_aligned(each, free) for each in _groups(pod, scope)]
        held: _Held = {}
        for asked in wanted:
            if not asked:
                continue
            fitting = [
                name for name, left in free.items() if all(left.get(k, 0) >= v for k, v in asked.items())
            ]
            if policy == "single-numa-node" and not fitting:
                return "", "Resources cannot be allocated with Topology locality"
            for name, resource, amount in _spread(free, fitting[:1] or list(free), asked):
                free[name][resource] -= amount
                given = held.setdefault(name, {})
                given[resource] = given.get(resource, 0) + amount
        return (msgspec.json.encode(held, order="deterministic").decode() if held else ""), ""

    def publish(self, now: float) -> None:
        """What is left, as the topology updater writes it."""
        for name in self._changed_on:
            self._due.setdefault(name, now + self._update_seconds)
        self._changed_on.clear()
        for name in sorted(name for name, at in self._due.items() if at <= now):
            del self._due[name]
            topology = self._objects.get(_TOPOLOGIES, Name("", name))
            if topology is None:
                continue
            free, changed = self._free(topology, name), self._sign(topology, name)
            for zone in topology["zones"]:
                for resource in zone["resources"]:
                    left = quantity_text(resource["name"], max(0, free[zone["name"]][resource["name"]]))
                    changed |= resource["available"] != left
                    resource["available"] = left
            if changed:
                self._objects.put(_TOPOLOGIES, topology)
        # What it has just written is no news to it.
        self._changed_on.clear()

    def _sign(self, topology: Body, node: str) -> bool:
        """Say of which pods the zones are; whether these are others than before."""
        pods = [pod for pod in self._pods_on(node) if part(pod, "status").get("phase") not in _FINISHED]
        text = fingerprint((pod["metadata"].get("namespace", ""), pod["metadata"]["name"]) for pod in pods)
        attributes = items(topology, "attributes")
        kept = [each for each in attributes if each["name"] != ATTRIBUTE]
        topology["attributes"] = [*kept, {"name": ATTRIBUTE, "value": text}]
        return topology["attributes"] != attributes

    def _free(self, topology: Body, node: str) -> dict[str, _Amounts]:
        free = {
            zone["name"]: amounts({each["name"]: each["allocatable"] for each in zone["resources"]})
            for zone in topology["zones"]
        }
        for pod in self._pods_on(node):
            held = annotations_of(pod).get(HELD)
            if not held or pod["status"]["phase"] in _FINISHED:
                continue
            taken: _Held = msgspec.json.decode(held)
            for name, asked in taken.items():
                for resource, amount in asked.items():
                    free[name][resource] = free[name].get(resource, 0) - amount
        return free


def _told(pod: Body) -> tuple[str, str]:
    """(node, what it holds there) of a pod that counts."""
    if part(pod, "status").get("phase") in _FINISHED:
        return "", ""
    return pod["spec"].get("nodeName", ""), annotations_of(pod).get(HELD, "")


def _policy(topology: Body) -> tuple[str, str]:
    said = {each["name"]: each["value"] for each in items(topology, "attributes")}
    return said.get("topologyManagerPolicy", "none"), said.get("topologyManagerScope", "container")


def _groups(pod: Body, scope: str) -> list[tuple[_Amounts, bool]]:
    """What is asked for together, container by container or by the whole pod, and whether it is pinned."""
    guaranteed = _is_guaranteed(pod)
    asked = [_asks(each) for each in items(pod["spec"], "containers")]
    if scope == "pod":
        total: _Amounts = {}
        for each in asked:
            for resource, amount in each.items():
                total[resource] = total.get(resource, 0) + amount
        asked = [total]
    return [(each, guaranteed) for each in asked]


def _aligned(group: tuple[_Amounts, bool], zones: dict[str, _Amounts]) -> _Amounts:
    """What the managers of a kubelet align: of what zones list, whole CPUs and memory if it is pinned."""
    asked, pinned = group
    listed = {resource for each in zones.values() for resource in each}
    native = {"cpu", "memory"} | {each for each in asked if each.startswith("hugepages-")}
    found = {key: value for key, value in asked.items() if value and key in listed}
    if pinned and found.get("cpu", 0) % 1000 == 0:
        return found
    kept = native - {"cpu"} if pinned else set[str]()
    return {key: value for key, value in found.items() if key not in native or key in kept}


def _spread(free: dict[str, _Amounts], names: list[str], asked: _Amounts) -> list[tuple[str, str, int]]:
    """(zone, resource, amount): from the first zones that have any; the last takes what is left over."""
    given: list[tuple[str, str, int]] = []
    for resource, amount in sorted(asked.items()):
        for name in names:
            last = name == names[-1]
            part_of_it = amount if last else min(amount, max(0, free[name].get(resource, 0)))
            if part_of_it and resource in free[name]:
                given.append((name, resource, part_of_it))
            amount -= part_of_it
    return given


def _asks(container: Body) -> _Amounts:
    resources = part(container, "resources")
    return amounts(part(resources, "limits") | part(resources, "requests"))


def _is_guaranteed(pod: Body) -> bool:
    """Every container limits cpu and memory, and asks for no less than that."""
    containers = [*items(pod["spec"], "containers"), *items(pod["spec"], "initContainers")]
    for container in containers:
        limits: dict[str, Any] = part(container, "resources", "limits")
        requests: dict[str, Any] = part(container, "resources", "requests")
        most, least = amounts(limits), amounts({**limits, **requests})
        if any(not most.get(name) or most[name] != least[name] for name in ("cpu", "memory")):
            return False
    return True
