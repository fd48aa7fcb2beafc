"""What the fleet answers with: frozen, cheap to hand on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from controlplane.fleet.demand import Amounts, Demand
from schemas.wire.reports import Taint


class Outcome(StrEnum):
    """What became of a report. WAITING: it names a profile or an epoch that is not here yet."""

    APPLIED = "Applied"
    WAITING = "Waiting"
    OLDER = "Older"


@dataclass(frozen=True)
class Part:
    """`replicas` of one pod template; each asks for `demand` until it is bound."""

    template: str
    demand: Demand
    replicas: int


@dataclass(frozen=True)
class Promise:
    """What is ordered of one workload from a cluster: a part for each of its pod templates."""

    parts: tuple[Part, ...]

    @staticmethod
    def of(template: str, demand: Demand, replicas: int) -> "Promise":
        """Of a workload with one pod template."""
        return Promise((Part(template, demand, replicas),))


@dataclass(frozen=True)
class Totals:
    """Sums over the nodes of one cluster; cpu in millicores, everything else in units.

    used: empty where the cluster serves no metrics. promised: ordered, not yet bound.
    """

    nodes: int
    ready: int
    allocatable: Mapping[str, int]
    foreign: Mapping[str, int]
    bound: Mapping[str, int]
    promised: Mapping[str, int]
    used: Mapping[str, int]


@dataclass(frozen=True)
class Alignment:
    """Of a kubelet that refuses pods for their NUMA zones. scope: what it puts into one zone.

    zones: what is available in each, in their order. stale: they are not known; there are none.
    """

    scope: Literal["container", "pod"] = "container"
    zones: tuple[Amounts, ...] = ()
    stale: bool = False


@dataclass(frozen=True)
class NodeRow:
    """One node. Amounts by resource. labels: of its profile, without kubernetes.io/hostname.

    features: raw ones of NFD that the labels do not tell. handlers: of its container runtime, if known.
    alignment: None where no zone keeps a pod out.
    """

    name: str
    ready: bool
    conditions: tuple[str, ...]
    taints: tuple[Taint, ...]
    profile: str
    labels: Mapping[str, str]
    allocatable: Mapping[str, int]
    foreign: Mapping[str, int]
    bound: Mapping[str, int]
    used: Mapping[str, int]
    free: Mapping[str, int]
    features: Mapping[str, str] = field(default_factory=dict[str, str])
    handlers: tuple[str, ...] = ()
    alignment: Alignment | None = None

    @property
    def requested(self) -> Mapping[str, int]:
        """By whoever placed the pods."""
        names = self.foreign.keys() | self.bound.keys()
        return {name: self.foreign.get(name, 0) + self.bound.get(name, 0) for name in names}


@dataclass(frozen=True)
class NodeCounts:
    """Why a demand fits a cluster as often as it does, counted in nodes.

    unselected, tainted: (what is missing or not tolerated, nodes), most frequent first. Each node counts
    once, in the order unselected, tainted, not ready, absent, full, unaligned, fits. absent: (resource,
    nodes) of those that have none of it, however idle. short: (resource, nodes) of the full. unaligned: has
    room, but not in one NUMA zone. addresses: (pool, free) of pools that give less than the nodes would
    take. to_come: nodes that an autoscaler may add, in no other number. headroom: replicas that would fit
    them.
    """

    nodes: int
    unselected: tuple[tuple[str, int], ...]
    tainted: tuple[tuple[str, int], ...]
    not_ready: int
    full: int
    short: tuple[tuple[str, int], ...]
    fits: int
    replicas: int
    unaligned: int = 0
    addresses: tuple[tuple[str, int], ...] = ()
    to_come: int = 0
    headroom: int = 0
    absent: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def nothing() -> "NodeCounts":
        return NodeCounts(0, (), (), 0, 0, (), 0, 0)

    def __str__(self) -> str:
        """`4,812 of 5,000 lack label x; 180 full (cpu); 8 fit: 12 replicas`"""
        parts = [f"{count:,} of {self.nodes:,} lack {what}" for what, count in self.unselected]
        parts += [f"{count:,} have untolerated taint {what}" for what, count in self.tainted]
        if self.not_ready:
            parts.append(f"{self.not_ready:,} not ready")
        parts += [f"{count:,} of {self.nodes:,} have no {what}" for what, count in self.absent]
        if self.full:
            parts.append(f"{self.full:,} full ({', '.join(what for what, _ in self.short)})")
        if self.unaligned:
            parts.append(f"{self.unaligned:,} cannot align to one NUMA zone")
        parts += [f"pool {pool}: {free:,} free" for pool, free in self.addresses]
        now = " now" if self.to_come else ""
        replicas = "replica" if self.replicas == 1 else "replicas"
        parts.append(f"{self.fits:,} fit: {self.replicas:,} {replicas}{now}")
        if self.to_come:
            nodes = "node" if self.to_come == 1 else "nodes"
            parts.append(f"{self.headroom:,} more by headroom of {self.to_come:,} {nodes}")
        return "; ".join(parts)
