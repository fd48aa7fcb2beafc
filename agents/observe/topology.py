"""NUMA zones of nodes, out of NodeResourceTopology objects. Pure.

Source: sigs.k8s.io/scheduler-plugins pkg/noderesourcetopology, nodeconfig/topologymanager.go.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from agents.observe.fingerprint import Fingerprint, told
from agents.observe.nodes import epoch_of
from agents.observe.quantities import amounts
from agents.observe.rows import PodKey, PodRow
from agents.observe.shapes import Metadata
from schemas.wire.codec import pack_column
from schemas.wire.hardware import Topology, TopologyPolicy

LARGEST_ZONE = 64
NOT_LISTED = -1
SINGLE_NUMA_NODE = "single-numa-node"
_ZONE = re.compile(r"node-(\d{1,4})")
_POLICIES = ("none", "best-effort", "restricted", SINGLE_NUMA_NODE)
_SCOPES = ("container", "pod")
_DEPRECATED = {
    "SingleNUMANodeContainerLevel": (SINGLE_NUMA_NODE, "container"),
    "SingleNUMANodePodLevel": (SINGLE_NUMA_NODE, "pod"),
    "RestrictedContainerLevel": ("restricted", "container"),
    "RestrictedPodLevel": ("restricted", "pod"),
    "BestEffortContainerLevel": ("best-effort", "container"),
    "BestEffortPodLevel": ("best-effort", "pod"),
}


class _Resource(msgspec.Struct):
    name: str
    available: str | int | float | None = None


class _Zone(msgspec.Struct):
    name: str
    type: str = ""
    resources: list[_Resource] | None = None


class _Attribute(msgspec.Struct):
    name: str
    value: str = ""


class _Metadata(Metadata):
    annotations: dict[str, str] | None = None


class _Shape(msgspec.Struct):
    metadata: _Metadata
    topology_policies: list[str] | None = msgspec.field(default=None, name="topologyPolicies")
    attributes: list[_Attribute] | None = None
    zones: list[_Zone] | None = None


_decode = msgspec.json.Decoder(_Shape)


@dataclass(frozen=True, slots=True)
class TopologyRow:
    """zones: (N of `node-N`, what is available there), ascending. told: of which pods they are."""

    policy: TopologyPolicy
    zones: tuple[tuple[int, dict[str, int]], ...]
    told: Fingerprint | None = None

    def is_stale(self, pods: Mapping[PodKey, PodRow]) -> bool:
        """pods: all that are bound to the node. Judged only where its kubelet refuses pods for zones."""
        if self.told is None or self.policy.policy != SINGLE_NUMA_NODE:
            return False
        return not self.told.is_of(pods, frozenset(name for _, available in self.zones for name in available))


def topology_row(raw: bytes | msgspec.Raw) -> tuple[str, TopologyRow]:
    """(node's name, row). Raises msgspec.MsgspecError."""
    found = _decode.decode(raw)
    zones: dict[int, dict[str, int]] = {}
    for zone in found.zones or ():
        named = _ZONE.fullmatch(zone.name) if zone.type == "Node" else None
        if named is None or int(named[1]) > LARGEST_ZONE:
            continue
        # Thousands of zones list the same few names.
        listed = {
            sys.intern(each.name): each.available
            for each in zone.resources or ()
            if each.available is not None
        }
        zones.setdefault(int(named[1]), amounts(listed))
    said = {each.name: each.value for each in reversed(found.attributes or ())}
    return found.metadata.name, TopologyRow(
        policy=_policy(found),
        zones=tuple(sorted(zones.items(), key=_number)),
        told=told(said, found.metadata.annotations or {}),
    )


def _policy(found: _Shape) -> TopologyPolicy:
    """The deprecated list first, attributes override; what is no value of a kubelet's is passed over."""
    policy, scope = "none", "container"
    for named in (found.topology_policies or ())[:1]:
        policy, scope = _DEPRECATED.get(named, (policy, scope))
    for attribute in found.attributes or ():
        if attribute.name == "topologyManagerPolicy" and attribute.value in _POLICIES:
            policy = attribute.value
        elif attribute.name == "topologyManagerScope" and attribute.value in _SCOPES:
            scope = attribute.value
    return TopologyPolicy(policy, scope)


def _number(zone: tuple[int, dict[str, int]]) -> int:
    return zone[0]


def topology(
    names: Sequence[str], rows: Mapping[str, TopologyRow], stale: AbstractSet[str] = frozenset()
) -> Topology:
    """One shard, unstamped. `names`: its nodes, sorted. stale: names of nodes whose zones are."""
    found = {index: rows[name] for index, name in enumerate(names) if name in rows and rows[name].zones}
    policy_at = {
        index: msgspec.structs.replace(row.policy, stale=True) if names[index] in stale else row.policy
        for index, row in found.items()
    }
    policies = sorted(set(policy_at.values()), key=lambda each: (each.policy, each.scope, each.stale))
    zones = [(index, *zone) for index, row in found.items() for zone in row.zones]
    resources = sorted({resource for _, _, available in zones for resource in available})
    policy_of = [policies.index(policy_at[index]) if index in found else -1 for index in range(len(names))]
    return Topology(
        incarnation=0,
        sequence=0,
        epoch=epoch_of(names),
        nodes=len(names),
        policies=policies,
        policy_of=pack_column(policy_of) if policies else b"",
        zone_node=pack_column([index for index, _, _ in zones]),
        zone_number=pack_column([number for _, number, _ in zones]),
        resources=resources,
        available=[
            pack_column([available.get(one, NOT_LISTED) for _, _, available in zones]) for one in resources
        ],
        zones=len(zones),
    )
