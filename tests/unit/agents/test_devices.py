"""Devices of DRA: which count, as what, and who has them. What a selector may say, and what it may not."""

from typing import Any

import msgspec
import pytest

from agents.observe.device_shapes import SliceRows, claim_row, class_row
from agents.observe.devices import Devices
from agents.observe.rows import PodRow
from agents.observe.selecting import CannotEvaluate, Selector
from agents.observe.usage import usage
from schemas.wire.codec import unpack_column
from schemas.wire.hardware import DEVICE_CLASS_RESOURCE

DRIVER = "gpu.example.com"
GPU = f"{DEVICE_CLASS_RESOURCE}gpu"


class World:
    """The three tables, filled from objects as a cluster lists them."""

    def __init__(self) -> None:
        self.devices = Devices(lambda: None, lambda: None)
        self._slices = SliceRows()

    def slice(self, name: str, *devices: dict[str, Any], **spec: Any) -> None:
        pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1} | spec.pop("pool", {})
        body = {"driver": DRIVER, "nodeName": "n1", "pool": pool, "devices": list(devices)} | spec
        self.devices.slices.put(*self._slices.row(raw(name, spec=body)))

    def device_class(self, name: str, *expressions: str) -> None:
        selectors = [{"cel": {"expression": each}} for each in expressions]
        self.devices.classes.put(*class_row(raw(name, spec={"selectors": selectors})))

    def claim(self, name: str, *devices: str, pods: tuple[str, ...] = (), **result: Any) -> None:
        results = [
            {"driver": DRIVER, "pool": "n1", "device": each, "request": "r"} | result for each in devices
        ]
        status = {"reservedFor": [{"resource": "pods", "name": each, "uid": "u"} for each in pods]}
        allocation = {"allocation": {"devices": {"results": results}}} if devices else {}
        self.devices.claims.put(*claim_row(raw(name, namespace="shop", status=status | allocation)))

    def on_nodes(self) -> dict[str, dict[str, int]]:
        self.devices.catch_up()
        return {node: dict(counted) for node, counted in self.devices.on_node.items()}


def raw(name: str, *, namespace: str = "", **body: Any) -> bytes:
    return msgspec.json.encode({"metadata": {"name": name, "namespace": namespace}, **body})


def device(name: str, **body: Any) -> dict[str, Any]:
    return {"name": name} | body


H100 = {"attributes": {"type": {"string": "gpu"}, "model": {"string": "H100"}}}


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        pytest.param({}, 1, id="plain"),
        pytest.param({"taints": [{"key": "sick", "effect": "NoSchedule"}]}, 0, id="tainted"),
        pytest.param({"taints": [{"key": "sick", "effect": "NoExecute"}]}, 0, id="tainted-and-evicting"),
        pytest.param({"taints": [{"key": "warm", "effect": "None"}]}, 1, id="a-taint-that-only-tells"),
        pytest.param({"consumesCounters": [{"counterSet": "c"}]}, 0, id="shares-counters"),
        pytest.param({"allowMultipleAllocations": True}, 0, id="shared-between-claims"),
        pytest.param({"basic": {"attributes": {}}}, 1, id="v1beta1"),
        pytest.param({"basic": {"taints": [{"effect": "NoSchedule"}]}}, 0, id="v1beta1-tainted"),
    ],
)
def test_a_device_counts_that_a_pod_can_have_to_itself(body: dict[str, Any], counts: int) -> None:
    world = World()
    world.device_class("gpu")
    world.slice("s1", device("d1", **body))
    assert world.on_nodes().get("n1", {}).get(GPU, 0) == counts


@pytest.mark.parametrize(
    ("spec", "node"),
    [
        ({}, "n1"),
        ({"nodeName": "", "allNodes": True}, None),
        ({"nodeName": "", "nodeSelector": {}}, None),
        ({"nodeName": "", "perDeviceNodeSelection": True}, "n7"),
    ],
)
def test_it_counts_where_a_single_node_has_it(spec: dict[str, Any], node: str | None) -> None:
    world = World()
    world.device_class("gpu")
    world.slice("s1", device("d1", nodeName="n7"), **spec)
    assert list(world.on_nodes()) == ([node] if node else [])


def test_a_pool_counts_once_all_slices_of_its_newest_generation_are_here() -> None:
    world = World()
    world.device_class("gpu")
    world.slice("a", device("d1"), pool={"resourceSliceCount": 2})
    assert world.on_nodes() == {}
    world.slice("b", device("d2"), device("d3"), pool={"resourceSliceCount": 2})
    assert world.on_nodes() == {"n1": {GPU: 3}}
    world.slice("c", device("d1"), pool={"generation": 2, "resourceSliceCount": 2})
    assert world.on_nodes() == {}, "the older one does not count any more"
    world.slice("d", pool={"generation": 2, "resourceSliceCount": 2})
    assert world.on_nodes() == {"n1": {GPU: 1}}
    world.devices.slices.drop("d")
    assert world.on_nodes() == {}


def test_only_nodes_whose_counts_changed_are_told_of() -> None:
    world = World()
    world.device_class("gpu")
    world.slice("s1", device("d1"))
    assert world.devices.catch_up() == ({"n1"}, set())
    world.slice("s1", device("d2"))
    assert world.devices.catch_up() == (set(), set())
    world.claim("c1", "d2", pods=("p",))
    assert world.devices.catch_up() == (set(), {"n1"})


def test_a_device_counts_for_every_class_that_selects_it() -> None:
    world = World()
    world.device_class("gpu", f'device.driver == "{DRIVER}"')
    world.device_class(
        "h100", f'device.driver == "{DRIVER}"', f'device.attributes["{DRIVER}"].model == "H100"'
    )
    world.device_class("nic", 'device.driver == "nic.example.com"')
    world.slice("s1", device("d1", **H100), device("d2", attributes={"model": {"string": "L4"}}))
    assert world.on_nodes() == {"n1": {GPU: 2, f"{DEVICE_CLASS_RESOURCE}h100": 1}}
    world.devices.classes.drop("h100")
    assert world.on_nodes() == {"n1": {GPU: 2}}


def test_a_class_that_cannot_be_told_is_not_counted_there(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.device_class("gpu", f'device.attributes["{DRIVER}"].type == "gpu"')
    world.device_class("broken", "device.driver ==")
    world.device_class("all")
    world.slice("s1", device("d1", **H100))
    world.slice("s2", device("d1"), device("d2", **H100), nodeName="n2", pool={"name": "n2"})
    every = f"{DEVICE_CLASS_RESOURCE}all"
    assert world.on_nodes() == {"n1": {GPU: 1, every: 1}, "n2": {every: 2}}
    assert capsys.readouterr().out.count("device_class_not_counted") == 2, "each is said once"


VIEW: dict[str, Any] = {
    "driver": DRIVER,
    "attributes": {
        DRIVER: {"type": "gpu", "model": "H100", "cores": 132, "ecc": True, "version": "560.28.3"}
    },
    "capacity": {DRIVER: {"memory": 80 * 2**30}},
    "allowMultipleAllocations": False,
}
OWN, MEMORY = f'device.attributes["{DRIVER}"]', f'device.capacity["{DRIVER}"].memory'


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f'device.driver == "{DRIVER}"', True),
        (f'{OWN}.type == "gpu" && {OWN}.cores > 100', True),
        (f"{OWN}.ecc", True),
        (f'{OWN}.type in ["mig", "vfio"]', False),
        (f'{OWN}.model.startsWith("H") || {OWN}.nothing == 1', True),
        (f'has({OWN}.type) && has(device.attributes["other.example.com"].type)', False),
        (f'{OWN}.model.matches("^[HB]100$")', True),
        (f'{MEMORY}.compareTo(quantity("40Gi")) >= 0', True),
        (f'{MEMORY}.isGreaterThan(quantity("80Gi"))', False),
        (f'{MEMORY}.isLessThan(quantity("81Gi"))', True),
        (f'{MEMORY} == quantity("80Gi")', True),
        (f'{OWN}.version.compareTo(semver("560.0.0")) > 0', True),
        (f'{OWN}.version.compareTo(semver("560.28.3-rc.1")) > 0', True),
        ('semver("1.0.0-rc.2").isLessThan(semver("1.0.0-rc.11"))', True),
        ("!device.allowMultipleAllocations", True),
        (f'{OWN}.model.lowerAscii() == "h100"', True),
        ('device.driver.split(".")[0].replace("g", "G").upperAscii() == "GPU"', True),
    ],
)
def test_selectors_are_answered_as_kubernetes_answers_them(expression: str, expected: bool) -> None:
    assert Selector((expression,)).matches(VIEW) is expected


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("device.driver ==", "mismatched"),
        ("", "parse"),
        (f'{OWN}.nothing == "x"', "nothing"),
        ('device.attributes["other.example.com"].type == "gpu"', "type"),
        (f"{OWN}.cores", "not true or false"),
        (f'cel.bind(own, {OWN}, own.type == "gpu")', "own"),
        ('semver("many").isLessThan(semver("1.0.0"))', "no version"),
    ],
)
def test_what_cannot_be_evaluated_is_said(expression: str, why: str) -> None:
    with pytest.raises(CannotEvaluate, match=why):
        Selector((expression,)).matches(VIEW)


def test_devices_that_differ_by_serial_only_are_seen_alike() -> None:
    rows = SliceRows()
    made = [
        device(f"d{index}", attributes=H100["attributes"] | {"uuid": {"string": f"GPU-{index}"}})
        for index in (1, 2)
    ]
    pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
    _, row = rows.row(raw("s1", spec={"driver": DRIVER, "nodeName": "n1", "pool": pool, "devices": made}))
    first, second = row.devices
    assert first.seen is second.seen


def pod(workload: str = "", **asks: int) -> PodRow:
    template = "t1" if workload else ""
    return PodRow("n1", workload, template, {"cpu": 100} | asks, finished=False, deleting=False, ready=True)


@pytest.mark.parametrize(
    ("pods", "claims", "foreign", "bound"),
    [
        pytest.param({}, [("c1", ("d1",), (), {})], 1, [], id="a-claim-that-nobody-uses-holds-its-devices"),
        pytest.param({"p": pod()}, [("c1", ("d1", "d2"), ("p",), {})], 2, [], id="others-pods"),
        pytest.param({"p": pod("w1")}, [("c1", ("d1",), ("p",), {})], 0, [1], id="ours-are-bound-with-them"),
        pytest.param(
            {"p": pod(**{GPU: 1})}, [("c1", ("d1",), ("p",), {})], 1, [], id="asked-for-by-resource-too"
        ),
        pytest.param(
            {"p": pod("w1", **{GPU: 1})}, [("c1", ("d1",), ("p",), {})], 0, [1], id="ours-by-resource-too"
        ),
        pytest.param(
            {"p": pod()}, [("c1", ("d1",), ("p",), {"adminAccess": True})], 0, [], id="who-only-looks"
        ),
        pytest.param({"p": pod()}, [("c1", (), ("p",), {})], 0, [], id="not-allocated-yet"),
        pytest.param({"p": pod()}, [("c1", ("gone",), ("p",), {})], 0, [], id="a-device-that-is-not-there"),
        pytest.param(
            {"p": pod(), "q": pod()}, [("c1", ("d1",), ("q", "p"), {})], 1, [], id="a-shared-claim-once"
        ),
    ],
)
def test_a_device_that_is_given_out_counts_once(
    pods: dict[str, PodRow], claims: list[Any], foreign: int, bound: list[int]
) -> None:
    world = World()
    world.device_class("gpu")
    world.slice("s1", device("d1"), device("d2"), device("d3"))
    for name, devices, reserved, result in claims:
        world.claim(name, *devices, pods=reserved, **result)
    assert world.on_nodes() == {"n1": {GPU: 3}}
    standing = {"n1": {("shop", name): row for name, row in pods.items()}}
    report = usage(["n1"], standing, None, world.devices.held, world.devices.unowned)
    columns = dict(zip(report.resources, map(unpack_column, report.foreign), strict=True))
    assert columns.get(GPU, [0]) == [foreign]
    assert [report.requests[each.requests].get(GPU, 0) for each in report.bound] == bound


def test_a_claim_follows_its_devices_and_goes() -> None:
    world = World()
    world.device_class("gpu")
    world.claim("c1", "d1")
    world.devices.catch_up()
    assert world.devices.unowned == {}
    world.slice("s1", device("d1"))
    world.devices.catch_up()
    assert world.devices.unowned == {"n1": {GPU: 1}}
    world.devices.classes.drop("gpu")
    world.devices.catch_up()
    assert world.devices.unowned == {}
    world.device_class("gpu")
    world.devices.claims.drop(("shop", "c1"))
    world.devices.catch_up()
    assert world.devices.unowned == {}
    assert world.devices.held == {}
