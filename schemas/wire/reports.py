"""What an agent says of its cluster. Every report carries (incarnation, sequence): that is its order.

Columns are packed 64-bit integers (`codec.pack_column`); cpu is in millicores, everything else in units.
"""

import hashlib
from typing import Annotated

import msgspec

from schemas.later import Growing
from schemas.reasons import Reason
from schemas.wire.codec import column_length
from schemas.wire.orders import Count, Version

Stamp = tuple[int, int]
"""(incarnation, sequence)"""

Small = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
ShardNodes = Annotated[int, msgspec.Meta(ge=0, le=65_536)]
"""Memory is taken for so many nodes before anything else of a usage is looked at."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    incarnation: Count
    sequence: Count

    @property
    def stamp(self) -> Stamp:
        return self.incarnation, self.sequence


MOST_RIGHTS = 200
MOST_SERVED = 4000
"""Kinds; of a cluster that serves more, not all of them are told."""
EVERYWHERE = "*"


class Right(msgspec.Struct, frozen=True, array_like=True):
    """What the agent's account may do: these verbs, on these kinds, in these namespaces.

    namespaces: names, or EVERYWHERE, which is what has no namespace as well. kinds: `Kind.group`, core kinds
    as `Kind`; `*.group` and `*` for all of them.
    """

    namespaces: list[str]
    kinds: list[str]
    verbs: list[str]


class Facts(Report, frozen=True, kw_only=True):
    """`state.<cluster>.facts`: the cluster as a whole.

    layout: how many inventory shards there are; it counts once all of them are here.
    served: `group/version/Kind`, core kinds as `v1/Kind`.
    rights: None where the agent may do everything, or cannot tell.
    """

    layout: int
    kubernetes_version: str
    provider: str = ""
    region: str = ""
    zones: list[str] = []
    labels: dict[str, str] = {}
    served: list[str] = []
    capabilities: list[str] = []
    metrics_served: bool = False
    rights: list[Right] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.layout <= 4096:
            raise ValueError(f"layout {self.layout}: 1 to 4096 shards")
        if self.rights is not None and len(self.rights) > MOST_RIGHTS:
            raise ValueError(f"rights: {len(self.rights)}: up to {MOST_RIGHTS} are taken")


class Profile(Report, frozen=True, kw_only=True):
    """`state.<cluster>.profile.<hash>`: what a set of nodes has in common, sent once.

    features: raw NFD features, flattened: `cpu.cpuid.AMXTILE` to its value, "" for a flag.
    handlers: of the container runtime; none where the node does not tell.
    """

    labels: dict[str, str]
    features: dict[str, str] = {}
    handlers: list[str] = []

    @property
    def hash(self) -> str:
        return profile_hash(self.labels, self.features, self.handlers)


def profile_hash(
    labels: dict[str, str], features: dict[str, str] | None = None, handlers: list[str] | None = None
) -> str:
    """16 hex digits over all of it, sorted; equal on every agent."""
    # Labels alone hash as they did before there was more.
    whole = [labels, features or {}, sorted(handlers or [])] if features or handlers else labels
    text = msgspec.json.encode(whole, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


class Taint(msgspec.Struct, frozen=True):
    key: str
    effect: str
    value: str = ""


class Inventory(Report, frozen=True, kw_only=True):
    """`state.<cluster>.inventory.<shard>`: about 100 nodes as columns; membership is the message.

    epoch: changes with `names`, so that usage knows which node its rows mean.
    profiles, taints, conditions: per node an index into profile_hashes, taint_sets, condition_sets.
    allocatable: one column per entry of `resources`.
    condition_sets: the names of conditions that are true (`Ready`, `MemoryPressure`, ...).
    """

    epoch: Count
    names: list[str]
    profile_hashes: list[str]
    profiles: bytes
    resources: list[str]
    allocatable: list[bytes]
    taint_sets: list[list[Taint]]
    taints: bytes
    condition_sets: list[list[str]]
    conditions: bytes

    def __post_init__(self) -> None:
        check_columns("allocatable", self.resources, self.allocatable, len(self.names))
        for field, column in (
            ("profiles", self.profiles),
            ("taints", self.taints),
            ("conditions", self.conditions),
        ):
            check_length(field, column, len(self.names))


class Bound(msgspec.Struct, frozen=True, array_like=True):
    """`replicas` pods of one workload on one node, of one pod template, asking for the same.

    node: index into the inventory's names. requests: index into the report's `requests`.
    """

    workload: str
    template: str
    node: Small
    replicas: Small
    requests: Small


class Usage(Report, frozen=True, kw_only=True):
    """`usage.<cluster>.<shard>`: all of it from one snapshot of the agent's cache.

    epoch: the inventory epoch whose rows these are.
    foreign: requested by pods that Muster did not place, one column per entry of `resources`.
    used: really used, one column per entry of `used_resources`; none where no metrics are served, and
    -1 where nothing is known of that node.
    bound: pods of Muster's that stand on nodes; `requests` are the distinct amounts that they ask for.
    """

    epoch: Count
    nodes: ShardNodes
    resources: list[str]
    foreign: list[bytes]
    used_resources: list[str] = []
    used: list[bytes] = []
    requests: list[dict[str, int]] = []
    bound: list[Bound] = []

    def __post_init__(self) -> None:
        check_columns("foreign", self.resources, self.foreign, self.nodes)
        check_columns("used", self.used_resources, self.used, self.nodes)
        for bound in self.bound:
            if not (0 <= bound.node < self.nodes and 0 <= bound.requests < len(self.requests)):
                raise ValueError(f"bound: {bound.workload} names a node or requests that are not here")


class WorkState(Growing):
    """What became of the order for one workload in one cluster, as far as this release has words for it."""

    RECORDED = "Recorded"
    APPLIED = "Applied"
    REFUSED = "Refused"
    FAILED = "Failed"
    HELD = "Held"
    WITHDRAWING = "Withdrawing"
    WITHDRAWN = "Withdrawn"


class ObjectStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One object as the cluster says it is. Counts are 0 where the kind has none.

    finished: it has run to its end, well or not, and makes no pods any more.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    healthy: bool
    desired: int = 0
    ready: int = 0
    updated: int = 0
    message: str = ""
    finished: bool = False


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something was not done: `reason` for machines, `message` for people.

    version: of the order that was not even taken up, where it is told and can be read.
    """

    reason: Reason
    message: str
    object: str = ""
    version: Version | None = None


class Work(Report, frozen=True, kw_only=True):
    """`state.<cluster>.work.<workload>`: what the cluster says of one workload.

    version: the order that the agent has recorded; carried_out: the last one it carried out whole.
    pods: pods of this workload that still exist, whatever their phase.
    living: of these, by the template that they bear, those that are not over (Succeeded, Failed) and not
    being deleted; None from an agent that does not tell. leaving: being deleted, and not over either.
    finished: it has run to its end, well or not, and no pod of it is left that is not over.
    """

    version: Version
    carried_out: Version | None = None
    state: WorkState
    refusals: list[Refusal] = []
    objects: list[ObjectStatus] = []
    pods: Count = 0
    ready: Count = 0
    living: dict[str, Count] | None = None
    leaving: Count = 0
    finished: bool = False


MOST_NAMESPACES = 2_000
MOST_RESOURCES = 1_000
"""Of all namespaces of a cluster together: what is beyond is left out."""


class Foreign(msgspec.Struct, frozen=True, array_like=True):
    """Pods of one namespace that are no workload of Muster's, on nodes of one profile.

    profile: index into the report's `profiles`. amounts: what they ask for, by the report's `resources`.
    """

    profile: Small
    pods: Count
    amounts: list[Count]


class Unset(msgspec.Struct, frozen=True, array_like=True):
    """Pods with a container that does not state `resource`: `requests.cpu`, `limits.memory`, ...

    A ResourceQuota that names it would refuse them. names: the first few of them.
    """

    resource: str
    pods: Count
    names: list[str]


class Namespace(msgspec.Struct, frozen=True, array_like=True):
    """unset: of pods of any owner."""

    name: str
    foreign: list[Foreign] = []
    unset: list[Unset] = []


class Namespaces(Report, frozen=True, kw_only=True):
    """`state.<cluster>.namespaces`: pods by namespace, those that are over left out; of one snapshot.

    profiles: hashes of node profiles, "" for nodes that are not known and pods that stand on none.
    left_out: how many more namespaces have something to tell.
    """

    profiles: list[str] = []
    resources: list[str] = []
    namespaces: list[Namespace] = []
    left_out: Count = 0

    def __post_init__(self) -> None:
        if len(self.namespaces) > MOST_NAMESPACES:
            raise ValueError(f"namespaces: {len(self.namespaces):,}: up to {MOST_NAMESPACES:,} are taken")
        if len(self.resources) > MOST_RESOURCES:
            raise ValueError(f"resources: {len(self.resources):,}: up to {MOST_RESOURCES:,} are taken")
        for namespace in self.namespaces:
            for each in namespace.foreign:
                if each.profile >= len(self.profiles) or len(each.amounts) != len(self.resources):
                    raise ValueError(f"namespaces: {namespace.name[:64]} names what is not here")


def check_length(field: str, column: bytes, rows: int) -> None:
    """ValueError where a packed column has not so many rows."""
    if column_length(column) != rows:
        raise ValueError(f"{field}: {column_length(column)} rows for {rows} nodes")


def check_columns(field: str, names: list[str], columns: list[bytes], rows: int) -> None:
    """ValueError where there is not one column per name, each of so many rows."""
    if len(names) != len(columns):
        raise ValueError(f"{field}: {len(columns)} columns for {len(names)} resources")
    for column in columns:
        check_length(field, column, rows)
