"""From a manifest to what is stored: checked against its tenant and its size, Secrets sealed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from controlplane.alerts.rules import RuleError
from controlplane.api.ports import ApiDeps
from controlplane.api.problems import FieldError, Problem, invalid
from controlplane.api.stepping import stepped
from controlplane.intent import Taken, WorkloadDraft
from controlplane.interpreters import Kinds, NotUnderstood, render
from controlplane.interpreters.kinds import kind_of
from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.meanings import Meaning
from controlplane.known.records import Standing, WorkloadRecord
from controlplane.known.ruling import compiled_rule
from controlplane.known.views import Views, decide
from controlplane.loops.orders import MAX_ORDER_BYTES
from controlplane.placement import placement_request
from controlplane.placement.bounds import FIELD as BOUNDS_FIELD
from controlplane.placement.bounds import check_bounds, contradiction
from controlplane.placement.needs import requirements_of
from controlplane.placement.overriding import Variant, check_overrides
from controlplane.placement.wording import counted
from controlplane.queries.facts import sample
from controlplane.queries.quota_uncounted import Naming
from controlplane.queries.sealed import BadSecret, seal
from controlplane.queries.tenancy import Trespass, tenant_clashes, trespass, workloads_of
from controlplane.queries.warnings import warnings_over
from controlplane.quota.problems import QuotaProblem, cohort_problems, flavor_problems, tenant_problems
from schemas.manifests import AlertRule, Cohort, Flavor, Tenant, Workload
from schemas.reasons import Reason
from schemas.wire.orders import OrderBody

_NO_UID = "00000000-0000-0000-0000-000000000000"
_SEALING_OVERHEAD_BYTES = 4096
_LABELS_BYTES = 1024


def draft_of(deps: ApiDeps, workload: Workload) -> tuple[WorkloadDraft, Meaning, tuple[str, ...]]:
    """(what is stored of a Workload, what it says, what is warned of).

    Problem names the field that cannot be taken.
    """
    spec: dict[str, Any] = workload.spec.model_dump(by_alias=True, exclude_unset=True)
    meaning, warned = _understood(deps, workload)
    tenant = workload.spec.tenant or ""
    found = trespass(deps.known, tenant, meaning.interpretation)
    if found is not None:
        raise _trespassing(found)
    name = workload.metadata.name
    stored = deps.known.workload(name)
    if stored is None or spec.get("features") != stored.spec.get("features"):
        _check_features(deps, workload)
    try:
        sealed = seal(spec, stored.spec if stored is not None else None, deps.sealer.seal)
    except BadSecret as error:
        raise invalid(f"spec.{error.field}", str(error)) from error
    metadata = workload.metadata
    draft = WorkloadDraft(name, metadata.labels, metadata.annotations, tenant, sealed)
    if stored is None or sealed != stored.spec:
        _check_bounds(deps, workload, record_of(deps, draft))
    return draft, meaning, warned


def record_of(deps: ApiDeps, draft: WorkloadDraft) -> WorkloadRecord:
    """The record as it would stand after this draft is stored: for decisions that nobody commits."""
    now = deps.clock.now()
    stored = deps.known.workload(draft.name)
    if stored is None:
        return WorkloadRecord(
            _NO_UID,
            draft.name,
            draft.labels,
            draft.annotations,
            draft.tenant,
            1,
            0,
            draft.spec,
            False,
            now,
            now,
        )
    return replace(
        stored,
        labels=draft.labels,
        annotations=draft.annotations,
        tenant=draft.tenant,
        spec=draft.spec,
        revision=stored.revision + (stored.spec != draft.spec),
        updated_at=now,
    )


async def check_tenant(deps: ApiDeps, tenant: Tenant) -> None:
    """409 where another tenant claims one of its namespaces in a cluster that both may use.

    422 where its quota contradicts itself; whether it goes with what else is declared, the store checks. 409
    where it comes to name pods, objects or addresses, and fewer than run: those the ledger does not know.
    """
    if tenant.spec.quota is not None:
        _refuse_quota(tenant_problems(tenant.metadata.name, tenant.spec.quota))
        naming = Naming(deps.known, tenant, deps.clock.now())
        await stepped(naming.steps())
        if over := naming.overdrawn():
            raise Taken("; ".join(map(str, over)))
    found = tenant_clashes(deps.known, tenant.metadata.name, tenant.spec, deps.clock.now())
    if found:
        errors = [
            FieldError(
                "spec.namespaces",
                f"{each.pattern!r} and {each.other_pattern!r} of tenant {each.other!r} both claim"
                f" {each.example!r} in cluster {each.cluster!r}",
            )
            for each in found
        ]
        raise Problem(409, Reason.NAMESPACE_CLAIMED, errors[0].message, errors)


def check_unused(deps: ApiDeps, tenant: str) -> None:
    """409 while workloads are the tenant's."""
    names = workloads_of(deps.known, tenant)
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise Problem(409, Reason.CONFLICT, f"tenant {tenant!r} still has workloads: {shown}")


async def check_cohort(_: ApiDeps, cohort: Cohort) -> None:
    """422 where it contradicts itself."""
    _refuse_quota(cohort_problems(cohort.metadata.name, cohort.spec))


async def check_flavor(_: ApiDeps, flavor: Flavor) -> None:
    """422 where one of its features is none."""
    _refuse_quota(flavor_problems(flavor.metadata.name, flavor.spec))


def _refuse_quota(found: Sequence[QuotaProblem]) -> None:
    if found:
        errors = [FieldError(each.path, each.message) for each in found]
        raise Problem(422, Reason.INVALID, f"{errors[0].field}: {errors[0].message}", errors)


async def check_alert_rule(deps: ApiDeps, rule: AlertRule) -> None:
    """422 where its expression is none, or asks for what such a thing has not."""
    try:
        compiled = compiled_rule(rule.metadata.name, rule.spec)
        compiled.try_on(sample(rule.spec.over), deps.clock.now())
    except RuleError as error:
        field, _, message = str(error).partition(": ")
        raise invalid(field, message) from error


def _check_features(deps: ApiDeps, workload: Workload) -> None:
    """422 where no node at all has a feature: what nobody has is more often misspelt than on its way."""
    known = deps.known
    joined = _complete(known) if workload.spec.features else []
    if not joined:
        return
    for index, match in enumerate(workload.spec.features):
        for name, requirement in requirements_of(match, index):
            if not known.fleet.has(requirement):
                field = f"spec.features[{index}].matchExpressions.{name}"
                detail = f"no node of {counted(len(joined), 'cluster')} has {requirement.lacking}"
                raise Problem(422, Reason.NO_NODE_FITS, detail, [FieldError(field, detail)])


def _complete(known: Known) -> list[str]:
    """The ids of all clusters that joined; none of them while one has not reported all of itself."""
    joined = [each.id for each in known.clusters.values() if each.standing is Standing.JOINED]
    return [] if any(known.fleet.completeness(cluster) is not None for cluster in joined) else joined


def _check_bounds(deps: ApiDeps, workload: Workload, record: WorkloadRecord) -> None:
    """422 where minima and maxima contradict each other, or the replicas, over the clusters of the moment.

    Where clusters come later, the decision refuses: nothing moves.
    """
    scheduling, known = workload.spec.placement.replica_scheduling, deps.known
    if scheduling is None or not scheduling.replica_bounds:
        return
    joined = _complete(known)
    if not joined or any(cluster not in known.heard for cluster in joined):
        return
    decision = decide(known, Compiler(known).compiled(record), Views(known).all(deps.clock.now()))
    found = contradiction(decision)
    if found:
        raise invalid(BOUNDS_FIELD, found)


def _understood(deps: ApiDeps, workload: Workload) -> tuple[Meaning, tuple[str, ...]]:
    """422 where it cannot be understood, contradicts itself, or makes an order too large for the stream."""
    kinds = deps.known.kinds
    try:
        meaning = Meaning.of(workload.spec, kinds)
        check_bounds(placement_request(_NO_UID, workload.spec, meaning.interpretation))
        if not meaning.variants.everywhere_alike:
            check_overrides(meaning.variants, Views(deps.known).all(deps.clock.now()))
        for variant in meaning.variants.made:
            if _may_be_too_large(variant, kinds):
                _check_size(workload, variant, kinds)
        return meaning, warnings_over(deps.known, workload.spec, meaning.interpretation)
    except NotUnderstood as error:
        field, _, message = str(error).partition(": ")
        if field.startswith("spec."):
            raise invalid(field, message) from error
        raise invalid("spec.manifests", str(error)) from error


def _trespassing(found: Trespass) -> Problem:
    if found.missing:
        problem = invalid("spec.tenant", f"there is no tenant {found.tenant!r}")
        return Problem(422, Reason.TENANT_MAY_NOT, problem.detail, problem.errors)
    may = f"tenant {found.tenant!r} has {', '.join(found.patterns)}"
    errors = [
        *(
            FieldError("spec.manifests", f"namespace {name!r} is not the tenant's: {may}")
            for name in found.namespaces
        ),
        *(
            FieldError(
                "spec.manifests", f"{ref} is cluster-scoped, and {may}: take it out of a tenant's workload"
            )
            for ref in found.cluster_scoped
        ),
    ]
    return Problem(422, Reason.TENANT_MAY_NOT, errors[0].message, errors)


def _may_be_too_large(variant: Variant, kinds: Kinds) -> bool:
    """Whether it takes rendering to know: an order adds labels to objects and pods, and rules for health."""
    if any(kind in kinds and kinds[kind].health is not None for kind in map(kind_of, variant.objects)):
        return True
    added = _LABELS_BYTES * (len(variant.objects) + len(variant.interpretation.components))
    return len(msgspec.json.encode(variant.objects)) + added > MAX_ORDER_BYTES // 2


def _check_size(workload: Workload, variant: Variant, kinds: Kinds) -> None:
    name = workload.metadata.name
    rendered = render(variant.objects, _NO_UID, 2**31 - 1, kinds)
    body = OrderBody(
        name=name,
        revision=2**31 - 1,
        template=rendered.template,
        objects=rendered.objects,
        health=rendered.health,
    )
    size = len(msgspec.json.encode(body)) + _SEALING_OVERHEAD_BYTES
    if size > MAX_ORDER_BYTES:
        detail = (
            f"workload {name!r} makes an order of {size:,} bytes; {MAX_ORDER_BYTES:,} fit in one: split it"
        )
        raise Problem(422, Reason.ORDER_TOO_LARGE, detail, [FieldError("spec.manifests", detail)])
