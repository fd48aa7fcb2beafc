"""Quota on paper, for `muster quota what-if`: cohorts, tenants, what they use, and what is asked for.

Short forms are taken: nominalQuota for nominal, `cpu: 10` for `cpu: {nominal: 10}`, `resources` for what is
of the one flavor `default`, flavors as a list as Tenants have them, names as keys instead of lists, and
amounts by kind: `nominal: {default: {cpu: 10}}` beside `usage: {default: {cpu: 2}}`.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.manifests.base import API_VERSION, Labels, Name, Strict
from schemas.manifests.load import ManifestError, Problem, load_documents, validated
from schemas.manifests.objects import ObjectError
from schemas.manifests.quota import PreemptionPolicy, Quantity, ResourceName, Weight
from schemas.manifests.quota_forms import (
    amount_fields,
    as_object,
    flavors_by_name,
    named_list,
    renamed,
    with_amounts,
    with_flavors,
    with_weight,
)
from schemas.quantities import quantity_amount

_LIMITS = ("nominal", "borrowingLimit", "lendingLimit")
MOST_NODES = 10_000
MOST_WORKLOADS = 100_000
MOST_AMOUNT = 2**63 - 2
"""One below where quantities end: what overflows is read as the largest there is."""


def counted(resource: str, value: Quantity, *path: str) -> int:
    """As Muster counts. ObjectError for what is none, is negative, or overflows."""
    try:
        amount = quantity_amount(resource, value)
    except ValueError as error:
        raise ObjectError(path, str(error)) from error
    if amount > MOST_AMOUNT:
        raise ObjectError(path, f"{value!r} overflows: less than 2^63 - 1 is counted (cpu in thousandths)")
    return amount


class PlanAmount(Strict):
    """borrowingLimit, lendingLimit: left out, without a limit."""

    nominal: Quantity = 0
    borrowing_limit: Quantity | None = None
    lending_limit: Quantity | None = None


class PlanTenantAmount(PlanAmount):
    """usage: left out, the sum of the workloads of its tenant."""

    usage: Quantity | None = None


def _check(flavors: Mapping[str, Mapping[str, PlanAmount]], *, lends_own: bool) -> None:
    for flavor, resources in flavors.items():
        for resource, each in resources.items():
            found = {
                name: counted(resource, value, flavor, resource, name)
                for name, value in each.model_dump(by_alias=True).items()
                if value is not None
            }
            if lends_own and found.get("lendingLimit", 0) > found["nominal"]:
                message = (
                    f"{each.lending_limit} is above nominal, {each.nominal}: nobody lends what is not its"
                )
                raise ObjectError((flavor, resource, "lendingLimit"), message)


def _check_cohorts(flavors: "dict[str, dict[str, PlanAmount]]") -> "dict[str, dict[str, PlanAmount]]":
    _check(flavors, lends_own=False)
    return flavors


def _check_tenants(
    flavors: "dict[str, dict[str, PlanTenantAmount]]",
) -> "dict[str, dict[str, PlanTenantAmount]]":
    _check(flavors, lends_own=True)
    return flavors


def _check_asked(flavors: "dict[str, dict[str, Quantity]]") -> "dict[str, dict[str, Quantity]]":
    for flavor, resources in flavors.items():
        for resource, value in resources.items():
            counted(resource, value, flavor, resource)
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
        fields = as_object(value)
        if fields is None:
            return value
        fields = renamed(fields, {"parentName": "parent", "nominalQuota": "nominal"})
        return with_amounts(with_flavors(with_weight(fields)), _LIMITS)


class PlanWorkload(Strict):
    """admittedAt: RFC 3339 or seconds; left out, as the file has them, the last admitted last."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    priority: int = 0
    admitted_at: str | int | float | None = None
    preemptible: bool = True
    flavors: Asked = {}

    @model_validator(mode="before")
    @classmethod
    def _taken(cls, value: object) -> object:
        fields = as_object(value)
        return value if fields is None else with_flavors(fields)


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
        fields = as_object(value)
        if fields is None:
            return value
        fields = renamed(fields, {"cohortName": "cohort", "nominalQuota": "nominal"})
        fields = with_amounts(with_flavors(with_weight(fields)), (*_LIMITS, "usage"))
        policy = as_object(fields.get("preemption"))
        if policy is not None:
            fields["preemption"] = renamed(policy, {"withinClusterQueue": "withinTenant"})
        return fields


class PlanRequest(Strict):
    """flavors: what of which is asked for. resources: of whatever flavors its tenant has, tried in order.

    createdAt: RFC 3339 or seconds; left out, it comes after all that was admitted.
    """

    tenant: Name
    name: Annotated[str, Field(min_length=1, max_length=253)] = "request"
    priority: int = 0
    created_at: str | int | float | None = None
    flavors: Asked = {}
    resources: Annotated[dict[ResourceName, Quantity], Field(max_length=100)] = {}

    @model_validator(mode="before")
    @classmethod
    def _taken(cls, value: object) -> object:
        fields = as_object(value)
        return with_flavors(fields) if fields is not None and "flavor" in fields else value

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if bool(self.flavors) == bool(self.resources):
            raise ValueError("either flavors, as {default: {cpu: 4}}, or resources, as {cpu: 4}, is needed")
        for resource, value in self.resources.items():
            counted(resource, value, "resources", resource)
        return self


class QuotaPlanSpec(Strict):
    cohorts: Annotated[list[PlanCohort], Field(max_length=MOST_NODES), BeforeValidator(named_list)] = []
    tenants: Annotated[
        list[PlanTenant], Field(min_length=1, max_length=MOST_NODES), BeforeValidator(named_list)
    ]
    request: PlanRequest | None = None

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        _once("cohorts", [each.name for each in self.cohorts])
        _once("tenants", [each.name for each in self.tenants])
        seen: set[str] = set()
        for index, tenant in enumerate(self.tenants):
            for place, workload in enumerate(tenant.workloads):
                if workload.name in seen:
                    path = ("tenants", index, "workloads", place, "name")
                    raise ObjectError(path, f"{workload.name} stands there more than once")
                seen.add(workload.name)
        if self.request is not None and self.request.tenant not in {each.name for each in self.tenants}:
            raise ObjectError(("request", "tenant"), f"{self.request.tenant}: no such tenant in tenants")
        return self


def _once(field: str, names: list[str]) -> None:
    counts = Counter(names)
    for index, name in enumerate(names):
        if counts[name] > 1:
            raise ObjectError((field, index, "name"), f"{name} stands there more than once")


class PlanMetadata(Strict):
    name: Name = "quota"
    labels: Labels = {}


class QuotaPlan(Strict):
    api_version: Literal["muster.dev/v1"] = API_VERSION
    kind: Literal["QuotaPlan"] = "QuotaPlan"
    metadata: PlanMetadata = PlanMetadata()
    spec: QuotaPlanSpec


def parse_quota_plan(text: str | bytes, source: str) -> QuotaPlanSpec:
    """The one plan of a YAML or JSON text, with apiVersion, kind and spec around it or without.

    ManifestError with all that is wrong, each by its field.
    """
    documents = [each for each in load_documents(text, source) if each is not None]
    fields = as_object(documents[0]) if len(documents) == 1 else None
    if fields is None:
        found = f"{len(documents)} documents" if len(documents) != 1 else "no object"
        raise ManifestError([Problem(source, 0, "", f"{found}: one QuotaPlan is needed")])
    if fields.keys() & {"spec", "apiVersion", "kind"}:
        return validated(QuotaPlan, fields, source, 0).spec
    return validated(QuotaPlanSpec, fields, source, 0)
