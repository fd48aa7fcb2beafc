"""Clusters: invited, joined, listed, labelled, tainted, removed; and their nodes."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from controlplane.access.tokens import Act, Principal
from controlplane.api.answers import (
    CONTINUE,
    WRITE_HEADERS,
    answer,
    documented,
    object_body,
    page_query,
    versioned,
)
from controlplane.api.bearer import require
from controlplane.api.bodies import number_field, read_object, text_field
from controlplane.api.cluster_fields import (
    merged_labels,
    parse_headroom,
    parse_labels,
    parse_taints,
)
from controlplane.api.conditions import write_of
from controlplane.api.ports import ApiDeps, JoinRequest
from controlplane.api.problems import Problem, invalid, not_found
from controlplane.api.remembering import remember_cluster
from controlplane.api.stepping import stepped
from controlplane.identity.tokens import BadToken, join_token, token_hash
from controlplane.intent import JoinDraft, NotFound, Write
from controlplane.known.records import ClusterRecord, Standing, WorkloadRecord
from controlplane.known.records import Request as Asked
from controlplane.queries.clusters import ClusterListing, NodeListing, get_cluster, get_node
from controlplane.queries.explain import fleet_manifest
from controlplane.queries.paging import Page, Query
from controlplane.queries.rows import ClusterRow, NodeView
from schemas.manifests.base import dns_subdomain
from schemas.reasons import Reason

INVITATION_SECONDS = 3600
MAX_INVITATION_SECONDS = 30 * 24 * 3600
_TAINT = {
    "type": "object",
    "properties": {"key": {"type": "string"}, "value": {"type": "string"}, "effect": {"type": "string"}},
}
_LABELS = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
_TAINTS = {"type": "array", "items": _TAINT}
_HEADROOM = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["count", "allocatable"],
        "properties": {
            "count": {"type": "integer", "minimum": 1, "maximum": 10_000},
            "allocatable": {"type": "object"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "taints": _TAINTS,
            "features": {"type": "object", "additionalProperties": {"type": "string"}},
            "runtimeHandlers": {"type": "array", "items": {"type": "string"}},
        },
    },
}


def router(deps: ApiDeps) -> APIRouter:
    api = versioned()
    reader, writer = require(deps.access, Act.READ), require(deps.access, Act.WRITE)
    _add_reads(api, deps, reader)
    _add_writes(api, deps, writer)
    _add_nodes(api, deps, reader)
    return api


def _add_reads(api: APIRouter, deps: ApiDeps, reader: Any) -> None:
    @api.get(
        "/clusters",
        dependencies=[Depends(reader)],
        tags=["clusters"],
        responses=documented(Page[ClusterRow], "Clusters"),
        openapi_extra=CONTINUE,
    )
    async def list_(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by name, id, standing, status, provider, region, zone, environment,
        kubernetes_version, nodes, nodes_ready, workloads, cpu, memory (allocatable), cpu_requested,
        cpu_used, memory_requested, memory_used (shares from 0 to 1), joined_at, and by labels."""
        return await _page(ClusterListing(deps.known, query, deps.clock.now()))

    @api.get(
        "/clusters/{name}",
        dependencies=[Depends(reader)],
        tags=["clusters"],
        responses=documented(ClusterRow, "One cluster"),
    )
    async def get(name: str) -> Response:
        return _row(deps, _named(deps, name))

    @api.get("/fleet", dependencies=[Depends(reader)], tags=["clusters"])
    async def fleet(cluster: str = "", workload: str = "") -> Response:
        """The fleet as a manifest (`kind: Fleet`) that `muster plan` takes; `cluster`: only that one.
        `workload`: with where it runs, and how, to plan a change of it."""
        if cluster:
            _named(deps, cluster)
        record = deps.known.workload(workload) if workload else None
        if workload and record is None:
            raise not_found(f"workload {workload!r}")
        running = await _running(deps, record) if record is not None else None
        manifest = fleet_manifest(deps.known, deps.clock.now(), cluster or None, record, running)
        return answer(manifest.model_dump(mode="json", by_alias=True, exclude_defaults=True) | _head())


async def _running(deps: ApiDeps, record: WorkloadRecord) -> Mapping[str, Any] | None:
    """The spec of the newest revision that was ordered anywhere."""
    ordered = max((each.revision for each in deps.known.placements_of(record.uid).values()), default=0)
    if ordered == record.revision:
        return record.spec
    found = [each.spec for each in await deps.intent.revisions(record.uid) if each.revision == ordered]
    return found[0] if found else None


def _head() -> dict[str, str]:
    return {"apiVersion": "muster.dev/v1", "kind": "Fleet"}


def _add_writes(api: APIRouter, deps: ApiDeps, writer: Any) -> None:
    invitation = {
        "name": {"type": "string"},
        "labels": _LABELS,
        "taints": _TAINTS,
        "expires_seconds": {"type": "integer", "minimum": 60, "maximum": MAX_INVITATION_SECONDS},
    }

    @api.post(
        "/cluster-invitations",
        tags=["clusters"],
        status_code=201,
        openapi_extra=object_body(invitation, ["name"]),
    )
    async def invite(request: Request, principal: Annotated[Principal, Depends(writer)]) -> Response:
        """A one-time token by which one cluster may join under this name. It is shown here only."""
        body = await read_object(request, set(invitation))
        return await _invite(deps, body, request, principal)

    @api.post("/join", tags=["clusters"], openapi_extra=_JOIN_BODY, responses=_JOIN_ANSWER)
    async def join(request: Request) -> Response:
        """An agent redeems its cluster's one-time token, which is the credential here."""
        return await _join(deps, request)

    patch = {"labels": _LABELS, "taints": _TAINTS, "headroom": _HEADROOM}

    @api.patch("/clusters/{name}", tags=["clusters"], openapi_extra=object_body(patch, []))
    async def change(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """labels: merged into those there are, null removes one. taints: replace those there are. headroom:
        nodes that an autoscaler may add to those that are there now, in place of what was declared."""
        record = _named(deps, name)
        body = await read_object(request, set(patch))
        labels = merged_labels(record.labels, parse_labels(body.get("labels"), removable=True))
        taints = record.taints if "taints" not in body else parse_taints(body["taints"])
        headroom = None
        if "headroom" in body:
            fleet = deps.known.fleet
            headroom = parse_headroom(body["headroom"], lambda has: fleet.nodes_with(record.id, has))
        write = write_of(request, principal, default_if_match=record.resource_version)
        changed = await deps.intent.change_cluster(name, labels, taints, write, headroom)
        remember_cluster(deps.known, changed)
        return _row(deps, changed)

    @api.delete("/clusters/{name}", tags=["clusters"], openapi_extra={"parameters": WRITE_HEADERS})
    async def remove(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """Cut off and forgotten. What runs there goes on running: nothing is withdrawn."""
        record = await deps.intent.remove_cluster(name, write_of(request, principal))
        remember_cluster(deps.known, record)
        return answer({"name": record.name, "id": record.id, "standing": record.standing.value})

    @api.post("/clusters/{name}/recover", tags=["clusters"], openapi_extra={"parameters": WRITE_HEADERS})
    async def recover(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """After a restored database: own up to what the agent holds, and order what is known here anew."""
        return await ask(name, Asked.RECOVERY, request, principal)

    @api.post("/clusters/{name}/release", tags=["clusters"], openapi_extra={"parameters": WRITE_HEADERS})
    async def release(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """Let an agent go on that holds since it was told to remove an unusual share of what it runs."""
        return await ask(name, Asked.RELEASE, request, principal)

    @api.post("/clusters/{name}/readmit", tags=["clusters"], openapi_extra={"parameters": WRITE_HEADERS})
    async def readmit(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """Let a cluster speak again that was cut off for being over its bounds."""
        return await ask(name, Asked.READMISSION, request, principal)

    async def ask(name: str, asked: Asked, request: Request, principal: Principal) -> Response:
        record = await deps.intent.request(name, asked, write_of(request, principal))
        remember_cluster(deps.known, record)
        return _row(deps, record)


def _add_nodes(api: APIRouter, deps: ApiDeps, reader: Any) -> None:
    @api.get(
        "/nodes",
        dependencies=[Depends(reader)],
        tags=["nodes"],
        responses=documented(Page[NodeView], "Nodes"),
        openapi_extra=CONTINUE,
    )
    async def nodes(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by cluster, name, ready, condition, taint, feature, cpu, memory, gpu (allocatable),
        cpu_free, memory_free, gpu_free, cpu_requested, cpu_used, memory_requested, memory_used (shares), and
        by labels, those of node-feature-discovery among them."""
        return await _page(NodeListing(deps.known, query))

    @api.get(
        "/clusters/{cluster}/nodes/{name}",
        dependencies=[Depends(reader)],
        tags=["nodes"],
        responses=documented(NodeView, "One node"),
    )
    async def node(cluster: str, name: str) -> Response:
        _named(deps, cluster)
        found = get_node(deps.known, cluster, name)
        if found is None:
            raise not_found(f"node {name!r} of cluster {cluster!r}")
        return answer(found)


async def _page(listing: ClusterListing | NodeListing) -> Response:
    await stepped(listing.steps())
    return answer(listing.page())


def _named(deps: ApiDeps, name: str) -> ClusterRecord:
    record = deps.known.cluster_named(name)
    if record is None or record.standing is Standing.REMOVED:
        raise not_found(f"cluster {name!r}")
    return record


def _row(deps: ApiDeps, record: ClusterRecord) -> Response:
    row = get_cluster(deps.known, record.name, deps.clock.now())
    return answer(row, resource_version=record.resource_version)


async def _invite(deps: ApiDeps, body: dict[str, Any], request: Request, principal: Principal) -> Response:
    name = text_field(body, "name", 253)
    try:
        dns_subdomain(name)
    except ValueError as error:
        raise invalid("name", str(error)) from error
    seconds = number_field(body, "expires_seconds", 60, MAX_INVITATION_SECONDS, INVITATION_SECONDS)
    token = join_token(deps.random_bytes(32))
    expires_at = deps.clock.now() + seconds
    labels = merged_labels({}, parse_labels(body.get("labels"), removable=False))
    draft = JoinDraft(token.hash, name, labels, parse_taints(body.get("taints", [])), expires_at)
    # No idempotency key: whoever repeats has not seen the token, which nobody can show him again.
    await deps.intent.invite_cluster(draft, Write(principal.name))
    url = deps.public_url or str(request.base_url).rstrip("/")
    invitation = {"name": name, "token": token.text, "expires_at": expires_at, "url": url}
    return answer(invitation, 201)


async def _join(deps: ApiDeps, request: Request) -> Response:
    body = await read_object(request, {"token", "agent_key", "sealing_key", "cluster_uid"}, more=True)
    try:
        hashed = token_hash(text_field(body, "token", 200))
    except BadToken as error:
        raise invalid("token", str(error)) from error
    try:
        sealing_key = base64.b64decode(text_field(body, "sealing_key", 200), validate=True)
    except binascii.Error:
        raise invalid("sealing_key", "base64 of an X25519 public key is needed") from None
    if len(sealing_key) != 32:
        raise invalid("sealing_key", f"{len(sealing_key)} bytes; an X25519 public key has 32")
    wanted = JoinRequest(
        hashed, text_field(body, "agent_key", 200), sealing_key, text_field(body, "cluster_uid", 200)
    )
    try:
        joined = await deps.registrar.join(wanted)
    except NotFound:
        detail = "this token is unknown, used or expired; ask for another invitation"
        raise Problem(403, Reason.UNAUTHORISED, detail, invalid("token", detail).errors) from None
    except ValueError as error:
        raise invalid("agent_key", str(error)) from error
    return answer(
        {
            "cluster_id": joined.cluster_id,
            "user_jwt": joined.user_jwt,
            "nats_urls": joined.nats_urls,
            "order_key": base64.b64encode(joined.order_key).decode(),
            "prefix": joined.prefix,
        }
    )


_TEXT = {"type": "string"}
_JOIN_BODY: dict[str, Any] = {
    "security": [],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["token", "agent_key", "sealing_key", "cluster_uid"],
                    "properties": {
                        "token": _TEXT,
                        "agent_key": _TEXT | {"description": "Public user NKey, U..."},
                        "sealing_key": _TEXT | {"description": "X25519 public key, base64"},
                        "cluster_uid": _TEXT | {"description": "uid of the namespace kube-system"},
                    },
                }
            }
        },
    },
}
_JOIN_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What the agent speaks to the centre with",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "cluster_id": _TEXT,
                        "user_jwt": _TEXT,
                        "nats_urls": {"type": "array", "items": _TEXT},
                        "order_key": _TEXT | {"description": "Ed25519 public key, base64"},
                        "prefix": _TEXT,
                    },
                }
            }
        },
    }
}
