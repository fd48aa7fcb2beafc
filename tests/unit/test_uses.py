"""What a pod refers to, and what of it the manifests leave out."""

from typing import Any

import pytest

from controlplane.interpreters import NotUnderstood, interpret, pod_uses, unmet, uses


def spec(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c"}], **fields}


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", **fields}]}


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("nothing", spec(), []),
        ("a volume", spec(volumes=[{"configMap": {"name": "a"}}]), ["ConfigMap ns/a"]),
        ("a secret's volume", spec(volumes=[{"secret": {"secretName": "a"}}]), ["Secret ns/a"]),
        (
            "a claim",
            spec(volumes=[{"persistentVolumeClaim": {"claimName": "a"}}]),
            ["PersistentVolumeClaim ns/a"],
        ),
        (
            "projected",
            spec(
                volumes=[
                    {"projected": {"sources": [{"secret": {"name": "a"}}, {"configMap": {"name": "b"}}]}}
                ]
            ),
            ["Secret ns/a", "ConfigMap ns/b"],
        ),
        (
            "credentials of a volume",
            spec(volumes=[{"csi": {"nodePublishSecretRef": {"name": "a"}}}]),
            ["Secret ns/a"],
        ),
        (
            "environment from a whole one",
            container(envFrom=[{"secretRef": {"name": "a"}}]),
            ["Secret ns/a"],
        ),
        (
            "environment from a key",
            container(env=[{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "k"}}}]),
            ["ConfigMap ns/a"],
        ),
        ("to pull images", spec(imagePullSecrets=[{"name": "a"}]), ["Secret ns/a"]),
        ("an account", spec(serviceAccountName="a"), ["ServiceAccount ns/a"]),
        ("the account that is always there", spec(serviceAccountName="default"), []),
    ],
)
def test_what_a_pod_uses(name: str, given: dict[str, Any], expected: list[str]) -> None:
    assert [str(each) for each in pod_uses(given, "ns", "spec")] == expected, name


def test_what_is_needed_once_is_needed() -> None:
    given = spec(volumes=[{"configMap": {"name": "a", "optional": True}}, {"configMap": {"name": "a"}}])
    (use,) = pod_uses(given, "ns", "spec")
    assert (use.optional, use.path) == (False, "spec.volumes[1].configMap.name")


def test_what_the_manifests_leave_out() -> None:
    objects: list[dict[str, Any]] = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "template": {
                    "spec": spec(
                        serviceAccountName="web",
                        imagePullSecrets=[{"name": "registry"}],
                        volumes=[
                            {"configMap": {"name": "brought"}},
                            {"configMap": {"name": "elsewhere"}},
                            {"secret": {"secretName": "maybe", "optional": True}},
                        ],
                    )
                }
            },
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "brought", "namespace": "shop"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "elsewhere", "namespace": "other"}},
    ]
    missing = unmet(uses(interpret(objects).components), objects)
    assert [(each.kind, each.name) for each in missing] == [
        ("ServiceAccount", "web"),
        ("Secret", "registry"),
        ("ConfigMap", "elsewhere"),
    ]
    assert missing[2].path == "spec.manifests[0].spec.template.spec.volumes[1].configMap.name"


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(NotUnderstood, match=r"spec\.volumes: a str: a list is needed"):
        pod_uses(spec(volumes="x"), "ns", "spec")
