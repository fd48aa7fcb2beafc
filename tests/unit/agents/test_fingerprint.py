"""Whether zones are of the pods on their node: fingerprints as upstream makes them, and who counts."""

import random
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.observe.cache import Cache
from agents.observe.fingerprint import ANNOTATION, ATTRIBUTE, METHOD_ATTRIBUTE, Fingerprint, fingerprint, told
from agents.observe.rows import PodKey, PodRow, PodRows
from agents.observe.topology import TopologyRow, topology, topology_row
from schemas.wire.codec import unpack_column
from schemas.wire.hardware import TopologyPolicy

ALL, EXCLUSIVE = "all", "with-exclusive-resources"


def keys(text: str) -> list[PodKey]:
    pairs = [each.partition("/") for each in text.split()]
    return [(namespace, name) for namespace, _, name in pairs]


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param("namespace1/pod1", "pfp0v0019e0420efb37746c6", id="scheduler-plugins-overreserve"),
        pytest.param("ns1/n1 ns1/n2 ns2/n1 ns3/n1 ns3/n2", "pfp0v001b92008c14168b3a6", id="tracing"),
        pytest.param(
            "production/jaeger-dpgjk production/nginx-rt684 production/envoy-g9m22",
            "pfp0v001607b76a0e9d3aeb4",
            id="compat-tiny-3pods-1ns",
        ),
        pytest.param(
            "analytics/controller-69dkj kube-public/subscriber-tq6v7 kube-public/transformer-hfbng "
            "kube-public/validator-c6pn5 kube-system/proxy-wszrd middleware/processor-jkrl4 "
            "network/gateway-vsll5 network/importer-kzdfr network/importer-q5vt9 staging/prometheus-bwgbn",
            "pfp0v001567144e4a561bb5a",
            id="compat-small-10pods-3ns",
        ),
        pytest.param("", "pfp0v001ef46db3751d8e999", id="none-is-xxh64-of-nothing"),
    ],
)
def test_a_fingerprint_is_that_of_upstream_in_whatever_order(pods: str, expected: str) -> None:
    found = keys(pods)
    assert fingerprint(found) == expected
    random.Random(7).shuffle(found)
    assert fingerprint(found) == expected


GOOD = "pfp0v0019e0420efb37746c6"


@pytest.mark.parametrize(
    ("attributes", "annotations", "expected"),
    [
        pytest.param({ATTRIBUTE: GOOD}, {}, Fingerprint(GOOD), id="without-a-method-of-all"),
        pytest.param({ATTRIBUTE: GOOD, METHOD_ATTRIBUTE: ALL}, {}, Fingerprint(GOOD), id="of-all"),
        pytest.param(
            {ATTRIBUTE: GOOD, METHOD_ATTRIBUTE: EXCLUSIVE},
            {},
            Fingerprint(GOOD, exclusive_only=True),
            id="of-those-with-exclusive-resources",
        ),
        pytest.param({ATTRIBUTE: GOOD, METHOD_ATTRIBUTE: "some"}, {}, None, id="of-nobody-knows-which"),
        pytest.param({}, {ANNOTATION: GOOD}, Fingerprint(GOOD), id="the-annotation-is-of-all"),
        pytest.param(
            {METHOD_ATTRIBUTE: EXCLUSIVE}, {ANNOTATION: GOOD}, Fingerprint(GOOD), id="whatever-the-method"
        ),
        pytest.param({ATTRIBUTE: ""}, {ANNOTATION: GOOD}, None, id="the-attribute-goes-before-it"),
        pytest.param({ATTRIBUTE: "pfp0v0029e0420efb37746c6"}, {}, None, id="another-version"),
        pytest.param({ATTRIBUTE: "wrngv0019e0420efb37746c6"}, {}, None, id="another-prefix"),
        pytest.param({ATTRIBUTE: "pfp0v001"}, {}, None, id="no-hash"),
        pytest.param({}, {}, None, id="nothing"),
    ],
)
def test_what_is_told_is_of_all_or_some_pods_or_cannot_be_compared(
    attributes: dict[str, str], annotations: dict[str, str], expected: Fingerprint | None
) -> None:
    assert told(attributes, annotations) == expected
    said = [{"name": name, "value": value} for name, value in attributes.items()]
    _, row = topology_row(raw(metadata={"name": "n1", "annotations": annotations}, attributes=said))
    assert row.told == expected


def raw(**body: Any) -> bytes:
    return msgspec.json.encode(body)


def pod(
    name: str,
    node: str = "n1",
    *,
    requests: dict[str, str] | None = None,
    qos: str = "Burstable",
    phase: str = "Running",
    starts_with: dict[str, str] | None = None,
    restarts: str = "",
) -> tuple[PodKey, PodRow]:
    starting = [{"resources": {"requests": starts_with or {}}, "restartPolicy": restarts}]
    spec = {
        "nodeName": node,
        "containers": [{"resources": {"requests": requests or {}}}],
        "initContainers": starting if starts_with else [],
    }
    metadata = {"name": name, "namespace": "shop"}
    return PodRows().row(raw(metadata=metadata, spec=spec, status={"phase": phase, "qosClass": qos}))


WHOLE, HALF = {"cpu": "4", "memory": "1Gi"}, {"cpu": "5500m", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("given_", "held"),
    [
        pytest.param({"requests": WHOLE, "qos": "Guaranteed"}, ("cpu", "memory"), id="whole-cpus"),
        pytest.param({"requests": HALF, "qos": "Guaranteed"}, ("memory",), id="5.5-cpus-are-not-pinned"),
        pytest.param({"requests": WHOLE}, (), id="burstable"),
        pytest.param(
            {"requests": WHOLE | {"intel.com/vf": "1"}}, ("intel.com/vf",), id="a-device-whoever-asks"
        ),
        pytest.param({"requests": {"intel.com/vf": "0"}}, (), id="none-of-a-device"),
        pytest.param({"requests": {"kubernetes.io/batch": "1"}}, (), id="kubernetes-own-is-no-device"),
        pytest.param(
            {"requests": WHOLE | {"hugepages-1Gi": "2Gi"}, "qos": "Guaranteed"},
            ("cpu", "hugepages-1Gi", "memory"),
            id="hugepages",
        ),
        pytest.param({"starts_with": {"intel.com/vf": "1"}}, (), id="who-ends-holds-nothing"),
        pytest.param(
            {"starts_with": {"intel.com/vf": "1"}, "restarts": "Always"}, ("intel.com/vf",), id="a-sidecar"
        ),
    ],
)
def test_what_a_pod_holds_alone(given_: dict[str, Any], held: tuple[str, ...]) -> None:
    assert pod("a", **given_)[1].held == held


PLAIN = pod("plain")
PINNED = pod("pinned", requests=WHOLE, qos="Guaranteed")
NOT_WHOLE = pod("not-whole", requests=HALF, qos="Guaranteed")
CARD = pod("card", requests={"intel.com/vf": "1"})
DONE = pod("done", requests=WHOLE, qos="Guaranteed", phase="Succeeded")
STARTING = pod("starting", requests=WHOLE, qos="Guaranteed", phase="Pending")


@pytest.mark.parametrize(
    ("method", "of", "on_node", "listed", "stale"),
    [
        pytest.param(ALL, [PLAIN, PINNED], [PINNED, PLAIN], {"cpu"}, False, id="the-same"),
        pytest.param(ALL, [], [], {"cpu"}, False, id="nobody"),
        pytest.param(ALL, [PLAIN], [PLAIN, PINNED], {"cpu"}, True, id="one-more"),
        pytest.param(ALL, [PLAIN, PINNED], [PLAIN], {"cpu"}, True, id="one-less"),
        pytest.param(ALL, [PLAIN], [PLAIN, STARTING], {"cpu"}, True, id="one-that-only-starts"),
        pytest.param(ALL, [PLAIN], [PLAIN, DONE], {"cpu"}, False, id="a-finished-one-need-not-count"),
        pytest.param(ALL, [PLAIN, DONE], [PLAIN, DONE], {"cpu"}, False, id="and-may"),
        pytest.param(ALL, [PLAIN, DONE], [PLAIN, DONE, PINNED], {"cpu"}, True, id="but-others-must"),
        pytest.param(EXCLUSIVE, [PINNED], [PINNED, PLAIN], {"cpu"}, False, id="who-holds-nothing-alone"),
        pytest.param(EXCLUSIVE, [PINNED], [PINNED, CARD], {"cpu"}, False, id="a-card-of-no-zone"),
        pytest.param(EXCLUSIVE, [PINNED], [PINNED, CARD], {"cpu", "intel.com/vf"}, True, id="a-card-of-one"),
        pytest.param(EXCLUSIVE, [], [NOT_WHOLE], {"cpu"}, False, id="memory-that-no-manager-hands-out"),
        pytest.param(EXCLUSIVE, [], [NOT_WHOLE], {"cpu", "memory"}, True, id="memory-that-one-does"),
        pytest.param(EXCLUSIVE, [PINNED], [PINNED, DONE], {"cpu"}, False, id="a-finished-one"),
        pytest.param("some", [PLAIN], [PINNED], {"cpu"}, False, id="what-cannot-be-compared-is-not-judged"),
    ],
)
def test_zones_are_stale_where_others_are_bound_than_they_are_of(
    method: str,
    of: list[tuple[PodKey, PodRow]],
    on_node: list[tuple[PodKey, PodRow]],
    listed: Collection[str],
    stale: bool,
) -> None:
    assert topology_of(fingerprint(key for key, _ in of), method, listed).is_stale(dict(on_node)) is stale


def topology_of(
    text: str, method: str = ALL, listed: Collection[str] = ("cpu",), policy: str = "single-numa-node"
) -> TopologyRow:
    said = {ATTRIBUTE: text, METHOD_ATTRIBUTE: method, "topologyManagerPolicy": policy}
    attributes = [{"name": name, "value": value} for name, value in said.items()]
    resources = [{"name": name, "available": "4"} for name in sorted(listed)]
    zones = [{"name": "node-0", "type": "Node", "resources": resources}]
    return topology_row(raw(metadata={"name": "n1"}, attributes=attributes, zones=zones))[1]


def test_only_where_the_kubelet_refuses_pods_for_their_zones_it_is_judged() -> None:
    other = fingerprint([("shop", "other")])
    assert topology_of(other).is_stale(dict([PLAIN]))
    assert not topology_of(other, policy="best-effort").is_stale(dict([PLAIN]))


def test_a_shard_says_which_zones_are_stale() -> None:
    row = topology_of(fingerprint([]))
    report = topology(["a", "b", "c"], {"a": row, "b": row}, {"b", "c"})
    assert report.policies == [
        TopologyPolicy("single-numa-node"),
        TopologyPolicy("single-numa-node", stale=True),
    ]
    assert unpack_column(report.policy_of) == [0, 1, -1]


names = st.sampled_from(["plain", "pinned", "not-whole", "done"])
PODS = {key[1]: (key, row) for key, row in (PLAIN, PINNED, NOT_WHOLE, DONE)}


@given(st.lists(st.tuples(st.booleans(), names), max_size=12))
def test_the_cache_names_every_node_whose_judgement_may_have_changed(steps: list[tuple[bool, str]]) -> None:
    """And so what is judged at each change is what would be judged anew."""
    cache = Cache()
    cache.below.topologies.put("n1", topology_of(fingerprint([PINNED[0], PLAIN[0]])))
    cache.below.topologies.put("n2", TopologyRow(TopologyPolicy("single-numa-node"), ()))
    judged = cache.below.topologies.rows["n1"].is_stale({})
    cache.take_changes()
    for comes, name in steps:
        key, row = PODS[name]
        if comes:
            cache.pods.put(key, row)
        else:
            cache.pods.drop(key)
        now = cache.below.topologies.rows["n1"].is_stale(cache.pods_on.get("n1", {}))
        changed = cache.take_changes().topology
        assert changed <= {"n1"}
        if "n1" not in changed:
            assert now == judged
        judged = now


def test_a_pod_that_becomes_ready_changes_no_judgement() -> None:
    cache = Cache()
    cache.below.topologies.put("n1", topology_of(fingerprint([])))
    key, row = pod("a")
    cache.pods.put(key, row)
    assert cache.take_changes().topology == {"n1"}
    cache.pods.put(key, replace(row, ready=True))
    assert cache.take_changes().topology == set()
