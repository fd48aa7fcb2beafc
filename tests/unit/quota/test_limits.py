"""Limits of a tenant's namespaces in a member cluster: share, surge and drift, in ResourceQuota's words."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controlplane.quota.limit_objects import (
    MOST_NAMESPACES,
    Set,
    bounded,
    is_changed,
    is_raised,
    objects,
    read,
)
from controlplane.quota.limits import (
    Limit,
    Placed,
    Pods,
    hard,
    limit_name,
    limits,
    read_hard,
    unset,
)
from controlplane.quota.surging import DEFAULT, NONE, Surge, surge_of
from controlplane.quota.tolerated import KEPT_SECONDS, Tolerated
from schemas.manifests.quota import QuotaSpec

GI = 1024**3
COVERED = ("cpu", "memory")
ONE = {"cpu": 500, "memory": GI}


def web(count: int, surge: Surge = DEFAULT, namespace: str = "shop") -> Pods:
    return Pods(namespace, count, ONE, surge)


@pytest.mark.parametrize(
    ("placed", "foreign", "expected"),
    [
        pytest.param([], {}, {}, id="nothing runs, nothing is there: no object"),
        pytest.param(
            [Placed("web", {"cpu": 2000, "memory": 4 * GI}, (web(4),))],
            {},
            {"shop": {"cpu": Limit(2000, 500), "memory": Limit(4 * GI, GI)}},
            id="a quarter of four pods more while they roll",
        ),
        pytest.param(
            [Placed("web", {"cpu": 2500, "memory": 5 * GI}, (web(5),))],
            {},
            {"shop": {"cpu": Limit(2500, 1000), "memory": Limit(5 * GI, 2 * GI)}},
            id="rounded up to whole pods",
        ),
        pytest.param(
            [
                Placed("web", {"cpu": 500, "memory": GI}, (web(1),)),
                Placed("api", {"cpu": 500, "memory": GI}, (web(1),)),
            ],
            {},
            {"shop": {"cpu": Limit(1000, 1000), "memory": Limit(2 * GI, 2 * GI)}},
            id="each workload rolls by itself: rounded up for each",
        ),
        pytest.param(
            [Placed("web", {"cpu": 3000, "memory": 6 * GI}, (web(2, NONE),))],
            {},
            {"shop": {"cpu": Limit(3000), "memory": Limit(6 * GI)}},
            id="what is charged beyond what is ordered is still running",
        ),
        pytest.param(
            [Placed("web", {}, (web(2, NONE),))],
            {},
            {"shop": {"cpu": Limit(1000), "memory": Limit(2 * GI)}},
            id="what was ordered before anything was charged is not refused",
        ),
        pytest.param(
            [Placed("web", {"cpu": 1000, "memory": 2 * GI}, (), leaving=("shop",))],
            {},
            {"shop": {"cpu": Limit(1000), "memory": Limit(2 * GI)}},
            id="withdrawn, and its pods are not reported gone",
        ),
        pytest.param([Placed("web", {}, (), leaving=("shop",))], {}, {}, id="withdrawn and gone: no object"),
        pytest.param(
            [
                Placed(
                    "pipeline",
                    {"cpu": 1500, "memory": 3 * GI},
                    (web(1, NONE, "front"), web(2, NONE, "back")),
                )
            ],
            {},
            {
                "back": {"cpu": Limit(1000), "memory": Limit(2 * GI)},
                "front": {"cpu": Limit(500), "memory": Limit(GI)},
            },
            id="components of two namespaces: each its own",
        ),
        pytest.param(
            [Placed("web", {"cpu": 500, "memory": GI}, (web(1, NONE),), drift={"cpu": 100})],
            {"shop": {"cpu": 2000, "nvidia.com/gpu": 1}},
            {"shop": {"cpu": Limit(500, 0, 2100, 2000), "memory": Limit(GI)}},
            id="what was there already is left its room; what no quota covers is not limited",
        ),
        pytest.param(
            [],
            {"by-hand": {"cpu": 250}, "empty": {}},
            {
                "by-hand": {"cpu": Limit(0, 0, 250, 250), "memory": Limit()},
                "empty": {"cpu": Limit(), "memory": Limit()},
            },
            id="a namespace in which nothing of the tenant's is ordered",
        ),
    ],
)
def test_a_limit_is_share_and_surge_and_drift(
    placed: list[Placed],
    foreign: dict[str, dict[str, int]],
    expected: dict[str, dict[str, Limit]],
) -> None:
    assert limits(COVERED, placed, foreign) == expected


def test_what_others_of_muster_run_in_its_namespaces_is_let_in_beside() -> None:
    placed = [Placed("web", {"cpu": 500}, (web(1, NONE),))]
    found = limits(("cpu",), placed, {}, {"shop": {"cpu": 300}, "elsewhere": {"cpu": 300}})
    assert found == {"shop": {"cpu": Limit(500, 0, 300)}}


def test_pods_are_counted_where_the_quota_names_them() -> None:
    placed = [Placed("web", {"cpu": 2000, "pods": 4}, (web(4),))]
    assert limits(("pods",), placed, {"shop": {"pods": 3}}) == {"shop": {"pods": Limit(4, 1, 3, 3)}}


def test_a_quota_that_names_only_what_no_pod_counts_limits_nothing() -> None:
    assert limits(("objects", "addresses/dmz"), [Placed("web", {"objects": 3}, (web(4),))], {}) == {}


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("cpu", "requests.cpu"),
        ("memory", "requests.memory"),
        ("ephemeral-storage", "requests.ephemeral-storage"),
        ("hugepages-2Mi", "requests.hugepages-2Mi"),
        ("nvidia.com/gpu", "requests.nvidia.com/gpu"),
        ("pods", "pods"),
        ("objects", None),
        ("addresses/dmz", None),
        ("licences", None),
    ],
)
def test_resources_in_the_words_of_a_resource_quota(resource: str, name: str | None) -> None:
    assert limit_name(resource) == name


@pytest.mark.parametrize(
    ("kind", "spec", "surge"),
    [
        pytest.param("apps/v1/Deployment", {}, Surge(percent=25), id="Kubernetes' default"),
        pytest.param("apps/v1/Deployment", {"strategy": {"type": "Recreate"}}, NONE, id="Recreate"),
        pytest.param(
            "apps/v1/Deployment", {"strategy": {"rollingUpdate": {"maxSurge": 2}}}, Surge(2), id="a number"
        ),
        pytest.param(
            "apps/v1/Deployment",
            {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "10%"}}},
            Surge(percent=10),
            id="a share",
        ),
        pytest.param(
            "apps/v1/Deployment", {"strategy": {"rollingUpdate": {"maxSurge": 0}}}, Surge(), id="none at all"
        ),
        pytest.param(
            "apps/v1/Deployment",
            {"strategy": {"rollingUpdate": {"maxSurge": "half"}}},
            DEFAULT,
            id="what the API server refuses",
        ),
        pytest.param("apps/v1/StatefulSet", {}, NONE, id="a StatefulSet replaces one by one"),
        pytest.param("apps/v1/DaemonSet", {}, NONE, id="a DaemonSet that does not say"),
        pytest.param(
            "apps/v1/DaemonSet",
            {"updateStrategy": {"rollingUpdate": {"maxSurge": "50%"}}},
            Surge(percent=50),
            id="a DaemonSet that says",
        ),
        pytest.param("batch/v1/Job", {}, NONE, id="a Job"),
        pytest.param("argoproj.io/v1alpha1/Rollout", {}, DEFAULT, id="a kind whose way is not known"),
    ],
)
def test_what_a_rolling_update_runs_beside(kind: str, spec: dict[str, Any], surge: Surge) -> None:
    version, _, name = kind.rpartition("/")
    assert surge_of({"apiVersion": version, "kind": name, "spec": spec}) == surge


@pytest.mark.parametrize(
    ("part", "charged", "expected"),
    [
        pytest.param(replace(web(12), replaced=12), 6000, Limit(6000, 6000), id="all of them at once"),
        pytest.param(replace(web(12), replaced=2), 6000, Limit(6000, 1500), id="fewer than roll anyhow"),
        pytest.param(replace(web(4), replaced=99), 2000, Limit(2000, 2000), id="pods that look like them"),
        pytest.param(
            replace(web(12, NONE), replaced=12), 6000, Limit(6000), id="new pods wait for their end"
        ),
        pytest.param(
            replace(web(12, Surge()), replaced=3), 6000, Limit(6000, 1500), id="none more that stay"
        ),
        pytest.param(
            replace(web(2), replaced=10), 6000, Limit(6000, 500), id="scaled down: charged for still"
        ),
        pytest.param(replace(web(2), replaced=12), 6000, Limit(6000, 1000), id="scaled down and rolled"),
        pytest.param(replace(web(0), replaced=12), 2000, Limit(2000, 2000), id="counted by their nodes"),
    ],
)
def test_pods_on_their_way_out_have_their_room_beside_those_that_replace_them(
    part: Pods, charged: int, expected: Limit
) -> None:
    assert limits(("cpu",), [Placed("web", {"cpu": charged}, (part,))], {}) == {"shop": {"cpu": expected}}


def test_a_share_of_pods_that_are_counted_by_their_nodes_is_of_all_of_them() -> None:
    part = Pods("shop", 0, ONE, Surge(percent=50))
    found = limits(("cpu",), [Placed("log", {"cpu": 1500}, (part,))], {})
    assert found == {"shop": {"cpu": Limit(1500, 750)}}


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        pytest.param(
            {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
            (),
            id="asks for both",
        ),
        pytest.param({"containers": [{"name": "a"}]}, (("a", "cpu"), ("a", "memory")), id="asks for nothing"),
        pytest.param(
            {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1, "memory": 1}}}]},
            (),
            id="a limit is asked for where no request is",
        ),
        pytest.param(
            {
                "containers": [{"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
                "initContainers": [{"name": "b", "resources": {"requests": {"cpu": "1"}}}],
            },
            (("b", "memory"),),
            id="an init container counts too",
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": "1"}}, "containers": [{"name": "a"}]},
            (),
            id="the pod itself asks for something",
        ),
        pytest.param({"containers": None}, (), id="no containers at all"),
    ],
)
def test_containers_that_a_limit_refuses(spec: dict[str, Any], missing: tuple[tuple[str, str], ...]) -> None:
    assert unset(spec, ("cpu", "memory", "nvidia.com/gpu")) == missing
    assert unset(spec, ("nvidia.com/gpu", "pods")) == (), "only cpu and memory oblige"


@given(
    st.dictionaries(
        st.sampled_from(["cpu", "memory", "pods", "nvidia.com/gpu", "hugepages-2Mi"]),
        st.tuples(*(st.integers(0, 2**62),) * 3),
    )
)
def test_what_is_written_is_read_again(amounts: dict[str, tuple[int, int, int]]) -> None:
    found = {resource: Limit(*each) for resource, each in amounts.items()}
    assert read_hard(hard(found)) == {resource: each.total for resource, each in found.items()}


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 100_000), st.integers(0, 100_000))
def test_a_limit_is_never_below_what_is_charged_or_ordered(
    count: int, percent: int, charged: int, foreign: int
) -> None:
    part = Pods("shop", count, {"cpu": 100}, Surge(percent=percent))
    placed = [Placed("web", {"cpu": charged}, (part,))]
    found = limits(("cpu",), placed, {"shop": {"cpu": foreign}})["shop"]["cpu"]
    assert found.share >= max(charged, count * 100)
    assert found.total >= found.share + foreign


@pytest.mark.parametrize("written", ["Off", False])
def test_off_without_quotes_is_off_though_yaml_says_false(written: object) -> None:
    assert QuotaSpec.model_validate({"limits": written}).limits == "Off"


@pytest.mark.parametrize("written", [True, "off", None, 0])
def test_what_is_no_way_of_limiting_is_refused_by_name(written: object) -> None:
    with pytest.raises(ValidationError, match="limits"):
        QuotaSpec.model_validate({"limits": written})


Looks = list[tuple[float, dict[str, int]]]
TOLERATED: dict[str, tuple[dict[str, int] | None, Looks, dict[str, int]]] = {
    "nothing stands yet: what is there": (None, [(0, {"cpu": 5})], {"cpu": 5}),
    "more is there than was let in": ({"cpu": 3}, [(0, {"cpu": 9})], {"cpu": 3}),
    "less for a moment": ({"cpu": 3}, [(0, {"cpu": 1}), (60, {"cpu": 0})], {"cpu": 3}),
    "less for an hour: the most that was seen": (
        {"cpu": 3},
        [(0, {"cpu": 1}), (60, {"cpu": 2}), (KEPT_SECONDS, {})],
        {"cpu": 2},
    ),
    "back within the hour": (
        {"cpu": 3},
        [(0, {}), (60, {"cpu": 3}), (KEPT_SECONDS, {}), (KEPT_SECONDS + 60, {})],
        {"cpu": 3},
    ),
    "a resource that was not limited before": (
        {"cpu": 3},
        [(0, {"cpu": 4, "memory": 7})],
        {"cpu": 3, "memory": 7},
    ),
}


@pytest.mark.parametrize(("before", "looks", "expected"), TOLERATED.values(), ids=TOLERATED)
def test_what_was_there_keeps_its_room(
    before: dict[str, int] | None, looks: Looks, expected: dict[str, int]
) -> None:
    tolerated, place = Tolerated(), ("shop", "a", "shop")
    found: Mapping[str, int] = {}
    for now, seen in looks:
        found = tolerated.of(place, before, seen, now)
    assert found == expected


BEFORE = {"shop": Set({"cpu": 500}, {"cpu": 100}, True), "hand": Set({"cpu": 100}, {"cpu": 100}, False)}
HAND = {"cpu": Limit(0, 0, 100, 100)}


@pytest.mark.parametrize(
    ("wanted", "ordered_in", "raised", "changed"),
    [
        pytest.param(
            {"shop": {"cpu": Limit(400, 0, 100, 100)}, "hand": HAND}, "shop", False, False, id="same"
        ),
        pytest.param({"shop": {"cpu": Limit(500, 0, 100, 100)}, "hand": HAND}, "shop", True, True, id="more"),
        pytest.param(
            {"shop": {"cpu": Limit(300, 0, 100, 100)}, "hand": HAND}, "shop", False, True, id="less"
        ),
        pytest.param({"shop": {"cpu": Limit(500)}, "hand": HAND}, "shop", False, True, id="made of else"),
        pytest.param({"shop": {"cpu": Limit(400, 0, 100, 100)}}, "shop", False, True, id="a namespace less"),
        pytest.param(
            {"shop": {"cpu": Limit(400, 0, 100, 100)}, "hand": HAND, "new": {"cpu": Limit()}},
            "shop",
            True,
            True,
            id="a namespace more",
        ),
        pytest.param(
            {"shop": {"cpu": Limit(400, 0, 100, 100), "pods": Limit(9)}, "hand": HAND},
            "shop",
            True,
            True,
            id="a resource more",
        ),
        pytest.param(
            {"shop": {"cpu": Limit(400, 0, 100, 100)}, "hand": HAND},
            "shop hand",
            True,
            False,
            id="a namespace that is to be made now",
        ),
    ],
)
def test_when_limits_have_to_be_raised_and_when_they_differ_at_all(
    wanted: dict[str, dict[str, Limit]], ordered_in: str, raised: bool, changed: bool
) -> None:
    assert is_raised(BEFORE, wanted, ordered_in.split()) is raised
    assert is_changed(BEFORE, wanted) is changed


def test_an_order_of_limits_says_all_that_is_remembered_of_them() -> None:
    limits = {"shop": {"cpu": Limit(400, 100, 30, 20), "memory": Limit(GI)}, "hand": HAND}
    made = objects("shop", limits, ("shop",))
    assert read(made) == {
        "shop": Set({"cpu": 530, "memory": GI}, {"cpu": 20}, True),
        "hand": Set({"cpu": 100}, {"cpu": 100}, False),
    }
    first = next(each for each in made if each["metadata"]["namespace"] == "shop")
    assert first["metadata"]["name"] == "muster-shop"
    assert first["metadata"]["annotations"]["muster.dev/share"] == "requests.cpu=400m, requests.memory=1Gi"


def test_of_too_many_namespaces_those_with_workloads_are_limited() -> None:
    limits = {f"n{number:03}": {"cpu": Limit(1)} for number in range(MOST_NAMESPACES + 10)}
    last = max(limits)
    found = bounded(limits, {last})
    assert len(found) == MOST_NAMESPACES
    assert last in found
