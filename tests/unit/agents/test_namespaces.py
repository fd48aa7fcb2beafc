"""Pods by namespace: what is nobody's, on which nodes, and what a ResourceQuota would refuse."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.observe.namespaces import MOST_NAMED, MOST_ROWS, NamespaceSums
from agents.observe.rows import PodKey, PodRow, PodRows
from schemas.wire.codec import MAX_MESSAGE_BYTES, encode
from schemas.wire.reports import MOST_NAMESPACES, Namespaces

ASKS = {"cpu": 500, "memory": 64, "pods": 1}
NOTHING: dict[str, int] = {}
Told = dict[tuple[str, str], tuple[int, dict[str, int]]]
"""(pods, amounts) by namespace and profile."""
ALL_UNSET = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")


def pod(node: str = "n1", workload: str = "", **rest: Any) -> PodRow:
    known: dict[str, Any] = {"template": "t", "asks": ASKS, "finished": False, "deleting": False}
    return PodRow(node=node, workload=workload, ready=True, **(known | rest))


class Watched:
    """The sums, with the pods that they are of, as a cache keeps them."""

    def __init__(self, **profiles: str) -> None:
        self.sums = NamespaceSums()
        self.pods: dict[PodKey, PodRow] = {}
        for node, profile in profiles.items():
            self.node(node, profile)

    def put(self, name: str, row: PodRow | None, namespace: str = "shop") -> None:
        key = namespace, name
        before = self.pods.pop(key, None)
        if row is not None:
            self.pods[key] = row
        self.sums.pod_changed(key, before, row)

    def node(self, name: str, profile: str | None) -> None:
        self.sums.node_changed(
            name, profile, {key: row for key, row in self.pods.items() if row.node == name}
        )

    def ordered(self, *workloads: str) -> None:
        pods_of: dict[str, dict[PodKey, PodRow]] = {}
        for key, row in self.pods.items():
            pods_of.setdefault(row.workload, {})[key] = row
        self.sums.ordered(workloads, pods_of)


def foreign(report: Namespaces) -> Told:
    return {
        (each.name, report.profiles[one.profile]): (
            one.pods,
            {name: n for name, n in zip(report.resources, one.amounts, strict=True) if n},
        )
        for each in report.namespaces
        for one in each.foreign
    }


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([pod(), pod()], {("shop", "p1"): (2, {"cpu": 1000, "memory": 128})}, id="they add up"),
        pytest.param(
            [pod(), pod("n2")],
            {
                ("shop", "p1"): (1, {"cpu": 500, "memory": 64}),
                ("shop", "p2"): (1, {"cpu": 500, "memory": 64}),
            },
            id="by what nodes they stand on",
        ),
        pytest.param([pod("")], {("shop", ""): (1, {"cpu": 500, "memory": 64})}, id="pending pods too"),
        pytest.param([pod("n9")], {("shop", ""): (1, {"cpu": 500, "memory": 64})}, id="on an unknown node"),
        pytest.param([pod(finished=True)], {}, id="what is over holds nothing"),
        pytest.param(
            [pod(deleting=True)], {("shop", "p1"): (1, {"cpu": 500, "memory": 64})}, id="what is deleted does"
        ),
        pytest.param([pod(workload="w1")], {}, id="what was ordered is no stranger"),
        pytest.param(
            [pod(workload="forged")],
            {("shop", "p1"): (1, {"cpu": 500, "memory": 64})},
            id="a label that nobody ordered hides nothing",
        ),
        pytest.param([pod(asks={"pods": 1})], {("shop", "p1"): (1, NOTHING)}, id="one that asks for nothing"),
    ],
)
def test_pods_of_nobody_by_namespace_and_nodes(rows: list[PodRow], expected: Told) -> None:
    watched = Watched(n1="p1", n2="p2")
    for index, row in enumerate(rows):
        watched.put(f"pod-{index}", row)
    watched.ordered("w1")

    assert foreign(watched.sums.report()) == expected


def test_a_workload_that_is_ordered_no_longer_leaves_pods_of_nobody() -> None:
    watched = Watched(n1="p1")
    watched.put("a", pod(workload="w1"))
    watched.ordered("w1")
    assert not foreign(watched.sums.report())
    watched.ordered()
    assert watched.sums.changed
    assert foreign(watched.sums.report()) == {("shop", "p1"): (1, {"cpu": 500, "memory": 64})}


def test_nothing_is_to_be_reported_while_nothing_changes() -> None:
    watched = Watched(n1="p1")
    watched.put("a", pod(workload="w1", unset=ALL_UNSET))
    watched.ordered("w1")
    watched.sums.report()
    watched.put("b", pod(workload="w1"))
    watched.ordered("w1")
    assert not watched.sums.changed


SPECS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"containers": [{}]}, ALL_UNSET),
    ({"containers": [{"resources": {"requests": {"cpu": "0", "memory": "1"}}}]}, ALL_UNSET[:2]),
    ({"containers": [{"resources": {"limits": {"cpu": "1", "memory": "1"}}}]}, ()),
    (
        {"containers": [{"resources": {"limits": {"cpu": "1"}}}, {}]},
        ALL_UNSET,
    ),
    (
        {
            "containers": [{"resources": {"limits": {"cpu": "1", "memory": "1"}}}],
            "initContainers": [{"resources": {"requests": {"cpu": "1"}}}],
        },
        ("limits.cpu", "limits.memory", "requests.memory"),
    ),
    ({"containers": [{}], "resources": {"limits": {"cpu": "1", "memory": "1"}}}, ()),
    ({"containers": [{}], "resources": {"requests": {"cpu": "1"}}}, ()),
]


@pytest.mark.parametrize(
    ("spec", "unset"),
    SPECS,
    ids=[
        *("none", "requests-only", "limits-make-requests", "one-of-two", "an-init-container", "of-the-pod"),
        "of-the-pod-in-part",
    ],
)
def test_what_a_quota_would_ask_every_container_for(spec: dict[str, Any], unset: tuple[str, ...]) -> None:
    raw = msgspec.json.encode({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec})

    assert PodRows().row(raw)[1].unset == unset


def test_pods_that_a_quota_would_refuse_are_counted_and_a_few_named() -> None:
    watched = Watched(n1="p1")
    for index in range(8):
        watched.put(f"pod-{index}", pod(workload="w1", unset=ALL_UNSET))
    watched.put("half", pod(unset=("limits.cpu",)))
    watched.put("over", pod(finished=True, unset=ALL_UNSET))
    (row,) = watched.sums.report().namespaces
    found = {each.resource: (each.pods, each.names) for each in row.unset}
    first = [f"pod-{index}" for index in range(MOST_NAMED)]

    assert found == {
        "limits.cpu": (9, ["half", *first[: MOST_NAMED - 1]]),
        "limits.memory": (8, first),
        "requests.cpu": (8, first),
        "requests.memory": (8, first),
    }


def test_a_report_fits_a_message_whatever_the_cluster_holds() -> None:
    watched = Watched(**{f"n{index}": f"profile-{index}" for index in range(40)})
    for index in range(MOST_NAMESPACES + 50):
        for number in range(6):
            row = pod(f"n{(index * 7 + number) % 40}", unset=ALL_UNSET)
            watched.put(f"{number}-{'long' * 55}", row, f"namespace-{index:04}-{'x' * 40}")
    report = watched.sums.report()

    assert (len(report.namespaces), report.left_out) == (MOST_NAMESPACES, 50)
    assert sum(len(each.foreign) for each in report.namespaces) <= MOST_ROWS
    kept = sum(each.pods for namespace in report.namespaces for each in namespace.foreign)
    assert kept == 6 * MOST_NAMESPACES, "what is told of together is told of all the same"
    assert len(encode(report)) < MAX_MESSAGE_BYTES


steps = st.one_of(
    st.tuples(
        st.just("pod"),
        st.sampled_from("abcd"),
        st.none()
        | st.builds(
            pod,
            node=st.sampled_from(["", "n1", "n2", "n3"]),
            workload=st.sampled_from(["", "w1", "w2"]),
            finished=st.booleans(),
        ),
    ),
    st.tuples(st.just("node"), st.sampled_from(["n1", "n2"]), st.none() | st.sampled_from(["p1", "p2"])),
    st.tuples(st.just("ordered"), st.sets(st.sampled_from(["w1", "w2"])), st.none()),
)


@given(st.lists(steps, max_size=40))
def test_counted_step_by_step_it_is_what_it_is_counted_at_once(course: list[tuple[str, Any, Any]]) -> None:
    watched, profiles, ours = Watched(), dict[str, str](), set[str]()
    for what, name, to in course:
        if what == "pod":
            watched.put(name, to)
        elif what == "node":
            watched.node(name, to)
            profiles = {key: value for key, value in profiles.items() if key != name} | (
                {} if to is None else {name: to}
            )
        else:
            ours = name
            watched.ordered(*ours)
    pods: Counter[tuple[str, str]] = Counter()
    for (namespace, _), row in watched.pods.items():
        if not row.finished and row.workload not in ours:
            pods[namespace, profiles.get(row.node, "")] += 1

    assert {key: count for key, (count, _) in foreign(watched.sums.report()).items()} == dict(pods)
