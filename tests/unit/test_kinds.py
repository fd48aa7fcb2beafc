"""Kinds by declaration: which pods they make, how many, what is divided, and where labels reach the pods.

The manifests are what the projects' own documentation shows.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.interpreters import NotUnderstood, interpret, pod_templates, render
from schemas.paths import first, parse_path
from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL

MIB = 1024**2
GIB = 1024**3


def written(name: str, **changes: Any) -> dict[str, Any]:
    """changes: by path with `__` for dots; None takes a field out."""
    manifest: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "kinds" / f"{name}.yaml").read_text())
    for path, value in changes.items():
        *above, last = path.split("__")
        inner = manifest
        for step in above:
            inner = inner.setdefault(step, {})
        inner[last] = value
        if value is None:
            del inner[last]
    return manifest


def asked(manifest: dict[str, Any]) -> dict[str, tuple[int, dict[str, int]]]:
    return {
        each.name: (each.replicas, {key: value for key, value in each.demand.requests if key != "pods"})
        for each in interpret([manifest]).components
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "virtual-machine",
            {"": (1, {"cpu": 4000, "memory": 4 * GIB, "nvidia.com/TU104GL_Tesla_T4": 1})},
        ),
        ("knative-service", {"": (12, {"cpu": 200, "memory": 128 * MIB})}),
        ("function", {"": (10, {"cpu": 100, "memory": 64 * MIB})}),
        ("rollout", {"": (5, {"cpu": 5, "memory": 32 * MIB})}),
        ("pytorch-job", {"Master": (1, {"cpu": 1000}), "Worker": (3, {"cpu": 4000, "nvidia.com/gpu": 1})}),
        (
            "ray-cluster",
            {
                "head": (1, {"cpu": 2000, "memory": 4 * GIB}),
                "small-group": (2, {"cpu": 1000, "memory": GIB}),
                "multi-host": (8, {"cpu": 500, "memory": GIB}),
            },
        ),
        (
            "flink-deployment",
            {
                "jobmanager": (1, {"cpu": 1000, "memory": 2 * GIB}),
                "taskmanager": (3, {"cpu": 500, "memory": 4 * GIB}),
            },
        ),
        ("volcano-job", {"mpimaster": (1, {"cpu": 500}), "mpiworker": (4, {"cpu": 1000})}),
    ],
)
def test_which_pods_a_kind_makes(name: str, expected: dict[str, tuple[int, dict[str, int]]]) -> None:
    assert asked(written(name)) == expected


@pytest.mark.parametrize(
    ("name", "replicas", "is_set"),
    [
        ("virtual-machine", 1, False),
        ("knative-service", 12, False),
        ("function", 10, False),
        ("rollout", 5, False),
        ("pytorch-job", 1, True),
        ("ray-cluster", 1, True),
        ("flink-deployment", 1, True),
        ("volcano-job", 1, True),
    ],
)
def test_what_is_divided(name: str, replicas: int, is_set: bool) -> None:
    found = interpret([written(name)])
    assert (found.replicas, found.is_set) == (replicas, is_set)
    assert (found.demand is None) == is_set
    if is_set:
        assert "placed together" in found.indivisible


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        (
            "cores alone",
            {"spec__template__spec__domain": {"cpu": {"cores": 4}, "memory": {"guest": "8Gi"}}},
            (1, {"cpu": 4000, "memory": 8 * GIB}),
        ),
        ("threads alone", {"spec__template__spec__domain": {"cpu": {"threads": 2}}}, (1, {"cpu": 2000})),
        ("nothing stated", {"spec__template__spec__domain": {}}, (1, {"cpu": 1000})),
        (
            "requests go before the machine's shape",
            {
                "spec__template__spec__domain": {
                    "cpu": {"cores": 8},
                    "resources": {"requests": {"cpu": "500m", "memory": "64M"}},
                }
            },
            (1, {"cpu": 500, "memory": 64_000_000}),
        ),
        ("halted", {"spec__runStrategy": "Halted", "spec__template__spec__domain": {}}, (0, {"cpu": 1000})),
        (
            "not running, as it was written formerly",
            {"spec__runStrategy": None, "spec__running": False, "spec__template__spec__domain": {}},
            (0, {"cpu": 1000}),
        ),
    ],
)
def test_a_virtual_machine(name: str, changes: dict[str, Any], expected: tuple[int, dict[str, int]]) -> None:
    assert asked(written("virtual-machine", **changes)) == {"": expected}, name


def test_placing_of_kinds_without_a_pod_template() -> None:
    (machine,) = interpret([written("virtual-machine")]).components
    assert dict(machine.demand.node_selector) == {"disk": "ssd"}
    assert not machine.adaptable
    own = {"spec": {"nodeSelector": {"disk": "nvme"}, "tolerations": [{"operator": "Exists"}]}}
    job, task = interpret([written("flink-deployment", spec__jobManager__podTemplate=own)]).components
    assert dict(job.demand.node_selector) == {"disk": "nvme"}
    assert job.demand.tolerations
    assert dict(task.demand.node_selector) == {"disk": "ssd"}


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("ray-cluster", {"spec__suspend": True}, [0, 0, 0]),
        ("pytorch-job", {"spec__runPolicy__suspend": True}, [0, 0]),
        ("flink-deployment", {"spec__job__state": "suspended"}, [0, 0]),
        ("flink-deployment", {"spec__taskManager__replicas": 7}, [1, 7]),
        ("flink-deployment", {"spec__flinkConfiguration": None}, [1, 5]),
        ("flink-deployment", {"spec__job": None}, [1, 1]),
        ("ray-cluster", {"spec__workerGroupSpecs": None}, [1]),
        ("function", {"spec__serving": None}, []),
    ],
)
def test_how_many_pods(name: str, changes: dict[str, Any], expected: list[int]) -> None:
    found = interpret([written(name, **changes)])
    assert [each.replicas for each in found.components] == expected


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("rollout", {"spec__workloadRef": {"name": "x"}}, r"spec\.workloadRef: its pods stand in another"),
        (
            "virtual-machine",
            {"spec__instancetype": {"name": "u1"}},
            r"spec\.instancetype: what it stands for",
        ),
        ("rollout", {"spec__selector__matchLabels": {"app": "db"}}, r"labels: app: db is needed"),
        (
            "pytorch-job",
            {"spec__pytorchReplicaSpecs__Worker__replicas": -1},
            r"Worker\.replicas: -1: a whole",
        ),
        ("pytorch-job", {"spec__pytorchReplicaSpecs__Worker__template": {}}, r"Worker\.template\.spec\.cont"),
        (
            "flink-deployment",
            {"spec__jobManager__resource__memory": "much"},
            r"memory: 'much' is no quantity",
        ),
        ("flink-deployment", {"spec__job__parallelism": "many"}, r"parallelism: 'many': a whole number"),
        (
            "function",
            {"spec__serving__scaleOptions": {"minReplicas": 11, "maxReplicas": 10}},
            r"scaleOptions\.minReplicas: 11: at most 10, which is spec\.serving\.scaleOptions\.maxReplicas",
        ),
        ("knative-service", {"spec__template__metadata": 7}, r"template\.metadata: a int: an object"),
    ],
)
def test_a_wrong_field_is_named(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NotUnderstood, match=message):
        interpret([written(name, **changes)])


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("virtual-machine", ["spec.template.metadata.labels"]),
        ("knative-service", ["spec.template.metadata.labels"]),
        ("function", ["spec.serving.labels"]),
        ("rollout", ["spec.template.metadata.labels"]),
        (
            "pytorch-job",
            [f"spec.pytorchReplicaSpecs.{each}.template.metadata.labels" for each in ("Master", "Worker")],
        ),
        ("ray-cluster", ["spec.headGroupSpec.template.metadata.labels"]),
        (
            "flink-deployment",
            [f"spec.{each}.podTemplate.metadata.labels" for each in ("jobManager", "taskManager")],
        ),
    ],
)
def test_pods_bear_the_labels(name: str, paths: list[str]) -> None:
    manifest = written(name)
    rendered = render([manifest], "uid-1", 1)
    hashes = list(rendered.templates.values())
    for path, expected in zip(paths, hashes, strict=False):
        labels = first(rendered.objects[0], parse_path(path))
        assert labels[WORKLOAD_LABEL] == "uid-1"
        assert labels[TEMPLATE_LABEL] == expected
    assert hashes == [each.template for each in interpret([manifest]).components]
    assert len(set(hashes)) == len(hashes)
    assert render(rendered.objects, "uid-1", 1).templates == rendered.templates


def test_every_group_of_a_list_bears_labels_of_its_own() -> None:
    (rendered,) = render([written("ray-cluster")], "uid", 1).objects
    groups = rendered["spec"]["workerGroupSpecs"]
    labels = [group["template"]["metadata"]["labels"][TEMPLATE_LABEL] for group in groups]
    assert len(set(labels)) == 2


@pytest.mark.parametrize(
    ("name", "share", "expected"),
    [
        ("rollout", 2, {"spec.replicas": 2}),
        (
            "knative-service",
            5,
            {
                'spec.template.metadata.annotations["autoscaling.knative.dev/max-scale"]': "5",
                'spec.template.metadata.annotations["autoscaling.knative.dev/min-scale"]': "2",
            },
        ),
        (
            "knative-service",
            1,
            {
                'spec.template.metadata.annotations["autoscaling.knative.dev/max-scale"]': "1",
                'spec.template.metadata.annotations["autoscaling.knative.dev/min-scale"]': "1",
            },
        ),
        ("function", 4, {"spec.serving.scaleOptions": {"minReplicas": 1, "maxReplicas": 4}}),
        ("ray-cluster", 1, {"spec.workerGroupSpecs[*].replicas": 2}),
    ],
)
def test_a_share(name: str, share: int, expected: dict[str, Any]) -> None:
    manifest = written(name)
    rendered = render([manifest], "uid", share)
    for path, value in expected.items():
        assert first(rendered.objects[0], parse_path(path)) == value
    assert rendered.template == interpret([manifest]).template, "scaling rolls nothing"


@pytest.mark.parametrize("bound", [None, "0"])
def test_what_scales_itself_without_a_bound_is_not_divided(bound: str | None) -> None:
    annotations = {"autoscaling.knative.dev/min-scale": "3"}
    if bound is not None:
        annotations["autoscaling.knative.dev/max-scale"] = bound
    manifest = written("knative-service", spec__template__metadata__annotations=annotations)
    found = interpret([manifest])
    assert found.replicas == 3
    assert "has no upper bound" in found.indivisible
    (rendered,) = render([manifest], "uid", 3).objects
    assert rendered["spec"]["template"]["metadata"]["annotations"] == annotations


def test_templates_that_can_be_changed_in_place() -> None:
    manifest = written("ray-cluster")
    for template in pod_templates([manifest]):
        template["spec"]["runtimeClassName"] = "kata"
    assert manifest["spec"]["headGroupSpec"]["template"]["spec"]["runtimeClassName"] == "kata"
    assert manifest["spec"]["workerGroupSpecs"][1]["template"]["spec"]["runtimeClassName"] == "kata"
    assert pod_templates([written("virtual-machine")]) == []


def test_a_kind_that_is_defined_beside_it_need_not_be_served() -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "rollouts.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "names": {"kind": "Rollout"},
            "versions": [{"name": "v1alpha1", "served": True}],
        },
    }
    assert interpret([definition, written("rollout")]).kinds == (
        "apiextensions.k8s.io/v1/CustomResourceDefinition",
    )
    assert interpret([written("rollout")]).kinds == ("argoproj.io/v1alpha1/Rollout",)


def test_orders_say_how_a_declared_kind_is_judged() -> None:
    (rule,) = render([written("ray-cluster")], "uid", 1).health
    assert (rule.group, rule.kind, rule.ready) == ("ray.io", "RayCluster", "status.readyWorkerReplicas")
