"""What the cache keeps of nodes, pods and ordered objects: the few fields that end up in reports."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec

from agents.observe.asks import asks_of, held_alone, unset_of
from agents.observe.health import is_known, judge
from agents.observe.marks import by_spec, by_version, is_by_spec
from agents.observe.quantities import amounts
from agents.observe.shapes import (
    AskingPod,
    NodeShape,
    ObjectShape,
    PodLabels,
    PodShape,
    PodSpec,
    PodStatus,
    UnreadSpec,
)
from agents.ports import Resource
from schemas.wire.orders import WORKLOAD_LABEL, ObjectRef
from schemas.wire.reports import ObjectStatus, Taint, profile_hash

HOSTNAME = "kubernetes.io/hostname"
"""Left out of profiles: it would make every node one of its own."""
STUCK = frozenset(
    (
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    )
)
_FINISHED = ("Succeeded", "Failed")
_GUARANTEED = "Guaranteed"
_NO_LABELS = PodLabels()
MOST_KINDS_OF_PODS = 10_000
_UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "NoSchedule")

PodKey = tuple[str, str]
"""(namespace, name)"""
Asks = dict[str, int]


V = TypeVar("V")
Features = dict[str, str]
_NO_FEATURES: Features = {}


@dataclass(frozen=True, slots=True)
class NodeRow:
    """`conditions`: the names of those that are true. `features`: shared between equal nodes.

    silent: its kubelet does not report any more, so that nobody knows whether it is ready.
    """

    name: str
    labels: dict[str, str]
    profile: str
    allocatable: dict[str, int]
    taints: tuple[Taint, ...]
    conditions: tuple[str, ...]
    provider: str
    handlers: tuple[str, ...] = ()
    features: Features = field(default_factory=lambda: _NO_FEATURES)
    silent: bool = False

    def joined(self, features: Features, devices: Mapping[str, int]) -> "NodeRow":
        """With what others than the kubelet say of it."""
        if features == self.features and not devices:
            return self
        return replace(
            self,
            features=features,
            allocatable={**self.allocatable, **devices},
            profile=_hash_of(self.labels, features, self.handlers),
        )


@dataclass(frozen=True, slots=True)
class PodRow:
    """`asks` is shared between equal pods. `finished` pods exist and hold nothing.

    held: names of resources that it holds alone, while it runs. stuck: why a container of it does not run
    and, by itself, never will, as the kubelet says. unset: `requests.cpu`, ... that some container lacks.
    """

    node: str
    workload: str
    template: str
    asks: Asks
    finished: bool
    deleting: bool
    ready: bool
    held: tuple[str, ...] = ()
    stuck: str = ""
    unset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """`mark`: changes whenever somebody changes what was asked of the object, and seldom else.

    `found`: of a kind that is not judged by itself, what an order's rule may judge it by.
    """

    uid: str
    workload: str
    mark: str
    status: ObjectStatus
    found: ObjectShape | None = None


_decode_node = msgspec.json.Decoder(NodeShape)
_decode_pod = msgspec.json.Decoder(PodShape)
_decode_asking = msgspec.json.Decoder(AskingPod)
_decode_object = msgspec.json.Decoder(ObjectShape)


def node_row(
    raw: bytes | msgspec.Raw, profile_of: Callable[[dict[str, str], tuple[str, ...]], str] | None = None
) -> tuple[str, NodeRow]:
    """profile_of: labels and handlers, by itself made anew. Raises msgspec.MsgspecError."""
    node = _decode_node.decode(raw)
    labels = {key: value for key, value in (node.metadata.labels or {}).items() if key != HOSTNAME}
    taints = {Taint(each.key, each.effect, each.value) for each in node.spec.taints or ()}
    named = {each.name for each in node.status.runtime_handlers or ()}
    # "" is the runtime's own choice, which every node has: said only where there is no other.
    handlers = tuple(sorted(named - {""} or named))
    if node.spec.unschedulable:
        taints.add(_UNSCHEDULABLE)
    return node.metadata.name, NodeRow(
        name=node.metadata.name,
        labels=labels,
        profile=(profile_of or _profile_of)(labels, handlers),
        allocatable=amounts(node.status.allocatable or {}),
        taints=tuple(sorted(taints, key=lambda each: (each.key, each.effect, each.value))),
        conditions=tuple(sorted(each.type for each in node.status.conditions or () if each.status == "True")),
        provider=node.spec.provider_id.partition("://")[0] if "://" in node.spec.provider_id else "",
        handlers=handlers,
        silent=any(
            each.type == "Ready" and each.status == "Unknown" for each in node.status.conditions or ()
        ),
    )


class NodeRows:
    """Decodes nodes; what equal nodes have in common is kept once, for a cluster has few makes of them."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, object], Any] = {}
        self._profiles: dict[int, tuple[dict[str, str], tuple[str, ...], str]] = {}

    def row(self, raw: bytes | msgspec.Raw) -> tuple[str, NodeRow]:
        """Raises msgspec.MsgspecError."""
        name, row = node_row(raw, self._profile_of)
        if len(self._shared) > 10_000:
            self._shared.clear()
            self._profiles.clear()
        return name, replace(
            row,
            labels=self._share("labels", row.profile, row.labels),
            profile=sys.intern(row.profile),
            allocatable=self._share("allocatable", tuple(row.allocatable.items()), row.allocatable),
            taints=self._share("taints", row.taints, row.taints),
            conditions=self._share("conditions", row.conditions, row.conditions),
            provider=sys.intern(row.provider),
            handlers=self._share("handlers", row.handlers, row.handlers),
        )

    def _profile_of(self, labels: dict[str, str], handlers: tuple[str, ...]) -> str:
        """Hashed once: of many equal nodes, and of one that says every few minutes that it lives."""
        place = hash(frozenset(labels.items()))
        known = self._profiles.get(place)
        if known is None or known[:2] != (labels, handlers):
            profile = sys.intern(_profile_of(labels, handlers))
            labels = self._share("labels", profile, labels)
            known = self._profiles[place] = labels, handlers, profile
        return known[2]

    def _share(self, of: str, key: object, value: V) -> V:
        return self._shared.setdefault((of, key), value)


def _profile_of(labels: dict[str, str], handlers: tuple[str, ...]) -> str:
    return _hash_of(labels, _NO_FEATURES, handlers)


def _hash_of(labels: dict[str, str], features: Features, handlers: tuple[str, ...]) -> str:
    return profile_hash(labels, features, list(handlers))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What follows from what a pod's containers say of resources."""

    asks: Asks
    held: tuple[str, ...]
    unset: tuple[str, ...]


class PodRows:
    """Decodes pods. A cluster has many pods and few kinds of them: what a kind asks for is read once."""

    def __init__(self) -> None:
        self._asked: dict[tuple[object, ...], _Asked] = {}

    def row(self, raw: bytes | msgspec.Raw) -> tuple[PodKey, PodRow]:
        """Raises msgspec.MsgspecError."""
        pod = _decode_pod.decode(raw)
        metadata, spec, status = pod.metadata, pod.spec, pod.status
        labels = metadata.labels or _NO_LABELS
        guaranteed = status.qos_class == _GUARANTEED
        said = guaranteed, *_said(spec)
        asked = self._asked.get(said)
        if asked is None:
            asked = self._read(said, _decode_asking.decode(raw).spec, guaranteed=guaranteed)
        return (sys.intern(metadata.namespace), metadata.name), PodRow(
            node=sys.intern(spec.node_name),
            workload=sys.intern(labels.workload),
            template=sys.intern(labels.template),
            asks=asked.asks,
            finished=status.phase in _FINISHED,
            deleting=metadata.deletion_timestamp is not None,
            ready=any(each.type == "Ready" and each.status == "True" for each in status.conditions or ()),
            held=asked.held,
            stuck=_stuck(status),
            unset=asked.unset,
        )

    def _read(self, said: tuple[object, ...], spec: PodSpec, *, guaranteed: bool) -> _Asked:
        if len(self._asked) > MOST_KINDS_OF_PODS:
            self._asked.clear()
        asked = _Asked(asks_of(spec), held_alone(spec, guaranteed=guaranteed), unset_of(spec))
        self._asked[said] = asked
        return asked


def _said(spec: UnreadSpec) -> Iterator[object]:
    """Of resources, word for word: equal words mean equal amounts."""
    for containers in (spec.containers, spec.init_containers or ()):
        yield len(containers)
        for each in containers:
            yield bytes(each.resources)
            yield each.restart_policy
    yield bytes(spec.overhead)
    yield bytes(spec.resources)


def _stuck(status: PodStatus) -> str:
    for container in (*(status.init_containers or ()), *(status.containers or ())):
        waiting = container.state.waiting if container.state is not None else None
        if waiting is not None and waiting.reason in STUCK:
            return sys.intern(waiting.reason)
    return ""


class ObjectRows:
    """Decodes the objects of one kind."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    def row(self, raw: bytes | msgspec.Raw) -> tuple[ObjectRef, ObjectRow]:
        """Raises msgspec.MsgspecError."""
        found = _decode_object.decode(raw)
        metadata = found.metadata
        ref = ObjectRef(self._resource.api_version, self._resource.kind, metadata.namespace, metadata.name)
        if is_by_spec(ref.api_version, ref.kind):
            mark = by_spec(metadata.uid, msgspec.json.decode(found.spec))
        else:
            mark = by_version(metadata.uid, metadata.generation, metadata.resource_version)
        return ref, ObjectRow(
            uid=metadata.uid,
            workload=(metadata.labels or {}).get(WORKLOAD_LABEL, ""),
            mark=mark,
            status=judge(ref, found),
            found=None if is_known(ref) else found,
        )
