"""What people write: taken, or refused with the field and what would be right."""

from typing import Any

import pytest
import yaml

from schemas.manifests import (
    Fleet,
    ManifestError,
    Tenant,
    Workload,
    load_manifests,
    parse_manifest,
)

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}

_KINDS = "one of Workload, Fleet, Tenant, Cohort, Flavor, Interpreter, AlertRule"


def workload(*manifests: Any, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "muster.dev/v1",
        "kind": "Workload",
        "metadata": {"name": "shop"},
        "spec": {"manifests": list(manifests) or [CONFIG], **spec},
    }


def refused(document: Any) -> list[str]:
    with pytest.raises(ManifestError) as error:
        parse_manifest(document, "shop.yaml")
    return [f"{problem.path}: {problem.message}" for problem in error.value.problems]


def test_a_stream_of_kinds() -> None:
    text = """
apiVersion: muster.dev/v1
kind: Tenant
metadata: {name: retail}
spec:
  namespaces: [shop-*]
  clusters: {labelSelector: {matchLabels: {region: eu}}}
  environments: [prod]
  owners: [{name: Ada, email: ada@example.com}]
---
# nothing here
---
apiVersion: muster.dev/v1
kind: Workload
metadata: {name: shop, labels: {team: retail}, annotations: {muster.dev/expect-clusters: "a,b"}}
spec:
  tenant: retail
  manifests:
    - {apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop-a}, data: {at: 2026-01-01}}
  placement:
    clusterAffinity: {clusterNames: [a], exclude: [b]}
    clusterTolerations: [{key: edge, operator: Exists}]
    replicaScheduling:
      replicaSchedulingType: Divided
      replicaDivisionPreference: Weighted
      weightPreference: {dynamicWeight: AvailableReplicas}
---
apiVersion: muster.dev/v1
kind: Fleet
spec:
  clusters:
    - {name: a, zones: [a-1], nodes: [{count: 3, allocatable: {cpu: 4, memory: 16Gi}}]}
    - {name: b, available: 7, taints: [{key: edge, effect: NoSchedule}]}
  placed: {a: 2}
  uid: u
"""
    tenant, shop, fleet = load_manifests(text, "all.yaml")
    assert isinstance(tenant, Tenant)
    assert isinstance(shop, Workload)
    assert isinstance(fleet, Fleet)
    assert shop.spec.manifests[0]["data"] == {"at": "2026-01-01"}, "plain dates stay text"
    assert fleet.spec.clusters[1].available == 7


def test_json_is_taken_too() -> None:
    (shop,) = load_manifests(
        b'{"apiVersion":"muster.dev/v1","kind":"Tenant","metadata":{"name":"t"},"spec":{"namespaces":["*"]}}',
        "t.json",
    )
    assert isinstance(shop, Tenant)


def test_what_is_written_back_is_taken_again() -> None:
    shop = parse_manifest(workload(placement={"clusterAffinity": {"clusterNames": ["a"]}}), "x")
    again = shop.model_dump(mode="json", exclude_defaults=True) | {
        "apiVersion": "muster.dev/v1",
        "kind": "Workload",
    }
    assert parse_manifest(again, "x") == shop


@pytest.mark.parametrize(
    ("manifest", "namespace"),
    [
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "default"),
        ({"apiVersion": "apps/v1", "kind": "Deployment"}, "default"),
        ({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}, None),
        ({"apiVersion": "example.com/v1", "kind": "Widget"}, None),
    ],
)
def test_a_namespace_left_out(manifest: dict[str, Any], namespace: str | None) -> None:
    shop = parse_manifest(workload({**manifest, "metadata": {"name": "x"}}), "x")
    assert isinstance(shop, Workload)
    assert shop.spec.manifests[0]["metadata"].get("namespace") == namespace


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], ": a list: an object is needed"),
        ({"kind": "Workload"}, "apiVersion: missing: muster.dev/v1 is needed"),
        (
            {"apiVersion": "muster.dev/v2", "kind": "Workload"},
            "apiVersion: 'muster.dev/v2': muster.dev/v1 is needed",
        ),
        (
            {"apiVersion": "muster.dev/v1", "kind": "Worklaod"},
            f"kind: 'Worklaod': {_KINDS} is needed",
        ),
        (workload(replicas=3), "spec.replicas: no such field here"),
        (workload() | {"metadata": {}}, "metadata.name: missing"),
        (workload() | {"metadata": {"name": "Shop"}}, "metadata.name: 'Shop' is no name"),
        (
            workload() | {"metadata": {"name": "s", "labels": {"a": 1}}},
            "metadata.labels.a: 1: text is needed, so quote it",
        ),
        (workload() | {"spec": {"manifests": []}}, "spec.manifests: 0 of them: at least 1 needed"),
        (workload({"apiVersion": "v1", "kind": "ConfigMap"}), "spec.manifests[0].metadata: missing"),
        (workload({**CONFIG, "kind": "Namespace"}), "spec.manifests[0].kind: Namespace: agents make"),
        (workload({**CONFIG, "kind": "List"}), "spec.manifests[0].kind: List: a list is no object"),
        (workload({**CONFIG, "apiVersion": "1.1.M"}), "spec.manifests[0].apiVersion: '1.1.M': VERSION or"),
        (workload(CONFIG, CONFIG), "spec.manifests[1]: the same object stands at 0"),
        (
            workload({**CONFIG, "metadata": {"name": "a_b"}}),
            "spec.manifests[0].metadata.name: 'a_b' is no name",
        ),
        (
            workload({**CONFIG, "metadata": {"name": "a", "labels": {"x": True}}}),
            "spec.manifests[0].metadata.labels.x: True: a string is needed, so quote it",
        ),
        (
            workload({**CONFIG, "metadata": {"generateName": "a-"}}),
            "spec.manifests[0].metadata.generateName: not taken",
        ),
        (
            workload(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "p"},
                    "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1.1.M"}}}]},
                }
            ),
            "spec.manifests[0].spec.containers[0].resources.requests.cpu: '1.1.M' is no quantity",
        ),
        (
            workload(
                features=[
                    {
                        "feature": f"cpu.f{at}",
                        "matchExpressions": {"x": {"op": "InRegexp", "value": ["a", "b"]}},
                    }
                    for at in range(26)
                ]
            ),
            "spec.features: 26 expressions with 52 patterns: up to 100 with 50 are taken",
        ),
        (
            workload(placement={"workloadAffinity": {}}),
            "spec.placement: placement.workloadAffinity is not yet supported",
        ),
        (
            workload(placement={"clusterAffinity": {}, "clusterAffinities": [{"affinityName": "a"}]}),
            "spec.placement: state clusterAffinity or clusterAffinities, not both",
        ),
        (
            workload(placement={"clusterAffinities": [{"affinityName": "a"}, {"affinityName": "a"}]}),
            "spec.placement: clusterAffinities: affinityName a stands there more than once",
        ),
        (
            workload(
                placement={
                    "clusterAffinities": [
                        {
                            "affinityName": "a",
                            "clusterNames": ["x"],
                            "overflowAffinities": [{"affinityName": "b"}],
                        }
                    ]
                }
            ),
            "spec.placement: overflowAffinities needs replicas that are divided by room",
        ),
        (
            workload(placement={"spreadConstraints": [{"minGroups": 3, "maxGroups": 2}]}),
            "spec.placement.spreadConstraints[0]: minGroups 3 is above maxGroups 2",
        ),
        (
            workload(placement={"spreadConstraints": [{"spreadByField": "zone", "spreadByLabel": "a"}]}),
            "spec.placement.spreadConstraints[0]: state spreadByField or spreadByLabel, not both",
        ),
        (
            workload(
                placement={
                    "spreadConstraints": [{"spreadByField": "region", "minGroups": 3}, {"maxGroups": 2}]
                }
            ),
            "spec.placement: spreadConstraints: minGroups 3 by region needs more clusters than",
        ),
        (
            workload(
                placement={"replicaScheduling": {"replicaBounds": [{"minReplicas": 3, "maxReplicas": 2}]}}
            ),
            "spec.placement.replicaScheduling.replicaBounds[0]: minReplicas 3 is above maxReplicas 2",
        ),
        (
            workload(
                placement={
                    "clusterAffinity": {
                        "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}
                    }
                }
            ),
            "spec.placement.clusterAffinity.labelSelector.matchExpressions[0].operator: 'Near': one of In",
        ),
        (
            workload(
                placement={
                    "clusterAffinity": {
                        "labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}
                    }
                }
            ),
            "spec.placement.clusterAffinity.labelSelector.matchExpressions[0]: operator In takes at least",
        ),
        (
            workload(placement={"clusterTolerations": [{"key": ""}]}),
            "spec.placement.clusterTolerations[0]: an empty key",
        ),
        (
            {
                "apiVersion": "muster.dev/v1",
                "kind": "Tenant",
                "metadata": {"name": "t"},
                "spec": {"namespaces": ["a?"]},
            },
            "spec.namespaces[0]: 'a?' is no namespace pattern",
        ),
        (
            {"apiVersion": "muster.dev/v1", "kind": "Fleet", "spec": {"clusters": [{"name": "a"}]}},
            "spec.clusters[0]: state either nodes or available, and not both",
        ),
        (
            {
                "apiVersion": "muster.dev/v1",
                "kind": "Fleet",
                "spec": {"clusters": [{"name": "a", "available": 1}, {"name": "a", "available": 1}]},
            },
            "spec: cluster a stands there more than once",
        ),
        (
            {
                "apiVersion": "muster.dev/v1",
                "kind": "Fleet",
                "spec": {"clusters": [{"name": "a", "available": -1}]},
            },
            "spec.clusters[0].available: -1: 0 or more is needed",
        ),
    ],
)
def test_a_wrong_field_is_named(document: Any, problem: str) -> None:
    found = refused(document)
    assert any(each.startswith(problem) for each in found), found


def test_all_problems_of_all_documents_are_told() -> None:
    text = yaml.safe_dump_all([workload(a=1, b=2), workload(), {"apiVersion": "muster.dev/v1", "kind": "X"}])
    with pytest.raises(ManifestError) as error:
        load_manifests(text, "shop.yaml")
    assert str(error.value).splitlines() == [
        "shop.yaml[0] spec.a: no such field here",
        "shop.yaml[0] spec.b: no such field here",
        f"shop.yaml[2] kind: 'X': {_KINDS} is needed",
    ]


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no manifest in it"),
        ("a: [", "not YAML at line 2"),
        ("a: 1\na: 2", "line 2: key 'a' stands there twice"),
        ("a: !!python/object/apply:os.system [x]", "not YAML at line 1"),
        (BOMB, "values once its aliases are followed"),
        ("a: &a [*a]", "nested more than"),
        ("[" * 5000 + "]" * 5000, "nested more than"),
        ("[" * 1_000_000, "nested more than"),
        ("{" * 1_000_000, "nested more than"),
        ("- " * 100_000, "nested more than"),
        ("---\n" * 10_002 + "a: 1", "more than 10,000 documents"),
        (b"\xff\xfe\xfa", "x["),
        ("a: \x00", "x["),
    ],
)
def test_what_is_no_yaml_or_too_much(text: str | bytes, message: str) -> None:
    with pytest.raises(ManifestError) as error:
        load_manifests(text, "x")
    assert message in str(error.value)


def test_a_text_over_the_bound() -> None:
    with pytest.raises(ManifestError, match="16,777,216 are taken"):
        load_manifests(b" " * (16 * 1024 * 1024 + 1), "x")
