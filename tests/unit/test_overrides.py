"""What a cluster gets otherwise than the others: each overrider by itself, and what is refused before."""

import copy
from typing import Any

import pytest

from controlplane.fleet import Fleet
from controlplane.interpreters import interpret, render
from controlplane.interpreters.overrides import CannotOverride, override
from controlplane.placement.asking import Ask
from controlplane.placement.compiled import placement_request
from controlplane.placement.measures import Sources
from controlplane.placement.needs import needs_of
from controlplane.placement.overriding import Variants, check_overrides
from controlplane.placement.rules import ClusterView
from controlplane.placement.trials import Trials
from schemas.manifests import WorkloadSpec
from schemas.manifests.overrides import OverrideRule
from schemas.reasons import Reason

Object = dict[str, Any]
DIGEST = f"sha256:{'a' * 64}"
EAST, WEST = ClusterView("c1", "east", {"side": "east"}), ClusterView("c2", "west", {"side": "west"})


def deployment(*, image: str = "nginx:1.2", replicas: int = 2, **container: Any) -> Object:
    labels = {"app": "web"}
    main = {"name": "main", "image": image, **container}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [main]}},
        },
    }


def config_map(**data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "shop"},
        "data": data,
    }


def rule(
    *, name: str = "", target: Object | None = None, select: list[Object] | None = None, **overriders: Any
):
    given: Object = {"overriders": overriders}
    given |= {"name": name} if name else {}
    given |= {"targetCluster": target} if target else {}
    given |= {"resourceSelectors": select} if select else {}
    return OverrideRule.model_validate(given)


def after(manifest: Object, **overriders: Any) -> Object:
    return override([manifest], [(0, rule(**overriders))])[0]


def main_of(manifest: Object) -> Object:
    return manifest["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("before", "component", "operator", "value", "becomes"),
    [
        ("nginx:1.2", "Registry", "add", "mirror.local", "mirror.local/nginx:1.2"),
        ("a.io/x/nginx:1.2", "Registry", "replace", "mirror.local:5000", "mirror.local:5000/x/nginx:1.2"),
        ("a.io/x/nginx:1.2", "Registry", "add", ".cn", "a.io.cn/x/nginx:1.2"),
        ("localhost/nginx", "Registry", "remove", "", "nginx"),
        ("library/nginx", "Registry", "replace", "a.io", "a.io/library/nginx"),
        ("a.io/nginx:1.2", "Repository", "add", "-alpine", "a.io/nginx-alpine:1.2"),
        ("a.io/nginx:1.2", "Repository", "replace", "team/web", "a.io/team/web:1.2"),
        ("nginx:1.2", "Tag", "add", "-slim", "nginx:1.2-slim"),
        ("nginx", "Tag", "add", "v1", "nginx:v1"),
        ("nginx:1.2", "Tag", "replace", DIGEST, f"nginx@{DIGEST}"),
        ("nginx:1.2", "Tag", "replace", f"@{DIGEST}", f"nginx@{DIGEST}"),
        (f"nginx@{DIGEST}", "Tag", "replace", "1.3", "nginx:1.3"),
        (f"nginx:1.2@{DIGEST}", "Tag", "remove", "", "nginx"),
        (f"a.io/nginx:1.2@{DIGEST}", "Registry", "replace", "b.io", f"b.io/nginx:1.2@{DIGEST}"),
        ("a.io:5000/nginx", "Registry", "remove", "", "nginx"),
    ],
)
def test_a_part_of_an_image_changes(
    before: str, component: str, operator: str, value: str, becomes: str
) -> None:
    given = {"component": component, "operator": operator, "value": value}
    assert main_of(after(deployment(image=before), imageOverrider=[given]))["image"] == becomes


ARGS = {"containerName": "main", "operator": "add", "value": ["--b"]}


@pytest.mark.parametrize(
    ("overriders", "path", "becomes"),
    [
        pytest.param({"argsOverrider": [ARGS]}, "args", ["--a", "--b"], id="args-added"),
        pytest.param(
            {"argsOverrider": [ARGS | {"operator": "remove", "value": ["--a"]}]},
            "args",
            [],
            id="args-removed",
        ),
        pytest.param({"commandOverrider": [ARGS]}, "command", ["--b"], id="command-where-there-was-none"),
        pytest.param(
            {"argsOverrider": [ARGS | {"containerName": "other"}]}, "args", ["--a"], id="of-another-container"
        ),
    ],
)
def test_items_of_command_and_args_change(overriders: Object, path: str, becomes: list[str]) -> None:
    assert main_of(after(deployment(args=["--a"]), **overriders)).get(path) == becomes


@pytest.mark.parametrize(
    ("operator", "value", "becomes"),
    [
        ("add", {"x": "1"}, {"app": "web", "x": "1"}),
        ("add", {"app": "shop"}, {"app": "shop"}),
        ("replace", {"app": "shop", "x": "1"}, {"app": "shop"}),
        ("remove", {"app": "", "x": ""}, {}),
    ],
)
def test_labels_are_added_and_those_that_are_there_replaced_or_removed(
    operator: str, value: dict[str, str], becomes: dict[str, str]
) -> None:
    changed = after(deployment(), labelsOverrider=[{"operator": operator, "value": value}])
    assert changed["metadata"]["labels"] == becomes


def test_annotations_are_added_where_there_were_none() -> None:
    changed = after(deployment(), annotationsOverrider=[{"operator": "add", "value": {"a.io/b": "any text"}}])
    assert changed["metadata"]["annotations"] == {"a.io/b": "any text"}


@pytest.mark.parametrize(
    ("patch", "path", "becomes"),
    [
        ({"path": "/spec/paused", "operator": "add", "value": True}, ("paused",), True),
        ({"path": "/spec/replicas", "operator": "replace", "value": 7}, ("replicas",), 7),
        ({"path": "/spec/replicas", "operator": "remove"}, ("replicas",), None),
        (
            {"path": "/spec/template/spec/containers/0/image", "operator": "replace", "value": "b"},
            ("template", "spec", "containers"),
            [{"name": "main", "image": "b"}],
        ),
        (
            {"path": "/spec/template/spec/containers/-", "operator": "add", "value": {"name": "b"}},
            ("template", "spec", "containers"),
            [{"name": "main", "image": "nginx:1.2"}, {"name": "b"}],
        ),
        (
            {"path": "/spec/template/spec/containers/0", "operator": "add", "value": {"name": "b"}},
            ("template", "spec", "containers"),
            [{"name": "b"}, {"name": "main", "image": "nginx:1.2"}],
        ),
    ],
)
def test_a_json_patch_changes_what_its_path_leads_to(
    patch: Object, path: tuple[str, ...], becomes: Any
) -> None:
    found: Any = after(deployment(), plaintext=[patch])["spec"]
    for part in path:
        found = found.get(part)
    assert found == becomes


@pytest.mark.parametrize(
    ("text", "overrider", "becomes"),
    [
        pytest.param(
            '{"a": {"b": 1}, "c": [1]}',
            {"json": [{"subPath": "/a/b", "operator": "replace", "value": 2}]},
            '{"a":{"b":2},"c":[1]}',
            id="json",
        ),
        pytest.param(
            "z: 1\na:\n  b: 2024-01-02\n",
            {
                "yaml": [
                    {"subPath": "/a/c", "operator": "add", "value": "x"},
                    {"subPath": "/z", "operator": "remove"},
                ]
            },
            "a:\n  b: '2024-01-02'\n  c: x\n",
            id="yaml-and-dates-stay-text",
        ),
    ],
)
def test_a_document_inside_a_field_changes(text: str, overrider: Object, becomes: str) -> None:
    changed = after(config_map(conf=text), fieldOverrider=[{"fieldPath": "/data/conf", **overrider}])
    assert changed["data"]["conf"] == becomes


def test_overriders_of_a_rule_follow_karmadas_order_and_rules_their_own() -> None:
    first = rule(
        plaintext=[{"path": "/metadata/labels/app", "operator": "replace", "value": "plain"}],
        labelsOverrider=[{"operator": "add", "value": {"app": "label"}}],
    )
    second = rule(labelsOverrider=[{"operator": "replace", "value": {"app": "second"}}])
    assert override([deployment()], [(0, first)])[0]["metadata"]["labels"]["app"] == "plain"
    assert override([deployment()], [(0, first), (1, second)])[0]["metadata"]["labels"]["app"] == "second"


def test_a_rule_changes_what_it_selects_and_the_given_objects_stay_as_they_are() -> None:
    given = [deployment(), config_map(a="1")]
    before = copy.deepcopy(given)
    selecting = rule(
        select=[{"apiVersion": "v1", "kind": "ConfigMap", "name": "settings"}],
        plaintext=[{"path": "/data/a", "operator": "replace", "value": "2"}],
    )
    changed = override(given, [(0, selecting)])
    assert changed[1]["data"] == {"a": "2"}
    assert changed[0] == before[0]
    assert given == before


@pytest.mark.parametrize(
    ("manifest", "overriders", "says"),
    [
        pytest.param(
            deployment(),
            {"plaintext": [{"path": "/spec/none", "operator": "replace", "value": 1}]},
            r"spec.overrides\[0\].overriders.plaintext\[0\]: Deployment shop/web: /spec/none is not there",
            id="replace-of-nothing",
        ),
        pytest.param(
            deployment(),
            {"plaintext": [{"path": "/spec/none", "operator": "remove"}]},
            "no 'none'",
            id="remove",
        ),
        pytest.param(
            deployment(),
            {"plaintext": [{"path": "/metadata/annotations/a", "operator": "add", "value": "b"}]},
            "no 'annotations'",
            id="add-below-nothing",
        ),
        pytest.param(
            deployment(),
            {
                "plaintext": [
                    {"path": "/spec/template/spec/containers/3/image", "operator": "add", "value": "b"}
                ]
            },
            "the list ends at 0",
            id="beyond-the-list",
        ),
        pytest.param(
            deployment(),
            {"plaintext": [{"path": "/spec/template/spec/containers/x", "operator": "add", "value": {}}]},
            "'x' is no index",
            id="no-index",
        ),
        pytest.param(
            deployment(),
            {"plaintext": [{"path": "/metadata/name", "operator": "replace", "value": "b"}]},
            "name and namespace stay",
            id="name",
        ),
        pytest.param(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s", "namespace": "shop"},
                "data": {"a": ""},
            },
            {"plaintext": [{"path": "/data/a", "operator": "replace", "value": "eA=="}]},
            "values of Secrets are sealed",
            id="secret",
        ),
        pytest.param(
            deployment(),
            {"labelsOverrider": [{"operator": "add", "value": {"muster.dev/workload": "x"}}]},
            "Muster writes it itself",
            id="our-label",
        ),
        pytest.param(
            deployment(image="nginx"),
            {"imageOverrider": [{"component": "Repository", "operator": "remove"}]},
            "is no repository",
            id="image-without-name",
        ),
        pytest.param(
            deployment(),
            {"imageOverrider": [{"component": "Tag", "operator": "replace", "value": "a b"}]},
            "no tag and no digest",
            id="no-tag",
        ),
        pytest.param(
            deployment(),
            {
                "imageOverrider": [
                    {"component": "Tag", "operator": "remove", "predicate": {"path": "/spec/image"}}
                ]
            },
            "/spec/image is not there",
            id="predicate",
        ),
        pytest.param(
            config_map(
                conf="\n".join(
                    ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]
                )
            ),
            {
                "fieldOverrider": [
                    {"fieldPath": "/data/conf", "yaml": [{"subPath": "/a0", "operator": "remove"}]}
                ]
            },
            "once its aliases are followed",
            id="a-document-that-explodes",
        ),
        pytest.param(
            config_map(conf="{"),
            {
                "fieldOverrider": [
                    {"fieldPath": "/data/conf", "json": [{"subPath": "/a", "operator": "remove"}]}
                ]
            },
            "no JSON",
            id="broken-document",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_overrider_object_and_path(
    manifest: Object, overriders: Object, says: str
) -> None:
    with pytest.raises(CannotOverride, match=says):
        after(manifest, **overriders)


def test_a_refusal_names_the_rule() -> None:
    failing = rule(name="OverridePolicy shop/mirror", plaintext=[{"path": "/x", "operator": "remove"}])
    with pytest.raises(CannotOverride, match=r"\(OverridePolicy shop/mirror\)"):
        override([deployment()], [(3, failing)])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"plaintext": [{"path": "spec", "operator": "remove"}]}, "JSON pointer"),
        ({"plaintext": [{"path": "/spec", "operator": "move"}]}, "'add', 'remove' or 'replace'"),
        ({"plaintext": [{"path": "/spec", "operator": "add"}]}, "needs one"),
        ({"plaintext": [{"path": "/spec", "operator": "remove", "value": 1}]}, "takes none"),
        ({"imageOverrider": [{"component": "Tag", "operator": "add"}]}, "needs one"),
        (
            {"imageOverrider": [{"component": "Digest", "operator": "remove"}]},
            "'Registry', 'Repository' or 'Tag'",
        ),
        ({"argsOverrider": [ARGS | {"operator": "replace"}]}, "'add' or 'remove'"),
        ({"fieldOverrider": [{"fieldPath": "/data/a"}]}, "either json or yaml"),
        ({"replicas": 3}, "Extra inputs"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(given: Object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rule(**given)


# What a workload is in each cluster


def variants(*overrides: Object, **placement: Any) -> Variants:
    spec = WorkloadSpec.model_validate(
        {
            "manifests": [deployment(resources={"requests": {"cpu": "1"}})],
            "overrides": list(overrides),
            "placement": placement,
        }
    )
    interpretation = interpret(spec.manifests)
    return Variants.of(spec, interpretation, needs_of(spec, interpretation.components))


def patch(path: str, value: Any, **target: Any) -> Object:
    given: Object = {"overriders": {"plaintext": [{"path": path, "operator": "replace", "value": value}]}}
    return given | ({"targetCluster": target} if target else {})


REQUESTS = "/spec/template/spec/containers/0/resources/requests/cpu"
ONLY_EAST = {"clusterNames": ["east"]}
DIVIDED = {"replicaScheduling": {"replicaSchedulingType": "Divided"}}


@pytest.mark.parametrize(
    ("target", "applies_east", "applies_west"),
    [
        ({}, True, True),
        ({"clusterNames": ["east"]}, True, False),
        ({"exclude": ["east"]}, False, True),
        ({"labelSelector": {"matchLabels": {"side": "west"}}}, False, True),
    ],
)
def test_a_rule_applies_in_the_clusters_that_it_targets(
    target: Object, applies_east: bool, applies_west: bool
) -> None:
    made = variants(patch("/spec/replicas", 5, **target))
    assert [bool(made.applying(each)) for each in (EAST, WEST)] == [applies_east, applies_west]


def test_what_a_pod_asks_for_and_the_template_follow_the_cluster() -> None:
    made = variants(patch(REQUESTS, "4", **ONLY_EAST))
    east, west = made.in_cluster(EAST).interpretation, made.in_cluster(WEST).interpretation
    assert east.demand is not None
    assert west.demand is not None
    assert dict(east.demand.requests)["cpu"] == 4_000
    assert dict(west.demand.requests)["cpu"] == 1_000
    assert east.template != west.template
    assert render(made.in_cluster(EAST).objects, "u", 2).template == east.template


def test_a_duplicated_workload_may_have_other_replicas_somewhere() -> None:
    made = variants(patch("/spec/replicas", 5, **ONLY_EAST))
    assert made.in_cluster(EAST).interpretation.replicas == 5
    assert made.in_cluster(WEST).interpretation.replicas == 2


@pytest.mark.parametrize("placement", [{}, DIVIDED])
def test_a_cluster_that_came_later_and_where_a_rule_fails_is_left_out_with_the_reason(
    placement: Object,
) -> None:
    made = variants(patch("/spec/none", 5, **ONLY_EAST), **placement)
    plain = made.plain
    request = placement_request("u", made.spec, plain.interpretation)
    rooms = {"c1": 10, "c2": 10}
    trials = Trials(Sources(Fleet()), plain.interpretation, plain.needs, made, plain=rooms)
    decision = trials.decide(Ask(request, (EAST, WEST)))
    assert decision.assignments == {"c2": 2}
    (refused,) = decision.refusals["c1"]
    assert refused.reason is Reason.OVERRIDE_FAILS
    assert "/spec/none is not there" in refused.message


@pytest.mark.parametrize(
    ("overrides", "placement", "says"),
    [
        pytest.param(
            [patch("/spec/replicas", 5, **ONLY_EAST)],
            DIVIDED,
            r"spec.overrides\[0\]: it makes 2 replicas 5, and spec.placement divides them",
            id="replicas-that-are-divided",
        ),
        pytest.param(
            [patch("/spec/none", 5, **ONLY_EAST)], {}, "/spec/none .* in cluster east", id="names-the-cluster"
        ),
        pytest.param(
            [patch("/spec/none", 5, clusterNames=["south"])], {}, "/spec/none", id="of-a-cluster-to-come"
        ),
        pytest.param(
            [patch("/spec/template/metadata/labels/app", "other")],
            {},
            "not understood any more: .*as the selector has it",
            id="template-beside-its-selector",
        ),
        pytest.param(
            [patch(REQUESTS, "much")], {}, "the objects are none any more", id="no-quantity-any-more"
        ),
        pytest.param(
            [
                {
                    "resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}],
                    "overriders": {"labelsOverrider": [{"operator": "add", "value": {"a": "b"}}]},
                }
            ],
            {},
            r"spec.overrides\[0\].resourceSelectors: they select no object",
            id="selects-nothing",
        ),
    ],
)
def test_what_would_fail_in_a_cluster_is_refused_before_it_is_stored(
    overrides: list[Object], placement: Object, says: str
) -> None:
    with pytest.raises(CannotOverride, match=says):
        check_overrides(variants(*overrides, **placement), [EAST, WEST])


def test_a_rule_for_a_cluster_to_come_may_build_on_one_that_applies_everywhere() -> None:
    add = {"overriders": {"annotationsOverrider": [{"operator": "add", "value": {"a": "1"}}]}}
    check_overrides(variants(add, patch("/metadata/annotations/a", "2", clusterNames=["south"])), [EAST])
