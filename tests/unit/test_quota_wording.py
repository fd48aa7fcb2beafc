"""What is wrong in a document of quota is said in words of ours, by its field, with what would be right."""

import copy
import re
from typing import Any, cast

import pytest
import yaml

from controlplane.quota.problems import document_problems
from schemas.manifests import ManifestError, parse_manifest
from schemas.manifests.karmada_quota import parse_federated_quota
from schemas.manifests.kueue import parse_kueues
from schemas.manifests.quota_plan_reading import parse_quota_plan

TENANT: dict[str, Any] = yaml.safe_load("""
apiVersion: muster.dev/v1
kind: Tenant
metadata: {name: books, labels: {a: b}}
spec:
  namespaces: [books-*]
  quota:
    cohort: business
    weight: 2
    uncovered: Allow
    queueing: StrictFIFO
    limits: Observe
    preemption: {reclaimWithinCohort: Any, borrowWithinCohort: {policy: Never, maxPriorityThreshold: 1}}
    budget: {amount: 5, currency: EUR, period: Day, timezone: UTC, warnAt: 80}
    flavors:
      - name: default
        resources:
          - name: cpu
            nominalQuota: 4
            borrowingLimit: 1
            lendingLimit: 1
            windows: [{name: night, weekdays: [Monday], opens: '20:00', closes: '06:00', timezone: UTC,
                       firstDay: '2026-01-01', lastDay: '2026-12-31', nominalQuota: 8}]
""")
COHORT: dict[str, Any] = {
    "apiVersion": "muster.dev/v1",
    "kind": "Cohort",
    "metadata": {"name": "business"},
    "spec": {"parent": "all", "weight": "0.5", "flavors": TENANT["spec"]["quota"]["flavors"]},
}
FLAVOR: dict[str, Any] = yaml.safe_load("""
apiVersion: muster.dev/v1
kind: Flavor
metadata: {name: a100}
spec:
  nodeLabels: {gpu: a100}
  features: [{feature: cpu.cpuid, matchExpressions: {AMXTILE: {op: Exists}}}]
  clusters: {clusterNames: [a]}
  tolerations: [{key: gpu, operator: Equal, value: a100, effect: NoSchedule}]
  prices: {currency: EUR, perHour: {cpu: "0.04"}}
""")
QUEUE: dict[str, Any] = yaml.safe_load("""
apiVersion: kueue.x-k8s.io/v1beta1
kind: ClusterQueue
metadata: {name: books}
spec:
  namespaceSelector: {}
  cohort: business
  fairSharing: {weight: 1}
  resourceGroups:
    - coveredResources: [cpu]
      flavors: [{name: default, resources: [{name: cpu, nominalQuota: 4, borrowingLimit: 1}]}]
""")
FEDERATED: dict[str, Any] = {
    "apiVersion": "policy.karmada.io/v1alpha1",
    "kind": "FederatedResourceQuota",
    "metadata": {"name": "books", "namespace": "books"},
    "spec": {"overall": {"cpu": 4}, "staticAssignments": [{"clusterName": "a", "hard": {"cpu": 2}}]},
}
PLAN: dict[str, Any] = yaml.safe_load("""
cohorts: [{name: org, parent: all, weight: 2, flavors: {default: {cpu: {nominal: 4}}}}]
tenants:
  - name: a
    cohort: org
    weight: 1
    flavors: {default: {cpu: {nominal: 4, lendingLimit: 2, usage: 3}}}
    preemption: {reclaimWithinCohort: Any}
    workloads: [{name: w, priority: 1, admittedAt: 5, preemptible: true, flavors: {default: {cpu: 2}}}]
request: {tenant: a, name: r, priority: 3, createdAt: 5, flavors: {default: {cpu: 4}}}
""")
DOCUMENTS = {
    "Tenant": TENANT,
    "Cohort": COHORT,
    "Flavor": FLAVOR,
    "ClusterQueue": QUEUE,
    "FederatedResourceQuota": FEDERATED,
    "QuotaPlan": PLAN,
}
JUNK: tuple[Any, ...] = (None, True, 5, -1, 0.5, "", "x" * 400, [], [1], [None], {}, {"a": 1}, 10**400)
LIBRARY = re.compile(
    r"Input should|valid (string|integer|number|list|dict)|after validation|\.(str|int|float):"
)
"""The words of pydantic, and its names for the members of a union."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(cast(dict[Any, Any], value).items())
    elif isinstance(value, list):
        items = list(enumerate(cast(list[Any], value)))
    return [found for key, each in items for found in ((*path, key), *places(each, (*path, key)))]


def with_junk(document: Any, path: tuple[Any, ...], junk: Any) -> Any:
    changed = copy.deepcopy(document)
    at: Any = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = junk
    return changed


def problems_of(kind: str, document: Any) -> list[str]:
    try:
        if kind == "ClusterQueue":
            parse_kueues(document, "file")
        elif kind == "FederatedResourceQuota":
            parse_federated_quota(document, "file")
        elif kind == "QuotaPlan":
            parse_quota_plan(yaml.safe_dump(document), "file")
        else:
            return [str(each) for each in document_problems(parse_manifest(document, "file"))]
    except ManifestError as error:
        return [str(each) for each in error.problems]
    return []


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_whatever_stands_in_place_of_a_value_is_told_in_words_of_ours(kind: str) -> None:
    document = DOCUMENTS[kind]
    assert problems_of(kind, document) == []
    said = {
        (path, repr(junk)[:20]): text
        for path in places(document)
        for junk in JUNK
        for text in problems_of(kind, with_junk(document, path, junk))
    }
    assert said
    assert {place: text for place, text in said.items() if LIBRARY.search(text)} == {}


def of_resource(**fields: Any) -> dict[str, Any]:
    quota = {"cohort": "business", "flavors": [{"name": "default", "resources": [{"name": "cpu", **fields}]}]}
    return TENANT | {"spec": {"namespaces": ["books-*"], "quota": quota}}


@pytest.mark.parametrize(
    ("fields", "field", "right"),
    [
        ({"nominalQuota": True}, "nominalQuota", "true is no quantity: a number or text is needed, as 4"),
        ({"nominalQuota": None}, "nominalQuota", "null is no quantity"),
        ({"nominalQuota": [4]}, "nominalQuota", "a list is no quantity"),
        ({"nominalQuota": 1, "borrowingLimit": False}, "borrowingLimit", "false is no quantity"),
        ({"name": "pods", "nominalQuota": 0.5}, "nominalQuota", "0.5: pods is counted, so a whole"),
        ({"name": "objects", "nominalQuota": "500m"}, "nominalQuota", "'500m': objects is counted"),
        (
            {"name": "addresses/blue", "nominalQuota": "1.5"},
            "nominalQuota",
            "'1.5': addresses/blue is",
        ),
        ({"name": "nvidia.com/gpu", "nominalQuota": 1.5}, "nominalQuota", "1.5: nvidia.com/gpu is counted"),
        ({"name": "pods", "nominalQuota": 4, "lendingLimit": 0.5}, "lendingLimit", "0.5: pods is counted"),
    ],
)
def test_an_amount_that_is_none_is_named_by_its_field(fields: dict[str, Any], field: str, right: str) -> None:
    (said,) = problems_of("Tenant", of_resource(**fields))
    assert f"spec.quota.flavors[0].resources[0].{field}: {right}" in said


@pytest.mark.parametrize(
    "fields",
    [
        {"nominalQuota": 0.5},
        {"name": "memory", "nominalQuota": "0.5Gi"},
        {"name": "pods", "nominalQuota": "1k"},
        {"name": "pods", "nominalQuota": "2000m"},
        {"name": "pods", "nominalQuota": 3.0},
        {"name": "hugepages-2Mi", "nominalQuota": "0.5Gi"},
    ],
)
def test_what_is_measured_may_be_a_part_and_what_is_counted_is_whole(fields: dict[str, Any]) -> None:
    assert problems_of("Tenant", of_resource(**fields)) == []
