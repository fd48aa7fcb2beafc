"""What lies below a cluster's sum, decoded: features, NUMA zones, runtime classes, networks."""

from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.observe import networks
from agents.observe.below import runtime_class_row
from agents.observe.features import MOST_FEATURES, MOST_VALUES, FeatureRows, merged
from agents.observe.networks import attachment_row, pool_name, pool_row
from agents.observe.rows import PodRow, node_row
from agents.observe.topology import topology, topology_row
from schemas.wire.codec import unpack_column
from schemas.wire.hardware import Attachment, PodToleration, Pool, TopologyPolicy


def raw(**body: Any) -> bytes:
    return msgspec.json.encode(body)


def node_feature(
    node: str = "n1",
    *,
    name: str = "",
    flags: dict[str, list[str]] | None = None,
    attributes: dict[str, dict[str, str]] | None = None,
    instances: dict[str, list[dict[str, str]]] | None = None,
) -> bytes:
    features = {
        "flags": {key: {"elements": {one: {} for one in found}} for key, found in (flags or {}).items()},
        "attributes": {key: {"elements": found} for key, found in (attributes or {}).items()},
        "instances": {
            key: {"elements": [{"attributes": one} for one in found]}
            for key, found in (instances or {}).items()
        },
    }
    metadata = {
        "name": name or node,
        "namespace": "nfd",
        "labels": {"nfd.node.kubernetes.io/node-name": node},
    }
    return raw(metadata=metadata, spec={"features": features})


NIC = {"class": "0200", "vendor": "8086"}


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        pytest.param(
            {"flags": {"cpu.cpuid": ["AMXTILE"]}}, {"cpu.cpuid.AMXTILE": ""}, id="a-flag-has-no-value"
        ),
        pytest.param(
            {"attributes": {"cpu.model": {"family": "6", "vendor_id": "Intel"}}},
            {"cpu.model.family": "6", "cpu.model.vendor_id": "Intel"},
            id="an-attribute-has-one",
        ),
        pytest.param(
            {"attributes": {"cpu.security": {"sgx.enabled": "true"}, "cpu.sst": {"bf.enabled": "true"}}},
            {"cpu.security.sgx.enabled": "true", "cpu.sst.bf.enabled": "true"},
            id="elements-may-have-dots",
        ),
        pytest.param(
            {"attributes": {"cpu.rdt": {"RDTL3CA": "true", "RDTL3CA_NUM_CLOSID": "16"}}},
            {"cpu.rdt.RDTL3CA": "true", "cpu.rdt.RDTL3CA_NUM_CLOSID": "16"},
            id="rdt-of-newer-nfd",
        ),
        pytest.param({"flags": {"cpu.rdt": ["RDTL3CA"]}}, {"cpu.rdt.RDTL3CA": ""}, id="rdt-of-older-nfd"),
        pytest.param(
            {
                "attributes": {"kernel.config": {"NUMA": "y"}, "system.name": {"nodename": "n1"}},
                "flags": {"kernel.loadedmodule": ["ice"], "kernel.enabledmodule": ["ice"]},
                "instances": {"network.virtual": [{"name": "veth1"}]},
            },
            {},
            id="what-changes-or-names-the-node-is-left-out",
        ),
        pytest.param(
            {
                "attributes": {
                    "system.dmiid": {
                        "product_name": "R760",
                        "board_asset_tag": "A17",
                        "product_serial": "X1",
                        "product_uuid": "4c4c4544-0044-4810-8031-b4c04f4d4b33",
                    },
                    "local.feature": {
                        "rack-mac": "rack7",
                        "uplink": "3c:fd:fe:9e:1a:02",
                        "id": "4c4c4544-0044-4810-8031-b4c04f4d4b33",
                        "self": "n1",
                        "machine_type": "dense",
                    },
                }
            },
            {"system.dmiid.product_name": "R760", "local.feature.machine_type": "dense"},
            id="serials-macs-uuids-and-its-own-name-are-left-out",
        ),
        pytest.param(
            {"attributes": {"local.feature": {"long": "x" * 257, "n" * 129: "y", "short": "x" * 256}}},
            {"local.feature.short": "x" * 256},
            id="names-and-values-are-bounded",
        ),
        pytest.param(
            {
                "instances": {
                    "pci.device": [NIC, NIC | {"sriov_totalvfs": "64"}, {"class": "0302", "vendor": "10de"}]
                }
            },
            {
                "pci.device.0200_8086": "2",
                "pci.device.0200_8086.present": "true",
                "pci.device.0200_8086.sriov.capable": "true",
                "pci.device.0302_10de": "1",
                "pci.device.0302_10de.present": "true",
            },
            id="devices-are-counted",
        ),
        pytest.param(
            {
                "instances": {
                    "network.device": [
                        {"name": "eno1", "speed": "100000", "sriov_totalvfs": "64", "sriov_numvfs": "0"},
                        {"name": "eno2", "speed": "-1", "operstate": "down"},
                        {"name": "eno3", "speed": "25000", "sriov_totalvfs": "8", "sriov_numvfs": "4"},
                    ]
                }
            },
            {
                "network.device": "3",
                "network.device.speed_max": "100000",
                "network.device.sriov.capable": "true",
                "network.device.sriov.configured": "true",
            },
            id="network-cards-by-what-rules-ask",
        ),
        pytest.param(
            {
                "instances": {
                    "storage.block": [{"name": "sda", "rotational": "0"}, {"name": "sdb", "rotational": "1"}]
                }
            },
            {"storage.block.nonrotationaldisk": "true"},
            id="disks-come-and-go-and-are-not-counted",
        ),
        pytest.param(
            {
                "instances": {
                    "usb.device": [{"class": "0e", "vendor": "1d6b", "device": "0102", "serial": "7"}]
                }
            },
            {"usb.device.0e_1d6b_0102": "1", "usb.device.0e_1d6b_0102.present": "true"},
            id="usb-without-serial",
        ),
        pytest.param(
            {"instances": {"vendor.fpga": [{"a": "b"}]}}, {"vendor.fpga": "1"}, id="others-are-counted"
        ),
    ],
)
def test_a_node_feature_is_flattened_to_what_nodes_can_share(
    given_: dict[str, Any], expected: dict[str, str]
) -> None:
    key, row = FeatureRows().row(node_feature(**given_))
    assert merged({key: row}) == expected


@pytest.mark.parametrize("features", [{}, {"flags": None}, {"flags": {"cpu.cpuid": {"elements": None}}}])
def test_a_node_feature_may_say_nothing(features: dict[str, Any]) -> None:
    key, row = FeatureRows().row(
        raw(metadata={"name": "n1", "namespace": "nfd"}, spec={"features": features})
    )
    assert (row.node, merged({key: row})) == ("n1", {})


def test_objects_of_one_node_are_merged_nfds_own_first() -> None:
    rows = FeatureRows()
    said = [
        node_feature(name="a-vendor", attributes={"local.feature": {"tier": "gold", "fpga": "yes"}}),
        node_feature(attributes={"local.feature": {"tier": "iron"}}, instances={"pci.device": [NIC]}),
        node_feature(name="b-vendor", instances={"pci.device": [NIC, NIC]}),
    ]
    assert merged(dict(map(rows.row, said))) == {
        "local.feature.fpga": "yes",
        "local.feature.tier": "gold",
        "pci.device.0200_8086": "3",
        "pci.device.0200_8086.present": "true",
    }


def test_what_has_another_value_on_each_node_is_left_out_from_the_second_list_on() -> None:
    rows = FeatureRows()

    def listed(values: int) -> list[dict[str, str]]:
        rows.begin()
        said = [
            node_feature(
                f"n{number}", attributes={"local.feature": {"slot": str(number % values), "tier": "a"}}
            )
            for number in range(200)
        ]
        return [merged(dict([rows.row(each)])) for each in said]

    assert listed(MOST_VALUES)[199]["local.feature.slot"] == "7"
    assert "local.feature.slot" not in listed(MOST_VALUES + 1)[199]
    assert all(each == {"local.feature.tier": "a"} for each in listed(200))
    assert all(each == {"local.feature.tier": "a"} for each in listed(2)), "it was so in the list before"
    assert listed(2)[1]["local.feature.slot"] == "1"


def test_a_profile_has_so_many_features_and_no_more() -> None:
    many = {f"f{number:04}": "1" for number in range(MOST_FEATURES + 1)}
    assert (
        len(merged(dict([FeatureRows().row(node_feature(attributes={"local.feature": many}))])))
        == MOST_FEATURES
    )


@pytest.mark.parametrize(
    ("handlers", "expected"),
    [
        (None, ()),
        ([], ()),
        ([{"name": ""}], ("",)),
        ([{"name": ""}, {"name": "runc"}, {"name": "kata-qemu", "features": {}}], ("kata-qemu", "runc")),
    ],
)
def test_a_node_that_lists_no_handlers_is_not_one_that_has_none(
    handlers: list[Any] | None, expected: tuple[str, ...]
) -> None:
    _, row = node_row(raw(metadata={"name": "n1"}, status={"runtimeHandlers": handlers}))
    assert row.handlers == expected


def test_the_profile_changes_with_features_and_handlers() -> None:
    _, plain = node_row(raw(metadata={"name": "n1"}))
    _, sandboxed = node_row(raw(metadata={"name": "n1"}, status={"runtimeHandlers": [{"name": "kata"}]}))
    featured = plain.joined({"cpu.cpuid.AVX": ""}, {})
    assert len({plain.profile, sandboxed.profile, featured.profile}) == 3
    assert plain.joined({}, {}) is plain


def zone(name: str, available: dict[str, Any], type_: str = "Node") -> dict[str, Any]:
    resources = [
        {"name": key, "capacity": "64", "allocatable": "63", "available": value}
        for key, value in available.items()
    ]
    return {"name": name, "type": type_, "resources": resources}


def attributes(**values: str) -> list[dict[str, str]]:
    return [{"name": f"topologyManager{name.capitalize()}", "value": value} for name, value in values.items()]


@pytest.mark.parametrize(
    ("body", "policy", "scope"),
    [
        ({}, "none", "container"),
        ({"topologyPolicies": ["SingleNUMANodePodLevel"]}, "single-numa-node", "pod"),
        (
            {"topologyPolicies": ["BestEffortContainerLevel", "SingleNUMANodePodLevel"]},
            "best-effort",
            "container",
        ),
        ({"topologyPolicies": ["SingleNUMANode"]}, "none", "container"),
        ({"attributes": attributes(policy="restricted", scope="pod")}, "restricted", "pod"),
        (
            {"topologyPolicies": ["SingleNUMANodePodLevel"], "attributes": attributes(policy="best-effort")},
            "best-effort",
            "pod",
        ),
        (
            {"topologyPolicies": ["RestrictedPodLevel"], "attributes": attributes(policy="SingleNUMANode")},
            "restricted",
            "pod",
        ),
    ],
)
def test_policies_are_the_deprecated_ones_first_and_attributes_override(
    body: dict[str, Any], policy: str, scope: str
) -> None:
    _, row = topology_row(raw(metadata={"name": "n1"}, **body))
    assert row.policy == TopologyPolicy(policy, scope)


def test_zones_are_those_of_type_node_numbered_up_to_64_by_what_is_available() -> None:
    zones = [
        zone("node-1", {"cpu": "30", "memory": "1Gi"}),
        zone("node-0", {"cpu": "20500m", "intel.com/vf": 4}),
        zone("node-65", {"cpu": "1"}),
        zone("node-x", {"cpu": "1"}),
        zone("socket-0", {"cpu": "1"}, type_="Socket"),
        zone("node-64", {}),
    ]
    _, row = topology_row(raw(metadata={"name": "n1"}, zones=zones))
    assert row.zones == (
        (0, {"cpu": 20_500, "intel.com/vf": 4}),
        (1, {"cpu": 30_000, "memory": 2**30}),
        (64, {}),
    )


def test_a_shard_says_zones_in_columns() -> None:
    pinned = attributes(policy="single-numa-node")
    zones = [zone("node-0", {"cpu": "2"}), zone("node-1", {"cpu": "3", "memory": "1Ki"})]
    rows = dict(
        topology_row(raw(**body))
        for body in (
            {"metadata": {"name": "b"}, "zones": zones, "attributes": pinned},
            {"metadata": {"name": "c"}, "attributes": pinned},
            {"metadata": {"name": "d"}, "zones": [zone("node-7", {"cpu": "4"})]},
            {"metadata": {"name": "gone"}, "zones": zones},
        )
    )
    report = topology(["a", "b", "c", "d"], rows)
    assert report.policies == [TopologyPolicy("none"), TopologyPolicy("single-numa-node")]
    assert unpack_column(report.policy_of) == [-1, 1, -1, 0]
    assert unpack_column(report.zone_node) == [1, 1, 3]
    assert unpack_column(report.zone_number) == [0, 1, 7]
    assert report.resources == ["cpu", "memory"]
    assert list(map(unpack_column, report.available)) == [[2000, 3000, 4000], [-1, 1024, -1]]
    assert topology(["a"], rows).zones == 0


def test_a_runtime_class_brings_its_overhead_and_where_it_runs() -> None:
    _, plain = runtime_class_row(raw(metadata={"name": "runc"}, handler="runc", overhead=None))
    assert (plain.overhead, plain.node_selector, plain.tolerations) == ({}, {}, [])
    _, kata = runtime_class_row(
        raw(
            metadata={"name": "kata"},
            handler="kata-qemu",
            overhead={"podFixed": {"cpu": "250m", "memory": "320Mi"}},
            scheduling={
                "nodeSelector": {"kata": "true"},
                "tolerations": [{"key": "kata", "operator": "Exists", "tolerationSeconds": 5}],
            },
        )
    )
    assert kata.overhead == {"cpu": 250, "memory": 320 * 2**20}
    assert kata.node_selector == {"kata": "true"}
    assert kata.tolerations == [PodToleration(key="kata", operator="Exists")]


def attachment(config: Any, *, resource: str = "", name: str = "lan") -> bytes:
    annotations = {networks.RESOURCE_NAME: resource} if resource else None
    text = config if isinstance(config, str) else msgspec.json.encode(config).decode()
    return raw(metadata={"name": name, "namespace": "net", "annotations": annotations}, spec={"config": text})


def whereabouts(**ipam: Any) -> dict[str, Any]:
    return {"type": "macvlan", "ipam": {"type": "whereabouts", **ipam}}


@pytest.mark.parametrize(
    ("config", "type_", "pools"),
    [
        pytest.param("", "", [], id="configured-on-the-nodes"),
        pytest.param("{broken", "", [], id="no-json"),
        pytest.param({"type": "bridge"}, "bridge", [], id="no-addresses"),
        pytest.param({"type": "macvlan", "ipam": {"type": "dhcp"}}, "macvlan", [], id="not-whereabouts"),
        pytest.param(whereabouts(range="10.0.0.7/24"), "macvlan", ["10.0.0.0-24"], id="a-range"),
        pytest.param(
            {"plugins": [{"type": "sriov", **whereabouts(range="10.0.0.0/24")}, {"type": "tuning"}]},
            "macvlan",
            ["10.0.0.0-24"],
            id="a-chain-of-plugins",
        ),
        pytest.param(
            whereabouts(range="10.0.0.0/24", network_name="blue"), "macvlan", ["blue-10.0.0.0-24"], id="named"
        ),
        pytest.param(
            whereabouts(ipRanges=[{"range": "10.0.0.0/24"}, {"range": "fd00::/120"}]),
            "macvlan",
            ["10.0.0.0-24", "fd00---120"],
            id="several-ranges",
        ),
        pytest.param(
            whereabouts(range="10.1.0.0/24", ipRanges=[{"range": "10.2.0.0/24"}]),
            "macvlan",
            ["10.1.0.0-24", "10.2.0.0-24"],
            id="range-beside-ranges",
        ),
        pytest.param(whereabouts(range="10.0.0.0/8", node_slice_size="/24"), "macvlan", [], id="cut-by-node"),
        pytest.param(whereabouts(), "macvlan", [], id="range-in-a-file-on-the-nodes"),
        pytest.param(whereabouts(range="10.0.0.300/24"), "macvlan", [], id="no-range"),
    ],
)
def test_an_attachment_names_its_plugin_and_its_pools(config: Any, type_: str, pools: list[str]) -> None:
    _, row = attachment_row(attachment(config, resource="intel.com/vf"))
    assert (row.attachment.type, row.attachment.resource) == (type_, "intel.com/vf")
    assert [name for name, _ in row.ranges] == pools


@pytest.mark.parametrize(
    ("ipam", "first", "last", "total"),
    [
        pytest.param({"range": "10.0.0.0/24"}, "10.0.0.1", "10.0.0.254", 254, id="no-network-nor-broadcast"),
        pytest.param({"range": "10.0.0.9/30"}, "10.0.0.9", "10.0.0.10", 2, id="the-smallest"),
        pytest.param({"range": "10.0.0.0/31"}, "10.0.0.1", "10.0.0.0", 0, id="too-small"),
        pytest.param(
            {"range": "10.0.0.20-10.0.0.29/24"}, "10.0.0.20", "10.0.0.29", 10, id="written-with-both-ends"
        ),
        pytest.param(
            {"range": "10.0.0.0/24", "range_start": "10.0.0.50", "range_end": "10.0.0.59"},
            "10.0.0.50",
            "10.0.0.59",
            10,
            id="start-and-end",
        ),
        pytest.param(
            {"range": "10.0.0.0/24", "range_start": "10.1.0.0", "range_end": "10.0.0.255"},
            "10.0.0.1",
            "10.0.0.254",
            254,
            id="ends-outside-are-passed-over",
        ),
        pytest.param(
            {"range": "10.0.0.0/24", "range_start": "10.0.0.50", "range_end": "10.0.0.49"},
            "10.0.0.50",
            "10.0.0.254",
            205,
            id="an-end-before-the-start",
        ),
        pytest.param(
            {"range": "10.0.0.0/24", "exclude": ["10.0.0.0/28", "10.0.0.8/29", "10.0.0.16", "10.9.0.0/16"]},
            "10.0.0.1",
            "10.0.0.254",
            254 - 16,
            id="what-is-excluded-once",
        ),
        pytest.param(
            {"range": "fd00::/64"}, "fd00::1", "fd00::ffff:ffff:ffff:fffe", 2**53, id="more-than-counted"
        ),
    ],
)
def test_a_range_gives_what_whereabouts_gives(
    ipam: dict[str, Any], first: str, last: str, total: int
) -> None:
    _, row = attachment_row(attachment(whereabouts(**ipam)))
    ((_, addresses),) = row.ranges
    assert addresses.total == total
    assert (addresses.first, addresses.last) == (int(ip_address(first)), int(ip_address(last)))


@given(excluded=st.lists(st.tuples(st.integers(0, 63), st.integers(26, 32)), max_size=6))
def test_an_address_is_given_or_excluded(excluded: list[tuple[int, int]]) -> None:
    exclude = [f"10.0.0.{address}/{length}" for address, length in excluded]
    _, row = attachment_row(attachment(whereabouts(range="10.0.0.0/26", exclude=exclude)))
    ((_, addresses),) = row.ranges
    assert addresses.total == sum(map(addresses.gives, range(addresses.first - 2, addresses.last + 3)))


@pytest.mark.parametrize(
    ("network", "network_name", "expected"),
    [
        ("10.0.0.0/8", "", "10.0.0.0-8"),
        ("192.168.2.0/28", "green", "green-192.168.2.0-28"),
        ("2001:db8::/64", "", "2001-db8---64"),
        ("2001:db8::", "", "2001-db8--0"),
    ],
)
def test_pools_are_called_as_whereabouts_calls_them(network: str, network_name: str, expected: str) -> None:
    assert pool_name(network, network_name) == expected


def ip_pool(range_: str, given_: dict[str, str], *, name: str = "", namespace: str = "kube-system") -> bytes:
    allocations = {offset: {"id": "c1", "podref": ref, "ifname": "net1"} for offset, ref in given_.items()}
    metadata = {"name": name or pool_name(range_), "namespace": namespace}
    return raw(metadata=metadata, spec={"range": range_, "allocations": allocations})


def pod(workload: str = "w1", **rest: Any) -> PodRow:
    fields: dict[str, Any] = {"node": "a", "template": "t1", "asks": {}, "finished": False, "deleting": False}
    return PodRow(workload=workload, ready=True, **(fields | rest))


PODS = {
    ("shop", "ours-1"): pod(),
    ("shop", "ours-2"): pod(),
    ("shop", "going"): pod(deleting=True),
    ("shop", "done"): pod(finished=True),
    ("shop", "other"): pod(workload=""),
}


def counted(
    config: dict[str, Any], *pools: bytes, more: dict[str, Any] | None = None
) -> tuple[list[Attachment], list[Pool]]:
    rows = [attachment(config)] + ([attachment(more, name="wan")] if more else [])
    return networks.attachments(dict(map(attachment_row, rows)), dict(map(pool_row, pools)), PODS)


@pytest.mark.parametrize(
    ("ipam", "pools", "free", "held"),
    [
        pytest.param({"range": "10.0.0.0/28"}, [], 14, {}, id="nothing-given-yet"),
        pytest.param(
            {"range": "10.0.0.0/28"},
            [
                (
                    "10.0.0.0/28",
                    {"1": "shop/ours-1", "2": "shop/ours-2", "3": "shop/other", "4": "shop/nobody"},
                )
            ],
            10,
            {"w1": 2},
            id="held-by-workload",
        ),
        pytest.param(
            {"range": "10.0.0.0/28"},
            [("10.0.0.0/28", {"1": "shop/going", "2": "shop/done"})],
            12,
            {},
            id="who-goes-holds-an-address-that-his-successor-does-not-have",
        ),
        pytest.param(
            {"range": "10.0.0.0/28", "exclude": ["10.0.0.0/29"]},
            [("10.0.0.0/28", {"3": "shop/other", "9": "shop/other", "odd": "shop/other"})],
            6,
            {},
            id="given-before-it-was-excluded",
        ),
        pytest.param(
            {"range": "10.0.0.0/28"},
            [("10.0.0.0/24", {"5": "shop/other", "99": "shop/other"})],
            13,
            {},
            id="given-by-a-range-that-overlaps",
        ),
        pytest.param(
            {"range": "10.0.0.0/28", "network_name": "blue"},
            [("10.0.0.0/24", {"5": "shop/other"})],
            14,
            {},
            id="another-network-overlaps-nothing",
        ),
    ],
)
def test_free_is_what_can_still_be_given(
    ipam: dict[str, Any], pools: list[tuple[str, dict[str, str]]], free: int, held: dict[str, int]
) -> None:
    (found,), (pool,) = counted(whereabouts(**ipam), *(ip_pool(*each) for each in pools))
    assert found.pool == pool.name
    assert (pool.free, pool.held) == (free, held)


def test_of_several_ranges_the_scarcest_is_the_attachments_pool() -> None:
    ranges = [{"range": "10.0.0.0/24"}, {"range": "10.0.1.0/29"}]
    (found,), pools = counted(whereabouts(ipRanges=ranges))
    assert (found.pool, [pool.name for pool in pools]) == ("10.0.1.0-29", ["10.0.0.0-24", "10.0.1.0-29"])


def test_a_range_that_two_attachments_cut_is_as_large_as_the_smaller_cut() -> None:
    found, (pool,) = counted(
        whereabouts(range="10.0.0.0/24"), more=whereabouts(range="10.0.0.0/24", range_end="10.0.0.9")
    )
    assert [each.key for each in found] == ["net/lan", "net/wan"]
    assert (pool.total, pool.free) == (9, 9)


def test_a_pool_that_no_attachment_names_is_not_told() -> None:
    assert networks.attachments({}, dict([pool_row(ip_pool("10.0.0.0/24", {}))]), {}) == ([], [])


def test_a_pool_whose_range_is_none_is_odd() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"spec\.range"):
        pool_row(ip_pool("many", {}))
