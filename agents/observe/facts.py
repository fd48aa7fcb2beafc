"""The cluster as a whole. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from agents.observe.rows import NodeRow
from agents.ports import Resource
from schemas.wire.reports import MOST_SERVED, Facts, Right

REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Discovered:
    """What the API server says of itself."""

    version: str = ""
    served: tuple[Resource, ...] = ()


@dataclass(frozen=True)
class Given:
    """What people say of the cluster; it goes before what nodes say."""

    provider: str = ""
    region: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    capabilities: tuple[str, ...] = ()


def facts(
    layout: int,
    nodes: Iterable[NodeRow],
    discovered: Discovered,
    given: Given,
    *,
    metrics_served: bool,
    rights: list[Right] | None = None,
) -> Facts:
    """Unstamped."""
    rows = list(nodes)
    return Facts(
        incarnation=0,
        sequence=0,
        layout=layout,
        kubernetes_version=discovered.version,
        provider=given.provider or _most(row.provider for row in rows),
        region=given.region or _most(row.labels.get(REGION, "") for row in rows),
        zones=sorted({row.labels[ZONE] for row in rows if row.labels.get(ZONE)}),
        labels=dict(given.labels),
        served=sorted({f"{each.api_version}/{each.kind}" for each in discovered.served})[:MOST_SERVED],
        capabilities=list(given.capabilities),
        metrics_served=metrics_served,
        rights=rights,
    )


def _most(values: Iterable[str]) -> str:
    """The commonest that is not empty, the first by name among equals."""
    counted = Counter(value for value in values if value)
    return min(counted, key=lambda value: (-counted[value], value), default="")
