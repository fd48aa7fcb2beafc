"""Karmada's FederatedResourceQuotas as Tenants: the quota of a namespace is that of the tenant it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controlplane.migration.kueue import ConvertedQuota
from controlplane.migration.onto import quota_manifest
from schemas.manifests import Cohort, Flavor, Tenant
from schemas.manifests.base import Quantity
from schemas.manifests.karmada_quota import FederatedResourceQuota
from schemas.manifests.load import ManifestError, Problem
from schemas.quantities import limit_amount, quantity_amount

ALL_NODES = "all-nodes"
"""The flavor of what knows no flavors."""
_ASKED = ("cpu", "memory", "ephemeral-storage")
_PLAIN = ("pods",)


@dataclass(frozen=True)
class GivenFederated:
    """source, document: where it was written, for problems."""

    quota: FederatedResourceQuota
    source: str
    document: int

    def __str__(self) -> str:
        return f"FederatedResourceQuota {self.quota.namespace}/{self.quota.metadata.name}"

    def problem(self, message: str, path: str = "") -> Problem:
        return Problem(self.source, self.document, path, message)


def converted_federated(every: Sequence[GivenFederated]) -> ConvertedQuota:
    """The same for the same input, in whatever order it is given. ManifestError with all that is wrong."""
    problems: list[Problem] = []
    notes: list[str] = []
    manifests: list[Flavor | Cohort | Tenant] = []
    seen: dict[str, GivenFederated] = {}
    for each in sorted(every, key=str):
        first = seen.setdefault(each.quota.namespace, each)
        if first is not each:
            said = f"namespace {each.quota.namespace} has {first} already: put their overall together"
            problems.append(each.problem(said, "metadata.namespace"))
        try:
            manifests.append(_tenant(each))
        except ManifestError as error:
            problems += error.problems
        notes += _notes(each)
    if problems:
        raise ManifestError(problems)
    if manifests:
        first = min(every, key=str)
        manifests.insert(0, quota_manifest(Flavor, ALL_NODES, {}, first, first.source, first.document))
    return ConvertedQuota(manifests, notes)


def _tenant(each: GivenFederated) -> Tenant:
    problems: list[Problem] = []
    amounts: dict[str, Quantity] = {}
    for key, amount in each.quota.spec.overall.items():
        path = f"spec.overall.{key}"
        resource = resource_of(key)
        if resource is None:
            problems.append(each.problem(_right(key), path))
            continue
        try:
            counted = limit_amount(resource, amount)
            if resource in amounts and quantity_amount(resource, amounts[resource]) != counted:
                said = f"{resource} stands there twice, with {amounts[resource]} and {amount}: say it once"
                problems.append(each.problem(said, path))
        except ValueError as error:
            problems.append(each.problem(str(error), path))
        amounts[resource] = amount
    if problems:
        raise ManifestError(problems)
    resources = [{"name": name, "nominalQuota": amount} for name, amount in amounts.items()]
    quota = {"flavors": [{"name": ALL_NODES, "resources": resources}], "uncovered": "Allow"}
    spec = {"namespaces": [each.quota.namespace], "quota": quota}
    return quota_manifest(Tenant, each.quota.namespace, spec, each, each.source, each.document)


def resource_of(key: str) -> str | None:
    """What a key of a ResourceQuota is about; None for what is not counted here."""
    name = key.removeprefix("requests.")
    if key == "count/pods":
        return "pods"
    if name in _ASKED or key in _PLAIN or name.startswith("hugepages-"):
        return name
    # An extended resource has a domain; `requests.storage` and counts of objects have none, or a prefix.
    domain, slash, _ = name.partition("/")
    other = key.startswith("limits.") or domain.endswith(".storageclass.storage.k8s.io")
    return name if slash and "." in domain and not other else None


def _right(key: str) -> str:
    if key.startswith("limits."):
        asked = f"requests.{key.removeprefix('limits.')}"
        return f"limits are not counted here, what pods ask for is: say {asked}"
    if key.startswith("count/") or "/" not in key:
        return (
            "not counted here: cpu, memory, ephemeral-storage, hugepages, pods and extended resources are;"
            " leave it out, and keep a ResourceQuota in the clusters for it"
        )
    return "no resource: requests.cpu, requests.memory, requests.nvidia.com/gpu, pods, ..."


def _notes(each: GivenFederated) -> Iterator[str]:
    if each.quota.spec.static_assignments:
        named = ", ".join(one.cluster_name for one in each.quota.spec.static_assignments)
        yield (
            f"{each}: what it assigns to {named} is left out; all clusters together are bounded by overall,"
            " and limits: Enforce in the Tenant's quota keeps ResourceQuotas there"
        )
