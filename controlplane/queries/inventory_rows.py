"""Rows of the fleet-wide inventory: one thing by its name over all clusters, and what each has of it.

`where` has the clusters with most of it first, `where` and `lacking` up to MOST_NAMED each; `clusters` and
`clusters_lacking` count all. Amounts: cpu in millicores, everything else in units.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.queries.rows import Amounts

MOST_NAMED = 100


@dataclass(frozen=True)
class RuntimeIn:
    """nodes: those that its selector matches and whose runtime has the handler, or does not list handlers."""

    cluster: str
    nodes: int
    overhead: Amounts
    node_selector: Mapping[str, str]


@dataclass(frozen=True)
class RuntimeRow:
    """One runtime class with one handler. other_handlers: what the same name means elsewhere.

    conflict: whether there are any. sandboxed: whether `isolation: sandboxed` takes it. lacking: clusters
    that have no runtime class of that name.
    """

    name: str
    handler: str
    sandboxed: bool
    conflict: bool
    other_handlers: tuple[str, ...]
    nodes: int
    clusters: int
    clusters_lacking: int
    where: tuple[RuntimeIn, ...]
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class NetworkIn:
    """addresses: None where nobody counts them. interfaces: of its resource (SR-IOV), None without one.

    Free addresses are those of the last report, less what is promised and not yet held. range: as the pool
    states it. attachments: of a pool, those that give from it.
    """

    cluster: str
    type: str
    resource: str
    pool: str
    range: str
    attachments: tuple[str, ...]
    addresses: int | None
    addresses_free: int | None
    interfaces: int | None
    interfaces_free: int | None


@dataclass(frozen=True)
class NetworkRow:
    """One attachment (`namespace/name`) or pool; kind says which. Sums are over those clusters that count.

    exhausted: clusters that have it, and no free address or interface of it.
    """

    kind: str
    name: str
    types: tuple[str, ...]
    resources: tuple[str, ...]
    addresses: int | None
    addresses_free: int | None
    interfaces: int | None
    interfaces_free: int | None
    clusters: int
    clusters_lacking: int
    clusters_exhausted: int
    where: tuple[NetworkIn, ...]
    exhausted: tuple[str, ...]
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class GpuIn:
    cluster: str
    nodes: int
    count: int
    free: int


@dataclass(frozen=True)
class GpuRow:
    """GPUs that are alike. resource: by which pods ask for them. memory: bytes of each, None if not known.

    count: as many as pods may ask for; replicas: so many of them share one device in time. sharing: "",
    `time-slicing` or `mps`. mig: the profile of MIG devices, else "". product: "" where no label says it.
    device_class: of DRA, where `resource` is one. free: not requested by any pod.
    """

    resource: str
    product: str
    memory: int | None
    mig: str
    sharing: str
    replicas: int
    device_class: str
    count: int
    free: int
    nodes: int
    clusters: int
    clusters_lacking: int
    where: tuple[GpuIn, ...]
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class FeatureIn:
    cluster: str
    nodes: int


@dataclass(frozen=True)
class FeatureRow:
    """One feature as `spec.features` names it: `<feature>.<element>`, of labels and raw features alike.

    values: nodes by value, the most frequent MOST_VALUES of `distinct`; "" is a flag, which has none.
    nodes_seen: of the clusters that were looked at, with the feature or without it.
    """

    name: str
    domain: str
    values: Mapping[str, int]
    distinct: int
    nodes: int
    nodes_seen: int
    clusters: int
    clusters_lacking: int
    where: tuple[FeatureIn, ...]
    lacking: tuple[str, ...]
