"""GPUs and features of the fleet, from what its nodes say of themselves."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from controlplane.fleet import Fleet
from controlplane.fleet.classes import ClassSum
from controlplane.fleet.traits import FEATURE, feature_of, value_of
from controlplane.queries.inventory_rows import FeatureIn, FeatureRow, GpuIn, GpuRow
from schemas.wire.hardware import DEVICE_CLASS_RESOURCE

MOST_VALUES = 20
_MIB = 2**20
_GPU = re.compile(
    r"(?P<vendor>[^/]+)/(?:gpu|(?P<mig>mig-\d+g\.\d+gb(?:\.me)?)|i915|xe)(?P<shared>\.shared)?|gpu\.intel\.com/.+"
)
_MIG_PRODUCT = re.compile(r"(?P<product>.+)-MIG-(?P<profile>\d+g\.\d+gb(?:[.+]me)?)")
_SHARED = "-SHARED"


@dataclass(frozen=True)
class Model:
    """What makes GPUs alike."""

    resource: str
    product: str = ""
    memory: int | None = None
    mig: str = ""
    sharing: str = ""
    replicas: int = 1
    device_class: str = ""


def is_gpu(resource: str) -> bool:
    """By the names that device plugins give, and the devices of DRA."""
    return resource.startswith(DEVICE_CLASS_RESOURCE) or _GPU.fullmatch(resource) is not None


def model_of(resource: str, labels: Mapping[str, str]) -> Model:
    """By the labels of GPU feature discovery: with MIG `single` they speak of the slices, with `mixed` each
    profile has labels of its own; a product that is shared in time is called ...-SHARED.
    """
    if resource.startswith(DEVICE_CLASS_RESOURCE):
        return Model(resource, device_class=resource.removeprefix(DEVICE_CLASS_RESOURCE))
    match = _GPU.fullmatch(resource)
    vendor = (match and match["vendor"]) or resource.partition("/")[0]
    profile = (match and match["mig"]) or ""
    prefix = f"{vendor}/{profile or 'gpu'}"
    product = labels.get(f"{prefix}.product", labels.get(f"{prefix}.product-name", ""))
    shared = product.endswith(_SHARED) or bool(match and match["shared"])
    product = product.removesuffix(_SHARED)
    if found := _MIG_PRODUCT.fullmatch(product):
        product, profile = found["product"], found["profile"]
    strategy = labels.get(f"{vendor}/gpu.sharing-strategy", "none")
    if strategy == "none":
        strategy = "time-slicing" if shared else ""
    return Model(
        resource=resource,
        product=product,
        memory=_mebibytes(labels.get(f"{prefix}.memory")),
        mig=profile.removeprefix("mig-"),
        sharing=strategy,
        replicas=_replicas(labels.get(f"{prefix}.replicas")) if strategy else 1,
    )


def _mebibytes(text: str | None) -> int | None:
    return int(text) * _MIB if text and text.isdecimal() else None


def _replicas(text: str | None) -> int:
    return max(1, int(text)) if text and text.isdecimal() else 1


class Gpus:
    def __init__(self) -> None:
        self._found: dict[Model, dict[str, GpuIn]] = defaultdict(dict)
        self._seen: list[str] = []

    def take(self, fleet: Fleet, cluster: str, name: str) -> None:
        self._seen.append(name)
        for each in fleet.classes(cluster, is_gpu):
            for resource, count in each.allocatable.items():
                parts = self._found[model_of(resource, each.labels)]
                before = parts.get(name, GpuIn(name, 0, 0, 0))
                parts[name] = GpuIn(
                    name,
                    before.nodes + each.holders[resource],
                    before.count + count,
                    before.free + each.free[resource],
                )

    def rows(self) -> Iterable[GpuRow]:
        for model, parts in self._found.items():
            where = sorted(parts.values(), key=lambda part: (-part.free, -part.count, part.cluster))
            lacking = tuple(sorted(name for name in self._seen if name not in parts))
            yield GpuRow(
                resource=model.resource,
                product=model.product,
                memory=model.memory,
                mig=model.mig,
                sharing=model.sharing,
                replicas=model.replicas,
                device_class=model.device_class,
                count=sum(part.count for part in where),
                free=sum(part.free for part in where),
                nodes=sum(part.nodes for part in where),
                clusters=len(where),
                clusters_lacking=len(lacking),
                where=tuple(where),
                lacking=lacking,
            )


class Features:
    """names: only these, where a filter asks for no others."""

    def __init__(self, names: Collection[str] | None) -> None:
        self._names = names
        self._nodes: dict[str, Counter[str]] = defaultdict(Counter)
        self._values: dict[str, Counter[str]] = defaultdict(Counter)
        self._seen: dict[str, int] = {}

    def take(self, fleet: Fleet, cluster: str, name: str) -> None:
        classes = fleet.classes(cluster, lambda _: False)
        self._seen[name] = sum(each.nodes for each in classes)
        for each in classes:
            for feature, value in self._features(each):
                self._nodes[feature][name] += each.nodes
                self._values[feature][value] += each.nodes

    def _features(self, nodes: ClassSum) -> Iterable[tuple[str, str]]:
        told = {feature for label in nodes.labels if (feature := feature_of(label)) is not None}
        for name in told.union(nodes.features):
            if self._names is None or name in self._names:
                value = value_of(f"{FEATURE}{name}", nodes.labels, nodes.features)
                if value is not None:
                    yield name, value

    def rows(self) -> Iterable[FeatureRow]:
        nodes_seen = sum(self._seen.values())
        for name, by_cluster in self._nodes.items():
            values = self._values[name]
            lacking = tuple(sorted(cluster for cluster in self._seen if cluster not in by_cluster))
            where = sorted(by_cluster.items(), key=lambda part: (-part[1], part[0]))
            frequent = sorted(values.items(), key=lambda part: (-part[1], part[0]))
            yield FeatureRow(
                name=name,
                domain=name.partition(".")[0],
                values=dict(frequent[:MOST_VALUES]),
                distinct=len(values),
                nodes=sum(by_cluster.values()),
                nodes_seen=nodes_seen,
                clusters=len(where),
                clusters_lacking=len(lacking),
                where=tuple(FeatureIn(cluster, nodes) for cluster, nodes in where),
                lacking=lacking,
            )
