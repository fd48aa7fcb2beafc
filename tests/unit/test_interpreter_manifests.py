"""Interpreters as people write them: what they come to, and what is wrong in them."""

from pathlib import Path
from typing import Any

import pytest

from controlplane.interpreters import KINDS, compiled_kind, interpret, render
from controlplane.interpreters.table import TABLE
from schemas.manifests import Interpreter, ManifestError, load_manifests, parse_manifest

SPARK: dict[str, Any] = {
    "group": "sparkoperator.k8s.example.org",
    "kind": "SparkApplication",
    "components": [
        {
            "name": "driver",
            "labels": "spec.driver.labels",
            "requests": {"cpu": {"from": ["spec.driver.cores"], "default": 1}},
        },
        {
            "name": "executor",
            "replicas": "spec.executor.instances",
            "labels": "spec.executor.labels",
            "requests": {
                "cpu": {"from": ["spec.executor.cores"], "default": 1},
                "memory": {"from": ["spec.executor.memory"], "default": "1g"},
            },
            "binaryUnits": True,
        },
    ],
    "health": {"healthyWhen": [{"path": "status.applicationState.state", "in": ["RUNNING", "COMPLETED"]}]},
}


def manifest(**changes: Any) -> dict[str, Any]:
    spec = {key: value for key, value in (SPARK | changes).items() if value is not None}
    return {
        "apiVersion": "muster.dev/v1",
        "kind": "Interpreter",
        "metadata": {"name": "spark"},
        "spec": spec,
    }


def test_what_is_declared_is_understood() -> None:
    read = parse_manifest(manifest(), "test")
    assert isinstance(read, Interpreter)
    name, kind = compiled_kind(read.spec)
    application = {
        "apiVersion": "sparkoperator.k8s.example.org/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "pi", "namespace": "data"},
        "spec": {"driver": {"cores": 2}, "executor": {"instances": 4, "memory": "512m"}},
    }
    found = interpret([application], {**KINDS, name: kind})
    assert [(each.name, each.replicas, dict(each.demand.requests)) for each in found.components] == [
        ("driver", 1, {"cpu": 2000, "pods": 1}),
        ("executor", 4, {"cpu": 1000, "memory": 512 * 1024**2, "pods": 1}),
    ]
    assert interpret([application]).components == ()
    (rule,) = render([application], "uid", 1, {**KINDS, name: kind}).health
    assert rule.healthy[0].values == ("RUNNING", "COMPLETED")


def component(**fields: Any) -> list[dict[str, Any]]:
    return [{"template": "spec.template", **fields}]


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"group": "apps"}, "spec", "kinds of Kubernetes itself are understood as they are"),
        ({"group": "policy.k8s.io"}, "spec", "kinds of Kubernetes itself"),
        ({"kind": "lower"}, "spec", "a kind is needed, as RayCluster"),
        ({"components": []}, "spec.components", "at least 1 needed"),
        ({"components": component() * 17}, "spec.components", "at most 16 are taken"),
        ({"components": [{"name": "x"}]}, "spec.components[0]", "template, or labels"),
        ({"components": component(labels="a.b")}, "spec.components[0]", "stand in the template"),
        ({"components": component(at="spec..x")}, "spec.components[0].at", "is no path"),
        ({"components": component(template="a[*].b")}, "spec.components[0].template", "without [*]"),
        ({"components": component(replicas="a ^ b")}, "spec.components[0].replicas", "is no path"),
        ({"components": component(size=3)}, "spec.components[0].size", "no such field here"),
        (
            {"components": [*component(name="a"), *component(name="a")]},
            "spec",
            "each needs a name of its own",
        ),
        ({"components": component(), "divisible": True}, "spec", "has to be the path that is set"),
        (
            {"components": component(replicas="r", at="a[*]"), "divisible": True},
            "spec",
            "only a kind of one component can be divided",
        ),
        ({"minimum": "spec.min"}, "spec", "minimum: only of a kind that is divisible"),
        (
            {"health": {"healthyWhen": [{"path": "metadata.name", "in": ["x"]}]}},
            "spec.health.healthyWhen[0].path",
            "health is read from status or spec",
        ),
        ({"health": {"healthyWhen": [{"path": "status.x"}]}}, "spec.health.healthyWhen[0]", "in: at least"),
        (
            {"health": {"healthyWhen": [{"path": "status.x", "in": ["a"], "condition": "Ready"}]}},
            "spec.health.healthyWhen[0]",
            "state path with in, or condition",
        ),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(ManifestError) as refused:
        parse_manifest(manifest(**changes), "test")
    assert any(
        problem.path.startswith(path) and message in problem.message for problem in refused.value.problems
    ), refused.value


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: f"{spec['group']}/{spec['kind']}")
def test_what_is_understood_without_one_can_be_written_as_one(spec: dict[str, Any]) -> None:
    parsed = parse_manifest(manifest() | {"spec": dict(spec)}, "test")
    assert isinstance(parsed, Interpreter)
    assert compiled_kind(parsed.spec)[1] == KINDS[f"{spec['group']}/{spec['kind']}"]


def test_the_documented_one_is_taken() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations" / "kinds.md").read_text()
    (read,) = load_manifests(page.partition("```yaml\n")[2].partition("```")[0], "kinds.md")
    assert isinstance(read, Interpreter)
    assert compiled_kind(read.spec)[0] == "kubeflow.org/MPIJob"


def test_the_documented_table_has_every_kind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations" / "kinds.md").read_text()
    for kind in KINDS:
        assert kind.rpartition("/")[2] in page
