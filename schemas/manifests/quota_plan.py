"""Quota on paper, for `muster quota what-if`: cohorts, tenants, what they use, and what is asked for.

Short forms are taken: nominalQuota for nominal, `cpu: 10` for `cpu: {nominal: 10}`, `resources` for what is
of the one flavor `default`, flavors as a list as Tenants have them, names as keys instead of lists, and
amounts by kind: `nominal: {default: {cpu: 10}}` beside `usage: {default: {cpu: 2}}`.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.manifests.base import API_VERSION, Labels, Name, Quantity, Strict
from schemas.manifests.objects import ObjectError, refuse_all
from schemas.manifests.quota import PreemptionPolicy, ResourceName, Weight
from schemas.manifests.quota_forms import (
    amount_fields,
    cohort_fields,
    flavors_by_name,
    moment,
    named_list,
    request_fields,
    tenant_fields,
    workload_fields,
)
from schemas.quantities import limit_amount

MOST_NODES = 10_000
MOST_WORKLOADS = 100_000
MOST_AMOUNT = 2**63 - 2
"""One below where quantities end: what overflows is read as the largest there is."""


def wrong_amount(resource: str, value: Quantity, *path: str) -> list[ObjectError]:
    """What is none, is negative, or overflows; nothing where it is right."""
    try:
        amount = limit_amount(resource, value)
    except ValueError as error:
        return [ObjectError(path, str(error))]
    if amount > MOST_AMOUNT:
        said = f"{value!r} overflows: less than 2^63 - 1 is counted (cpu in thousandths)"
        return [ObjectError(path, said)]
    return []


Moment = Annotated[str | int | float, BeforeValidator(moment)]


class PlanAmount(Strict):
    """borrowingLimit, lendingLimit: left out, without a limit."""

    nominal: Quantity = 0
    borrowing_limit: Quantity | None = None
    lending_limit: Quantity | None = None


class PlanTenantAmount(PlanAmount):
    """usage: left out, the sum of the workloads of its tenant."""

    usage: Quantity | None = None


def _wrong_amounts(flavors: Mapping[str, Mapping[str, PlanAmount]]) -> Iterator[ObjectError]:
    for flavor, resources in flavors.items():
        for resource, each in resources.items():
            for name, value in each.model_dump(by_alias=True).items():
                if value is not None:
                    yield from wrong_amount(resource, value, flavor, resource, name)


def _lends_too_much(flavors: Mapping[str, Mapping[str, PlanAmount]]) -> Iterator[ObjectError]:
    for flavor, resources in flavors.items():
        for resource, each in resources.items():
            lent, own = each.lending_limit, each.nominal
            if lent is None or any(wrong_amount(resource, value) for value in (lent, own)):
                continue
            if limit_amount(resource, lent) > limit_amount(resource, own):
                said = f"{lent} is above nominal, {own}: nobody lends what is not its"
                yield ObjectError((flavor, resource, "lendingLimit"), said)


def _check_cohorts(flavors: "dict[str, dict[str, PlanAmount]]") -> "dict[str, dict[str, PlanAmount]]":
    refuse_all(_wrong_amounts(flavors))
    return flavors


def _check_tenants(
    flavors: "dict[str, dict[str, PlanTenantAmount]]",
) -> "dict[str, dict[str, PlanTenantAmount]]":
    refuse_all([*_wrong_amounts(flavors), *_lends_too_much(flavors)])
    return flavors


def _check_asked(flavors: "dict[str, dict[str, Quantity]]") -> "dict[str, dict[str, Quantity]]":
    refuse_all(
        error
        for flavor, resources in flavors.items()
        for resource, value in resources.items()
        for error in wrong_amount(resource, value, flavor, resource)
    )
    return flavors


Taken = BeforeValidator(amount_fields)
CohortFlavors = Annotated[
    dict[Name, Annotated[dict[ResourceName, Annotated[PlanAmount, Taken]], Field(max_length=100)]],
    Field(max_length=100),
    BeforeValidator(flavors_by_name),
    AfterValidator(_check_cohorts),
]
TenantFlavors = Annotated[
    dict[Name, Annotated[dict[ResourceName, Annotated[PlanTenantAmount, Taken]], Field(max_length=100)]],
    Field(max_length=100),
    BeforeValidator(flavors_by_name),
    AfterValidator(_check_tenants),
]
Asked = Annotated[
    dict[Name, Annotated[dict[ResourceName, Quantity], Field(max_length=100)]],
    Field(max_length=100),
    AfterValidator(_check_asked),
]


class PlanCohort(Strict):
    """parent: left out, it is a root. flavors: what belongs to nobody in it, and to all."""

    name: Name
    parent: Name | None = None
    weight: Weight = 1
    flavors: CohortFlavors = {}

    @model_validator(mode="before")
    @classmethod
    def _taken(cls, value: object) -> object:
        return cohort_fields(value)


class PlanWorkload(Strict):
    """admittedAt: RFC 3339 or seconds; left out, as the file has them, the last admitted last."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    priority: int = 0
    admitted_at: Moment | None = None
    preemptible: bool = True
    flavors: Asked = {}

    @model_validator(mode="before")
    @classmethod
    def _taken(cls, value: object) -> object:
        return workload_fields(value)


class PlanTenant(Strict):
    """cohort: left out, it neither borrows nor lends. A cohort that is only named is a root without quota."""

    name: Name
    cohort: Name | None = None
    weight: Weight = 1
    flavors: TenantFlavors = {}
    preemption: PreemptionPolicy = PreemptionPolicy()
    workloads: Annotated[
        list[PlanWorkload], Field(max_length=MOST_WORKLOADS), BeforeValidator(named_list)
    ] = []

    @model_validator(mode="before")
    @classmethod
    def _taken(cls, value: object) -> object:
        return tenant_fields(value)


class PlanRequest(Strict):
    """flavors: what of which is asked for. resources: of whatever flavors its tenant has, tried in order.

    createdAt: RFC 3339 or seconds; left out, it comes after all that was admitted.
    """

    tenant: Name
    name: Annotated[str, Field(min_length=1, max_length=253)] = "request"
    priority: int = 0
    created_at: Moment | None = None
    flavors: Asked = {}
    resources: Annotated[dict[ResourceName, Quantity], Field(max_length=100)] = {}

    @model_validator(mode="before")
    @classmethod
    def _taken(cls, value: object) -> object:
        return request_fields(value)

    @model_validator(mode="after")
    def _counted(self) -> Self:
        refuse_all(
            error
            for resource, value in self.resources.items()
            for error in wrong_amount(resource, value, "resources", resource)
        )
        return self


class QuotaPlanSpec(Strict):
    cohorts: Annotated[list[PlanCohort], Field(max_length=MOST_NODES), BeforeValidator(named_list)] = []
    tenants: Annotated[
        list[PlanTenant], Field(min_length=1, max_length=MOST_NODES), BeforeValidator(named_list)
    ]
    request: PlanRequest | None = None


def between(spec: QuotaPlanSpec, unnamed: bool = False) -> Iterator[ObjectError]:
    """What is wrong of things that are right each by itself. unnamed: a tenant's name is not known."""
    yield from _once("cohorts", [each.name for each in spec.cohorts])
    yield from _once("tenants", [each.name for each in spec.tenants])
    seen: set[str] = set()
    for index, tenant in enumerate(spec.tenants):
        for place, workload in enumerate(tenant.workloads):
            if workload.name in seen:
                path = ("tenants", index, "workloads", place, "name")
                yield ObjectError(path, f"{workload.name} stands there more than once")
            seen.add(workload.name)
    if spec.request is not None:
        yield from _of_request(spec.request, None if unnamed else {each.name for each in spec.tenants})


def _of_request(request: PlanRequest, tenants: Collection[str] | None) -> Iterator[ObjectError]:
    if bool(request.flavors) == bool(request.resources):
        said = "either flavors, as {default: {cpu: 4}}, or resources, as {cpu: 4}, is needed"
        yield ObjectError(("request",), said)
    if tenants is not None and request.tenant not in tenants:
        yield ObjectError(("request", "tenant"), f"{request.tenant}: no such tenant in tenants")


def _once(field: str, names: list[str]) -> Iterator[ObjectError]:
    counts = Counter(names)
    for index, name in enumerate(names):
        if counts[name] > 1:
            yield ObjectError((field, index, "name"), f"{name} stands there more than once")


class PlanMetadata(Strict):
    name: Name = "quota"
    labels: Labels = {}


class QuotaPlan(Strict):
    api_version: Literal["muster.dev/v1"] = API_VERSION
    kind: Literal["QuotaPlan"] = "QuotaPlan"
    metadata: PlanMetadata = PlanMetadata()
    spec: QuotaPlanSpec
