"""What a broken agent, or a hand in the streams, can say: a clear reason, nothing lost, nothing stopped.

Everything goes over the real NATS, under the credentials of a cluster that joined, beside its agent. Holds up
promise 3 (no older order), 5 (no order that the centre did not sign) and 7 (every refusal names its reason).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import zstandard

from agents.ports import BusUnavailable
from schemas.wire.codec import encode, pack_column
from schemas.wire.hardware import Hardware, Topology
from schemas.wire.orders import Order
from schemas.wire.reports import MOST_NAMESPACES, Inventory, Namespaces, Stamp, Usage
from tests.circle import Circle, Object, deployment, eventually, only, workload

CLUSTER, OTHER = "east", "west"
MANY = 2000
NEWEST: Stamp = (10**9, 1)
"""Newer than anything the agent says: what is refused is not refused for its age."""


def inventory(**changes: Any) -> bytes:
    """One node, as it should be but for `changes`."""
    fields: Object = {
        "epoch": 1,
        "names": ["node"],
        "profile_hashes": ["0" * 16],
        "profiles": pack_column([0]),
        "resources": ["cpu"],
        "allocatable": [pack_column([1000])],
        "taint_sets": [[]],
        "taints": pack_column([0]),
        "condition_sets": [["Ready"]],
        "conditions": pack_column([0]),
    }
    return _report(Inventory, {**fields, **changes})


def usage(**changes: Any) -> bytes:
    """Of one node, as it should be but for `changes`."""
    fields: Object = {
        "epoch": 1,
        "nodes": 1,
        "resources": ["cpu"],
        "foreign": [pack_column([100])],
        "requests": [{"cpu": 100}],
        "bound": [["uid", "template", 0, 1, 0]],
    }
    return _report(Usage, {**fields, **changes})


def topology(**changes: Any) -> bytes:
    """Of one node with two zones, as it should be but for `changes`."""
    fields: Object = {
        "epoch": 1,
        "nodes": 1,
        "policies": [{"policy": "single-numa-node"}],
        "policy_of": pack_column([0]),
        "zone_node": pack_column([0, 0]),
        "zone_number": pack_column([0, 1]),
        "resources": ["cpu"],
        "available": [pack_column([1000, -1])],
        "zones": 2,
    }
    return _report(Topology, {**fields, **changes})


def namespaces(**changes: Any) -> bytes:
    """One namespace with one pod, as it should be but for `changes`."""
    fields: Object = {
        "profiles": [""],
        "resources": ["cpu"],
        "namespaces": [["shop", [[0, 1, [100]]], [["limits.cpu", 1, ["pod"]]]]],
    }
    return _report(Namespaces, {**fields, **changes})


def hardware(**changes: Any) -> bytes:
    return _report(Hardware, changes)


def work(state: str = "Withdrawn") -> bytes:
    body = {"incarnation": NEWEST[0], "sequence": NEWEST[1], "version": [1, 1], "state": state}
    return msgspec.json.encode(body)


def _report(kind: type[msgspec.Struct], fields: Object) -> bytes:
    """As JSON, past the checks of the type."""
    assert set(fields) <= set(kind.__struct_fields__)
    return msgspec.json.encode({"incarnation": NEWEST[0], "sequence": NEWEST[1], **fields})


def nameless_zstd(body: bytes) -> bytes:
    """A frame that does not say how large it is."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(body)


NESTED = b'{"incarnation":1,"sequence":1,"x":' + b"[" * 100_000

BAD_REPORTS: dict[str, tuple[str, bytes, str]] = {
    "malformed JSON": ("inventory", b'{"epoch": ', "truncated"),
    "nothing at all": ("inventory", b"", "truncated"),
    "no text": ("inventory", b"\xff\xfe\xfd", "malformed"),
    "JSON of another shape": ("inventory", b'["names"]', "Expected `object`"),
    "a field that is missing": ("inventory", b'{"incarnation": 1, "sequence": 1}', "`epoch`"),
    "JSON so deep that reading it recurses too far": ("inventory", NESTED, "recursion"),
    "a stamp that no database column holds": ("inventory", inventory(incarnation=2**63), "incarnation"),
    "a stamp before all": ("inventory", inventory(sequence=-1), "sequence"),
    "a kind of report that there is none of": ("gossip", b"{}", "'gossip' is no kind of report"),
    "a shard that is none": ("inventory.x", inventory(), "'x' is no shard"),
    "a shard beyond its layout": ("inventory.3-3", inventory(), "'3-3' is no shard"),
    "a workload that no subject can name": ("work.a.b", work(), "'a.b' cannot be a subject token"),
    "no workload at all": ("work", work(), "'' cannot be a subject token"),
    "a zstd frame without its size": ("inventory", nameless_zstd(inventory()), "announces -1 bytes"),
    "a zstd bomb": ("inventory", zstandard.compress(bytes(64 * 1024 * 1024)), "announces 67108864 bytes"),
    "a zstd frame that is cut": ("inventory", zstandard.compress(inventory() * 9)[:-5], "Inventory"),
    "a profile that is not there": ("inventory", inventory(profiles=pack_column([7])), "profiles: index 7"),
    "a profile before the first": ("inventory", inventory(profiles=pack_column([-1])), "profiles"),
    "taints that are not there": ("inventory", inventory(taints=pack_column([1])), "taints: index 1"),
    "a column that is cut": ("inventory", inventory(allocatable=[b"\1\2\3"]), "multiple of 8 bytes"),
    "a column of too many rows": ("inventory", inventory(profiles=pack_column([0, 0])), "2 rows for 1 nodes"),
    "a column too few": ("inventory", inventory(allocatable=[]), "0 columns for 1 resources"),
    "a negative amount": ("inventory", inventory(allocatable=[pack_column([-1])]), "allocatable cpu"),
    "a node twice": (
        "inventory",
        inventory(
            names=["a", "a"],
            profiles=pack_column([0, 0]),
            taints=pack_column([0, 0]),
            conditions=pack_column([0, 0]),
            allocatable=[pack_column([1, 1])],
        ),
        "names: a node stands there twice",
    ),
    "a profile under another's hash": (
        "profile.0123456789abcdef",
        b'{"incarnation": 1, "sequence": 1, "labels": {"a": "b"}}',
        "its labels have the hash",
    ),
    "pods on a profile that is not there": ("namespaces", namespaces(profiles=[]), "shop names what is not"),
    "amounts too few": ("namespaces", namespaces(resources=["cpu", "memory"]), "shop names what is not"),
    "a negative number of pods": (
        "namespaces",
        namespaces(namespaces=[["shop", [[0, -1, [100]]]]]),
        "Expected `int` >= 0",
    ),
    "more namespaces than are taken": (
        "namespaces",
        namespaces(namespaces=[[str(each)] for each in range(MOST_NAMESPACES + 1)]),
        "up to 2,000 are taken",
    ),
    "negative usage": ("usage", usage(foreign=[pack_column([-5])]), "foreign cpu"),
    "usage of a node that is not there": ("usage", usage(bound=[["uid", "t", 1, 1, 0]]), "names a node"),
    "requests that are not there": ("usage", usage(bound=[["uid", "t", 0, 1, 9]]), "or requests"),
    "more replicas than a number holds": ("usage", usage(bound=[["uid", "t", 0, 2**63, 0]]), "bound"),
    "negative replicas": ("usage", usage(bound=[["uid", "t", 0, -1, 0]]), "bound"),
    "a zone of a node that is not there": ("topology", topology(zone_node=pack_column([0, 1])), "zone_node"),
    "a zone twice": ("topology", topology(zone_number=pack_column([1, 1])), "zone_number"),
    "a zone beyond all": ("topology", topology(zone_number=pack_column([0, 65])), "zone_number: 65"),
    "a policy that is not there": ("topology", topology(policy_of=pack_column([3])), "policy_of: index 3"),
    "a zone that owes": ("topology", topology(available=[pack_column([-2, 0])]), "available cpu: -2"),
    "zones of which a column is cut": ("topology", topology(zones=3), "2 rows for 3 nodes"),
    "topology of a shard that is none": ("topology.x", topology(), "'x' is no shard"),
    "more runtime classes than a cluster has": (
        "hardware.many",
        hardware(runtime_classes=[{"name": "kata", "handler": "kata"}] * 5001),
        "runtime_classes: 5001 entries",
    ),
    "less than no address": (
        "hardware.pools",
        hardware(pools=[{"name": "p", "total": 9, "free": -1}]),
        "free",
    ),
    "hardware of another shape": ("hardware.networks", hardware(attachments=["macvlan"]), "attachments"),
    "memory for a million million nodes": (
        "usage",
        usage(nodes=10**12, resources=[], foreign=[]),
        "nodes",
    ),
}


@dataclass(frozen=True)
class Said:
    """What was published, by the name of its case."""

    circle: Circle
    subjects: dict[str, str]


@pytest_asyncio.fixture
async def circle(crash_circle: Circle) -> Circle:
    return crash_circle


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def said(shared_circle: Circle) -> Said:
    """All of them at once, each under a subject of its own."""
    circle = shared_circle
    subjects = {name: _subject(circle, number, tail) for number, (name, tail) in enumerate(_tails())}
    async with circle.bus_of_agent(CLUSTER) as bus:
        await bus.publish([(subjects[name], BAD_REPORTS[name][1]) for name in BAD_REPORTS])
    return Said(circle, subjects)


def _tails() -> list[tuple[str, str]]:
    return [(name, tail) for name, (tail, _, _) in BAD_REPORTS.items()]


def _subject(circle: Circle, number: int, tail: str) -> str:
    kind, _, name = tail.partition(".")
    if kind in ("inventory", "usage", "topology", "namespaces") and not name:
        name = f"4096-{number}"
    if kind == "usage":
        return circle.subjects.usage(circle.cluster_id(CLUSTER), name)
    dotted = f".{name}" if name else ""
    return f"{circle.subjects.prefix}.state.{circle.cluster_id(CLUSTER)}.{kind}{dotted}"


async def reasons(circle: Circle, subject: str) -> list[str]:
    rows = await circle.rows(
        "select reason from dead_letter where cluster = $1 and subject = $2",
        circle.cluster_id(CLUSTER),
        subject,
    )
    return [row["reason"] for row in rows]


@pytest.mark.promise(7)
@pytest.mark.parametrize("case", BAD_REPORTS)
async def test_a_report_that_does_not_validate_is_kept_with_its_reason(said: Said, case: str) -> None:
    circle, subject, expected = said.circle, said.subjects[case], BAD_REPORTS[case][2]
    found = await eventually(f"{case} is a dead letter", lambda: reasons(circle, subject))
    assert expected in found[0]


async def test_what_is_broken_in_one_cluster_neither_stops_nor_slows_another(circle: Circle) -> None:
    before = circle.cluster(CLUSTER)
    process = circle.programs["centre"].pid
    cluster = circle.cluster_id(CLUSTER)
    garbage = [(circle.subjects.inventory(cluster, f"4000-{n}"), b"{") for n in range(MANY)]
    async with circle.bus_of_agent(CLUSTER) as bus:
        await bus.publish(garbage)
    began = time.monotonic()
    circle.apply(workload("unmoved", deployment("unmoved", "unmoved", 2), **only(OTHER)))
    await circle.until_running("unmoved")
    assert time.monotonic() - began < 10
    assert circle.programs["centre"].pid == process
    after = circle.cluster(CLUSTER)
    assert (after["status"], after["nodes"]) == ("Ready", before["nodes"])


async def test_what_a_broken_report_covered_in_the_stream_is_asked_for_again(circle: Circle) -> None:
    before = circle.cluster(CLUSTER)
    cluster, subjects = circle.cluster_id(CLUSTER), circle.subjects
    covered = [subjects.facts(cluster), subjects.inventory(cluster, "1-0"), subjects.usage(cluster, "1-0")]
    async with circle.bus_of_agent(CLUSTER) as bus:
        await bus.publish([(subject, b"{") for subject in covered])
    await circle.restart_centre()
    await circle.until_ready(CLUSTER, OTHER)
    after = circle.cluster(CLUSTER)
    assert (after["nodes"], after["allocatable"]) == (before["nodes"], before["allocatable"])


async def test_a_beat_that_is_none_is_kept_and_the_next_one_is_answered(circle: Circle) -> None:
    async with circle.bus_of_agent(CLUSTER) as bus:

        async def beaten() -> list[str]:
            """A beat is at most once, and lost while nobody leads: a broken agent, too, beats again."""
            with pytest.raises(BusUnavailable):
                await bus.beat(b'{"incarnation": "first"}', timeout_seconds=0.5)
            return await reasons(circle, "beat")

        found = await eventually("a dead letter", beaten)
    assert "incarnation" in found[0]
    heard = circle.cluster(CLUSTER)["heard_at"]
    await eventually("heard again", lambda: circle.cluster(CLUSTER)["heard_at"], lambda at: at > heard)


@pytest.mark.promise(1)
async def test_alerts_that_are_none_or_belong_elsewhere_do_not_hold_up_the_real_ones(circle: Circle) -> None:
    before = await circle.alerts(CLUSTER)
    subject = circle.subjects.alert(circle.cluster_id(CLUSTER))
    far = {"incarnation": 5 * 10**8, "sequence": 77, "received_at": 1.0, "alerts": [{"labels": {"a": "b"}}]}
    async with circle.bus_of_agent(CLUSTER) as bus:
        await bus.publish([(subject, b'{"alerts": 1}'), (subject, msgspec.json.encode(far))])
    assert "AlertBatch" in (await eventually("a dead letter", lambda: reasons(circle, subject)))[0]

    await circle.set_node(CLUSTER, "edge-003", down=True)
    committed = await eventually(
        "the real alert is committed",
        lambda: circle.alerts(CLUSTER),
        lambda rows: len(rows) > len(before),
    )
    assert [row["node"] for row in committed[len(before) :]] == ["edge-003"]
    await circle.set_node(CLUSTER, "edge-003", down=False)


# Orders by hand


@dataclass(frozen=True)
class Running:
    """A workload in its second revision, with both orders as the centre signed them."""

    name: str
    uid: str
    first: Order
    second: Order


@pytest_asyncio.fixture
async def running(circle: Circle, request: pytest.FixtureRequest) -> Running:
    name = f"by-hand-{list(FORGERIES).index(request.node.callspec.params['case'])}"
    circle.apply(workload(name, deployment(name, name, 1), **only(CLUSTER)))
    uid = (await circle.until_running(name))["status"]["uid"]
    _, first = await circle.order(CLUSTER, uid)
    circle.apply(workload(name, deployment(name, name, 1, "registry.example/web:2"), **only(CLUSTER)))
    await circle.until_running(name, revision=2)
    _, second = await circle.order(CLUSTER, uid)
    assert first is not None
    assert second is not None
    return Running(name, uid, first, second)


def _broken(running: Running) -> bytes:
    signature = bytes([running.second.signature[0] ^ 1]) + running.second.signature[1:]
    return encode(msgspec.structs.replace(running.second, signature=signature))


def _changed(running: Running) -> bytes:
    body = running.second.body.replace(b"web:2", b"web:6")
    return encode(msgspec.structs.replace(running.second, body=body))


def _older(running: Running) -> bytes:
    return encode(running.first)


def _elsewhere(running: Running) -> bytes:
    return encode(msgspec.structs.replace(running.second, workload="another"))


def _no_order(running: Running) -> bytes:
    return b"apply everything"


FORGERIES: dict[str, tuple[Callable[[Running], bytes], str]] = {
    "a broken signature": (_broken, "SignatureInvalid"),
    "another body under a good signature": (_changed, "SignatureInvalid"),
    "an order of ours that is older than the recorded one": (_older, "OrderOlder"),
    "an order for another workload": (_elsewhere, "OrderMalformed"),
    "what is no order": (_no_order, "OrderMalformed"),
}


@pytest.mark.promise(3, 5, 7)
@pytest.mark.parametrize("case", FORGERIES)
async def test_an_order_by_hand_is_refused_by_name_and_the_agent_goes_on(
    circle: Circle, running: Running, case: str
) -> None:
    forge, reason = FORGERIES[case]
    held, process = circle.recorded(CLUSTER, running.uid), circle.programs[CLUSTER].pid
    await put_by_hand(circle, running.uid, forge(running))
    refused = await eventually(
        "the agent refuses",
        lambda: circle.placement(running.name, CLUSTER),
        lambda row: reason in [each["reason"] for each in row["refusals"]],
    )
    assert refused["state"] == "Running"
    assert circle.recorded(CLUSTER, running.uid) == held == running.second.version
    assert image_of(circle, running.name) == "registry.example/web:2"

    third = deployment(running.name, running.name, 1, "registry.example/web:3")
    circle.apply(workload(running.name, third, **only(CLUSTER)))
    answered = await circle.until_running(running.name, revision=3)
    assert image_of(circle, running.name) == "registry.example/web:3"
    assert answered["placements"][0]["refusals"] == []
    assert circle.programs[CLUSTER].pid == process


async def put_by_hand(circle: Circle, uid: str, body: bytes) -> None:
    sequence, _ = await circle.order(CLUSTER, uid)
    async with circle.bus() as bus:
        await bus.publish_order(circle.cluster_id(CLUSTER), uid, body, expected_sequence=sequence)


def image_of(circle: Circle, name: str) -> str:
    template = circle.objects(CLUSTER, "deployments", name)[name]["spec"]["template"]
    return template["spec"]["containers"][0]["image"]
