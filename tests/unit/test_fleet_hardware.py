"""Addresses that bound a cluster, components that go together, and how features are spelled as labels."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.fleet import Demand, Fleet, Outcome, Part, Promise, Requirement
from controlplane.fleet.demand import Operator
from schemas.wire.hardware import Attachment, Hardware, PodToleration, Pool, RuntimeClass
from schemas.wire.reports import Bound, Profile
from tests.unit.reports import PLAIN, facts, inventory, profile, usage

NFD = "feature.node.kubernetes.io/"


def hardware(sequence: int = 1, *, free: int = 5, held: dict[str, int] | None = None) -> Hardware:
    """Attachments `net/a` and `net/b` share pool `p`; `net/open` is not counted."""
    return Hardware(
        incarnation=1,
        sequence=sequence,
        attachments=[
            Attachment(namespace="net", name="a", pool="p"),
            Attachment(namespace="net", name="b", pool="p"),
            Attachment(namespace="net", name="open"),
        ],
        pools=[Pool(name="p", total=100, free=free, held=held or {})],
    )


def asking(*attachments: str, cpu: int = 1000) -> Demand:
    plain = Demand.of({"cpu": cpu})
    return Demand(plain.requests, pools=tuple((each, 1) for each in attachments))


@pytest.fixture
def fleet() -> Fleet:
    """One cluster `c` of two nodes with 4 cores each."""
    fleet = Fleet()
    fleet.apply_facts("c", facts())
    fleet.apply_profile("c", PLAIN, profile())
    fleet.apply_inventory("c", "1-0", inventory("n1 n2"))
    fleet.apply_usage("c", "1-0", usage(2))
    return fleet


def room(fleet: Fleet, demand: Demand) -> int:
    (found,) = fleet.available(demand, ["c"])
    assert fleet.explain("c", demand).replicas == found
    return found


class TestHardware:
    def test_the_newest_counts(self, fleet: Fleet) -> None:
        assert fleet.hardware("c") is None
        assert fleet.apply_hardware("c", hardware(2)) is Outcome.APPLIED
        assert fleet.apply_hardware("c", hardware(2, free=9)) is Outcome.OLDER
        assert fleet.apply_hardware("c", hardware(1, free=9)) is Outcome.OLDER
        assert fleet.hardware("c") == hardware(2)
        assert fleet.applied("c", "hardware") == (1, 2)
        assert "hardware" not in fleet.missing("c")

    @pytest.mark.parametrize("part", ["overhead", "node_selector", "tolerations"])
    def test_a_class_that_asks_for_thousands_of_things_is_refused(self, fleet: Fleet, part: str) -> None:
        many: dict[str, Any] = {
            "overhead": {f"example.com/{at}": 1 for at in range(101)},
            "node_selector": {str(at): "" for at in range(101)},
            "tolerations": [PodToleration(str(at)) for at in range(101)],
        }
        kata = RuntimeClass(name="kata", handler="kata", **{part: many[part]})
        with pytest.raises(ValueError, match=f"runtime_classes: kata: {part} has 101 entries"):
            fleet.apply_hardware("c", msgspec.structs.replace(hardware(2), runtime_classes=[kata]))
        assert fleet.hardware("c") is None

    def test_addresses_bound_what_fits(self, fleet: Fleet) -> None:
        assert room(fleet, asking("net/a")) == 8, "nothing is known of addresses"
        fleet.apply_hardware("c", hardware())
        assert room(fleet, asking("net/a")) == 5
        assert room(fleet, asking("net/a", "net/b")) == 2, "both take from the same pool"
        assert room(fleet, asking("net/open")) == 8
        assert room(fleet, asking()) == 8
        counted = fleet.explain("c", asking("net/a"))
        assert str(counted) == "pool p: 5 free; 2 fit: 5 replicas"
        assert fleet.explain("c", asking("net/a", cpu=4000)).addresses == ()

    @pytest.mark.promise(2)
    def test_promised_addresses_count_until_they_are_held(self, fleet: Fleet) -> None:
        fleet.apply_hardware("c", hardware())
        fleet.promise("c", "w", Promise.of("t", asking("net/a"), 3))
        assert room(fleet, asking("net/b")) == 2
        fleet.apply_hardware("c", hardware(2, free=3, held={"w": 2}))
        assert room(fleet, asking("net/b")) == 2
        fleet.apply_hardware("c", hardware(3, free=2, held={"w": 3}))
        assert room(fleet, asking("net/b")) == 2
        fleet.unpromise("c", "w")
        assert room(fleet, asking("net/b")) == 2
        fleet.promise("c", "w", Promise.of("t", asking("net/a"), 9))
        assert room(fleet, asking("net/a")) == 0

    def test_addresses_are_promised_where_no_node_has_room_too(self, fleet: Fleet) -> None:
        fleet.apply_hardware("c", hardware())
        assert room(fleet, asking("net/b", cpu=500)) == 5
        fleet.promise("c", "w", Promise.of("t", asking("net/a", cpu=9000), 4))
        assert room(fleet, asking("net/b", cpu=500)) == 1

    @given(st.integers(0, 12), st.integers(0, 9))
    def test_promising_takes_exactly_its_replicas(self, free: int, replicas: int) -> None:
        fleet = Fleet()
        fleet.apply_facts("c", facts())
        fleet.apply_profile("c", PLAIN, profile())
        fleet.apply_inventory("c", "1-0", inventory("n1 n2"))
        fleet.apply_usage("c", "1-0", usage(2))
        fleet.apply_hardware("c", hardware(free=free))
        before = room(fleet, asking("net/a"))
        assert before == min(free, 8)
        fleet.promise("c", "w", Promise.of("t", asking("net/a"), replicas))
        assert room(fleet, asking("net/a")) == max(0, before - replicas)

    @given(st.integers(0, 12), st.integers(0, 12))
    def test_one_more_address_never_loses_room(self, free: int, promised: int) -> None:
        def with_addresses(count: int) -> int:
            fleet = Fleet()
            fleet.apply_facts("c", facts())
            fleet.apply_profile("c", PLAIN, profile())
            fleet.apply_inventory("c", "1-0", inventory("n1 n2"))
            fleet.apply_usage("c", "1-0", usage(2))
            fleet.apply_hardware("c", hardware(free=count))
            fleet.promise("c", "w", Promise.of("t", asking("net/b"), promised))
            return room(fleet, asking("net/a"))

        assert with_addresses(free + 1) >= with_addresses(free)


MASTER, WORKER = Demand.of({"cpu": 3000}), Demand.of({"cpu": 1000})


class TestComponents:
    def test_whole_sets_only(self, fleet: Fleet) -> None:
        """8 cores on two nodes: a master leaves room for one worker beside it."""
        assert fleet.available_sets([(MASTER, 1), (WORKER, 1)], ["c", "unheard"], 9) == [2, 0]
        assert fleet.available_sets([(MASTER, 1), (WORKER, 2)], ["c"], 9) == [1]
        assert fleet.available_sets([(MASTER, 1), (WORKER, 6)], ["c"], 9) == [0]
        assert fleet.available_sets([(MASTER, 1), (WORKER, 1)], ["c"], 1) == [1]
        assert fleet.available_sets([(WORKER, 3)], ["c"], 9) == [2]
        assert fleet.available_sets([(WORKER, 1), (MASTER, 0)], ["c"], 3) == [3]

    def test_a_trial_leaves_nothing_behind(self, fleet: Fleet) -> None:
        fleet.promise("c", "w", Promise.of("t", WORKER, 1))
        before = room(fleet, WORKER)
        fleet.available_sets([(MASTER, 1), (WORKER, 1)], ["c"], 9)
        fleet.apply_usage("c", "1-0", usage(2, 2))
        assert room(fleet, WORKER) == before == 7

    def test_addresses_of_all_components_count(self, fleet: Fleet) -> None:
        fleet.apply_hardware("c", hardware(free=3))
        sets = [(asking("net/a"), 1), (asking("net/b", cpu=500), 1)]
        assert fleet.available_sets(sets, ["c"], 9) == [1]

    def test_outstanding_by_part(self, fleet: Fleet) -> None:
        fleet.promise("c", "w", Promise((Part("m", MASTER, 1), Part("w", WORKER, 2))))
        assert (room(fleet, WORKER), fleet.outstanding("w", "c")) == (3, 3)
        assert fleet.totals("c").promised == {"cpu": 5000, "pods": 3}
        fleet.apply_usage("c", "1-0", usage(2, 2, bound=[Bound("w", "w", 1, 1, 0)]))
        assert (room(fleet, WORKER), fleet.outstanding("w", "c")) == (3, 2)
        fleet.unpromise("c", "w")
        assert room(fleet, WORKER) == 7

    def test_two_parts_of_one_template_are_counted_once_each(self, fleet: Fleet) -> None:
        fleet.promise("c", "w", Promise((Part("t", WORKER, 2), Part("t", WORKER, 2))))
        fleet.apply_usage("c", "1-0", usage(2, 2, bound=[Bound("w", "t", 1, 3, 0)]))
        assert (room(fleet, WORKER), fleet.outstanding("w", "c")) == (4, 1)

    @given(
        st.lists(st.integers(0, 8000), min_size=1, max_size=4),
        st.lists(st.tuples(st.integers(100, 5000), st.integers(1, 3)), min_size=2, max_size=3),
    )
    def test_what_fits_can_be_promised_whole(self, cpus: list[int], asked: list[tuple[int, int]]) -> None:
        fleet = Fleet()
        fleet.apply_facts("c", facts())
        fleet.apply_profile("c", PLAIN, profile())
        names = " ".join(f"n{at}" for at in range(len(cpus)))
        fleet.apply_inventory("c", "1-0", inventory(names, cpu=cpus))
        fleet.apply_usage("c", "1-0", usage(len(cpus)))
        components = [(Demand.of({"cpu": cpu}), replicas) for cpu, replicas in asked]
        (sets,) = fleet.available_sets(components, ["c"], 20)
        tiny = Demand.of({"cpu": 1})
        before = room(fleet, tiny)
        parts = tuple(Part(f"t{at}", each, count * sets) for at, (each, count) in enumerate(components))
        fleet.promise("c", "w", Promise(parts))
        taken = sum(cpu * replicas * sets for cpu, replicas in asked)
        pods = sum(replicas * sets for _, replicas in asked)
        assert sum(cpus) - taken >= room(fleet, tiny) >= before - taken - 10 * pods


def of(labels: dict[str, str], features: dict[str, str] | None = None) -> Profile:
    return Profile(incarnation=1, sequence=1, labels=labels, features=features or {})


def cluster_of(*profiles: Profile) -> Fleet:
    fleet = Fleet()
    fleet.apply_facts("c", facts())
    for each in profiles:
        fleet.apply_profile("c", each.hash, each)
    names = " ".join(f"n{at}" for at in range(len(profiles)))
    fleet.apply_inventory("c", "1-0", inventory(names, profiles=[each.hash for each in profiles]))
    fleet.apply_usage("c", "1-0", usage(len(profiles)))
    return fleet


LABELLED = of({f"{NFD}cpu-cpuid.AMXTILE": "true", f"{NFD}kernel-version.major": "6"})
OLDER = of({f"{NFD}cpu-sgx.enabled": "true", f"{NFD}kernel-version.major": "5"})
NEWER = of({f"{NFD}cpu-security.sgx.enabled": "true", f"{NFD}kernel-version.major": "6"})
RAW = of({"pool": "raw"}, {"cpu.cpuid.AMXTILE": ""})
BARE = of({"pool": "bare"})


def trait(name: str, operator: Operator = Operator.EXISTS, *values: str) -> Requirement:
    return Requirement(f"feature:{name}", operator, values)


def label(name: str, operator: Operator = Operator.EXISTS, *values: str) -> Requirement:
    return Requirement(f"{NFD}{name}", operator, values)


class TestSpelled:
    @pytest.mark.parametrize(
        ("profiles", "asked", "expected"),
        [
            ([LABELLED, BARE], trait("cpu.cpuid.AMXTILE"), [label("cpu-cpuid.AMXTILE")]),
            ([LABELLED, RAW], trait("cpu.cpuid.AMXTILE"), None),
            ([RAW, BARE], trait("cpu.cpuid.AMXTILE"), None),
            (
                [OLDER, NEWER, BARE],
                trait("cpu.security.sgx.enabled"),
                [label("cpu-security.sgx.enabled"), label("cpu-sgx.enabled")],
            ),
            (
                [OLDER, NEWER],
                trait("kernel.version.major", Operator.GE, "6"),
                [label("kernel-version.major", Operator.IN, "6")],
            ),
            (
                [OLDER, NEWER],
                trait("kernel.version.major", Operator.GT, "5"),
                [label("kernel-version.major", Operator.GT, "5")],
            ),
            (
                [OLDER, NEWER, BARE],
                trait("kernel.version.major", Operator.NOT_IN, "5"),
                [label("kernel-version.major", Operator.IN, "6")],
            ),
            (
                [LABELLED, BARE],
                trait("cpu.cpuid.AMXTILE", Operator.DOES_NOT_EXIST),
                [label("cpu-cpuid.AMXTILE", Operator.DOES_NOT_EXIST)],
            ),
            (
                [RAW, BARE],
                Requirement("pool", Operator.IN_REGEXP, ("^b",)),
                [Requirement("pool", Operator.IN, ("bare",))],
            ),
            ([BARE], Requirement("handler:kata", Operator.EXISTS), None),
        ],
    )
    def test_as_labels(
        self, profiles: list[Profile], asked: Requirement, expected: list[Requirement] | None
    ) -> None:
        found = cluster_of(*profiles).spelled("c", asked)
        assert found is None if expected is None else set(found or ()) >= set(expected)
        if found is not None:
            for each in profiles:
                assert any(one.holds(each.labels) for one in found) == Demand.of({}, traits=[asked]).selects(
                    each.labels, each.features
                )

    def test_names_where_no_label_tells(self) -> None:
        fleet = cluster_of(RAW, BARE, RAW, LABELLED)
        wanted = Demand.of({"cpu": 1}, traits=[trait("cpu.cpuid.AMXTILE")])
        assert fleet.matching_names("c", wanted, 10) == ["n0", "n2", "n3"]
        assert fleet.matching_names("c", wanted, 2) == ["n0", "n2"]
        named = Demand.of({"cpu": 1}, {"kubernetes.io/hostname": "n2"}, traits=wanted.traits)
        assert fleet.matching_names("c", named, 10) == ["n2"]
        assert fleet.matching_names("unheard", wanted, 10) == []
