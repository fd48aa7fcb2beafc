"""What is taken and may not be what was meant: told on paper as by the service."""

from pathlib import Path
from typing import Any

import pytest

from controlplane.cli.files import read_one
from controlplane.cli.planning import as_data
from controlplane.cli.reporting import show_warnings
from controlplane.cli.writing import standing
from controlplane.client import ClientError
from controlplane.placement.warnings import without_brought
from schemas.manifests import Fleet
from tests.unit.test_plan_hardware import deployment, nodes, planned, zones

PINNED = {"topology": {"exclusiveCPUs": True}}
TWO = [{"name": "a", "nodes": [nodes(1, **zones(4, 4))]}]


@pytest.mark.parametrize(
    ("manifest", "spec", "warnings"),
    [
        pytest.param(deployment(), PINNED, [], id="pinned as wished"),
        pytest.param(
            deployment(cpu="1500m"),
            PINNED,
            [
                "spec.topology.exclusiveCPUs: no CPU will be pinned: c asks for 1.5 cores: "
                "a whole number is needed"
            ],
            id="a wish for CPUs of its own that no kubelet grants",
        ),
        pytest.param(deployment(cpu="1500m"), {}, [], id="nothing was wished for"),
        pytest.param(
            deployment(spec={"serviceAccountName": "robot"}),
            {},
            [
                "spec.manifests[0].spec.template.spec.serviceAccountName: ServiceAccount shop/robot is not "
                "among the manifests: it must be there already, in every cluster"
            ],
            id="what its pods use",
        ),
    ],
)
def test_a_plan_warns(manifest: dict[str, Any], spec: dict[str, Any], warnings: list[str]) -> None:
    assert as_data("web", planned(TWO, manifest, **spec), ["a"])["warnings"] == warnings


def custom(kind: str, spec: dict[str, Any], api_version: str = "example.com/v1") -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "x", "namespace": "shop"},
        "spec": spec,
    }


TEMPLATE: dict[str, Any] = {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}
UNCOUNTED = "spec.manifests[0]: kind Gang is not understood: its pods are not counted; apply an Interpreter"


@pytest.mark.parametrize(
    ("manifest", "warnings"),
    [
        pytest.param(custom("Gang", TEMPLATE), [UNCOUNTED], id="a pod template"),
        pytest.param(custom("Gang", {"groups": [{"lead": TEMPLATE}]}), [UNCOUNTED], id="deep inside"),
        pytest.param(custom("Gang", {"replicas": 3}), [UNCOUNTED], id="replicas alone"),
        pytest.param(
            custom("ReplicationController", TEMPLATE, "v1"),
            [
                "spec.manifests[0]: kind ReplicationController is not understood: its pods are not counted; "
                "make it a Deployment"
            ],
            id="a kind of Kubernetes that no Interpreter can declare",
        ),
        pytest.param(custom("Gang", {"size": 3, "containers": 2}), [], id="neither"),
        pytest.param(custom("PodTemplate", TEMPLATE, "v1"), [], id="a kind that no pods come of"),
        pytest.param(
            custom("Certificate", {"containers": ["a"], "replicas": True}),
            [],
            id="words that mean another thing",
        ),
        pytest.param(deployment(), [], id="understood"),
    ],
)
def test_pods_that_are_not_counted_are_told_of(manifest: dict[str, Any], warnings: list[str]) -> None:
    placement = {"clusterAffinity": {"clusterNames": ["a"]}}
    assert list(planned(TWO, manifest, placement=placement).warnings) == warnings


AFFINITY = "spec.placement.clusterAffinity"
SCHEDULING = "spec.placement.replicaScheduling"


@pytest.mark.parametrize(
    ("spec", "warnings"),
    [
        pytest.param({"placement": {"clusterAffinity": {"clusterNames": ["a"]}}}, [], id="there"),
        pytest.param(
            {"placement": {"clusterAffinity": {"clusterNames": ["a", "b"], "exclude": ["c"]}}},
            [
                f"{AFFINITY}.clusterNames: there is no cluster 'b'",
                f"{AFFINITY}.exclude: there is no cluster 'c'",
            ],
            id="chosen and excluded",
        ),
        pytest.param(
            {
                "placement": {
                    "clusterAffinities": [
                        {"affinityName": "x", "clusterNames": ["a"]},
                        {
                            "affinityName": "y",
                            "clusterNames": ["b"],
                            "overflowAffinities": [{"affinityName": "z", "clusterNames": ["c"]}],
                        },
                    ],
                    "replicaScheduling": {"weightPreference": {"dynamicWeight": "AvailableReplicas"}},
                }
            },
            [
                "spec.placement.clusterAffinities[1].clusterNames: there is no cluster 'b'",
                "spec.placement.clusterAffinities[1].overflowAffinities[0].clusterNames: "
                "there is no cluster 'c'",
            ],
            id="groups and their overflow",
        ),
        pytest.param(
            {
                "placement": {
                    "replicaScheduling": {
                        "weightPreference": {
                            "staticWeightList": [{"targetCluster": {"clusterNames": ["b"]}, "weight": 1}]
                        },
                        "replicaBounds": [{"targetCluster": {"clusterNames": ["c"]}, "maxReplicas": 1}],
                    }
                }
            },
            [
                f"{SCHEDULING}.weightPreference.staticWeightList[0].targetCluster.clusterNames: "
                "there is no cluster 'b'",
                f"{SCHEDULING}.replicaBounds[0].targetCluster.clusterNames: there is no cluster 'c'",
            ],
            id="weights and bounds",
        ),
        pytest.param(
            {"overrides": [{"targetCluster": {"clusterNames": ["b"]}, "overriders": {}}]},
            ["spec.overrides[0].targetCluster.clusterNames: there is no cluster 'b'"],
            id="overrides",
        ),
        pytest.param(
            {"placement": {"clusterAffinity": {"clusterNames": [f"b{number}" for number in range(25)]}}},
            [
                *(f"{AFFINITY}.clusterNames: there is no cluster 'b{number}'" for number in range(20)),
                "and 5 more names of clusters that are not there",
            ],
            id="many",
        ),
    ],
)
def test_clusters_that_are_not_there_are_named(spec: dict[str, Any], warnings: list[str]) -> None:
    assert list(planned(TWO, **spec).warnings) == warnings


def test_warnings_do_not_mix_with_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    show_warnings(["spec.a[0]: odd"])
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "  warning: spec.a[0]: odd\n")


ACCOUNT: dict[str, Any] = {"apiVersion": "v1", "kind": "ServiceAccount"}


@pytest.mark.parametrize(
    ("brought", "left"),
    [
        pytest.param({**ACCOUNT, "metadata": {"name": "robot", "namespace": "shop"}}, 0, id="the same"),
        pytest.param({**ACCOUNT, "metadata": {"name": "bot", "namespace": "shop"}}, 1, id="another name"),
        pytest.param({**ACCOUNT, "metadata": {"name": "robot", "namespace": "x"}}, 1, id="another namespace"),
        pytest.param(deployment(), 1, id="another kind"),
    ],
)
def test_what_the_same_apply_brings_is_not_warned_of(brought: dict[str, Any], left: int) -> None:
    said = planned(TWO, deployment(spec={"serviceAccountName": "robot"})).warnings
    assert len(without_brought(said, [brought])) == left


def test_waiting_names_the_first_fault_of_a_cluster() -> None:
    placements = [
        {"cluster": "a", "state": "Running", "message": ""},
        {"cluster": "b", "state": "Failed", "message": "quota exceeded"},
        {"cluster": "c", "state": "Refused", "message": "no such namespace"},
    ]
    status = {"state": "Failed", "message": "0 of 2 ready"}
    assert standing({"status": status, "placements": placements}) == [
        "Failed: 0 of 2 ready",
        "b: Failed: quota exceeded",
    ]
    assert standing({"status": status, "placements": placements[:1]}) == ["Failed: 0 of 2 ready"]


def test_what_is_wrong_for_a_plan_was_not_to_be_sent(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("{apiVersion: muster.dev/v1, kind: Fleet, spec: {colour: red}}")
    with pytest.raises(ClientError, match=r"spec\.colour") as refused:
        read_one(tmp_path / "f.yaml", Fleet)
    assert refused.value.hint == ""
