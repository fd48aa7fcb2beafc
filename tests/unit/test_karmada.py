"""What was written for Karmada, as Workloads: who has an object, what goes with it, what is refused."""

import random
from typing import Any

import pytest

from controlplane.migration import Converted, GivenPolicy, converted, given_object
from schemas.manifests import ManifestError, Workload
from schemas.manifests.karmada import parse_policy

Object = dict[str, Any]
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment"}
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap"}
SERVICE = {"apiVersion": "v1", "kind": "Service"}


def policy(
    name: str = "web", kind: str = "PropagationPolicy", namespace: str = "shop", **spec: Any
) -> Object:
    metadata = {"name": name} | ({} if kind.startswith("Cluster") else {"namespace": namespace})
    spec = {} if kind.endswith("OverridePolicy") and "resourceSelectors" not in spec else spec
    return {"apiVersion": "policy.karmada.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def selecting(*selectors: Object, **more: Any) -> Object:
    return policy(**({"resourceSelectors": list(selectors)} | more))


def to(*clusters: str) -> Object:
    return {"clusterAffinity": {"clusterNames": list(clusters)}}


def overriding(
    name: str = "mirror", kind: str = "OverridePolicy", *selectors: Object, **target: Any
) -> Object:
    rule: Object = {
        "overriders": {"imageOverrider": [{"component": "Tag", "operator": "replace", "value": name}]}
    }
    if target:
        rule["targetCluster"] = target
    made = policy(name, kind)
    made["spec"] = {"overrideRules": [rule]}
    if selectors:
        made["spec"]["resourceSelectors"] = list(selectors)
    return made


def meta(name: str, namespace: str = "shop", **labels: str) -> Object:
    return (
        {"name": name}
        | ({"namespace": namespace} if namespace else {})
        | ({"labels": labels} if labels else {})
    )


def deployment(name: str, namespace: str = "shop", labels: Object | None = None, **pod: Any) -> Object:
    app = {"app": name}
    container = {"name": "main", "image": "web:1"} | pod.pop("container", {})
    template = {"metadata": {"labels": app}, "spec": {"containers": [container], **pod}}
    return {
        **DEPLOYMENT,
        "metadata": meta(name, namespace, **(labels or {})),
        "spec": {"replicas": 2, "selector": {"matchLabels": app}, "template": template},
    }


def config_map(name: str, namespace: str = "shop") -> Object:
    return {**CONFIG_MAP, "metadata": meta(name, namespace), "data": {"a": "b"}}


def service(name: str, namespace: str = "shop", **selector: str) -> Object:
    return {
        **SERVICE,
        "metadata": meta(name, namespace),
        "spec": {"selector": selector, "ports": [{"port": 80}]},
    }


def using(*config_maps: str) -> Object:
    return {"container": {"envFrom": [{"configMapRef": {"name": name}} for name in config_maps]}}


def convert(*documents: Object) -> Converted:
    policies: list[GivenPolicy] = []
    objects = []
    for index, each in enumerate(documents):
        if "karmada" in each["apiVersion"]:
            policies.append(GivenPolicy(parse_policy(each, "file", index), "file", index))
        else:
            objects.append(given_object(each, "file", index))
    return converted(policies, objects)


def contents(result: Converted) -> dict[str, list[str]]:
    """Kinds and names of each workload's objects."""
    return {
        each.metadata.name: [f"{one['kind']} {one['metadata']['name']}" for one in each.spec.manifests]
        for each in result.workloads
    }


def only(result: Converted) -> Workload:
    assert len(result.workloads) == 1, contents(result)
    return result.workloads[0]


# Which policy has an object


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"name": "web"}, True),
        ({"name": "other"}, False),
        ({"namespace": "shop"}, True),
        ({"labelSelector": {"matchLabels": {"tier": "front"}}}, True),
        ({"labelSelector": {"matchLabels": {"tier": "back"}}}, False),
        ({"labelSelector": {}}, True),
        ({"labelSelector": {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["y"]}]}}, True),
        ({"labelSelector": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}}, False),
        ({"name": "web", "labelSelector": {"matchLabels": {"tier": "back"}}}, True),
        ({"apiVersion": "apps/v1beta1"}, False),
        ({"kind": "StatefulSet"}, False),
    ],
)
def test_a_selector_selects_as_karmadas(selector: Object, selected: bool) -> None:
    documents = selecting(DEPLOYMENT | selector), deployment("web", labels={"tier": "front"})
    if selected:
        assert only(convert(*documents)).metadata.name == "web-deployment.shop"
    else:
        with pytest.raises(ManifestError, match="PropagationPolicy shop/web selects none of the 1 objects"):
            convert(*documents)


BY_NAME, BY_LABEL, ALL = (
    DEPLOYMENT | {"name": "web"},
    DEPLOYMENT | {"labelSelector": {"matchLabels": {"tier": "front"}}},
    DEPLOYMENT,
)


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        pytest.param(
            selecting(BY_NAME, name="z", placement=to("z")),
            selecting(BY_LABEL, name="a", placement=to("a")),
            "z",
            id="a-name-over-labels",
        ),
        pytest.param(
            selecting(BY_LABEL, name="z", placement=to("z")),
            selecting(ALL, name="a", placement=to("a")),
            "z",
            id="labels-over-all",
        ),
        pytest.param(
            selecting(ALL, name="z", placement=to("z"), priority=1),
            selecting(BY_NAME, name="a", placement=to("a")),
            "z",
            id="priority-over-everything",
        ),
        pytest.param(
            selecting(ALL, name="z", placement=to("z"), priority=-1),
            selecting(ALL, name="a", placement=to("a"), priority=-2),
            "z",
            id="also-below-zero",
        ),
        pytest.param(
            selecting(ALL, name="b", placement=to("b")),
            selecting(ALL, name="a", placement=to("a")),
            "a",
            id="then-the-lower-name",
        ),
        pytest.param(
            selecting(BY_NAME, name="z", kind="ClusterPropagationPolicy", placement=to("z"), priority=9),
            selecting(ALL, name="a", placement=to("a")),
            "a",
            id="its-namespace-over-the-fleet",
        ),
        pytest.param(
            selecting(ALL, name="z", kind="ClusterPropagationPolicy", placement=to("z")),
            selecting(
                DEPLOYMENT | {"namespace": "shop"},
                name="a",
                kind="ClusterPropagationPolicy",
                placement=to("a"),
            ),
            "a",
            id="a-namespace-is-no-precision",
        ),
    ],
)
def test_one_policy_has_an_object(first: Object, second: Object, winner: str) -> None:
    web = deployment("web", labels={"tier": "front"})
    for order in ((first, second), (second, first)):
        result = convert(*order, web)
        affinity = only(result).spec.placement.cluster_affinity
        assert affinity is not None
        assert affinity.cluster_names == [winner]
        assert [
            note for note in result.notes if "has nothing: all that it selects is another policy's" in note
        ]


@pytest.mark.parametrize(
    ("namespace", "given", "selected"),
    [("shop", "shop", True), ("shop", "other", False), ("default", "", True)],
)
def test_a_policy_selects_in_its_own_namespace(namespace: str, given: str, selected: bool) -> None:
    documents = (
        selecting(DEPLOYMENT, namespace=namespace),
        selecting(CONFIG_MAP, name="all", kind="ClusterPropagationPolicy"),
        deployment("web", given),
        config_map("beside", "other"),
    )
    if selected:
        assert f"web-deployment.{given or 'default'}" in contents(convert(*documents))
    else:
        with pytest.raises(ManifestError, match="selects none"):
            convert(*documents)


def test_a_policy_of_the_fleet_selects_in_every_namespace_and_what_has_none() -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:web"},
        "rules": [],
    }
    roles = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    fleet = selecting(DEPLOYMENT, roles, kind="ClusterPropagationPolicy")
    result = convert(fleet, deployment("a", "one"), deployment("b", "two"), role)
    assert set(contents(result)) == {"a-deployment.one", "b-deployment.two", "system.web-clusterrole"}


@pytest.mark.parametrize("namespace", ["kube-system", "karmada-system", "karmada-es-a"])
def test_what_karmada_never_propagates_goes_nowhere_and_is_told(namespace: str) -> None:
    fleet = selecting(DEPLOYMENT, kind="ClusterPropagationPolicy")
    result = convert(fleet, deployment("web"), deployment("agent", namespace))
    assert list(contents(result)) == ["web-deployment.shop"]
    assert f"Karmada propagates nothing of namespace {namespace}" in result.notes[0]


# What goes together


@pytest.mark.parametrize(
    ("documents", "workloads"),
    [
        pytest.param(
            [
                selecting(DEPLOYMENT, propagateDeps=True),
                deployment("web", **using("settings")),
                config_map("settings"),
            ],
            {"web-deployment.shop": ["Deployment web", "ConfigMap settings"]},
            id="what-its-pods-use",
        ),
        pytest.param(
            [
                selecting(DEPLOYMENT, CONFIG_MAP),
                deployment("web", **using("settings")),
                config_map("settings"),
            ],
            {"web-deployment.shop": ["Deployment web", "ConfigMap settings"]},
            id="what-is-selected-with-it",
        ),
        pytest.param(
            [selecting(DEPLOYMENT), deployment("web", **using("settings")), config_map("settings")],
            {"web-deployment.shop": ["Deployment web"]},
            id="not-what-is-neither",
        ),
        pytest.param(
            [
                selecting(DEPLOYMENT, propagateDeps=True),
                deployment("web", **using("settings")),
                config_map("settings", "other"),
            ],
            {"web-deployment.shop": ["Deployment web"]},
            id="not-of-another-namespace",
        ),
        pytest.param(
            [selecting(DEPLOYMENT, SERVICE), deployment("web"), service("front", app="web")],
            {"web-deployment.shop": ["Deployment web", "Service front"]},
            id="the-service-of-its-pods",
        ),
        pytest.param(
            [selecting(DEPLOYMENT, SERVICE), deployment("web"), service("front", app="other")],
            {"front-service.shop": ["Service front"], "web-deployment.shop": ["Deployment web"]},
            id="a-service-of-others-by-itself",
        ),
        pytest.param(
            [selecting(DEPLOYMENT, propagateDeps=True), deployment("web"), service("front", app="web")],
            {"web-deployment.shop": ["Deployment web"]},
            id="no-service-that-nothing-selects",
        ),
        pytest.param(
            [
                selecting(DEPLOYMENT, propagateDeps=True),
                deployment("web", **using("both", "own")),
                deployment("api", **using("both")),
                config_map("both"),
                config_map("own"),
            ],
            {
                "both-configmap.shop": ["ConfigMap both"],
                "api-deployment.shop": ["Deployment api"],
                "web-deployment.shop": ["Deployment web", "ConfigMap own"],
            },
            id="what-two-use-by-itself-and-first",
        ),
        pytest.param(
            [selecting(CONFIG_MAP), config_map("a"), config_map("b")],
            {"a-configmap.shop": ["ConfigMap a"], "b-configmap.shop": ["ConfigMap b"]},
            id="each-without-pods-by-itself",
        ),
        pytest.param(
            [
                selecting(DEPLOYMENT, placement=to("a")),
                selecting(CONFIG_MAP, name="maps", placement=to("b")),
                deployment("web", **using("settings")),
                config_map("settings"),
            ],
            {"settings-configmap.shop": ["ConfigMap settings"], "web-deployment.shop": ["Deployment web"]},
            id="what-another-policy-places-elsewhere",
        ),
        pytest.param(
            [
                selecting(DEPLOYMENT, placement=to("a")),
                selecting(CONFIG_MAP, name="maps", placement=to("a")),
                deployment("web", **using("settings")),
                config_map("settings"),
            ],
            {"web-deployment.shop": ["Deployment web", "ConfigMap settings"]},
            id="what-another-policy-places-alike",
        ),
    ],
)
def test_what_belongs_together_is_one_workload(
    documents: list[Object], workloads: dict[str, list[str]]
) -> None:
    assert contents(convert(*documents)) == workloads


@pytest.mark.parametrize(
    ("pod", "kind"),
    [
        ({"volumes": [{"name": "v", "configMap": {"name": "used"}}]}, "ConfigMap"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "used"}}]}}]},
            "ConfigMap",
        ),
        ({"volumes": [{"name": "v", "secret": {"secretName": "used"}}]}, "Secret"),
        (
            {"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "used"}}}]},
            "Secret",
        ),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]},
            "PersistentVolumeClaim",
        ),
        ({"imagePullSecrets": [{"name": "used"}]}, "Secret"),
        ({"serviceAccountName": "used"}, "ServiceAccount"),
        ({"initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "used"}}]}]}, "Secret"),
        (
            {
                "container": {
                    "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "used", "key": "k"}}}]
                }
            },
            "ConfigMap",
        ),
        (
            {
                "container": {
                    "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "used", "key": "k"}}}]
                }
            },
            "Secret",
        ),
    ],
)
def test_what_pods_use(pod: Object, kind: str) -> None:
    used = {"apiVersion": "v1", "kind": kind, "metadata": meta("used")}
    result = convert(selecting(DEPLOYMENT, propagateDeps=True), deployment("web", **pod), used)
    assert contents(result) == {"web-deployment.shop": ["Deployment web", f"{kind} used"]}


def test_pods_are_found_in_every_kind() -> None:
    template = {"spec": {"containers": [{"name": "main", "envFrom": [{"configMapRef": {"name": "used"}}]}]}}
    job = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": meta("train"),
        "spec": {"pytorchReplicaSpecs": {"Worker": {"template": template}}},
    }
    selector = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob"}
    result = convert(selecting(selector, propagateDeps=True), job, config_map("used"))
    assert contents(result) == {"train-pytorchjob.shop": ["PyTorchJob train", "ConfigMap used"]}


def scaler(name: str, version: str = "autoscaling/v2") -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "maxReplicas": 5}
    return {"apiVersion": version, "kind": "HorizontalPodAutoscaler", "metadata": meta(name), "spec": spec}


def test_an_autoscaler_goes_with_what_it_scales() -> None:
    selector = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    result = convert(selecting(DEPLOYMENT, selector), deployment("web"), scaler("web"))
    assert contents(result) == {"web-deployment.shop": ["Deployment web", "HorizontalPodAutoscaler web"]}


DIVIDED = {"replicaScheduling": {"replicaSchedulingType": "Divided"}}
EAST = {"labelSelector": {"matchLabels": {"side": "east"}}}
WEST = {"labelSelector": {"matchExpressions": [{"key": "side", "operator": "In", "values": ["west"]}]}}


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        pytest.param(to("b", "a") | DIVIDED, to("c"), {"clusterNames": ["a", "b", "c"]}, id="names"),
        pytest.param(
            {"clusterAffinity": {"clusterNames": ["a", "b"], "exclude": ["b"]}},
            to("c"),
            {"clusterNames": ["a", "c"]},
            id="names-without-the-excluded",
        ),
        pytest.param(
            {"clusterAffinity": EAST},
            {"clusterAffinity": WEST},
            {
                "labelSelector": {
                    "matchExpressions": [{"key": "side", "operator": "In", "values": ["east", "west"]}]
                }
            },
            id="values-of-one-label",
        ),
        pytest.param({"clusterAffinity": EAST}, {}, None, id="everywhere"),
        pytest.param(
            {
                "clusterAffinities": [
                    {"affinityName": "x", "clusterNames": ["a"]},
                    {"affinityName": "y", "clusterNames": ["b"]},
                ]
            },
            to("a"),
            {"clusterNames": ["a", "b"]},
            id="every-group",
        ),
        pytest.param(
            {"clusterAffinity": EAST} | DIVIDED,
            {
                "clusterAffinity": EAST,
                "spreadConstraints": [{"spreadByField": "cluster", "minGroups": 1, "maxGroups": 1}],
            },
            EAST,
            id="spread-and-division-left-out",
        ),
    ],
)
def test_what_two_use_goes_wherever_one_of_them_may(
    one: Object, other: Object, shared: Object | None
) -> None:
    result = convert(
        selecting(BY_NAME, name="one", propagateDeps=True, placement=one),
        selecting(DEPLOYMENT | {"name": "api"}, name="other", propagateDeps=True, placement=other),
        deployment("web", **using("both")),
        deployment("api", **using("both")),
        config_map("both"),
    )
    placement = next(each for each in result.workloads if "both" in each.metadata.name).spec.placement
    assert placement.replica_scheduling is None
    assert not placement.spread_constraints
    affinity = placement.cluster_affinity
    found = affinity and affinity.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert found == shared


def test_what_two_use_and_no_affinity_covers_is_refused_by_name() -> None:
    with pytest.raises(ManifestError, match=r"ConfigMap shop/both is used by .*no single clusterAffinity"):
        convert(
            selecting(BY_NAME, name="one", propagateDeps=True, placement=to("a")),
            selecting(
                DEPLOYMENT | {"name": "api"},
                name="other",
                propagateDeps=True,
                placement={"clusterAffinity": EAST},
            ),
            deployment("web", **using("both")),
            deployment("api", **using("both")),
            config_map("both"),
        )


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ([config_map("beside")], "ConfigMap shop/beside is selected by no policy, and goes nowhere"),
        (
            [config_map("used")],
            "ConfigMap shop/used is used by Deployment shop/web, and goes nowhere: select it, or",
        ),
        (
            [selecting(CONFIG_MAP, name="maps", placement=to("b")), config_map("used")],
            "ConfigMap shop/used goes where PropagationPolicy shop/maps says, and is used by Deployment",
        ),
        (
            [{"apiVersion": "v1", "kind": "Namespace", "metadata": meta("shop", "", team="web")}],
            "Namespace shop: agents make it where it is needed, without its labels",
        ),
    ],
)
def test_what_people_should_know_is_told(documents: list[Object], says: str) -> None:
    result = convert(selecting(DEPLOYMENT), deployment("web", **using("used")), *documents)
    assert any(note.startswith(says) for note in result.notes), result.notes


# What a workload says


def test_a_policy_rules_its_workloads() -> None:
    placement = to("a") | DIVIDED | {"clusterTolerations": [{"key": "x", "operator": "Exists"}]}
    given = selecting(
        DEPLOYMENT,
        placement=placement,
        conflictResolution="Overwrite",
        preserveResourcesOnDeletion=True,
        schedulerName="default-scheduler",
        preemption="Never",
        suspension={"dispatching": False},
        failover={"cluster": {"purgeMode": "Gracefully"}},
    )
    workload = only(convert(given, deployment("web", labels={"tier": "front"})))
    assert workload.spec.placement.model_dump(mode="json", by_alias=True, exclude_unset=True) == placement
    assert workload.spec.conflict_resolution == "Overwrite"
    assert workload.spec.preserve_resources_on_deletion
    assert workload.metadata.labels == {"tier": "front"}
    assert workload.metadata.annotations == {"muster.dev/from": "PropagationPolicy shop/web"}


def test_overrides_come_in_karmadas_order_each_for_what_it_selects() -> None:
    everywhere = overriding("b-fleet", "ClusterOverridePolicy")
    first = overriding("a-fleet", "ClusterOverridePolicy", clusterNames=["east"])
    all_of_kind, by_name = (
        overriding("z", "OverridePolicy", DEPLOYMENT),
        overriding("a", "OverridePolicy", BY_NAME),
    )
    result = convert(
        selecting(DEPLOYMENT, CONFIG_MAP),
        by_name,
        all_of_kind,
        everywhere,
        first,
        deployment("web", **using("settings")),
        config_map("settings"),
    )
    rules = only(result).spec.overrides
    assert [each.name for each in rules] == [
        "ClusterOverridePolicy a-fleet",
        "ClusterOverridePolicy b-fleet",
        "OverridePolicy shop/z",
        "OverridePolicy shop/a",
    ]
    assert rules[0].target_cluster is not None
    assert rules[0].target_cluster.cluster_names == ["east"]
    assert {selector.kind for each in rules for selector in each.resource_selectors} == {"Deployment"}


def test_the_old_form_of_an_override_is_one_rule() -> None:
    old = policy("old", "OverridePolicy")
    old["spec"] = {
        "resourceSelectors": [DEPLOYMENT],
        "targetCluster": {"clusterNames": ["a"]},
        "overriders": {"plaintext": [{"path": "/spec/paused", "operator": "add", "value": True}]},
    }
    (rule,) = only(convert(selecting(DEPLOYMENT), old, deployment("web"))).spec.overrides
    assert rule.target_cluster is not None
    assert rule.overriders.plaintext[0].path == "/spec/paused"


def test_what_a_server_wrote_is_left_behind() -> None:
    fetched = deployment("web")
    fetched["metadata"] |= {
        "uid": "u",
        "resourceVersion": "7",
        "managedFields": [],
        "labels": {"app": "web", "propagationpolicy.karmada.io/permanent-id": "x"},
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "propagationpolicy.karmada.io/name": "web",
        },
    }
    fetched["status"] = {"replicas": 2}
    front = service("front", app="web")
    front["spec"] |= {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}
    web, front = only(convert(selecting(DEPLOYMENT, SERVICE), fetched, front)).spec.manifests
    assert web["metadata"] == {"name": "web", "namespace": "shop", "labels": {"app": "web"}}
    assert "status" not in web
    assert front["spec"] == {"selector": {"app": "web"}, "ports": [{"port": 80}]}


def test_the_same_files_make_the_same_workloads_in_whatever_order() -> None:
    documents = [
        selecting(DEPLOYMENT, SERVICE, propagateDeps=True),
        overriding("b", "ClusterOverridePolicy"),
        overriding("a", "OverridePolicy"),
        *(deployment(name, **using("both", name)) for name in "abc"),
        *(config_map(name) for name in ("both", *"abc")),
        service("front", app="a"),
    ]
    expected = [each.model_dump() for each in convert(*documents).workloads]
    for seed in range(5):
        shuffled = random.Random(seed).sample(documents, len(documents))
        assert [each.model_dump() for each in convert(*shuffled).workloads] == expected


# What is refused, by name


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"schedulerName": "mine"}, "spec.schedulerName: there is one scheduler here"),
        ({"suspension": {"dispatching": True}}, "spec.suspension: what is applied is carried out"),
        (
            {"suspension": {"dispatchingOnClusters": {"clusterNames": ["a"]}}},
            "spec.suspension: what is applied is carried out",
        ),
        (
            {"failover": {"application": {"purgeMode": "Never"}}},
            "spec.failover.application: a workload moves",
        ),
        (
            {"failover": {"cluster": {"statePreservation": {"rules": [{}]}}}},
            "spec.failover.cluster.statePreservation: state is not carried",
        ),
        ({"preemption": "Always"}, "spec.preemption: each apply decides anew by priority"),
        ({"activationPreference": "Lazy"}, "spec.activationPreference: what is applied takes effect at once"),
        (
            {"schedulePriority": {"priorityClassName": "x"}},
            "spec.schedulePriority: workloads have no priority",
        ),
        ({"association": True}, "spec.association: Karmada ignores it: say propagateDeps"),
        ({"placement": {"workloadAffinity": {}}}, "workloadAffinity is not yet supported"),
        ({"placement": {"clusterAfinity": {}}}, "spec.placement.clusterAfinity: no such field"),
        ({"conflictResolution": "Merge"}, "spec.conflictResolution: 'Merge': one of Abort, Overwrite"),
        ({"priority": "high"}, "spec.priority: 'high': a whole number is needed"),
        ({"dependentOverrides": ["none"]}, r"spec.dependentOverrides\[0\]: none is not in this apply"),
        ({"resourceSelectors": []}, "spec.resourceSelectors: 0 of them: at least 1 needed"),
        (
            {"resourceSelectors": [DEPLOYMENT | {"namespace": "other"}]},
            r"resourceSelectors\[0\].namespace: 'other': a policy of namespace shop",
        ),
    ],
)
def test_what_has_no_meaning_here_is_refused_by_name(spec: Object, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        convert(selecting(**({"resourceSelectors": [DEPLOYMENT]} | spec)), deployment("web"))


def test_an_override_that_a_policy_depends_on_is_there_when_it_is_applied_together() -> None:
    depending = selecting(DEPLOYMENT, dependentOverrides=["mirror"])
    assert only(convert(depending, overriding("mirror"), deployment("web"))).spec.overrides


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        pytest.param(
            [selecting(DEPLOYMENT), overriding("lonely", "OverridePolicy", SERVICE)],
            "OverridePolicy shop/lonely selects none of the 1 objects in this apply",
            id="an-override-of-nothing",
        ),
        pytest.param(
            [selecting(DEPLOYMENT), selecting(DEPLOYMENT)],
            r"PropagationPolicy shop/web stands in file\[0\] already",
            id="a-policy-twice",
        ),
        pytest.param(
            [selecting(DEPLOYMENT), deployment("web")], "stands in .* already", id="an-object-twice"
        ),
        pytest.param(
            [
                selecting(DEPLOYMENT),
                {
                    "apiVersion": "policy.karmada.io/v1alpha1",
                    "kind": "ClusterTaintPolicy",
                    "metadata": {},
                },
            ],
            "ClusterTaintPolicy: of Karmada's, .* are taken: leave it out",
            id="another-kind-of-karmadas",
        ),
        pytest.param(
            [
                selecting(DEPLOYMENT),
                {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"},
            ],
            "kubectl kustomize",
            id="a-kustomization",
        ),
        pytest.param(
            [
                selecting(DEPLOYMENT, {"apiVersion": "example.com/v1", "kind": "Deployment"}),
                {"apiVersion": "example.com/v1", "kind": "Deployment", "metadata": meta("web")},
            ],
            "makes a workload web-deployment.shop, and so does",
            id="one-name-for-two",
        ),
    ],
)
def test_what_cannot_be_told_apart_or_does_nothing_is_refused(documents: list[Object], says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        convert(*documents, deployment("web"))
