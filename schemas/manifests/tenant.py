"""Who owns what: a tenant, its namespaces, the clusters and environments it may use."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.manifests.base import API_VERSION, LabelValue, Metadata, Strict
from schemas.manifests.placement import ClusterAffinity
from schemas.manifests.quota import QuotaSpec

_PATTERN = re.compile(r"[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?")


def namespace_pattern(pattern: str) -> str:
    """A namespace in which `*` stands for any number of characters, and nothing else is special."""
    if len(pattern) > 63 or not _PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern!r} is no namespace pattern: up to 63 of a-z 0-9 - and *")
    return pattern


class Owner(Strict):
    name: Annotated[str, Field(min_length=1, max_length=253)]
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)] | None = None


class TenantSpec(Strict):
    """namespaces: patterns. clusters, environments: where its workloads may run; left out: everywhere.

    receivers: of the alert configuration, by name: who hears where a route says `receiver: owner`. Without
    any, owners hear by e-mail. quota: what it was granted; left out, it is not bounded.
    """

    namespaces: Annotated[
        list[Annotated[str, AfterValidator(namespace_pattern)]], Field(min_length=1, max_length=100)
    ]
    clusters: ClusterAffinity | None = None
    environments: list[Annotated[LabelValue, Field(min_length=1)]] = []
    owners: list[Owner] = []
    receivers: Annotated[list[Annotated[str, Field(min_length=1, max_length=253)]], Field(max_length=20)] = []
    quota: QuotaSpec | None = None


class Tenant(Strict):
    api_version: Literal["muster.dev/v1"] = API_VERSION
    kind: Literal["Tenant"] = "Tenant"
    metadata: Metadata
    spec: TenantSpec
