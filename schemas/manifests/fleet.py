"""A fleet on paper, for `muster plan`: what would go where, without any server."""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.manifests.base import API_VERSION, LabelKey, Labels, LabelValue, Name, Quantity, Strict
from schemas.manifests.workload import Workload

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class FleetTaint(Strict):
    key: LabelKey
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class FleetTopology(Strict):
    """NUMA zones of each node, what is available in each. policy, scope: of its topology manager.

    stale: the zones are older than what runs there; nothing that is aligned is placed on such a node.
    """

    policy: Literal["none", "best-effort", "restricted", "single-numa-node"] = "single-numa-node"
    scope: Literal["container", "pod"] = "container"
    zones: Annotated[list[dict[str, Quantity]], Field(max_length=64)] = []
    stale: bool = False

    @model_validator(mode="after")
    def _has_zones(self) -> Self:
        if not self.zones and not self.stale:
            raise ValueError("zones: at least one is needed where they are not stale")
        return self


class FleetNodes(Strict):
    """`count` nodes of one make. requested: what already runs on each of them asks for; left out: nothing.

    placed: how many pods of the workload run on each of them, as a part of `requested`; where no node of a
    cluster says so, they are taken to be spread evenly. features: raw ones of NFD, as
    `cpu.cpuid.AMXTILE: ""`. runtimeHandlers: left out, not known.
    """

    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    labels: dict[LabelKey, str] = {}
    allocatable: dict[str, Quantity]
    requested: dict[str, Quantity] = {}
    placed: Annotated[int, Field(ge=0, le=10_000)] | None = None
    taints: list[FleetTaint] = []
    features: dict[str, str] = {}
    runtime_handlers: list[str] = []
    topology: FleetTopology | None = None
    ready: bool = True


class FleetHeadroom(Strict):
    """`count` nodes of one make that a node autoscaler may add; they count after those that are there."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    labels: dict[LabelKey, str] = {}
    allocatable: Annotated[dict[str, Quantity], Field(min_length=1)]
    taints: list[FleetTaint] = []
    features: dict[str, str] = {}
    runtime_handlers: list[str] = []


Headroom = Annotated[list[FleetHeadroom], Field(max_length=100)]


class HeadroomList(Strict):
    """As it is sent for one cluster."""

    headroom: Headroom


class FleetRuntimeClass(Strict):
    name: Name
    handler: str
    overhead: dict[str, Quantity] = {}
    node_selector: dict[LabelKey, str] = {}


class FleetAttachment(Strict):
    """name: `namespace/name`. resource: that a pod takes one of. pool: of `pools`, if its addresses count."""

    name: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$", max_length=320)]
    type: str = ""
    resource: str = ""
    pool: str = ""


class FleetPool(Strict):
    name: str
    free: Count


class FleetHardware(Strict):
    runtime_classes: Annotated[list[FleetRuntimeClass], Field(max_length=5_000)] = []
    attachments: Annotated[list[FleetAttachment], Field(max_length=5_000)] = []
    pools: Annotated[list[FleetPool], Field(max_length=5_000)] = []
    device_classes: Annotated[list[Name], Field(max_length=5_000)] = []


Score = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class FleetScores(Strict):
    """Parts of the score that a file has no other way to tell, each 0 to 100. slack: what stands idle.

    balance and preferredFeatures: counted on `nodes` where they are left out.
    """

    slack: Score | None = None
    balance: Score | None = None
    preferred_features: Score | None = None

    @property
    def stated(self) -> dict[str, float]:
        return {part: value for part, value in self.model_dump(by_alias=False).items() if value is not None}


class FleetRight(Strict):
    """What the agent's account may do: these verbs, on these kinds (`Kind.group`), there; `*` for all."""

    namespaces: Annotated[list[str], Field(min_length=1, max_length=1_000)]
    kinds: Annotated[list[str], Field(min_length=1, max_length=1_000)]
    verbs: Annotated[list[str], Field(min_length=1, max_length=20)]


class FleetCluster(Strict):
    """Either `nodes`, or a plain `available`: how many more replicas fit. served: left out, everything.

    rights: what its agent may do; left out, everything, or it does not tell.
    hardware: left out, it is not known, and nothing is refused for it. price: of a core for an hour.
    """

    name: Name
    labels: Labels = {}
    provider: str = ""
    region: str = ""
    zones: list[str] = []
    environment: LabelValue | None = None
    taints: list[FleetTaint] = []
    served: list[str] | None = None
    hardware: FleetHardware | None = None
    price: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    rights: Annotated[list[FleetRight], Field(max_length=2_000)] | None = None
    scores: FleetScores | None = None
    nodes: list[FleetNodes] | None = None
    available: Count | None = None
    headroom: Headroom = []

    @model_validator(mode="after")
    def _one_capacity(self) -> Self:
        if (self.nodes is None) == (self.available is None):
            raise ValueError("state either nodes or available, and not both")
        if self.headroom and self.nodes is None:
            raise ValueError("headroom: counts beside nodes: state nodes, not available")
        return self


class FleetSpec(Strict):
    """placed: replicas by cluster name as they run now. uid: of the workload, decides ties.

    running: the Workload as it runs there, where it is not the one that is planned: what asks for more than
    its place has does not stay. affinity: the group of clusterAffinities that took it last.
    reschedule: fresh places as if for the first time, and counts what is placed as room.
    """

    clusters: Annotated[list[FleetCluster], Field(max_length=10_000)]
    placed: dict[Name, Count] = {}
    running: Workload | None = None
    uid: str = ""
    reschedule: Literal["steady", "fresh"] = "steady"
    affinity: str = ""

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        twice = [name for name, count in Counter(each.name for each in self.clusters).items() if count > 1]
        if twice:
            raise ValueError(f"cluster {twice[0]} stands there more than once")
        return self

    @model_validator(mode="after")
    def _runs_somewhere(self) -> Self:
        if self.running is not None and not self.placed:
            raise ValueError("running: where it runs is missing: state placed")
        return self


class FleetMetadata(Strict):
    name: Name = "fleet"
    labels: Labels = {}


class Fleet(Strict):
    api_version: Literal["muster.dev/v1"] = API_VERSION
    kind: Literal["Fleet"] = "Fleet"
    metadata: FleetMetadata = FleetMetadata()
    spec: FleetSpec
