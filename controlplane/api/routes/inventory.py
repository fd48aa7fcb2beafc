"""The fleet-wide inventory: runtime classes, networks, GPUs, features."""

from collections.abc import Iterator
from typing import Annotated, Protocol

from fastapi import APIRouter, Depends, Response
from fastapi import Query as Parameter

from controlplane.access.tokens import Act
from controlplane.api.answers import CONTINUE, answer, documented, page_query, versioned
from controlplane.api.bearer import require
from controlplane.api.ports import ApiDeps
from controlplane.api.problems import not_found
from controlplane.api.stepping import stepped
from controlplane.known.records import Standing
from controlplane.queries import inventory
from controlplane.queries.inventory_rows import FeatureRow, GpuRow, NetworkRow, RuntimeRow
from controlplane.queries.paging import Page, Query

Cluster = Annotated[str, Parameter(description="Only what this cluster has; left out: all clusters.")]
Asked = Annotated[Query, Depends(page_query)]


class Listing(Protocol):
    def steps(self) -> Iterator[None]: ...

    def page(self) -> object: ...


def router(deps: ApiDeps) -> APIRouter:
    api = versioned("/inventory", tags=["inventory"], dependencies=[Depends(require(deps.access, Act.READ))])
    _add_hardware(api, deps)
    _add_nodes(api, deps)
    return api


def _add_hardware(api: APIRouter, deps: ApiDeps) -> None:
    @api.get(
        "/runtimes",
        responses=documented(Page[RuntimeRow], "Runtime classes, a row for each handler of a name"),
        openapi_extra=CONTINUE,
    )
    async def runtimes(query: Asked, cluster: Cluster = "") -> Response:
        """Filter and sort by name, handler, sandboxed, conflict (the name means another handler elsewhere),
        nodes, clusters, clusters_lacking; filter by cluster and lacking, names of clusters."""
        _check(deps, cluster)
        return await _page(inventory.runtimes(deps.known, query, cluster))

    @api.get(
        "/networks",
        responses=documented(Page[NetworkRow], "Network attachments and pools of addresses"),
        openapi_extra=CONTINUE,
    )
    async def networks(query: Asked, cluster: Cluster = "") -> Response:
        """Filter and sort by kind (Attachment, Pool), name, addresses, addresses_free, interfaces,
        interfaces_free, clusters, clusters_lacking, clusters_exhausted; filter by type and resource, and by
        cluster, lacking and exhausted, names of clusters."""
        _check(deps, cluster)
        return await _page(inventory.networks(deps.known, query, cluster))


def _add_nodes(api: APIRouter, deps: ApiDeps) -> None:
    @api.get(
        "/gpus",
        responses=documented(Page[GpuRow], "GPUs and devices of DRA, a row for those that are alike"),
        openapi_extra=CONTINUE,
    )
    async def gpus(query: Asked, cluster: Cluster = "") -> Response:
        """Filter and sort by resource, product, memory (bytes of each), mig, sharing, device_class, count,
        free, nodes, clusters, clusters_lacking; filter by cluster and lacking, names of clusters."""
        _check(deps, cluster)
        return await _page(inventory.gpus(deps.known, query, cluster))

    @api.get(
        "/features",
        responses=documented(Page[FeatureRow], "Features of nodes, as node-feature-discovery finds them"),
        openapi_extra=CONTINUE,
    )
    async def features(query: Asked, cluster: Cluster = "") -> Response:
        """Filter and sort by name (as `cpu.cpuid.AMXTILE`), domain, distinct (values), nodes, clusters,
        clusters_lacking; filter by value, and by cluster and lacking, names of clusters."""
        _check(deps, cluster)
        return await _page(inventory.features(deps.known, query, cluster))


def _check(deps: ApiDeps, cluster: str) -> None:
    record = deps.known.cluster_named(cluster) if cluster else None
    if cluster and (record is None or record.standing is Standing.REMOVED):
        raise not_found(f"cluster {cluster!r}")


async def _page(listing: Listing) -> Response:
    await stepped(listing.steps())
    return answer(listing.page())
