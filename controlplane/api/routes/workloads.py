"""Workloads: written, read, explained, rolled back, deleted; and where they run."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Query as Parameter

from controlplane.access.tokens import Act, Principal
from controlplane.api.answers import (
    CONTINUE,
    WRITE_HEADERS,
    answer,
    documented,
    manifest_body,
    object_body,
    page_query,
    versioned,
)
from controlplane.api.bearer import require
from controlplane.api.bodies import number_field, read_manifest, read_object
from controlplane.api.conditions import write_of
from controlplane.api.ports import ApiDeps
from controlplane.api.problems import Problem, invalid, not_found
from controlplane.api.remembering import remember_workload
from controlplane.api.shortcut import Shortcut
from controlplane.api.stepping import stepped
from controlplane.api.writing import draft_of, record_of
from controlplane.intent import PreconditionFailed
from controlplane.known.records import WorkloadRecord
from controlplane.queries.explain import Explaining
from controlplane.queries.paging import Page, Query
from controlplane.queries.rows import (
    Explanation,
    PlacementRow,
    RevisionRow,
    WorkloadDetail,
    WorkloadRow,
)
from controlplane.queries.sealed import hide
from controlplane.queries.warnings import warnings_of
from controlplane.queries.workloads import list_placements, list_workloads, workload_detail
from schemas.manifests import Workload
from schemas.reasons import Reason

_MANIFEST = "A manifest with `apiVersion: muster.dev/v1` and `kind: Workload`."
DryRun = Annotated[
    bool, Parameter(alias="dryRun", description="Answer with the decision that would be made; store nothing.")
]


def router(deps: ApiDeps) -> APIRouter:
    api = versioned(tags=["workloads"])
    reader, writer = require(deps.access, Act.READ), require(deps.access, Act.WRITE)
    _add_reads(api, deps, reader)
    _add_writes(api, deps, writer)
    _add_history(api, deps, reader, writer)
    return api


def shortcuts(deps: ApiDeps, prefix: str) -> list[Shortcut]:
    """Before the routes of all routers."""
    writer = require(deps.access, Act.WRITE)

    async def put(request: Request) -> Response:
        principal = await writer(request)
        return await _put(deps, request.path_params["name"], request, principal, dry_run=False)

    return [Shortcut(f"{prefix}/workloads/{{name}}", put, methods=["PUT"], include_in_schema=False)]


def _add_reads(api: APIRouter, deps: ApiDeps, reader: Any) -> None:
    @api.get(
        "/workloads",
        dependencies=[Depends(reader)],
        responses=documented(Page[WorkloadRow], "Workloads"),
        openapi_extra=CONTINUE,
    )
    async def list_(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by name, uid, tenant, state, reason, kind, cluster, replicas, ready, revision,
        created_at, updated_at, and by labels."""
        return answer(list_workloads(deps.known, query))

    @api.get(
        "/workloads/{name}",
        dependencies=[Depends(reader)],
        responses=documented(WorkloadDetail, "One workload"),
    )
    async def get(name: str) -> Response:
        """What was written (values of Secrets hidden) and how it stands in each cluster."""
        record = _named(deps, name)
        return answer(workload_detail(deps.known, record), resource_version=record.resource_version)

    @api.get(
        "/workloads/{name}/explain",
        dependencies=[Depends(reader)],
        responses=documented(Explanation, "An answer for every cluster"),
    )
    async def why(name: str) -> Response:
        """For every cluster: chosen, passed or left out with its reasons, counted in nodes; what it scores by
        part; and the smallest changes that would let it in. For the workload: how its replicas were divided,
        and what would let it run. Each change was tried."""
        return answer(await _explained(deps, _named(deps, name)))

    @api.get(
        "/placements",
        dependencies=[Depends(reader)],
        responses=documented(Page[PlacementRow], "Placements"),
        openapi_extra=CONTINUE,
    )
    async def placements(query: Annotated[Query, Depends(page_query)]) -> Response:
        """Filter and sort by workload, cluster, state, order, verb, replicas, ready, pods, revision."""
        return answer(list_placements(deps.known, query))


def _add_writes(api: APIRouter, deps: ApiDeps, writer: Any) -> None:
    @api.put("/workloads/{name}", openapi_extra=manifest_body(_MANIFEST))
    async def put(
        name: str,
        request: Request,
        principal: Annotated[Principal, Depends(writer)],
        dry_run: DryRun = False,
    ) -> Response:
        """Make it or write a new revision; what does not differ stays as it is."""
        return await _put(deps, name, request, principal, dry_run)

    @api.post("/workloads", openapi_extra=manifest_body(_MANIFEST))
    async def post(
        request: Request, principal: Annotated[Principal, Depends(writer)], dry_run: DryRun = False
    ) -> Response:
        """As PUT, under the name in the manifest."""
        return await _submit(deps, await _read(request), request, principal, dry_run)

    @api.delete("/workloads/{name}", openapi_extra={"parameters": WRITE_HEADERS})
    async def delete(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """Withdrawn from every cluster; the name is free at once."""
        record = await deps.intent.delete_workload(name, write_of(request, principal))
        remember_workload(deps.known, record)
        return answer({"name": record.name, "uid": record.uid, "state": "Deleting"}, 202)


def _add_history(api: APIRouter, deps: ApiDeps, reader: Any, writer: Any) -> None:
    @api.get(
        "/workloads/{name}/revisions",
        dependencies=[Depends(reader)],
        responses=documented(Page[RevisionRow], "Every revision, the newest first"),
    )
    async def revisions(name: str) -> Response:
        record = _named(deps, name)
        rows = [
            RevisionRow(
                revision=each.revision,
                created_at=each.created_at,
                created_by=each.created_by,
                cause=each.cause,
                current=each.revision == record.revision,
                spec=hide(each.spec),
            )
            for each in await deps.intent.revisions(record.uid)
        ]
        return answer(Page(tuple(sorted(rows, key=lambda row: -row.revision))))

    revision = {"revision": {"type": "integer", "minimum": 1}}

    @api.post("/workloads/{name}/rollback", openapi_extra=object_body(revision, ["revision"]))
    async def rollback(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """The spec of an old revision as a new one."""
        body = await read_object(request, {"revision"})
        wanted = number_field(body, "revision", 1, 2**31 - 1)
        record = await deps.intent.rollback_workload(name, wanted, write_of(request, principal))
        return _stored(deps, record)

    @api.post("/workloads/{name}/reschedule", openapi_extra={"parameters": WRITE_HEADERS})
    async def reschedule(
        name: str, request: Request, principal: Annotated[Principal, Depends(writer)]
    ) -> Response:
        """Place it as if for the first time: what it holds counts as room, and the first affinity group is
        tried first. Replicas that stay where they are go on running."""
        record = await deps.intent.reschedule_workload(name, write_of(request, principal))
        return _stored(deps, record)


async def _put(deps: ApiDeps, name: str, request: Request, principal: Principal, dry_run: bool) -> Response:
    workload = await _read(request)
    if workload.metadata.name != name:
        raise invalid("metadata.name", f"{workload.metadata.name!r}, but the address says {name!r}")
    return await _submit(deps, workload, request, principal, dry_run)


async def _read(request: Request) -> Workload:
    manifest = await read_manifest(request)
    if not isinstance(manifest, Workload):
        raise invalid("kind", f"{manifest.kind!r}: Workload is needed here")
    return manifest


async def _submit(
    deps: ApiDeps, workload: Workload, request: Request, principal: Principal, dry_run: bool
) -> Response:
    draft, meaning, warned = draft_of(deps, workload)
    write = write_of(request, principal)
    if dry_run:
        _check_version(deps, draft.name, write.if_match)
        return answer(replace(await _explained(deps, record_of(deps, draft)), warnings=warned))
    was_there = deps.known.workload(draft.name) is not None
    record = await deps.intent.submit_workload(draft, write)
    # What is stored of a Secret is sealed, and not what was understood.
    if record.spec == draft.spec and "v1/Secret" not in meaning.interpretation.kinds:
        deps.known.meanings.put(record.spec, meaning)
    return _stored(deps, record, warned, is_new=record.revision == 1 and not was_there)


def _check_version(deps: ApiDeps, name: str, if_match: int | None) -> None:
    held = deps.known.workload(name)
    current = held.resource_version if held is not None else 0
    if if_match is not None and if_match != current:
        raise PreconditionFailed(f"workload {name!r}", current)


def _stored(
    deps: ApiDeps, record: WorkloadRecord, warned: tuple[str, ...] | None = None, *, is_new: bool = False
) -> Response:
    """warned: what was warned of when it was read; left out: of what is stored.

    is_new: asked before it was stored, since whoever decides may have heard of it by now.
    """
    if warned is None:
        warned = warnings_of(deps.known, record)
    remember_workload(deps.known, record)
    return answer(
        replace(workload_detail(deps.known, record), warnings=warned),
        201 if is_new else 200,
        record.resource_version,
        Location=f"/api/v1/workloads/{record.name}",
    )


async def _explained(deps: ApiDeps, record: WorkloadRecord) -> Explanation:
    try:
        explaining = Explaining(deps.known, record, deps.clock.now())
        # What would help is tried out, which takes a while on a large fleet.
        await stepped(explaining.steps())
        return explaining.explanation()
    except ValueError as error:
        detail = f"what is stored of {record.name!r} cannot be understood any more: {error}"
        raise Problem(422, Reason.INVALID, detail) from error


def _named(deps: ApiDeps, name: str) -> WorkloadRecord:
    record = deps.known.workload(name)
    if record is None:
        raise not_found(f"workload {name!r}")
    return record
