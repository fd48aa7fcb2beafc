"""From Kubernetes objects to columns: quantities, what pods ask for, shards, usage, health."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.observe.asks import asks_of
from agents.observe.nodes import epoch_of, inventory, next_layout, shard_of
from agents.observe.quantities import amounts
from agents.observe.rows import NodeRow, NodeRows, ObjectRows, PodRow, PodRows, node_row
from agents.observe.shapes import PodSpec
from agents.observe.usage import NOT_KNOWN, usage
from agents.ports import Resource
from schemas.wire.codec import unpack_column
from schemas.wire.reports import Taint


def test_a_name_that_holds_no_quantity_does_not_hide_the_others() -> None:
    assert amounts({"cpu": "500m", "memory": "1GiB", "pods": 110, "odd": "-1"}) == {"cpu": 500, "pods": 110}


def container(cpu: str = "", *, sidecar: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {"resources": {"requests": {"cpu": cpu} if cpu else {}}}
    return made | ({"restartPolicy": "Always"} if sidecar else {})


SIDECAR = container("1", sidecar=True)


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        pytest.param({"containers": [container("1"), container("500m")]}, 1500, id="containers-add-up"),
        pytest.param({"containers": [container()]}, 0, id="asks-for-nothing"),
        pytest.param({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2000, id="limit-alone"),
        pytest.param(
            {"containers": [container("1")], "initContainers": [container("3"), container("2")]},
            3000,
            id="the-largest-init-container-counts-when-larger",
        ),
        pytest.param(
            {"containers": [container("1")], "initContainers": [container("500m", sidecar=True)]},
            1500,
            id="a-sidecar-runs-beside",
        ),
        pytest.param(
            {
                "containers": [container("1")],
                "initContainers": [
                    container("1", sidecar=True),
                    container("3"),
                    container("1", sidecar=True),
                ],
            },
            4000,
            id="an-init-container-runs-beside-the-sidecars-before-it",
        ),
        pytest.param({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250, id="overhead"),
        pytest.param(
            {"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}}, 4000, id="pod-level"
        ),
    ],
)
def test_a_pod_asks_for_what_kubernetes_says_it_does(spec: dict[str, Any], cpu: int) -> None:
    asks = asks_of(msgspec.convert(spec, PodSpec))
    assert asks.get("cpu", 0) == cpu
    assert asks["pods"] == 1


@given(nodes=st.integers(0, 200_000), layout=st.sampled_from([0, *(2**power for power in range(13))]))
def test_the_layout_is_a_power_of_two_and_stays_once_chosen(nodes: int, layout: int) -> None:
    chosen = next_layout(layout, nodes)
    assert chosen & (chosen - 1) == 0
    assert 1 <= chosen <= 4096
    assert next_layout(chosen, nodes) == chosen


@pytest.mark.parametrize(
    ("layout", "nodes", "expected"),
    [
        (0, 24, 1),
        (0, 5000, 64),
        (1, 150, 1),
        (1, 151, 2),
        (2, 80, 2),
        (2, 79, 1),
        (64, 5000, 64),
        (64, 100, 2),
    ],
)
def test_shards_hold_about_a_hundred_nodes_and_do_not_flap(layout: int, nodes: int, expected: int) -> None:
    assert next_layout(layout, nodes) == expected


def test_a_node_keeps_its_shard() -> None:
    assert [shard_of(f"node-{index}", 8) for index in range(6)] == [2, 2, 6, 4, 2, 6]


@given(names=st.lists(st.text(min_size=1, max_size=5), unique=True, min_size=2, max_size=6))
def test_the_epoch_changes_with_the_names(names: list[str]) -> None:
    assert epoch_of(names) == epoch_of(list(names))
    assert epoch_of(names) != epoch_of(names[1:])


def row(name: str, **rest: Any) -> NodeRow:
    given_: dict[str, Any] = {"labels": {}, "profile": "p", "allocatable": {"cpu": 1000}, "taints": ()}
    given_ |= {"conditions": ("Ready",), "provider": ""}
    return NodeRow(name=name, **(given_ | rest))


def test_an_inventory_says_what_differs_by_index() -> None:
    taint = Taint("gpu", "NoSchedule", "yes")
    nodes = [row("a"), row("b", taints=(taint,), profile="q", allocatable={"cpu": 2000, "nvidia.com/gpu": 8})]
    report = inventory(nodes)
    assert report.resources == ["cpu", "nvidia.com/gpu"]
    assert [unpack_column(column) for column in report.allocatable] == [[1000, 2000], [0, 8]]
    assert [report.profile_hashes[index] for index in unpack_column(report.profiles)] == ["p", "q"]
    assert [report.taint_sets[index] for index in unpack_column(report.taints)] == [[], [taint]]


def test_a_node_is_decoded_without_what_is_its_own_only() -> None:
    raw = msgspec.json.encode(
        {
            "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1", "zone": "a"}},
            "spec": {"unschedulable": True, "providerID": "aws:///eu/i-1"},
            "status": {
                "allocatable": {"cpu": "4", "memory": "1.1.M"},
                "conditions": [
                    {"type": "Ready", "status": "True"},
                    {"type": "DiskPressure", "status": "Unknown"},
                ],
            },
        }
    )
    _, node = node_row(raw)
    assert node.labels == {"zone": "a"}
    assert node.allocatable == {"cpu": 4000}, "one bad quantity must not hide the node"
    assert node.taints == (Taint("node.kubernetes.io/unschedulable", "NoSchedule"),)
    assert (node.conditions, node.provider) == (("Ready",), "aws")


AMOUNTS = st.dictionaries(st.sampled_from(("cpu", "nvidia.com/gpu")), st.sampled_from(("1", "2", "500m")))
Described = dict[str, Any]


@st.composite
def containers(draw: st.DrawFn) -> list[Described]:
    restart = {"restartPolicy": "Always"} if draw(st.booleans()) else {}
    one = {"resources": {"requests": draw(AMOUNTS), "limits": draw(AMOUNTS)}, **restart}
    return [one] * draw(st.integers(0, 2))


@st.composite
def pods(draw: st.DrawFn) -> Described:
    spec = {"containers": draw(containers()), "initContainers": draw(containers())}
    spec |= {"overhead": draw(AMOUNTS)} if draw(st.booleans()) else {}
    spec |= {"resources": {"requests": draw(AMOUNTS)}} if draw(st.booleans()) else {}
    status = {"qosClass": draw(st.sampled_from(("Guaranteed", "Burstable")))}
    return {"metadata": {"name": "p", "namespace": "shop"}, "spec": spec, "status": status}


@st.composite
def nodes(draw: st.DrawFn) -> Described:
    labels = draw(st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")))
    handlers = [{"name": each} for each in draw(st.sets(st.sampled_from(("", "kata"))))]
    name = draw(st.sampled_from(("n1", "n2")))
    return {"metadata": {"name": name, "labels": labels}, "status": {"runtimeHandlers": handlers}}


@given(st.lists(pods(), min_size=2, max_size=6))
def test_a_pod_is_read_the_same_whatever_was_read_before(found: list[Described]) -> None:
    rows = PodRows()
    for each in map(msgspec.json.encode, found):
        assert rows.row(each) == PodRows().row(each)


@given(st.lists(nodes(), min_size=2, max_size=8))
def test_a_node_is_read_the_same_whatever_was_read_before(found: list[Described]) -> None:
    rows = NodeRows()
    for each in map(msgspec.json.encode, found):
        assert rows.row(each) == node_row(each)


ASKS = {"cpu": 500, "pods": 1}


def pod(workload: str = "", **rest: Any) -> PodRow:
    given_: dict[str, Any] = {"node": "a", "template": "t1" if workload else "", "asks": ASKS}
    given_ |= {"finished": False, "deleting": False, "ready": True}
    return PodRow(workload=workload, **(given_ | rest))


@pytest.mark.parametrize(
    ("pods", "foreign", "bound"),
    [
        pytest.param([pod(), pod()], [1000], [], id="foreign-pods-add-up"),
        pytest.param([pod(finished=True)], [], [], id="finished-pods-hold-nothing"),
        pytest.param([pod("w1"), pod("w1")], [], [("w1", "t1", 0, 2)], id="ours-are-bound"),
        pytest.param(
            [pod("w1"), pod("w1", deleting=True)],
            [],
            [("w1", "", 0, 1), ("w1", "t1", 0, 1)],
            id="one-that-is-being-deleted-takes-room-and-stands-for-nothing",
        ),
        pytest.param(
            [pod("w1"), pod("w1", template="t0")],
            [],
            [("w1", "t0", 0, 1), ("w1", "t1", 0, 1)],
            id="old-and-new-template-apart",
        ),
    ],
)
def test_every_pod_counts_once(pods: list[PodRow], foreign: list[int], bound: list[tuple[Any, ...]]) -> None:
    report = usage(["a"], {"a": {("shop", str(index)): each for index, each in enumerate(pods)}}, None)
    columns = dict(zip(report.resources, map(unpack_column, report.foreign), strict=True))
    assert columns.get("cpu", []) == foreign
    assert [(b.workload, b.template, b.node, b.replicas) for b in report.bound] == bound
    assert all(report.requests[each.requests] == ASKS for each in report.bound)


def test_metrics_that_are_not_known_are_no_zeros() -> None:
    assert usage(["a"], {}, None).used == []
    report = usage(["a", "b"], {}, {"a": {"cpu": 5, "memory": 6}})
    assert [unpack_column(column) for column in report.used] == [[5, NOT_KNOWN], [6, NOT_KNOWN]]


def judged(kind: str, api_version: str, body: dict[str, Any]) -> tuple[bool, int, int, str]:
    group, _, version = api_version.rpartition("/")
    rows = ObjectRows(Resource(group, version, kind.lower() + "s", kind, True))
    metadata = {"name": "web", "namespace": "shop", "generation": 2}
    status = rows.row(msgspec.json.encode({"metadata": metadata, **body}))[1].status
    return status.healthy, status.desired, status.ready, status.message


GOOD = {"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3}


@pytest.mark.parametrize(
    ("kind", "api_version", "body", "expected"),
    [
        ("Deployment", "apps/v1", {"spec": {"replicas": 3}, "status": GOOD}, (True, 3, 3, "")),
        (
            "Deployment",
            "apps/v1",
            {"spec": {"replicas": 3}, "status": GOOD | {"readyReplicas": 1}},
            (False, 3, 1, "1 of 3 ready, 3 updated"),
        ),
        (
            "Deployment",
            "apps/v1",
            {"spec": {"replicas": 3}, "status": GOOD | {"observedGeneration": 1}},
            (False, 3, 3, "3 of 3 ready, 3 updated"),
        ),
        (
            "Deployment",
            "apps/v1",
            {"spec": {"replicas": 3}, "status": GOOD | {"replicas": 4}},
            (False, 3, 3, "3 of 3 ready, 3 updated, 1 old"),
        ),
        ("Job", "batch/v1", {"spec": {"completions": 2}, "status": {"succeeded": 2}}, (True, 2, 2, "")),
        (
            "Job",
            "batch/v1",
            {"status": {"conditions": [{"type": "Failed", "status": "True", "message": "backoff"}]}},
            (False, 1, 0, "backoff"),
        ),
        ("ConfigMap", "v1", {"data": {"a": "b"}}, (True, 0, 0, "")),
        ("Widget", "example.com/v1", {"spec": {"replicas": "many"}, "status": 7}, (True, 0, 0, "")),
        (
            "Widget",
            "example.com/v1",
            {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "NoDisk"}]}},
            (False, 0, 0, "NoDisk"),
        ),
    ],
)
def test_health_is_what_the_kind_says_of_itself(
    kind: str, api_version: str, body: dict[str, Any], expected: tuple[bool, int, int, str]
) -> None:
    assert judged(kind, api_version, body) == expected
