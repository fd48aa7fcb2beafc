"""Under an autoscaler its ceiling is divided, and the replicas are left to it."""

from typing import Any

import pytest

from controlplane.interpreters import NotUnderstood, interpret, render


def deployment(**fields: Any) -> dict[str, Any]:
    template = {
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 3, "template": template, **fields},
    }


def autoscaler(**fields: Any) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"scaleTargetRef": target, "minReplicas": 4, "maxReplicas": 20, **fields},
    }


def scaled_object(**fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"name": "web"}, "triggers": [], **fields},
    }


def test_its_ceiling_is_what_is_divided() -> None:
    found = interpret([deployment(), autoscaler()])
    assert (found.replicas, found.ceiling) == (20, True)


@pytest.mark.parametrize(
    ("share", "least", "most"),
    [(7, 4, 7), (4, 4, 4), (3, 3, 3), (1, 1, 1)],
)
def test_a_share(share: int, least: int, most: int) -> None:
    rendered = render([deployment(), autoscaler()], "uid", share)
    web, scaler = rendered.objects
    assert "replicas" not in web["spec"]
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (least, most)
    (rule,) = rendered.health
    assert (rule.group, rule.kind, rule.enough) == ("apps", "Deployment", least)


def test_what_is_left_out_stays_left_out() -> None:
    (_, scaler) = render([deployment(), autoscaler(minReplicas=None)], "uid", 5).objects
    assert scaler["spec"]["minReplicas"] is None


@pytest.mark.parametrize(
    ("fields", "replicas", "share"),
    [
        ({"maxReplicaCount": 9, "minReplicaCount": 2}, 9, {"maxReplicaCount": 1, "minReplicaCount": 1}),
        ({}, 100, {"maxReplicaCount": 1}),
    ],
)
def test_keda(fields: dict[str, int], replicas: int, share: dict[str, int]) -> None:
    objects = [deployment(), scaled_object(**fields)]
    assert interpret(objects).replicas == replicas
    spec = render(objects, "uid", 1).objects[1]["spec"]
    assert {key: value for key, value in spec.items() if "Count" in key} == share


@pytest.mark.parametrize(
    "other",
    [
        autoscaler(scaleTargetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "db"}),
        autoscaler(scaleTargetRef={"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"}),
        autoscaler() | {"metadata": {"name": "web", "namespace": "other"}},
    ],
    ids=["another name", "another kind", "another namespace"],
)
def test_one_that_scales_something_else_is_carried_along(other: dict[str, Any]) -> None:
    objects = [deployment(), other]
    assert interpret(objects).replicas == 3
    rendered = render(objects, "uid", 2)
    assert rendered.objects[0]["spec"]["replicas"] == 2
    assert rendered.health == []


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([deployment(), autoscaler(maxReplicas=None)], r"manifests\[1\]\.spec\.maxReplicas: missing"),
        ([deployment(), autoscaler(maxReplicas=3)], r"maxReplicas: 3: at least minReplicas, 4, is needed"),
        ([deployment(), autoscaler(maxReplicas=0)], r"maxReplicas: 0: at least"),
        ([deployment(), autoscaler(), scaled_object()], r"manifests\[2\].*: the autoscaler at 1 scales it"),
    ],
)
def test_a_wrong_field_is_named(objects: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(NotUnderstood, match=message):
        interpret(objects)
