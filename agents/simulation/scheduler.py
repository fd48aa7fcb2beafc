"""Binds pods by requests, node selector, required affinity and taints: to the freest node."""

from dataclasses import dataclass, field
from functools import lru_cache
from heapq import heapify, heappop, heappush, heapreplace

import msgspec

from agents.observe.asks import asks_of
from agents.observe.quantities import amounts
from agents.observe.shapes import PodSpec
from agents.simulation.bodies import Body, has_condition, items, labels_of, part
from agents.simulation.store import Name

_HARD = ("NoSchedule", "NoExecute")
_COUNTING = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "containers",
    "initContainers",
    "overhead",
    "resources",
)
_ASKING = ("containers", "initContainers", "overhead", "resources")
_MOST_REMEMBERED = 1_000
_decode_spec = msgspec.json.Decoder(PodSpec)


def asks(pod: Body) -> dict[str, int]:
    """What a pod asks for, as the agent counts it as well."""
    return _asks_of(msgspec.json.encode({key: pod["spec"][key] for key in _ASKING if key in pod["spec"]}))


@lru_cache(maxsize=_MOST_REMEMBERED)
def _asks_of(asking: bytes) -> dict[str, int]:
    return asks_of(_decode_spec.decode(asking))


@dataclass(slots=True)
class _Place:
    """One node and what its pods leave of it. Without a body: pods name it, and it is not there (yet)."""

    body: Body | None = None
    whole: dict[str, int] = field(default_factory=dict[str, int])
    free: dict[str, int] = field(default_factory=dict[str, int])
    freedom: float = 0.0

    def take(self, wanted: dict[str, int], sign: int) -> None:
        for resource, amount in wanted.items():
            self.free[resource] = self.free.get(resource, 0) - sign * amount
        self.freedom = sum(
            self.free.get(key, 0) / self.whole[key] for key in ("cpu", "memory") if self.whole.get(key)
        )

    def fits(self, wanted: list[tuple[str, int]]) -> bool:
        return all(self.free.get(resource, 0) >= amount for resource, amount in wanted)


class Room:
    """What is free on each node, kept from tick to tick by being told of every node and pod that changed.

    Pods that ask for the same are alike: where they may stand is worked out once until a node changes, and
    that they fit nowhere is known until something does.

    takes: heaps of (-freedom, node). What a pod takes makes an entry too good, which is seen when it is at
    the top; what a pod gives back would leave it too bad, and lets all heaps be made anew.
    """

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._nodes = 0
        self._held: dict[Name, tuple[str, dict[str, int]]] = {}
        self._takes: dict[bytes, list[tuple[float, str]]] = {}
        self._wanted: dict[bytes, list[tuple[str, int]]] = {}
        self._refused: dict[bytes, str] = {}

    def node_changed(self, name: str, before: Body | None, after: Body | None) -> None:
        """None for a node that is not there."""
        place = self._places.setdefault(name, _Place())
        self._nodes += (after is not None) - (before is not None)
        whole = amounts(after["status"]["allocatable"]) if after is not None else {}
        place.take(place.whole, 1)
        place.body, place.whole = after, whole
        place.take(whole, -1)
        self._drop_if_empty(name)
        self._takes.clear()
        self._refused.clear()

    def pod_changed(self, name: Name, before: Body | None, after: Body | None) -> None:
        """None for a pod that is not there; one that waits or has finished holds nothing."""
        if (
            before is not None
            and after is not None
            and before["spec"] is after["spec"]
            and is_finished(before) == is_finished(after)
        ):
            return
        node = "" if after is None or is_finished(after) else after["spec"].get("nodeName", "")
        held = self._held.get(name)
        if held is None and not node:
            return
        wanted = asks(after) if after is not None and node else {}
        if held == (node, wanted):
            return
        if held is not None:
            self._places[held[0]].take(self._held.pop(name)[1], -1)
            self._takes.clear()
            self._drop_if_empty(held[0])
        if node:
            self._places.setdefault(node, _Place()).take(wanted, 1)
            self._held[name] = node, wanted
        self._refused.clear()

    def choose(self, pod: Body) -> tuple[str, str]:
        """(node, "") for the node that the pod goes to, ("", why not) where none takes it."""
        alike = _what_counts(pod)
        if (why_not := self._refused.get(alike)) is not None:
            return "", why_not
        if len(self._wanted) > _MOST_REMEMBERED:
            self._wanted.clear()
            self._takes.clear()
            self._refused.clear()
        if alike not in self._wanted:
            self._wanted[alike] = [(resource, amount) for resource, amount in asks(pod).items() if amount]
        takes = self._takes.get(alike)
        if takes is None:
            takes = self._takes[alike] = [
                (-place.freedom, name)
                for name, place in self._places.items()
                if place.body is not None and accepts(place.body, pod)
            ]
            heapify(takes)
        node = self._freest(takes, self._wanted[alike])
        if node:
            return node, ""
        short = f"{len(takes)} match, none has enough free"
        why_not = f"0/{self._nodes} nodes are available: {short if takes else 'none matches'}"
        self._refused[alike] = why_not
        return "", why_not

    def _freest(self, takes: list[tuple[float, str]], wanted: list[tuple[str, int]]) -> str:
        """Of those with room for it, and by name where they are equally free; "" where none has."""
        full: list[tuple[float, str]] = []
        found = ""
        while takes and not found:
            freedom, name = takes[0]
            place = self._places[name]
            if freedom != -place.freedom:
                heapreplace(takes, (-place.freedom, name))
            elif place.fits(wanted):
                found = name
            else:
                full.append(heappop(takes))
        for each in full:
            heappush(takes, each)
        return found

    def _drop_if_empty(self, name: str) -> None:
        place = self._places[name]
        if place.body is None and not any(place.free.values()):
            del self._places[name]


def _what_counts(pod: Body) -> bytes:
    """Equal for pods that every node treats alike."""
    spec = pod["spec"]
    return msgspec.json.encode([spec.get(key) for key in _COUNTING])


def is_finished(pod: Body) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


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
