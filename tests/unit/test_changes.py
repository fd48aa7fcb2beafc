"""The smallest changes that would let a workload run: what is proposed works, and what would not is not."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.cli.explaining import why
from controlplane.cli.planning import as_data
from controlplane.placement import PlanResult, plan
from controlplane.placement.accounts import Account
from schemas.manifests import Fleet, Workload, parse_manifest

AMX = {"cpu.cpuid.AMXTILE": ""}
DYNAMIC = {"weightPreference": {"dynamicWeight": "AvailableReplicas"}}
TAINT = {"key": "maintenance", "effect": "NoSchedule"}


def workload(
    replicas: int = 4, cpu: str = "2", *, pod: dict[str, Any] | None = None, **spec: Any
) -> Workload:
    placement = {"replicaScheduling": {"replicaDivisionPreference": "Weighted", **DYNAMIC}}
    placement |= spec.pop("placement", {})
    container = {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [container], **(pod or {})}}},
    }
    document = {
        "apiVersion": "muster.dev/v1",
        "kind": "Workload",
        "metadata": {"name": "web"},
        "spec": {"manifests": [manifest], "placement": placement, **spec},
    }
    found = parse_manifest(document, "web.yaml")
    assert isinstance(found, Workload)
    return found


def nodes(count: int = 1, cpu: str = "8", **given: Any) -> dict[str, Any]:
    return {"count": count, "allocatable": {"cpu": cpu, "memory": "64Gi"}, **given}


def cluster(name: str = "a", *makes: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {"name": name, "nodes": list(makes) or [nodes()], **given}


def planned(wanted: Workload, *clusters: dict[str, Any], **spec: Any) -> PlanResult:
    document = {"apiVersion": "muster.dev/v1", "kind": "Fleet", "spec": {"clusters": list(clusters), **spec}}
    found = parse_manifest(document, "fleet.yaml")
    assert isinstance(found, Fleet)
    return plan(wanted, found)


def texts(result: PlanResult, cluster: str) -> list[tuple[str, int]]:
    return [(str(each), each.replicas) for each in result.changes.get(cluster, ())]


def workload_texts(result: PlanResult) -> list[tuple[str, int]]:
    return [(str(each), each.replicas) for each in result.workload_changes]


FEATURES = [{"feature": "cpu.cpuid", "matchExpressions": {"AMXTILE": {"op": "Exists"}}}]
KATA = {"runtimeClasses": [{"name": "kata", "handler": "kata-qemu"}]}


@pytest.mark.parametrize(
    ("wanted", "where", "expected"),
    [
        pytest.param(
            workload(),
            cluster(taints=[TAINT]),
            [("tolerate the clusters' taint maintenance:NoSchedule", 4)],
            id="a-taint-of-the-cluster",
        ),
        pytest.param(
            workload(),
            cluster("a", nodes(taints=[{"key": "gpu", "value": "own", "effect": "NoExecute"}])),
            [("tolerate the nodes' taint gpu=own:NoExecute", 4)],
            id="a-taint-of-nodes",
        ),
        pytest.param(
            workload(features=FEATURES), cluster(), [("without feature cpu.cpuid.AMXTILE", 4)], id="a-feature"
        ),
        pytest.param(
            workload(pod={"nodeSelector": {"disk": "ssd"}}),
            cluster(),
            [("without node label disk=ssd", 4)],
            id="a-node-label",
        ),
        pytest.param(
            workload(
                pod={
                    "affinity": {
                        "nodeAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": {
                                "nodeSelectorTerms": [
                                    {
                                        "matchExpressions": [
                                            {"key": "arch", "operator": "In", "values": ["arm"]}
                                        ]
                                    }
                                ]
                            }
                        }
                    }
                }
            ),
            cluster(),
            [("without node affinity arch=arm", 4)],
            id="a-required-node-affinity",
        ),
        pytest.param(
            workload(cpu="8"),
            cluster("a", nodes(2, requested={"cpu": "1500m"}), nodes(requested={"cpu": "7"})),
            [("ask for cpu 6500m instead of 8", 2)],
            id="the-largest-that-is-free",
        ),
        pytest.param(
            workload(placement={"clusterAffinity": {"clusterNames": ["b"]}}),
            cluster(),
            [("name a among clusterNames", 4)],
            id="a-name",
        ),
        pytest.param(
            workload(placement={"clusterAffinity": {"exclude": ["a"]}}),
            cluster(),
            [("do not exclude a", 4)],
            id="an-exclusion",
        ),
        pytest.param(
            workload(placement={"clusterAffinity": {"labelSelector": {"matchLabels": {"env": "prod"}}}}),
            cluster(),
            [("do not ask for env=prod of clusters", 4), ("label the cluster env=prod", 4)],
            id="a-label-of-the-cluster",
        ),
        pytest.param(
            workload(),
            cluster(served=["v1/ConfigMap"]),
            [("install what serves apps/v1/Deployment", 4)],
            id="an-api-to-install",
        ),
        pytest.param(
            workload(isolation="sandboxed"), cluster(hardware={}), [("without isolation", 4)], id="isolation"
        ),
        pytest.param(
            workload(features=FEATURES),
            cluster("a", taints=[TAINT]),
            [
                (
                    "tolerate the clusters' taint maintenance:NoSchedule, and without feature "
                    "cpu.cpuid.AMXTILE",
                    4,
                )
            ],
            id="two-things-together",
        ),
        pytest.param(
            workload(features=FEATURES),
            cluster(
                "a",
                nodes(features=AMX, taints=[TAINT]),
                nodes(3, taints=[{"key": "own", "effect": "NoSchedule"}]),
            ),
            [("tolerate the nodes' taint maintenance:NoSchedule", 4)],
            id="a-toleration-that-helps-not-the-other",
        ),
        pytest.param(
            workload(cpu="8"), cluster("a", nodes(requested={"cpu": "8"})), [], id="nothing-helps-a-full-one"
        ),
        pytest.param(
            workload(features=FEATURES, pod={"nodeSelector": {"disk": "ssd"}}),
            cluster(),
            [],
            id="one-requirement-at-a-time",
        ),
        pytest.param(workload(), cluster(), [], id="what-is-chosen-needs-nothing"),
    ],
)
def test_for_a_cluster(wanted: Workload, where: dict[str, Any], expected: list[tuple[str, int]]) -> None:
    # Beside one that takes it, so that the workload itself runs.
    result = planned(wanted, where)
    assert texts(result, "a") == expected


OVERHEAD = {
    "name": "kata",
    "handler": "kata-qemu",
    "overhead": {"cpu": "1"},
    "nodeSelector": {"kata": "y"},
}
SIDECAR = {"name": "side", "resources": {"requests": {"cpu": "1"}}}
TWO = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}, SIDECAR]}


@pytest.mark.parametrize(
    ("wanted", "where", "expected"),
    [
        pytest.param(
            workload(1, "1", isolation="kata"),
            cluster(
                "a",
                nodes(cpu="1777m", labels={"kata": "y"}, runtimeHandlers=["kata-qemu"]),
                hardware={"runtimeClasses": [OVERHEAD]},
            ),
            [("ask for cpu 777m instead of 1", 1), ("without isolation", 1)],
            id="what-the-runtime-class-adds-is-not-written",
        ),
        pytest.param(
            workload(1, "1", isolation="kata"),
            cluster("a", nodes(), hardware={"runtimeClasses": [OVERHEAD]}),
            [("without isolation", 8)],
            id="a-node-selector-of-the-runtime-class",
        ),
        pytest.param(
            workload(1, pod=TWO),
            cluster("a", nodes(cpu="2")),
            [("ask for cpu 2 instead of 4 in all containers of the pod together", 1)],
            id="several-containers",
        ),
    ],
)
def test_less_is_told_of_what_is_written(
    wanted: Workload, where: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    result = planned(wanted, where)
    assert texts(result, "a") == expected
    assert [text for text, _ in workload_texts(result)] == [text for text, _ in expected]


@pytest.mark.parametrize(
    ("wanted", "clusters", "expected"),
    [
        pytest.param(
            workload(10),
            [cluster("a"), cluster("b", taints=[TAINT])],
            [("ask for cpu 800m instead of 2", 10), ("4 replicas instead of 10", 4)],
            id="one-more-cluster-is-not-enough",
        ),
        pytest.param(
            workload(8),
            [cluster("a"), cluster("b", taints=[TAINT])],
            [
                ("ask for cpu 1 instead of 2", 8),
                ("tolerate the clusters' taint maintenance:NoSchedule", 8),
                ("4 replicas instead of 8", 4),
            ],
            id="most-replicas-first",
        ),
        pytest.param(
            workload(
                placement={
                    "spreadConstraints": [{"spreadByField": "region", "minGroups": 3}],
                }
            ),
            [cluster("a", region="eu"), cluster("b", region="us")],
            [("minGroups 2 instead of 3 by region", 4)],
            id="fewer-groups",
        ),
        pytest.param(
            workload(placement={"clusterAffinity": {"clusterNames": ["x"]}}),
            [cluster("a"), cluster("b")],
            [("name a among clusterNames", 4), ("name b among clusterNames", 4)],
            id="either-of-two",
        ),
        pytest.param(
            workload(
                8,
                placement={
                    "clusterAffinities": [
                        {"affinityName": "own", "clusterNames": ["a"]},
                        {"affinityName": "other", "clusterNames": ["a", "b"]},
                    ],
                },
            ),
            [cluster("a"), cluster("b", taints=[TAINT])],
            [
                ("ask for cpu 1 instead of 2", 8),
                ("tolerate the clusters' taint maintenance:NoSchedule", 8),
                ("4 replicas instead of 8", 4),
            ],
            id="within-the-last-group",
        ),
        pytest.param(workload(cpu="8"), [], [], id="nothing-helps-without-clusters"),
    ],
)
def test_for_the_workload(
    wanted: Workload, clusters: list[dict[str, Any]], expected: list[tuple[str, int]]
) -> None:
    result = planned(wanted, *clusters)
    assert result.error is not None
    assert workload_texts(result) == expected


def test_a_workload_that_runs_needs_no_change() -> None:
    result = planned(workload(), cluster("a"), cluster("b", taints=[TAINT]))
    assert result.error is None
    assert result.workload_changes == ()
    assert texts(result, "b") == [("tolerate the clusters' taint maintenance:NoSchedule", 4)]


def test_steps_name_their_field_and_their_cluster() -> None:
    wanted = workload(
        placement={
            "clusterAffinities": [
                {"affinityName": "one", "labelSelector": {"matchLabels": {"env": "prod"}}},
                {"affinityName": "two", "labelSelector": {"matchLabels": {"env": "test"}}},
            ]
        }
    )
    drop, label = planned(wanted, cluster()).changes["a"]
    assert [(step.kind.value, step.field, step.cluster) for step in (*drop.steps, *label.steps)] == [
        ("SelectCluster", "spec.placement.clusterAffinities[1].labelSelector", ""),
        ("LabelCluster", "", "a"),
    ]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_proposed_works(data: st.DataObject) -> None:
    """Written into the manifest, a change of the request or of the replicas places what it says it places."""
    clusters = [
        cluster(
            name,
            nodes(
                data.draw(st.integers(1, 3)),
                str(data.draw(st.integers(1, 12))),
                requested={"cpu": f"{data.draw(st.integers(0, 900))}m"},
            ),
        )
        for name in "abc"
    ]
    replicas, cpu = data.draw(st.integers(2, 30)), data.draw(st.integers(1, 12))
    result = planned(workload(replicas, str(cpu)), *clusters)
    if result.error is None:
        return
    for change in result.workload_changes:
        (step,) = change.steps
        if step.kind.value == "FewerReplicas":
            again = planned(workload(change.replicas, str(cpu)), *clusters)
            one_more = planned(workload(change.replicas + 1, str(cpu)), *clusters)
        else:
            less = step.text.removeprefix("ask for cpu ").partition(" ")[0]
            millicores = int(less.removesuffix("m")) if less.endswith("m") else int(less) * 1000
            again = planned(workload(replicas, less), *clusters)
            one_more = planned(workload(replicas, f"{millicores + 1}m"), *clusters)
        assert again.error is None
        assert sum(again.assignments.values()) == change.replicas
        assert one_more.error is not None, "it is the smallest change of its kind"


AT_MOST_ONE: dict[str, Any] = {
    "replicaScheduling": {
        "replicaDivisionPreference": "Weighted",
        "replicaBounds": [{"targetCluster": {}, "maxReplicas": 1}],
        **DYNAMIC,
    }
}


@pytest.mark.parametrize(
    ("replicas", "placement", "but"),
    [
        (8, {}, ""),
        (10, {}, "10 replicas are wanted, 8 fit the 2 clusters that pass"),
        (
            4,
            {"spreadConstraints": [{"spreadByField": "cluster", "minGroups": 3}]},
            "spreadConstraints: by cluster, minGroups is 3; 2 can be had",
        ),
        (
            4,
            AT_MOST_ONE,
            "replicaBounds: 4 replicas are wanted, maxReplicas sum to 2",
        ),
    ],
)
def test_what_lets_a_cluster_in_says_what_it_does_not_solve(
    replicas: int, placement: dict[str, Any], but: str
) -> None:
    result = planned(workload(replicas, placement=placement), cluster("a"), cluster("b", taints=[TAINT]))
    assert result.error is not None
    assert [(str(each), each.but) for each in result.changes["b"]] == [
        ("tolerate the clusters' taint maintenance:NoSchedule", but)
    ]
    row = as_data("x", result, ["b"])["clusters"][0]
    assert str(why(row)).endswith(f"(4 fit, but {but})" if but else "(4 fit)")


@pytest.mark.parametrize("kind", ["DaemonSet", "ConfigMap"])
def test_where_no_replicas_are_counted_none_are_told(kind: str) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "shop"}}
    if kind == "DaemonSet":
        template = {"spec": {"containers": [{"name": "c"}]}}
        manifest |= {"apiVersion": "apps/v1", "kind": kind, "spec": {"template": template}}
    spec = workload().spec.model_copy(update={"manifests": [manifest]})
    wanted = workload().model_copy(update={"spec": spec})
    tolerate = "tolerate the clusters' taint maintenance:NoSchedule"
    clusters = cluster("a"), cluster("b"), cluster("c", taints=[TAINT])
    result = planned(wanted, *clusters)
    assert texts(result, "c") == [(tolerate, 0)]
    told = as_data("x", result, ["a", "b", "c"])
    assert told["message"] == "in 2 clusters"
    assert "0" not in result.account.how
    assert str(why(told["clusters"][2])).endswith(f"would help: {tolerate} (it fits)")
    assert workload_texts(planned(wanted, clusters[2])) == [(tolerate, 0)]


def test_a_component_that_asks_for_too_much_is_named() -> None:
    def part(cpu: str) -> dict[str, Any]:
        container = {"name": "pytorch", "resources": {"requests": {"cpu": cpu}}}
        return {"replicas": 1, "template": {"spec": {"containers": [container]}}}

    manifest = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "train", "namespace": "ml"},
        "spec": {"pytorchReplicaSpecs": {"Master": part("1"), "Worker": part("9")}},
    }
    spec = workload().spec.model_copy(update={"manifests": [manifest]})
    result = planned(workload().model_copy(update={"spec": spec}), cluster("a", nodes(2)))
    assert texts(result, "a") == [("ask for cpu 8 instead of 9 in Worker", 1)]


def shares(told: Account) -> list[tuple[str, int | None, int, int]]:
    return [(each.cluster, each.weight, each.had, each.gets) for each in told.shares]


STATIC: dict[str, Any] = {
    "replicaDivisionPreference": "Weighted",
    "weightPreference": {
        "staticWeightList": [
            {"targetCluster": {"clusterNames": ["a"]}, "weight": 3},
            {"targetCluster": {}, "weight": 1},
        ]
    },
}


@pytest.mark.parametrize(
    ("wanted", "spec", "mode", "how", "expected"),
    [
        (workload(), {}, "DynamicWeight", "by room", [("a", 4, 0, 2), ("b", 4, 0, 2)]),
        (
            workload(),
            {"placed": {"a": 3}},
            "DynamicWeight",
            "3 stay where they are, 1 more by room",
            [("a", 4, 3, 3), ("b", 4, 0, 1)],
        ),
        (
            workload(2),
            {"placed": {"a": 3, "b": 1}},
            "DynamicWeight",
            "2 fewer, in proportion to what each has",
            [("a", 3, 3, 1), ("b", 1, 1, 1)],
        ),
        (
            workload(),
            {"placed": {"a": 4}},
            "DynamicWeight",
            "as many as there are: all stay where they are",
            [("a", 4, 4, 4)],
        ),
        (
            workload(),
            {"placed": {"a": 4}, "reschedule": "fresh"},
            "DynamicWeight",
            "placed anew, by room: what a cluster holds counts as room",
            [("a", 8, 4, 3), ("b", 4, 0, 1)],
        ),
        (
            workload(placement={"replicaScheduling": {"replicaDivisionPreference": "Aggregated"}}),
            {},
            "Aggregated",
            "into as few clusters as will do",
            [("a", 4, 0, 4)],
        ),
        (
            workload(placement={"replicaScheduling": STATIC}),
            {},
            "StaticWeight",
            "by the weights that are written",
            [("a", 3, 0, 3), ("b", 1, 0, 1)],
        ),
        (
            workload(placement={"replicaScheduling": {"replicaSchedulingType": "Duplicated"}}),
            {},
            "Duplicated",
            "every chosen cluster gets all 4",
            [("a", None, 0, 4), ("b", None, 0, 4)],
        ),
        (workload(99), {}, "DynamicWeight", "nothing is divided: it cannot be placed", []),
    ],
)
def test_how_replicas_were_divided(
    wanted: Workload,
    spec: dict[str, Any],
    mode: str,
    how: str,
    expected: list[tuple[str, int | None, int, int]],
) -> None:
    result = planned(wanted, cluster("a"), cluster("b"), uid="even", **spec)
    assert (result.account.mode, result.account.how) == (mode, how)
    assert shares(result.account) == expected


def test_a_plan_begins_at_the_group_that_took_it_last() -> None:
    groups = [{"affinityName": name, "clusterNames": [name]} for name in ("a", "b")]
    wanted = workload(placement={"clusterAffinities": groups})
    both = cluster("a"), cluster("b")
    assert planned(wanted, *both).affinity_name == "a"
    assert planned(wanted, *both, affinity="b").affinity_name == "b"
    assert planned(wanted, *both, affinity="b", reschedule="fresh").affinity_name == "a"


def test_prices_and_what_stands_idle_decide_where_they_have_a_weight() -> None:
    clusters = (
        cluster("a", price=0.05, scores={"slack": 90}),
        cluster("b", labels={"muster.dev/price-per-core-hour": "0.01"}, scores={"slack": 10}),
    )
    aggregated = {"replicaScheduling": {"replicaDivisionPreference": "Aggregated"}}
    for weights, chosen in (({"cost": 1}, "b"), ({"slack": 1}, "a"), ({"cost": 1, "slack": 2}, "a")):
        result = planned(workload(2, placement=aggregated | {"scoreWeights": weights}), *clusters)
        assert list(result.assignments) == [chosen]
    parts = {each.part: each.value for each in result.score_tables["b"]}
    assert parts == {
        "locality": 0.0,
        "balance": pytest.approx(50.0),
        "slack": 10.0,
        "cost": pytest.approx(80.0),
        "preferred_features": None,
        "preferred_taints": 0.0,
    }
