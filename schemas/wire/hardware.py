"""What lies below a cluster's sum: runtime classes, networks, device classes, and the NUMA zones of nodes."""

import msgspec

from schemas.wire.orders import Count
from schemas.wire.reports import Report, ShardNodes, Small, check_columns, check_length

MOST_ENTRIES = 5_000


class PodToleration(msgspec.Struct, frozen=True):
    """As a RuntimeClass adds it to its pods."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class RuntimeClass(msgspec.Struct, frozen=True, kw_only=True):
    """`node.k8s.io/v1 RuntimeClass`: overhead in cpu millicores, everything else in units."""

    name: str
    handler: str
    overhead: dict[str, Count] = {}
    node_selector: dict[str, str] = {}
    tolerations: list[PodToleration] = []


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One NetworkAttachmentDefinition. type: of its CNI plugin, "" where its config cannot be read.

    resource: the extended resource that its pods take one of (SR-IOV), "" for none. pool: the name in
    `Hardware.pools` of the addresses that it gives, "" where its addresses are not counted.
    """

    namespace: str
    name: str
    type: str = ""
    resource: str = ""
    pool: str = ""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of one range (Whereabouts). total counts what may be given, free what is not.

    held: addresses by workload uid that pods of Muster's hold, so that what is promised counts once.
    """

    name: str
    range: str = ""
    total: Count
    free: Count
    held: dict[str, Count] = {}


class Hardware(Report, frozen=True, kw_only=True):
    """`state.<cluster>.hardware`: of the cluster as a whole. An API that is not served gives an empty list.

    device_classes: names of DRA device classes; how many devices of one are on a node stands in its
    inventory, as the resource `deviceclass.resource.kubernetes.io/<name>` (Kubernetes' own name for it).
    """

    runtime_classes: list[RuntimeClass] = []
    attachments: list[Attachment] = []
    pools: list[Pool] = []
    device_classes: list[str] = []

    def __post_init__(self) -> None:
        for field in ("runtime_classes", "attachments", "pools", "device_classes"):
            count = len(getattr(self, field))
            if count > MOST_ENTRIES:
                raise ValueError(f"{field}: {count} entries: up to {MOST_ENTRIES} are taken")


DEVICE_CLASS_RESOURCE = "deviceclass.resource.kubernetes.io/"


class TopologyPolicy(msgspec.Struct, frozen=True):
    """Of a kubelet: policy `none`, `best-effort`, `restricted`, `single-numa-node`; scope `container`, `pod`.

    stale: the zones are older than what runs on the node, so that nothing can be said of it.
    """

    policy: str
    scope: str = "container"
    stale: bool = False


class Topology(Report, frozen=True, kw_only=True):
    """`state.<cluster>.topology.<shard>`: NUMA zones of one inventory shard, of the same epoch.

    policies: the distinct ones; policy_of: per node an index into it, -1 where the node has no zones.
    zone_node: per zone the node's index, ascending; zone_number: N of `node-N`, ascending within a node.
    available: one column per entry of `resources`, a row per zone, -1 where the zone does not list it.
    No message for a shard in which no node has zones, once there was one: an empty one.
    """

    epoch: Count
    nodes: ShardNodes
    policies: list[TopologyPolicy] = []
    policy_of: bytes = b""
    zone_node: bytes = b""
    zone_number: bytes = b""
    resources: list[str] = []
    available: list[bytes] = []
    zones: Small = 0

    def __post_init__(self) -> None:
        check_length("policy_of", self.policy_of, self.nodes if self.policies else 0)
        check_length("zone_node", self.zone_node, self.zones)
        check_length("zone_number", self.zone_number, self.zones)
        check_columns("available", self.resources, self.available, self.zones)
