"""What was written for Kueue, and quotas of Karmada: taken as Flavors, Cohorts and Tenants, or refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.cli.files import named_last, read_manifests
from controlplane.client import ClientError
from controlplane.migration import (
    GivenFederated,
    GivenKueue,
    converted_federated,
    converted_quota,
    onto,
)
from controlplane.migration.kueue import ConvertedQuota
from schemas.manifests.karmada_quota import parse_federated_quota
from schemas.manifests.kueue import parse_kueues
from schemas.manifests.load import ManifestError

Object = dict[str, Any]
BETA1, BETA2 = "kueue.x-k8s.io/v1beta1", "kueue.x-k8s.io/v1beta2"
BY_NAME = {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}}


def kueues(kind: str, name: str, spec: Object, version: str = BETA1, **metadata: str) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def group(flavor: str = "default-flavor", **fields: Any) -> Object:
    return {
        "coveredResources": ["cpu", "memory"],
        "flavors": [
            {
                "name": flavor,
                "resources": [
                    {"name": "cpu", "nominalQuota": 9, **fields},
                    {"name": "memory", "nominalQuota": "36Gi"},
                ],
            }
        ],
    }


def queue(name: str = "team-a", version: str = BETA1, **fields: Any) -> Object:
    spec = {"namespaceSelector": BY_NAME, "resourceGroups": [group()], **fields}
    return kueues("ClusterQueue", name, spec, version)


def local(namespace: str, of: str = "team-a", name: str = "main") -> Object:
    return kueues("LocalQueue", name, {"clusterQueue": of}, namespace=namespace)


def convert(*documents: Object) -> ConvertedQuota:
    given = [
        GivenKueue(parse_kueues(each, "file", index), "file", index) for index, each in enumerate(documents)
    ]
    return converted_quota(given)


def spec_of(result: ConvertedQuota, index: int = 0) -> Object:
    return result.manifests[index].spec.model_dump(mode="json", by_alias=True, exclude_unset=True)


def test_a_cluster_queue_is_a_tenant() -> None:
    result = convert(queue(cohort="all", fairSharing={"weight": "0.5"}))
    assert (result.manifests[0].kind, result.manifests[0].metadata.name, result.notes) == (
        "Tenant",
        "team-a",
        [],
    )
    assert spec_of(result) == {
        "namespaces": ["team-a"],
        "quota": {
            "cohort": "all",
            "weight": "0.5",
            "flavors": [
                {
                    "name": "default-flavor",
                    "resources": [
                        {"name": "cpu", "nominalQuota": 9},
                        {"name": "memory", "nominalQuota": "36Gi"},
                    ],
                }
            ],
            "queueing": "BestEffortFIFO",
            "preemption": {
                "reclaimWithinCohort": "Never",
                "borrowWithinCohort": {"policy": "Never"},
                "withinTenant": "Never",
            },
        },
    }


QUOTAS: dict[str, tuple[Object, Object]] = {
    "a cohort, as v1beta2 calls it": (queue(version=BETA2, cohortName="all"), {"cohort": "all"}),
    "strict order": (queue(queueingStrategy="StrictFIFO"), {"queueing": "StrictFIFO"}),
    "no fair sharing": (queue(), {"weight": 1}),
    "preemption": (
        queue(
            preemption={
                "reclaimWithinCohort": "Any",
                "borrowWithinCohort": {"policy": "LowerPriority", "maxPriorityThreshold": 100},
                "withinClusterQueue": "LowerOrNewerEqualPriority",
            }
        ),
        {
            "preemption": {
                "reclaimWithinCohort": "Any",
                "borrowWithinCohort": {"policy": "LowerPriority", "maxPriorityThreshold": 100},
                "withinTenant": "LowerOrNewerEqualPriority",
            }
        },
    ),
    "what a server fills in": (
        queue(
            flavorFungibility={"whenCanBorrow": "Borrow", "whenCanPreempt": "TryNextFlavor"},
            stopPolicy="None",
            queueingStrategy="BestEffortFIFO",
        ),
        {"queueing": "BestEffortFIFO"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), QUOTAS.values(), ids=QUOTAS.keys())
def test_what_becomes_of_its_fields(given: Object, expected: Object) -> None:
    quota = spec_of(convert(given))["quota"]
    assert {key: quota[key] for key in expected} == expected


NAMESPACES: dict[str, tuple[list[Object], list[str], str]] = {
    "by name": ([queue(), local("team-a")], ["team-a"], "LocalQueue team-a/main is left out"),
    "by a list of names": (
        [
            queue(
                namespaceSelector={
                    "matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["b", "a"]}
                    ]
                }
            )
        ],
        ["a", "b"],
        "",
    ),
    "any: those with a LocalQueue": (
        [queue(namespaceSelector={}), local("x"), local("y"), local("z", of="other")],
        ["x", "y"],
        "its namespaces are those of its LocalQueues: x, y",
    ),
    "by other labels: those with a LocalQueue": (
        [queue(namespaceSelector={"matchLabels": {"team": "a"}}), local("x")],
        ["x"],
        "its namespaces are those of its LocalQueues: x",
    ),
    "a LocalQueue that is not selected": (
        [queue(), local("x")],
        ["team-a"],
        "namespace x has a LocalQueue, and is not selected",
    ),
}


@pytest.mark.parametrize(("documents", "expected", "note"), NAMESPACES.values(), ids=NAMESPACES.keys())
def test_whose_namespaces_are_whose(documents: list[Object], expected: list[str], note: str) -> None:
    result = convert(*documents)
    assert spec_of(result)["namespaces"] == expected
    assert note in "\n".join(result.notes)


def test_a_flavor() -> None:
    toleration = {"key": "spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    taint = {"key": "spot", "value": "true", "effect": "NoSchedule"}
    result = convert(
        kueues(
            "ResourceFlavor",
            "spot",
            {"nodeLabels": {"instance-type": "spot"}, "nodeTaints": [taint], "tolerations": [toleration]},
        )
    )
    assert spec_of(result) == {"nodeLabels": {"instance-type": "spot"}, "tolerations": [toleration]}
    assert result.notes == [
        "ResourceFlavor spot: its nodeTaints are left out; those that its nodes have count"
    ]


@pytest.mark.parametrize(
    ("version", "field"),
    [("kueue.x-k8s.io/v1alpha1", "parent"), (BETA1, "parentName"), (BETA2, "parentName")],
)
def test_a_cohort_of_every_version(version: str, field: str) -> None:
    result = convert(
        kueues("Cohort", "sales", {field: "all", "resourceGroups": [group(lendingLimit=1)]}, version)
    )
    spec = spec_of(result)
    assert spec["parent"] == "all"
    assert spec["flavors"][0]["resources"][0] == {"name": "cpu", "nominalQuota": 9, "lendingLimit": 1}


REFUSED: dict[str, tuple[list[Object], str]] = {
    "stopped": ([queue(stopPolicy="Hold")], "spec.stopPolicy: what is applied is carried out"),
    "with checks": ([queue(admissionChecks=["prov"])], "spec.admissionChecks: nothing is asked"),
    "with checks by flavor": (
        [queue(admissionChecksStrategy={"admissionChecks": [{"name": "prov"}]})],
        "spec.admissionChecksStrategy: nothing is asked",
    ),
    "shares of the past": (
        [queue(version=BETA2, admissionScope={"admissionMode": "UsageBasedAdmissionFairSharing"})],
        "spec.admissionScope",
    ),
    "another order of flavors": (
        [queue(flavorFungibility={"whenCanBorrow": "TryNextFlavor"})],
        "spec.flavorFungibility.whenCanBorrow: flavors are tried in their order",
    ),
    "preempting before the next flavor": (
        [queue(flavorFungibility={"whenCanPreempt": "Preempt"})],
        "spec.flavorFungibility.whenCanPreempt",
    ),
    "borrowing by preemption without reclaiming": (
        [queue(preemption={"borrowWithinCohort": {"policy": "LowerPriority"}})],
        "needs reclaimWithinCohort",
    ),
    "no namespaces": ([queue(namespaceSelector=None)], "spec.namespaceSelector: missing"),
    "namespaces that are not known": (
        [queue(namespaceSelector={})],
        "spec.namespaceSelector: which namespaces these are is not known here",
    ),
    "a namespace of two": (
        [local("x", of="a", name="one"), local("x", of="b", name="two")],
        "namespace x is queued to a and to b",
    ),
    "twice": ([queue(), queue()], r"ClusterQueue team-a stands in file\[0\] already"),
    "not all that is covered": (
        [queue(resourceGroups=[{**group(), "coveredResources": ["cpu"]}])],
        "coveredResources are cpu",
    ),
    "topologies": ([kueues("ResourceFlavor", "tas", {"topologyName": "default"})], "spec.topologyName"),
    "weights of resources": (
        [kueues("ResourceFlavor", "w", {"resourceWeights": {"cpu": 2}}, BETA2)],
        "spec.resourceWeights",
    ),
    "tolerations for a while": (
        [
            kueues(
                "ResourceFlavor",
                "t",
                {"tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 5}]},
            )
        ],
        "tolerationSeconds",
    ),
    "a field that is none": ([queue(colour="red")], "spec.colour: no such field here"),
    "a queue that is stopped": (
        [kueues("LocalQueue", "main", {"clusterQueue": "a", "stopPolicy": "Hold"}, namespace="x")],
        "spec.stopPolicy",
    ),
    "another kind": (
        [kueues("AdmissionCheck", "prov", {})],
        "ResourceFlavor, ClusterQueue, Cohort, LocalQueue",
    ),
}


@pytest.mark.parametrize(("documents", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_means_nothing_here_is_refused_by_name(documents: list[Object], said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        convert(*documents)


# Karmada's


def federated(overall: Object, namespace: str = "shop", name: str = "quota", **spec: Any) -> Object:
    return {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "FederatedResourceQuota",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"overall": overall, **spec},
    }


def convert_federated(*documents: Object) -> ConvertedQuota:
    return converted_federated(
        [
            GivenFederated(parse_federated_quota(each, "file", index), "file", index)
            for index, each in enumerate(documents)
        ]
    )


def test_a_federated_quota_is_that_of_the_tenant_of_its_namespace() -> None:
    result = convert_federated(
        federated(
            {
                "cpu": "100",
                "requests.memory": "200Gi",
                "requests.nvidia.com/gpu": 8,
                "amd.com/gpu": 1,
                "count/pods": 50,
            },
            staticAssignments=[{"clusterName": "north", "hard": {"cpu": "10"}}],
        )
    )
    flavor, tenant = result.manifests
    assert (flavor.kind, flavor.metadata.name, tenant.metadata.name) == ("Flavor", "all-nodes", "shop")
    spec = spec_of(result, 1)
    assert spec["namespaces"] == ["shop"]
    assert spec["quota"]["uncovered"] == "Allow"
    assert {each["name"]: each["nominalQuota"] for each in spec["quota"]["flavors"][0]["resources"]} == {
        "cpu": "100",
        "memory": "200Gi",
        "nvidia.com/gpu": 8,
        "amd.com/gpu": 1,
        "pods": 50,
    }
    assert "what it assigns to north is left out" in result.notes[0]


REFUSED_OF_KARMADAS: dict[str, tuple[list[Object], str]] = {
    "limits": ([federated({"limits.cpu": 1})], "spec.overall.limits.cpu: limits are not counted"),
    "limits of devices": ([federated({"limits.nvidia.com/gpu": 1})], "say requests.nvidia.com/gpu"),
    "counts": ([federated({"count/deployments.apps": 1})], "not counted here"),
    "storage": ([federated({"requests.storage": "1Gi"})], "not counted here"),
    "storage of a class": (
        [federated({"gold.storageclass.storage.k8s.io/requests.storage": "1Gi"})],
        "no resource",
    ),
    "twice and otherwise": (
        [federated({"cpu": 1, "requests.cpu": 2})],
        "cpu stands there twice, with 1 and 2",
    ),
    "negative": ([federated({"cpu": "-1"})], "negative"),
    "two of a namespace": (
        [federated({"cpu": 1}), federated({"memory": 1}, name="more")],
        "namespace shop has FederatedResourceQuota shop/more already",
    ),
}


@pytest.mark.parametrize(("documents", "said"), REFUSED_OF_KARMADAS.values(), ids=REFUSED_OF_KARMADAS.keys())
def test_what_of_karmadas_means_nothing_here_is_refused(documents: list[Object], said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        convert_federated(*documents)


# Onto what is there


def sent(made: Any) -> Object:
    return {"apiVersion": made.api_version, "kind": made.kind} | made.model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )


def stored(kind: str, spec: Object) -> Object:
    return {"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": "team-a"}, "spec": spec}


class TestOnto:
    def test_a_tenant_keeps_what_is_no_quota_and_what_kueue_does_not_say(self) -> None:
        windows = [{"name": "night", "nominalQuota": 20, "opens": "20:00"}]
        before = stored(
            "Tenant",
            {
                "namespaces": ["team-*"],
                "owners": [{"name": "Ann"}],
                "quota": {
                    "uncovered": "Allow",
                    "budget": {"amount": 1, "currency": "EUR"},
                    "cohort": "old",
                    "flavors": [
                        {
                            "name": "default-flavor",
                            "resources": [{"name": "cpu", "nominalQuota": 1, "windows": windows}],
                        },
                        {"name": "gone", "resources": [{"name": "cpu", "nominalQuota": 1}]},
                    ],
                },
            },
        )
        (made,) = convert(queue()).manifests
        found = onto(sent(made), before)
        assert found["metadata"] == {"name": "team-a"}
        assert (found["spec"]["namespaces"], found["spec"]["owners"]) == (["team-*"], [{"name": "Ann"}])
        quota = found["spec"]["quota"]
        assert (quota["uncovered"], quota["budget"]) == ("Allow", {"amount": 1, "currency": "EUR"})
        assert "cohort" not in quota
        (flavor,) = quota["flavors"]
        assert flavor["resources"][0] == {"name": "cpu", "nominalQuota": 9, "windows": windows}

    def test_a_flavor_keeps_prices_and_features(self) -> None:
        before = stored("Flavor", {"nodeLabels": {"a": "b"}, "prices": {"currency": "EUR", "perHour": {}}})
        (made,) = convert(kueues("ResourceFlavor", "team-a", {"nodeLabels": {"c": "d"}})).manifests
        assert onto(sent(made), before)["spec"] == {
            "nodeLabels": {"c": "d"},
            "tolerations": [],
            "prices": {"currency": "EUR", "perHour": {}},
        }

    def test_the_flavor_of_all_nodes_stays_as_it_is(self) -> None:
        before = stored("Flavor", {"prices": {"currency": "EUR", "perHour": {}}})
        made, _ = convert_federated(federated({"cpu": 1})).manifests
        assert onto(sent(made), before)["spec"] == before["spec"]

    def test_where_nothing_is_there_it_is_made(self) -> None:
        (made,) = convert(queue()).manifests
        found = onto(sent(made), None)
        assert (found["metadata"], found["spec"]["namespaces"]) == ({"name": "team-a"}, ["team-a"])

    def test_what_people_wrote_themselves_is_sent_as_it_is(self) -> None:
        written = stored("Tenant", {"namespaces": ["a"]})
        assert onto(written, stored("Tenant", {"namespaces": ["b"], "owners": [{"name": "Ann"}]})) is written


# Files


def write(path: Path, *documents: Object) -> Path:
    path.write_text(yaml.safe_dump_all(documents))
    return path


def own(kind: str, name: str, **spec: Any) -> Object:
    return {"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_what_others_name_comes_first_and_is_deleted_last(tmp_path: Path) -> None:
    path = write(
        tmp_path / "all.yaml",
        own(
            "Workload",
            "web",
            manifests=[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}],
        ),
        own("Tenant", "shop", namespaces=["shop"]),
        own("Cohort", "all"),
        own("Cohort", "sales", parent="all"),
        own("Flavor", "cpu"),
        queue(namespaceSelector=BY_NAME),
    )
    found = read_manifests([path])
    assert [each.kind for each in found] == ["Flavor", "Cohort", "Cohort", "Tenant", "Tenant", "Workload"]
    backwards = [(each.kind, each.metadata.name) for each in named_last(found)]
    assert backwards[0] == ("Workload", "web")
    assert backwards[-3:] == [("Cohort", "sales"), ("Cohort", "all"), ("Flavor", "cpu")]


def test_what_is_wrong_with_a_quota_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    bad = [{"name": "cpu", "resources": [{"name": "cpu", "nominalQuota": "-1"}]}]
    path = write(tmp_path / "bad.yaml", own("Flavor", "cpu"), own("Cohort", "all", flavors=bad))
    with pytest.raises(ClientError, match=r"bad.yaml\[1\] spec.flavors\[0\].resources\[0\].nominalQuota"):
        read_manifests([path])


def test_what_a_policy_of_karmadas_selects_is_for_the_clusters(tmp_path: Path) -> None:
    policy = {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "ClusterPropagationPolicy",
        "metadata": {"name": "queues"},
        "spec": {
            "resourceSelectors": [{"apiVersion": BETA1, "kind": "ClusterQueue"}],
            "placement": {"clusterAffinity": {"clusterNames": ["north"]}},
        },
    }
    found = read_manifests([write(tmp_path / "all.yaml", policy, queue(), local("team-a"))])
    assert [each.kind for each in found] == ["Workload"]
