"""Binds pods by requests, node selector, required affinity and taints: to the freest node."""

from collections.abc import Iterable

import msgspec

from agents.observe.asks import asks_of
from agents.observe.quantities import amounts
from agents.observe.shapes import PodSpec
from agents.simulation.bodies import Body, has_condition, items, labels_of, part

_HARD = ("NoSchedule", "NoExecute")
_decode_spec = msgspec.json.Decoder(PodSpec)


def asks(pod: Body) -> dict[str, int]:
    """What a pod asks for, as the agent counts it as well."""
    return asks_of(_decode_spec.decode(msgspec.json.encode(pod["spec"])))


class Room:
    """What is free on each node, as pods are bound one after the other."""

    def __init__(self, nodes: Iterable[Body], pods: Iterable[Body]) -> None:
        self._nodes = {node["metadata"]["name"]: node for node in nodes}
        self._free = {name: amounts(node["status"]["allocatable"]) for name, node in self._nodes.items()}
        self._all = {name: dict(free) for name, free in self._free.items()}
        for pod in pods:
            self._take(pod["spec"]["nodeName"], asks(pod))

    def bind(self, pod: Body) -> tuple[str, str]:
        """(node, "") for the node that the pod goes to, ("", why not) where none takes it."""
        wanted = asks(pod)
        takes = [name for name, node in self._nodes.items() if accepts(node, pod)]
        fits = [name for name in takes if self._fits(name, wanted)]
        if not fits:
            short = f"{len(takes)} match, none has enough free"
            return "", f"0/{len(self._nodes)} nodes are available: {short if takes else 'none matches'}"
        chosen = min(fits, key=lambda name: (-self._freedom(name), name))
        self._take(chosen, wanted)
        return chosen, ""

    def _fits(self, name: str, wanted: dict[str, int]) -> bool:
        free = self._free[name]
        return all(free.get(resource, 0) >= amount for resource, amount in wanted.items() if amount)

    def _freedom(self, name: str) -> float:
        free, whole = self._free[name], self._all[name]
        return sum(free.get(key, 0) / whole[key] for key in ("cpu", "memory") if whole.get(key))

    def _take(self, name: str, wanted: dict[str, int]) -> None:
        free = self._free.get(name)
        if free is None:
            return
        for resource, amount in wanted.items():
            free[resource] = free.get(resource, 0) - amount


def accepts(node: Body, pod: Body) -> bool:
    """Whether the node's readiness, labels and taints let the pod in, room aside."""
    if not is_ready(node):
        return False
    spec, labels = pod["spec"], labels_of(node)
    if any(labels.get(key) != value for key, value in part(spec, "nodeSelector").items()):
        return False
    if not _affinity_matches(spec, node):
        return False
    taints = list(items(part(node, "spec"), "taints"))
    if part(node, "spec").get("unschedulable"):
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    return all(tolerates(spec, taint) for taint in taints if taint["effect"] in _HARD)


def is_ready(node: Body) -> bool:
    return has_condition(node, "Ready")


def tolerates(spec: Body, taint: Body) -> bool:
    """Whether one of the pod's tolerations covers the taint."""
    for toleration in items(spec, "tolerations"):
        if toleration.get("effect") and toleration["effect"] != taint["effect"]:
            continue
        if toleration.get("operator") == "Exists":
            if toleration.get("key") in (None, "", taint["key"]):
                return True
        elif (toleration.get("key"), toleration.get("value", "")) == (taint["key"], taint.get("value", "")):
            return True
    return False


def _affinity_matches(spec: Body, node: Body) -> bool:
    required = part(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    labels = labels_of(node)
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        all(_matches(labels, each) for each in items(term, "matchExpressions"))
        and all(_matches(fields, each) for each in items(term, "matchFields"))
        for term in items(required, "nodeSelectorTerms")
        if term.get("matchExpressions") or term.get("matchFields")
    )


def _matches(labels: dict[str, str], expression: Body) -> bool:
    value = labels.get(expression["key"])
    values: list[str] = expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" if value is not None and value.lstrip("-").isdigit():
            bound = int(values[0])
            return int(value) > bound if expression["operator"] == "Gt" else int(value) < bound
        case _:
            return False
