"""The fleet-wide inventory, of fleets written by hand: what is there, what is alike, and who lacks it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from controlplane.fleet import Demand, Part, Promise
from controlplane.fleet.traits import feature_of, labels_of
from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, Standing
from controlplane.queries import inventory
from controlplane.queries.inventory_nodes import MOST_VALUES, is_gpu
from controlplane.queries.inventory_rows import MOST_NAMED, FeatureRow, GpuIn, GpuRow, NetworkRow, RuntimeRow
from controlplane.queries.paging import BadQuery, Page, Query
from schemas.wire.hardware import DEVICE_CLASS_RESOURCE, Attachment, Hardware, Pool, RuntimeClass
from schemas.wire.reports import Facts, Inventory, Profile, Usage
from schemas.wire.subjects import shard_name

NFD = "feature.node.kubernetes.io/"
H100 = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.replicas": "1",
}
MIB = 2**20


@dataclass(frozen=True)
class Nodes:
    """count nodes that are alike. foreign: requested on each by others."""

    count: int
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    resources: Mapping[str, int] = field(default_factory=dict[str, int])
    foreign: Mapping[str, int] = field(default_factory=dict[str, int])
    features: Mapping[str, str] = field(default_factory=dict[str, str])
    handlers: tuple[str, ...] = ()


def pack(values: list[int]) -> bytes:
    return np.array(values, "<i8").tobytes()


def add_cluster(known: Known, name: str, *nodes: Nodes, hardware: Hardware | None = None) -> None:
    """A cluster whose id is not its name, as in life."""
    known.put_cluster(
        ClusterRecord(f"C-{name}", name, {}, (), "uid", "key", b"", Standing.JOINED, "", 1, 1, 0.0)
    )
    fleet, cluster, shard = known.fleet, f"C-{name}", shard_name(1, 0)
    fleet.apply_facts(cluster, Facts(incarnation=1, sequence=1, layout=1, kubernetes_version="v1.34.1"))
    profiles = [
        Profile(
            incarnation=1,
            sequence=2,
            labels=dict(each.labels),
            features=dict(each.features),
            handlers=list(each.handlers),
        )
        for each in nodes
    ]
    for profile in profiles:
        fleet.apply_profile(cluster, profile.hash, profile)
    of_node = [at for at, each in enumerate(nodes) for _ in range(each.count)]
    resources = sorted({name for each in nodes for name in each.resources})
    zeros = pack([0] * len(of_node))
    fleet.apply_inventory(
        cluster,
        shard,
        Inventory(
            incarnation=1,
            sequence=3,
            epoch=1,
            names=[f"n-{at:03}" for at in range(len(of_node))],
            profile_hashes=[each.hash for each in profiles],
            profiles=pack(of_node),
            resources=resources,
            allocatable=[pack([nodes[at].resources.get(name, 0) for at in of_node]) for name in resources],
            taint_sets=[[]],
            taints=zeros,
            condition_sets=[["Ready"]],
            conditions=zeros,
        ),
    )
    fleet.apply_usage(
        cluster,
        shard,
        Usage(
            incarnation=1,
            sequence=4,
            epoch=1,
            nodes=len(of_node),
            resources=resources,
            foreign=[pack([nodes[at].foreign.get(name, 0) for at in of_node]) for name in resources],
        ),
    )
    if hardware is not None:
        fleet.apply_hardware(cluster, hardware)


def hardware(**parts: list[RuntimeClass] | list[Attachment] | list[Pool]) -> Hardware:
    return Hardware(incarnation=1, sequence=5, **parts)  # pyright: ignore[reportArgumentType]


def read(listing: inventory.InventoryListing[inventory.Row]) -> Page[inventory.Row]:
    for _ in listing.steps():
        pass
    return listing.page()


def runtimes(known: Known, filter: str = "", cluster: str = "") -> dict[tuple[str, str], RuntimeRow]:
    page = read(inventory.runtimes(known, Query(filter=filter), cluster))
    return {(row.name, row.handler): row for row in page.items}


def networks(known: Known, filter: str = "", cluster: str = "") -> dict[tuple[str, str], NetworkRow]:
    page = read(inventory.networks(known, Query(filter=filter), cluster))
    return {(row.kind, row.name): row for row in page.items}


def gpus(known: Known, filter: str = "", cluster: str = "") -> tuple[GpuRow, ...]:
    return read(inventory.gpus(known, Query(filter=filter), cluster)).items


def features(known: Known, filter: str = "", cluster: str = "") -> dict[str, FeatureRow]:
    page = read(inventory.features(known, Query(filter=filter), cluster))
    return {row.name: row for row in page.items}


class TestRuntimes:
    @pytest.fixture
    def known(self) -> Known:
        known = Known()
        kata = RuntimeClass(
            name="kata",
            handler="kata-qemu",
            overhead={"cpu": 250, "memory": 320 * MIB},
            node_selector={"kata": "true"},
        )
        add_cluster(
            known, "a", Nodes(3, {"kata": "true"}), Nodes(5), hardware=hardware(runtime_classes=[kata])
        )
        other = RuntimeClass(name="kata", handler="kata-clh", overhead={"memory": 130 * MIB})
        runc = RuntimeClass(name="plain", handler="runc")
        add_cluster(
            known,
            "b",
            Nodes(2, handlers=("runc", "kata-clh")),
            Nodes(4, {"old": ""}, handlers=("runc",)),
            hardware=hardware(runtime_classes=[other, runc]),
        )
        add_cluster(known, "c", Nodes(1), hardware=hardware())
        add_cluster(known, "silent", Nodes(1))
        return known

    def test_one_name_with_two_handlers_is_two_rows_each_flagged_with_the_other(self, known: Known) -> None:
        rows = runtimes(known)
        assert set(rows) == {("kata", "kata-qemu"), ("kata", "kata-clh"), ("plain", "runc")}
        assert (rows["kata", "kata-qemu"].conflict, rows["kata", "kata-qemu"].other_handlers) == (
            True,
            ("kata-clh",),
        )
        assert not rows["plain", "runc"].conflict

    def test_nodes_are_those_that_the_selector_matches_and_whose_runtime_has_the_handler(
        self, known: Known
    ) -> None:
        rows = runtimes(known)
        assert rows["kata", "kata-qemu"].nodes == 3
        assert rows["kata", "kata-clh"].nodes == 2
        assert rows["plain", "runc"].nodes == 6

    def test_who_lacks_it_has_no_class_of_that_name_whatever_its_handler(self, known: Known) -> None:
        rows = runtimes(known)
        assert rows["kata", "kata-qemu"].lacking == ("c",)
        assert rows["plain", "runc"].lacking == ("a", "c")

    def test_a_cluster_that_reported_no_hardware_neither_has_nor_lacks_it(self, known: Known) -> None:
        assert all("silent" not in row.lacking for row in runtimes(known).values())

    def test_which_of_them_is_a_sandbox_follows_from_the_handler(self, known: Known) -> None:
        assert {name: row.sandboxed for (name, _), row in runtimes(known).items()} == {
            "kata": True,
            "plain": False,
        }

    def test_of_one_cluster_there_is_no_conflict(self, known: Known) -> None:
        rows = runtimes(known, cluster="a")
        assert [(row.name, row.conflict) for row in rows.values()] == [("kata", False)]

    def test_overhead_and_selector_are_each_clusters_own(self, known: Known) -> None:
        part = runtimes(known, "handler=kata-qemu")["kata", "kata-qemu"].where[0]
        assert (part.cluster, part.overhead, part.node_selector) == (
            "a",
            {"cpu": 250, "memory": 320 * MIB},
            {"kata": "true"},
        )

    @pytest.mark.parametrize(
        ("filter", "handlers"),
        [
            ("conflict=true", {"kata-qemu", "kata-clh"}),
            ("cluster=b", {"kata-clh", "runc"}),
            ("lacking=a", {"runc"}),
            ("nodes>2", {"kata-qemu", "runc"}),
        ],
    )
    def test_rows_are_filtered(self, known: Known, filter: str, handlers: set[str]) -> None:
        assert {handler for _, handler in runtimes(known, filter)} == handlers


class TestNetworks:
    @pytest.fixture
    def known(self) -> Known:
        known = Known()
        vfs = "intel.com/vfs"
        sriov = Attachment(namespace="default", name="data", type="sriov", resource=vfs, pool="10.0.0.0/24")
        flat = Attachment(namespace="default", name="flat", type="macvlan")
        add_cluster(
            known,
            "a",
            Nodes(2, resources={vfs: 8}, foreign={vfs: 3}),
            hardware=hardware(
                attachments=[sriov, flat],
                pools=[Pool(name="10.0.0.0/24", range="10.0.0.0/24", total=250, free=20)],
            ),
        )
        add_cluster(
            known,
            "b",
            Nodes(1, resources={vfs: 8}),
            hardware=hardware(attachments=[sriov], pools=[Pool(name="10.0.0.0/24", total=100, free=0)]),
        )
        add_cluster(known, "c", Nodes(1), hardware=hardware())
        return known

    def test_an_attachment_has_the_addresses_of_its_pool_and_the_interfaces_of_its_resource(
        self, known: Known
    ) -> None:
        row = networks(known)["Attachment", "default/data"]
        assert (row.addresses, row.addresses_free) == (350, 20)
        assert (row.interfaces, row.interfaces_free) == (24, 18)
        assert (row.types, row.resources) == (("sriov",), ("intel.com/vfs",))

    def test_what_nobody_counts_is_not_known_and_not_nought(self, known: Known) -> None:
        row = networks(known)["Attachment", "default/flat"]
        assert (row.addresses, row.addresses_free, row.interfaces, row.interfaces_free) == (None,) * 4
        assert row.clusters_exhausted == 0

    def test_a_pool_names_the_attachments_that_give_from_it(self, known: Known) -> None:
        row = networks(known)["Pool", "10.0.0.0/24"]
        assert row.where[0].attachments == ("default/data",)
        assert (row.addresses, row.addresses_free) == (350, 20)

    def test_who_lacks_it_and_where_it_is_used_up_are_told_apart(self, known: Known) -> None:
        row = networks(known)["Attachment", "default/data"]
        assert (row.clusters, row.exhausted, row.lacking) == (2, ("b",), ("c",))

    def test_addresses_that_are_promised_are_not_free(self, known: Known) -> None:
        demand = Demand(requests=(), pools=(("default/data", 2),))
        known.fleet.promise("C-a", "w", Promise((Part("t", demand, 4),)))
        assert networks(known)["Pool", "10.0.0.0/24"].addresses_free == 12

    def test_those_with_room_come_first(self, known: Known) -> None:
        assert [part.cluster for part in networks(known)["Pool", "10.0.0.0/24"].where] == ["a", "b"]


class TestGpus:
    @pytest.mark.parametrize(
        ("labels", "resource", "expected"),
        [
            pytest.param(
                H100,
                "nvidia.com/gpu",
                ("NVIDIA-H100-80GB-HBM3", 81559 * MIB, "", "", 1),
                id="whole",
            ),
            pytest.param(
                {
                    **H100,
                    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED",
                    "nvidia.com/gpu.replicas": "4",
                    "nvidia.com/gpu.sharing-strategy": "time-slicing",
                },
                "nvidia.com/gpu",
                ("NVIDIA-H100-80GB-HBM3", 81559 * MIB, "", "time-slicing", 4),
                id="shared in time: memory is of the device",
            ),
            pytest.param(
                {**H100, "nvidia.com/gpu.product": "Tesla-T4-SHARED", "nvidia.com/gpu.replicas": "2"},
                "nvidia.com/gpu",
                ("Tesla-T4", 81559 * MIB, "", "time-slicing", 2),
                id="shared, by an older discovery that names no strategy",
            ),
            pytest.param(
                {
                    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
                    "nvidia.com/gpu.memory": "9728",
                    "nvidia.com/mig.strategy": "single",
                },
                "nvidia.com/gpu",
                ("NVIDIA-H100-80GB-HBM3", 9728 * MIB, "1g.10gb", "", 1),
                id="MIG single: product and memory are the slice's",
            ),
            pytest.param(
                {
                    **H100,
                    "nvidia.com/mig-1g.10gb.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
                    "nvidia.com/mig-1g.10gb.memory": "9728",
                },
                "nvidia.com/mig-1g.10gb",
                ("NVIDIA-H100-80GB-HBM3", 9728 * MIB, "1g.10gb", "", 1),
                id="MIG mixed: each profile has labels of its own",
            ),
            pytest.param({}, "nvidia.com/mig-2g.20gb", ("", None, "2g.20gb", "", 1), id="no labels"),
            pytest.param(
                {"amd.com/gpu.product-name": "AMD_Instinct_MI300X"},
                "amd.com/gpu",
                ("AMD_Instinct_MI300X", None, "", "", 1),
                id="another vendor",
            ),
        ],
    )
    def test_what_a_node_has_is_read_from_its_labels(
        self,
        labels: Mapping[str, str],
        resource: str,
        expected: tuple[str, int | None, str, str, int],
    ) -> None:
        known = Known()
        add_cluster(known, "a", Nodes(1, labels, {resource: 8}))
        (row,) = gpus(known)
        assert (row.product, row.memory, row.mig, row.sharing, row.replicas) == expected
        assert (row.resource, row.count, row.free) == (resource, 8, 8)

    def test_what_is_alike_is_one_row_over_clusters(self) -> None:
        known = Known()
        add_cluster(known, "a", Nodes(2, H100, {"nvidia.com/gpu": 8}, {"nvidia.com/gpu": 5}))
        add_cluster(
            known,
            "b",
            Nodes(1, {**H100, "rack": "7"}, {"nvidia.com/gpu": 4}),
            Nodes(1, H100, {"nvidia.com/gpu": 4}),
        )
        add_cluster(known, "c", Nodes(1, {}, {"cpu": 4000}))
        (row,) = gpus(known)
        assert (row.count, row.free, row.nodes, row.clusters, row.lacking) == (24, 14, 4, 2, ("c",))
        assert row.where == (GpuIn("b", 2, 8, 8), GpuIn("a", 2, 16, 6))

    def test_devices_of_dra_are_named_by_their_class(self) -> None:
        known = Known()
        add_cluster(known, "a", Nodes(1, {}, {f"{DEVICE_CLASS_RESOURCE}gpu.example.com": 2}))
        (row,) = gpus(known)
        assert (row.device_class, row.count) == ("gpu.example.com", 2)

    def test_nodes_that_have_none_of_it_are_not_counted(self) -> None:
        known = Known()
        add_cluster(known, "a", Nodes(1, {}, {"nvidia.com/gpu": 1}), Nodes(9, {}, {"nvidia.com/gpu": 0}))
        assert [row.nodes for row in gpus(known)] == [1]

    @pytest.mark.parametrize(
        ("resource", "is_one"),
        [
            ("nvidia.com/gpu", True),
            ("nvidia.com/gpu.shared", True),
            ("nvidia.com/mig-1g.5gb", True),
            ("nvidia.com/mig-1g.5gb.me", True),
            ("amd.com/gpu", True),
            ("gpu.intel.com/i915", True),
            ("cpu", False),
            ("hugepages-1Gi", False),
            ("intel.com/sriov_data", False),
        ],
    )
    def test_which_resources_are_gpus(self, resource: str, is_one: bool) -> None:
        assert is_gpu(resource) is is_one


class TestFeatures:
    def test_labels_and_raw_features_of_one_meaning_are_one_row(self) -> None:
        known = Known()
        add_cluster(known, "new", Nodes(3, features={"cpu.rdt.RDTMBA": "true", "cpu.cpuid.AMXTILE": ""}))
        add_cluster(
            known, "old", Nodes(2, {f"{NFD}cpu-rdt.RDTMBA": "true", f"{NFD}cpu-cpuid.AMXTILE": "true"})
        )
        add_cluster(known, "bare", Nodes(4))
        rows = features(known)
        assert set(rows) == {"cpu.rdt.RDTMBA", "cpu.cpuid.AMXTILE"}
        row = rows["cpu.cpuid.AMXTILE"]
        assert (row.nodes, row.nodes_seen, row.clusters, row.lacking) == (5, 9, 2, ("bare",))
        assert [(part.cluster, part.nodes) for part in row.where] == [("new", 3), ("old", 2)]
        assert (rows["cpu.rdt.RDTMBA"].values, row.values) == ({"true": 5}, {"": 5})

    def test_values_are_counted_the_most_frequent_first_and_not_without_end(self) -> None:
        known = Known()
        add_cluster(
            known,
            "a",
            *(Nodes(1 + (at == 7), {f"{NFD}kernel-version.full": f"6.8.{at}"}) for at in range(30)),
        )
        row = features(known)["kernel.version.full"]
        assert (row.distinct, len(row.values)) == (30, MOST_VALUES)
        assert next(iter(row.values.items())) == ("6.8.7", 2)

    def test_other_labels_are_no_features(self) -> None:
        known = Known()
        add_cluster(known, "a", Nodes(1, {"kubernetes.io/arch": "arm64"}))
        assert features(known) == {}

    @pytest.mark.parametrize(
        ("filter", "names"),
        [
            ("name=cpu.cpuid.AVX2", {"cpu.cpuid.AVX2"}),
            ("domain=kernel", {"kernel.version.major"}),
            ("value=6", {"kernel.version.major"}),
            ("lacking=b", {"cpu.cpuid.AVX2"}),
            ("nodes>=3", {"kernel.version.major"}),
        ],
    )
    def test_rows_are_filtered(self, filter: str, names: set[str]) -> None:
        known = Known()
        add_cluster(known, "a", Nodes(2, features={"cpu.cpuid.AVX2": "", "kernel.version.major": "6"}))
        add_cluster(known, "b", Nodes(1, features={"kernel.version.major": "5"}))
        assert set(features(known, filter)) == names

    @pytest.mark.parametrize(
        "feature",
        [
            "cpu.cpuid.AMXTILE",
            "cpu.rdt.RDTMBA",
            "cpu.sst.bf.enabled",
            "cpu.topology.hardware_multithreading",
            "cpu.security.sgx.enabled",
            "kernel.version.major",
            "memory.numa.is_numa",
            "memory.nv.present",
            "network.device.sriov.capable",
            "pci.device.0302_10de.present",
            "storage.block.nonrotationaldisk",
            "system.osrelease.ID",
        ],
    )
    def test_a_label_of_every_version_has_its_features_name(self, feature: str) -> None:
        assert [feature_of(label) for label in labels_of(feature)] == [feature] * len(labels_of(feature))


class TestLists:
    @pytest.fixture
    def known(self) -> Known:
        known = Known()
        for name in ("a", "b"):
            add_cluster(known, name, Nodes(2, features={f"cpu.cpuid.F{at}": "" for at in range(5)}))
        return known

    def test_pages_follow_each_other_without_a_gap(self, known: Known) -> None:
        names: list[str] = []
        at = ""
        for _ in range(3):
            page = read(inventory.features(known, Query(sort="-nodes", limit=2, continue_=at)))
            names += [row.name for row in page.items]
            at = page.next
        assert (names, at) == ([f"cpu.cpuid.F{at}" for at in range(5)], "")

    @pytest.mark.parametrize(
        ("query", "parameter", "says"),
        [
            (Query(filter="colour=red"), "filter", "'colour' is no field here"),
            (Query(sort="cluster"), "sort", "'cluster' is no field to sort by"),
            (Query(sort="-value"), "sort", "'value' is no field to sort by"),
            (Query(limit=501), "limit", "1 to 500"),
        ],
    )
    def test_what_is_wrong_with_a_query_is_said_before_anything_is_read(
        self, known: Known, query: Query, parameter: str, says: str
    ) -> None:
        with pytest.raises(BadQuery, match=says) as error:
            inventory.features(known, query)
        assert error.value.parameter == parameter

    def test_a_removed_cluster_is_not_looked_at(self, known: Known) -> None:
        known.clusters["C-b"] = replace(known.clusters["C-b"], standing=Standing.REMOVED)
        assert {row.clusters for row in features(known).values()} == {1}

    def test_rows_name_so_many_clusters_and_count_all(self) -> None:
        known = Known()
        for at in range(MOST_NAMED + 20):
            add_cluster(known, f"c-{at:03}", Nodes(1, features={"cpu.cpuid.AVX2": ""}))
        row = features(known)["cpu.cpuid.AVX2"]
        assert (len(row.where), row.clusters) == (MOST_NAMED, MOST_NAMED + 20)
        assert features(known, "cluster=c-119") != {}
