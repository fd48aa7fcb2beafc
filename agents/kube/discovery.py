"""What a cluster serves: in two requests by aggregated discovery (Kubernetes 1.26), else group by group."""

from collections.abc import AsyncIterator

import msgspec

from agents.kube.http import KubeHttp, NotFound, decoded
from agents.ports import Resource, Unreachable

AGGREGATED = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1")
)
DISCOVERY_LIMIT_BYTES = 32 << 20


class _Kind(msgspec.Struct):
    kind: str = ""


class _AggregatedResource(msgspec.Struct, rename="camel"):
    resource: str
    scope: str = ""
    response_kind: _Kind | None = None


class _AggregatedVersion(msgspec.Struct):
    version: str
    resources: list[_AggregatedResource] = []


class _Metadata(msgspec.Struct):
    name: str = ""


class _AggregatedGroup(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    versions: list[_AggregatedVersion] = []


class _Discovery(msgspec.Struct):
    kind: str = ""
    items: list[_AggregatedGroup] = []


class _GroupVersion(msgspec.Struct, rename="camel"):
    group_version: str
    version: str


class _Group(msgspec.Struct, rename="camel"):
    versions: list[_GroupVersion]
    preferred_version: _GroupVersion | None = None


class _GroupList(msgspec.Struct):
    groups: list[_Group] = []


class _Resource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool


class _ResourceList(msgspec.Struct):
    resources: list[_Resource] = []


async def discover(http: KubeHttp) -> list[Resource]:
    """Every served resource, the preferred version of a group first. Subresources are left out."""
    found: list[Resource] = []
    for root in ("/api", "/apis"):
        body = await http.send(
            "GET", root, accept=f"{AGGREGATED},application/json", limit_bytes=DISCOVERY_LIMIT_BYTES
        )
        answer = decoded(body, _Discovery)
        if answer.kind != "APIGroupDiscoveryList":
            return [resource async for resource in discover_by_group(http)]
        found += [
            Resource(
                group.metadata.name,
                version.version,
                one.resource,
                one.response_kind.kind,
                one.scope == "Namespaced",
            )
            for group in answer.items
            for version in group.versions
            for one in version.resources
            if one.response_kind is not None and one.response_kind.kind
        ]
    return found


async def discover_by_group(http: KubeHttp) -> AsyncIterator[Resource]:
    """The same from a server that knows no aggregated discovery: a request for every group and version."""
    for resource in await discover_version(http, "v1"):
        yield resource
    groups = decoded(await http.send("GET", "/apis"), _GroupList)
    for group in groups.groups:
        preferred = group.preferred_version and group.preferred_version.version
        for version in sorted(group.versions, key=lambda one: one.version != preferred):
            try:
                for resource in await discover_version(http, version.group_version):
                    yield resource
            except (Unreachable, NotFound):
                # An aggregated API whose server is down hides its own kinds, not everybody else's.
                continue


async def discover_version(http: KubeHttp, api_version: str) -> list[Resource]:
    """The resources of one group and version, in one request. Raises NotFound where it is not served."""
    group, _, version = api_version.rpartition("/")
    body = await http.send("GET", version_path(api_version), limit_bytes=DISCOVERY_LIMIT_BYTES)
    return [
        Resource(group, version, one.name, one.kind, one.namespaced)
        for one in decoded(body, _ResourceList).resources
        if "/" not in one.name
    ]


def version_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
