"""What Muster understands of the objects of a workload."""

from typing import Any

import pytest

from controlplane.fleet import Requirement, Term, Toleration
from controlplane.fleet.demand import NODE_NAME_FIELD, Operator
from controlplane.interpreters import (
    KINDS,
    NotUnderstood,
    compiled_kind,
    interpret,
    pod_demand,
    pod_requests,
    render,
)
from schemas.manifests import InterpreterSpec
from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL

MIB = 1024**2


def container(restart: str | None = None, **amounts: str) -> dict[str, Any]:
    """cpu, memory: requests. cpu_limit, memory_limit: limits."""
    limits = {key.removesuffix("_limit"): value for key, value in amounts.items() if key.endswith("_limit")}
    requests = {key: value for key, value in amounts.items() if not key.endswith("_limit")}
    given: dict[str, Any] = {"name": "c", "resources": {"requests": requests, "limits": limits}}
    return given | ({"restartPolicy": restart} if restart else {})


def deployment(spec: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec or {"containers": [container(cpu="1")]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template, **fields},
    }


def plain(kind: str, api_version: str = "v1", name: str = "x") -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}}


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("containers add up", {"containers": [container(cpu="1"), container(cpu="500m")]}, {"cpu": 1500}),
        (
            "an init container runs alone",
            {"containers": [container(cpu="1")], "initContainers": [container(cpu="3"), container(cpu="2")]},
            {"cpu": 3000},
        ),
        (
            "a sidecar runs with the containers, and with the init containers after it",
            {
                "containers": [container(cpu="1")],
                "initContainers": [
                    container(cpu="2"),
                    container("Always", cpu="500m"),
                    container(cpu="1800m"),
                ],
            },
            {"cpu": 2300},
        ),
        (
            "a limit stands for a request",
            {"containers": [container(memory_limit="64Mi")]},
            {"memory": 64 * MIB},
        ),
        (
            "a request stands before its limit",
            {"containers": [container(memory="32Mi", memory_limit="64Mi")]},
            {"memory": 32 * MIB},
        ),
        (
            "what the pod itself asks for overrides",
            {"containers": [container(cpu="1", memory="1Mi")], "resources": {"requests": {"cpu": "4"}}},
            {"cpu": 4000, "memory": MIB},
        ),
        (
            "a limit of the pod itself stands only where no container asks",
            {
                "containers": [container(cpu="1")],
                "resources": {"limits": {"cpu": "4", "memory": "2Mi"}},
            },
            {"cpu": 1000, "memory": 2 * MIB},
        ),
        (
            "overhead comes on top",
            {"containers": [container(cpu="1")], "overhead": {"cpu": "250m", "memory": "1Mi"}},
            {"cpu": 1250, "memory": MIB},
        ),
        ("nothing asked", {"containers": [container()]}, {}),
    ],
)
def test_what_a_pod_asks_for(name: str, spec: dict[str, Any], expected: dict[str, int]) -> None:
    assert pod_requests(spec, "spec") == expected, name


def test_where_a_pod_may_run() -> None:
    demand = pod_demand(
        {
            "containers": [container(cpu="1")],
            "nodeSelector": {"disk": "ssd"},
            "nodeName": "node-7",
            "tolerations": [{"operator": "Exists"}, {"key": "gpu", "value": "a", "effect": "NoSchedule"}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["8"]}]},
                            {
                                "matchFields": [
                                    {"key": "metadata.name", "operator": "In", "values": ["node-9"]}
                                ]
                            },
                        ]
                    }
                }
            },
        },
        "spec",
    )
    assert dict(demand.requests) == {"cpu": 1000, "pods": 1}
    assert dict(demand.node_selector) == {"disk": "ssd", NODE_NAME_FIELD: "node-7"}
    assert demand.affinity == (
        Term((Requirement("cores", Operator.GT, ("8",)),)),
        Term((Requirement(NODE_NAME_FIELD, Operator.IN, ("node-9",)),)),
    )
    assert demand.tolerations == (Toleration("", "Exists"), Toleration("gpu", "Equal", "a", "NoSchedule"))


def limited(requests: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": requests, "limits": limits}}


def affinity(*terms: Any) -> dict[str, Any]:
    required = {"nodeSelectorTerms": list(terms)}
    return {
        "containers": [container()],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
    }


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (deployment(replicas=-1), r"spec\.manifests\[0\]\.spec\.replicas: -1: a whole number from 0"),
        (deployment(replicas="3"), r"spec\.replicas: '3': a whole number"),
        (deployment({"containers": []}), r"spec\.template\.spec\.containers: at least one container"),
        (deployment(selector={"matchLabels": {"app": "db"}}), r"metadata\.labels: app: db is needed"),
        (deployment(selector={}), r"^spec\.manifests\[0\]\.spec\.selector: empty: it has to match"),
        (deployment(selector={"matchLabels": {}}), r"spec\.selector: empty: it has to match the template"),
        (
            deployment({"containers": [limited({"cpu": "4"}, {"cpu": "2"})]}),
            r"containers\[0\]\.resources\.requests\.cpu: 4 is above its limit 2",
        ),
        (
            deployment({"containers": [container()], "initContainers": [limited({"a/b": 2}, {"a/b": 1})]}),
            r"initContainers\[0\]\.resources\.requests\.a/b: 2 is above its limit 1",
        ),
        (
            deployment({"containers": [container()], **limited({"memory": "2Gi"}, {"memory": "1Gi"})}),
            r"template\.spec\.resources\.requests\.memory: 2Gi is above its limit 1Gi",
        ),
        (
            deployment({"containers": [container(cpu="1.1.M")]}),
            r"containers\[0\]\.resources\.requests\.cpu: '1\.1\.M' is no quantity",
        ),
        (
            deployment({"containers": [container()], "nodeSelector": {"a": 1}}),
            r"nodeSelector\.a: 1: a string",
        ),
        (deployment(affinity()), r"nodeSelectorTerms: 0 terms: 1 to 100"),
        (
            deployment(affinity({"matchExpressions": [{"key": "a", "operator": "Near"}]})),
            r"nodeSelectorTerms\[0\]\.matchExpressions\[0\]\.operator: 'Near': one of In",
        ),
        (
            deployment(affinity({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["x"]}]})),
            r"values: Gt takes one whole number",
        ),
        (
            deployment({"containers": [container()], "tolerations": [{"effect": "NoSchedule"}]}),
            r"tolerations\[0\]\.operator: without a key",
        ),
    ],
)
def test_a_wrong_field_is_named(manifest: dict[str, Any], message: str) -> None:
    with pytest.raises(NotUnderstood, match=message):
        interpret([manifest])


@pytest.mark.parametrize("selector", [{}, {"matchLabels": {}}, {"matchExpressions": []}], ids=str)
@pytest.mark.parametrize("declared", [False, True], ids=["Rollout", "a kind of the user's"])
def test_an_empty_selector_is_refused_of_declared_kinds_too(selector: Any, declared: bool) -> None:
    group = "example.com" if declared else "argoproj.io"
    spec = {"group": group, "kind": "Rollout", "components": [{"template": "spec.template"}]}
    named = compiled_kind(InterpreterSpec.model_validate({**spec, "selector": "spec.selector"}))
    kinds = {**KINDS, **dict([named] if declared else [])}
    rollout = {**deployment(selector=selector), "apiVersion": f"{group}/v1alpha1", "kind": "Rollout"}
    with pytest.raises(NotUnderstood, match=r"^spec\.manifests\[0\]\.spec\.selector: empty: it has to match"):
        interpret([rollout], kinds)
    taken = deployment(selector={"matchExpressions": [{"key": "app", "operator": "Exists"}]})
    assert interpret([{**taken, "apiVersion": f"{group}/v1alpha1", "kind": "Rollout"}], kinds).components


@pytest.mark.parametrize(
    "selector",
    [
        pytest.param(None, id="left out, which the API server refuses by itself"),
        pytest.param({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, id="expressions alone"),
    ],
)
def test_a_selector_without_labels_is_taken(selector: Any) -> None:
    assert interpret([deployment(selector=selector)]).replicas == 3


def test_requests_may_be_as_high_as_limits() -> None:
    pod = {"containers": [limited({"cpu": "2000m", "memory": "1Gi"}, {"cpu": 2, "memory": "2Gi"})]}
    (component,) = interpret([deployment(pod)]).components
    assert dict(component.demand.requests) == {"cpu": 2000, "memory": 2**30, "pods": 1}


def test_two_objects_with_pods_are_refused_by_name() -> None:
    pod = {**plain("Pod", name="p"), "spec": {"containers": [container()]}}
    with pytest.raises(NotUnderstood, match=r"Pod shop/p has pods, and so has Deployment shop/web"):
        interpret([plain("ConfigMap"), deployment(), pod])


def test_objects_without_pods_are_carried_along() -> None:
    found = interpret([plain("ConfigMap"), plain("Widget", "example.com/v1")])
    assert (found.replicas, found.demand, found.template) == (0, None, "")
    assert found.kinds == ("example.com/v1/Widget", "v1/ConfigMap")
    assert found.namespaces == ("shop",)


@pytest.mark.parametrize(
    ("manifest", "replicas", "path", "scaled"),
    [
        (deployment(), 3, ("spec", "replicas"), 7),
        (deployment() | {"kind": "StatefulSet"}, 3, ("spec", "replicas"), 7),
        (
            {
                **plain("Job", "batch/v1"),
                "spec": {
                    "parallelism": 4,
                    "completions": 4,
                    "template": {"spec": {"containers": [container()]}},
                },
            },
            4,
            ("spec", "completions"),
            7,
        ),
        (
            {**plain("Job", "batch/v1"), "spec": {"template": {"spec": {"containers": [container()]}}}},
            1,
            ("spec", "parallelism"),
            7,
        ),
        (
            {**plain("Pod"), "spec": {"containers": [container()], "priority": 5}},
            1,
            ("spec", "priority"),
            5,
        ),
    ],
)
def test_replicas(manifest: dict[str, Any], replicas: int, path: tuple[str, str], scaled: int) -> None:
    assert interpret([manifest]).replicas == replicas
    (rendered,) = render([manifest], "uid", 7).objects
    assert rendered[path[0]][path[1]] == scaled


def test_a_job_whose_completions_are_not_its_parallelism_is_not_divided() -> None:
    job = {
        **plain("Job", "batch/v1"),
        "spec": {"parallelism": 4, "completions": 10, "template": {"spec": {"containers": [container()]}}},
    }
    assert "completions 10 is not parallelism 4" in interpret([job]).indivisible
    (rendered,) = render([job], "uid", 4).objects
    assert rendered["spec"]["completions"] == 10


def test_what_is_rendered() -> None:
    written = [deployment(), plain("Service"), plain("ConfigMap"), plain("Ingress", "networking.k8s.io/v1")]
    before = repr(written)
    found = render(written, "uid-1", 5)
    rendered, template = found.objects, found.template
    assert repr(written) == before
    assert [each["kind"] for each in rendered] == ["ConfigMap", "Service", "Deployment", "Ingress"]
    for each in rendered:
        assert each["metadata"]["labels"]["muster.dev/workload"] == "uid-1"
        assert each["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "muster"
    web = rendered[2]["spec"]
    assert web["replicas"] == 5
    assert web["template"]["metadata"]["labels"] == {
        "app": "web",
        "muster.dev/workload": "uid-1",
        "muster.dev/template": template,
    }
    assert template == interpret(written).template


def test_scaling_changes_no_template_and_rendering_again_neither() -> None:
    first = render([deployment()], "uid", 1)
    assert render([deployment()], "uid", 9).template == first.template
    assert render(first.objects, "uid", 1).template == first.template
    assert render([deployment({"containers": [container(cpu="2")]})], "uid", 1).template != first.template


def cron_job(**fields: Any) -> dict[str, Any]:
    job = {"parallelism": 3, "template": {"spec": {"containers": [container(cpu="1")]}}}
    return {
        **plain("CronJob", "batch/v1"),
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job}} | fields,
    }


def test_a_cron_job_is_placed_whole_with_the_pods_of_one_run() -> None:
    found = interpret([cron_job()])
    assert (found.replicas, found.is_set, [each.replicas for each in found.components]) == (1, True, [3])
    assert found.components[0].path == "spec.manifests[0].spec.jobTemplate.spec.template.spec"
    (rendered,) = render([cron_job()], "uid", 1).objects
    job = rendered["spec"]["jobTemplate"]["spec"]
    assert job["parallelism"] == 3
    assert job["template"]["metadata"]["labels"]["muster.dev/workload"] == "uid"
    assert [each.replicas for each in interpret([cron_job(suspend=True)]).components] == [0]


def test_a_daemon_set_has_no_replicas_to_divide_and_a_demand_by_which_nodes_are_found() -> None:
    daemons: dict[str, Any] = deployment() | {"kind": "DaemonSet"}
    del daemons["spec"]["replicas"]
    found = interpret([daemons])
    assert (found.replicas, found.is_set, found.demand is not None) == (0, False, True)
    (rendered,) = render([daemons], "uid", 0).objects
    assert "replicas" not in rendered["spec"]
    assert rendered["spec"]["template"]["metadata"]["labels"]["muster.dev/template"] == found.template


def test_no_label_of_ours_is_kept_at_whatever_depth() -> None:
    """Pods that bear another workload's would fill its promises."""
    job = {
        "apiVersion": "kubeflow.org/v2beta1",
        "kind": "MPIJob",
        "metadata": {"name": "j", "labels": {WORKLOAD_LABEL: "victim", "kept": "yes"}},
        "spec": {
            "replicaSpecs": [
                {
                    "template": {
                        "metadata": {"labels": {WORKLOAD_LABEL: "victim", TEMPLATE_LABEL: "t", "a": "b"}}
                    }
                }
            ]
        },
    }
    made = render([job], "own", 1).objects[0]
    assert made["metadata"]["labels"][WORKLOAD_LABEL] == "own"
    assert made["spec"]["replicaSpecs"][0]["template"]["metadata"]["labels"] == {"a": "b"}


def test_what_is_written_alike_asks_for_the_same_and_a_mistake_is_told_of_each_place() -> None:
    spec = {"containers": [container(cpu="250m")]}
    assert pod_demand(spec, "first") is pod_demand(dict(spec), "second")
    assert pod_demand(spec | {"nodeName": "n1"}, "first") != pod_demand(spec, "first")
    wrong = {"containers": [container(cpu="much")]}
    for path in ("first", "second"):
        with pytest.raises(NotUnderstood, match=f"^{path}.containers"):
            pod_demand(wrong, path)
