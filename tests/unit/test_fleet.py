"""The fleet: reports in the order of their stamps, whole states only, and what fits."""

import msgspec
import pytest

from controlplane.fleet import Demand, Fleet, Outcome, Promise, Requirement, Term, Toleration
from controlplane.fleet.demand import HOSTNAME, NODE_NAME_FIELD, Operator
from schemas.wire.reports import Bound, Taint, profile_hash
from tests.unit.reports import LABELS, PLAIN, facts, inventory, profile, usage

CORE = Demand.of({"cpu": 1000})


@pytest.fixture
def fleet() -> Fleet:
    """One cluster `c` of two nodes with 4 cores each."""
    fleet = Fleet()
    fleet.apply_facts("c", facts())
    fleet.apply_profile("c", PLAIN, profile())
    fleet.apply_inventory("c", "1-0", inventory("n1 n2"))
    fleet.apply_usage("c", "1-0", usage(2))
    return fleet


def capacity(fleet: Fleet, demand: Demand = CORE) -> int:
    (found,) = fleet.available(demand, ["c"])
    return found


class TestOrder:
    def test_an_older_report_changes_nothing(self, fleet: Fleet) -> None:
        assert fleet.apply_usage("c", "1-0", usage(2, 5, cpu=1000)) is Outcome.APPLIED
        assert fleet.apply_usage("c", "1-0", usage(2, 5, cpu=4000)) is Outcome.OLDER
        assert fleet.apply_usage("c", "1-0", usage(2, 4, cpu=4000)) is Outcome.OLDER
        assert capacity(fleet) == 6
        assert fleet.apply_inventory("c", "1-0", inventory("n1", 1)) is Outcome.OLDER
        assert fleet.apply_facts("c", facts(1, layout=9)) is Outcome.OLDER
        assert fleet.apply_profile("c", PLAIN, profile()) is Outcome.OLDER

    def test_a_later_incarnation_counts_whatever_its_sequence(self, fleet: Fleet) -> None:
        fleet.apply_inventory("c", "1-0", inventory("n1 n2", 9))
        assert fleet.apply_inventory("c", "1-0", inventory("n1 n2", 1, incarnation=2)) is Outcome.APPLIED

    @pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (3, 0, 2, 1), (2, 3, 1, 0)])
    def test_arrival_in_any_order_ends_in_the_same(self, order: tuple[int, ...]) -> None:
        fleet = Fleet()
        steps = [
            lambda: fleet.apply_facts("c", facts()),
            lambda: fleet.apply_profile("c", PLAIN, profile()),
            lambda: fleet.apply_inventory("c", "1-0", inventory("n1 n2")),
            lambda: fleet.apply_usage("c", "1-0", usage(2)),
        ]
        for each in order:
            assert fleet.completeness("c") is not None
            steps[each]()
        assert fleet.completeness("c") is None
        assert fleet.missing("c") == []
        assert capacity(fleet) == 8


class TestWhatIsMissing:
    def test_step_by_step(self) -> None:
        fleet = Fleet()
        assert fleet.completeness("c") == "nothing has been heard of it yet"
        assert fleet.missing("c") == ["facts"]
        fleet.apply_facts("c", facts(layout=2))
        assert fleet.completeness("c") == "2 of 2 shards are not here yet: 2-0, 2-1"
        assert fleet.missing("c") == ["inventory.2-0", "inventory.2-1", "usage.2-0", "usage.2-1"]
        assert fleet.apply_inventory("c", "2-0", inventory("n1")) is Outcome.WAITING
        assert fleet.completeness("c") == "2 of 2 shards are not here yet: 2-0 (profile), 2-1"
        assert fleet.missing("c") == ["inventory.2-1", f"profile.{PLAIN}", "usage.2-0", "usage.2-1"]
        fleet.apply_profile("c", PLAIN, profile())
        assert fleet.missing("c") == ["inventory.2-1", "usage.2-0", "usage.2-1"]
        assert fleet.apply_usage("c", "2-0", usage(1)) is Outcome.APPLIED
        assert fleet.apply_usage("c", "2-1", usage(1)) is Outcome.WAITING
        assert fleet.missing("c") == ["inventory.2-1"]
        assert fleet.totals("c").nodes == 1, "what is here is shown"
        assert capacity(fleet) == 0, "and not placed on"
        fleet.apply_inventory("c", "2-1", inventory("n2"))
        assert fleet.completeness("c") is None
        assert capacity(fleet) == 8

    def test_of_what_waits_only_the_newest_is_kept(self, fleet: Fleet) -> None:
        fleet.apply_usage("c", "1-0", usage(1, 5, epoch=2, cpu=3000))
        fleet.apply_usage("c", "1-0", usage(1, 6, epoch=2, cpu=1000))
        assert fleet.missing("c") == ["inventory.1-0"]
        assert capacity(fleet) == 8, "until it applies, the last whole state stays"
        fleet.apply_inventory("c", "1-0", inventory("n3", 7, epoch=2))
        assert fleet.missing("c") == []
        assert capacity(fleet) == 3

    def test_an_unknown_profile_leaves_the_old_inventory_in_place(self, fleet: Fleet) -> None:
        gpu = profile({"gpu": "h100"})
        assert (
            fleet.apply_inventory("c", "1-0", inventory("n1 n2", 2, profiles=[gpu.hash, PLAIN]))
            is Outcome.WAITING
        )
        assert fleet.completeness("c") is None
        assert fleet.missing("c") == [f"profile.{gpu.hash}"]
        fleet.apply_profile("c", gpu.hash, gpu)
        assert capacity(fleet, Demand.of({"cpu": 1000}, {"gpu": "h100"})) == 4


class TestMembership:
    def test_a_node_that_came_is_not_placed_on_before_its_usage(self, fleet: Fleet) -> None:
        fleet.apply_usage("c", "1-0", usage(2, 2, cpu=[1000, 3000]))
        fleet.apply_inventory("c", "1-0", inventory("n0 n1 n2", 2, epoch=2))
        assert fleet.completeness("c") is None
        assert fleet.missing("c") == ["usage.1-0"]
        assert capacity(fleet) == 4, "n1 and n2 as they were, nothing on n0"
        fleet.apply_usage("c", "1-0", usage(3, 3, epoch=2, cpu=[0, 1000, 3000]))
        assert capacity(fleet) == 8

    def test_a_node_that_went_takes_its_pods_with_it(self, fleet: Fleet) -> None:
        fleet.apply_usage("c", "1-0", usage(2, 2, bound=[Bound("w", "t", 0, 2, 0), Bound("w", "t", 1, 1, 0)]))
        assert (capacity(fleet), fleet.bound("w", "c")) == (5, 3)
        fleet.apply_inventory("c", "1-0", inventory("n2", 2, epoch=2))
        assert (capacity(fleet), fleet.bound("w", "c")) == (3, 1)

    def test_a_restarted_agent_may_count_its_epochs_anew(self, fleet: Fleet) -> None:
        fleet.apply_usage("c", "1-0", usage(2, 2, cpu=[4000, 0]))
        fleet.apply_inventory("c", "1-0", inventory("n2 n1", 1, incarnation=2))
        assert [(row.name, row.free["cpu"]) for row in fleet.nodes("c")] == [("n2", 4000), ("n1", 0)]
        assert fleet.missing("c") == ["usage.1-0"]
        assert fleet.apply_usage("c", "1-0", usage(2, 9)) is Outcome.WAITING, "of the old incarnation"

    def test_other_names_under_the_same_epoch_are_malformed(self, fleet: Fleet) -> None:
        with pytest.raises(ValueError, match="epoch 1: other names"):
            fleet.apply_inventory("c", "1-0", inventory("n1 n3", 2))

    def test_conditions_and_taints_apply_at_once(self, fleet: Fleet) -> None:
        cordoned = [[Taint("node.kubernetes.io/unschedulable", "NoSchedule")], []]
        fleet.apply_inventory("c", "1-0", inventory("n1 n2", 2, taints=cordoned))
        assert (fleet.missing("c"), capacity(fleet)) == ([], 4)
        fleet.apply_inventory("c", "1-0", inventory("n1 n2", 3, conditions=[["Ready"], ["MemoryPressure"]]))
        assert capacity(fleet) == 4
        assert fleet.totals("c").ready == 1


class TestLayout:
    def test_a_new_layout_counts_when_all_its_shards_are_here(self, fleet: Fleet) -> None:
        fleet.apply_facts("c", facts(10, layout=2))
        fleet.apply_inventory("c", "2-0", inventory("n1 n2", 11))
        fleet.apply_usage("c", "2-0", usage(2, 12, cpu=4000))
        assert (fleet.completeness("c"), capacity(fleet)) == (None, 8)
        assert fleet.missing("c") == ["inventory.2-1", "usage.2-1"]
        fleet.apply_inventory("c", "2-1", inventory("n3", 13))
        fleet.apply_usage("c", "2-1", usage(1, 14, bound=[Bound("w", "t", 0, 1, 0)]))
        assert (fleet.completeness("c"), capacity(fleet), fleet.bound("w", "c")) == (None, 3, 1)
        assert fleet.stale_shards("c") == ["1-0"]
        assert fleet.apply_inventory("c", "1-0", inventory("n1 n2", 2)) is Outcome.OLDER
        fleet.purged("c", "inventory.1-0")
        assert fleet.stale_shards("c") == []

    def test_a_shard_of_a_layout_that_is_back_is_not_to_be_purged(self, fleet: Fleet) -> None:
        for layout, at in ((2, 10), (1, 20)):
            fleet.apply_facts("c", facts(at, layout=layout))
            for index in range(layout):
                fleet.apply_inventory("c", f"{layout}-{index}", inventory(f"n{index}", at + 1 + index))
                fleet.apply_usage("c", f"{layout}-{index}", usage(1, at + 3 + index))
        assert fleet.stale_shards("c") == ["2-0", "2-1"]

    def test_shards_that_come_before_their_facts_are_kept(self, fleet: Fleet) -> None:
        fleet.apply_inventory("c", "2-0", inventory("n1", 11))
        fleet.apply_usage("c", "2-0", usage(1, 12))
        fleet.apply_inventory("c", "2-1", inventory("n2 n3", 13))
        fleet.apply_usage("c", "2-1", usage(2, 14))
        assert (capacity(fleet), fleet.stale_shards("c")) == (8, [])
        fleet.apply_facts("c", facts(15, layout=2))
        assert capacity(fleet) == 12

    def test_shards_of_a_replay_that_are_over(self) -> None:
        fleet = Fleet()
        fleet.apply_inventory("c", "4-0", inventory("n1", 2))
        fleet.apply_facts("c", facts(5, layout=1))
        fleet.apply_usage("c", "4-0", usage(1, 3))
        assert fleet.stale_shards("c") == ["4-0"]

    def test_layouts_that_wait_are_bounded(self, fleet: Fleet) -> None:
        for layout in range(2, 200):
            fleet.apply_inventory("c", f"{layout}-0", inventory("n1", 100 + layout))
        assert fleet.applied("c", "inventory.1-0") == (1, 1)
        assert fleet.applied("c", "inventory.2-0") is None
        assert fleet.applied("c", "inventory.199-0") == (1, 299)


class TestMalformed:
    def test_an_index_that_points_nowhere(self, fleet: Fleet) -> None:
        wrong = inventory("n1 n2", 2, profiles=[PLAIN, PLAIN])
        broken = type(wrong)(**{**_fields(wrong), "profile_hashes": []})
        with pytest.raises(ValueError, match="profiles: index 0 into 0"):
            fleet.apply_inventory("c", "1-0", broken)
        assert capacity(fleet) == 8

    def test_a_negative_amount(self, fleet: Fleet) -> None:
        with pytest.raises(ValueError, match="allocatable cpu: -1 is negative"):
            fleet.apply_inventory("c", "1-0", inventory("n1 n2", 2, cpu=-1))
        with pytest.raises(ValueError, match="foreign cpu: -1 is negative"):
            fleet.apply_usage("c", "1-0", usage(2, 2, cpu=-1))
        assert fleet.apply_usage("c", "1-0", usage(2, 2)) is Outcome.APPLIED, "what is malformed sets no mark"

    def test_a_usage_of_other_nodes(self, fleet: Fleet) -> None:
        with pytest.raises(ValueError, match="nodes: 3 of epoch 1, whose inventory has 2"):
            fleet.apply_usage("c", "1-0", usage(3, 2))

    def test_a_profile_under_another_hash(self, fleet: Fleet) -> None:
        with pytest.raises(ValueError, match="its labels have the hash"):
            fleet.apply_profile("c", "0" * 16, profile())

    def test_a_profile_that_says_more_than_any_node(self, fleet: Fleet) -> None:
        many = profile({str(at): "" for at in range(4_001)})
        with pytest.raises(ValueError, match="4,001 entries: up to 4,000 are taken"):
            fleet.apply_profile("c", many.hash, many)
        assert fleet.unreferenced_profiles("c") == []

    def test_a_shard_that_is_none(self, fleet: Fleet) -> None:
        with pytest.raises(ValueError, match="'2-2' is no shard"):
            fleet.apply_usage("c", "2-2", usage(1))

    def test_more_resources_than_anyone_has(self, fleet: Fleet) -> None:
        names = [f"example.com/{at}" for at in range(2_001)]
        column = inventory("n1 n2").allocatable[0]
        many = {"resources": names, "allocatable": [column] * len(names)}
        with pytest.raises(ValueError, match="allocatable: 2,001 resources: up to 2,000 are taken"):
            fleet.apply_inventory("c", "1-0", msgspec.structs.replace(inventory("n1 n2", 2), **many))
        many = {"resources": names, "foreign": [column] * len(names)}
        with pytest.raises(ValueError, match="foreign: 2,001 resources"):
            fleet.apply_usage("c", "1-0", msgspec.structs.replace(usage(2, 2), **many))
        asks, bound = [dict.fromkeys(names, 1)], [Bound("w", "t", 0, 1, 0)]
        with pytest.raises(ValueError, match="requests: 2,002 resources"):
            fleet.apply_usage("c", "1-0", usage(2, 2, requests=asks, bound=bound))
        assert capacity(fleet) == 8

    def test_a_few_names_that_would_fill_memory(self, fleet: Fleet) -> None:
        asks, bound = [{f"example.com/{at}": 1} for at in range(100)], [Bound("w", "t", 0, 1, 0)]
        with pytest.raises(ValueError, match="requests: 101 resources on 65,536 nodes are too many"):
            fleet.apply_usage("c", "1-0", usage(65_536, 2, epoch=2, requests=asks, bound=bound))

    def test_more_room_than_a_column_holds(self, fleet: Fleet) -> None:
        names = " ".join(f"n{at}" for at in range(3_000))
        fleet.apply_inventory("c", "1-0", inventory(names, 2, epoch=2, cpu=2**62, pods=2**62))
        fleet.apply_usage("c", "1-0", usage(3_000, 2, epoch=2))
        assert capacity(fleet, Demand.of({"cpu": 1})) == 2**53 - 1

    def test_amounts_beyond_reason_count_as_the_most(self, fleet: Fleet) -> None:
        fleet.apply_inventory("c", "1-0", inventory("n1 n2", 2, memory=2**62, pods=2**40))
        assert capacity(fleet, Demand.of({"memory": 2**52})) == 2


SSD, HDD = {"disk": "ssd", "cores": "16"}, {"disk": "hdd"}


@pytest.fixture
def mixed() -> Fleet:
    """s1, s2 have an SSD, h1 a hard disk; h1 is tainted."""
    fleet = Fleet()
    fleet.apply_facts("c", facts())
    for labels in (SSD, HDD):
        fleet.apply_profile("c", profile_hash(labels), profile(labels))
    shard = inventory(
        "s1 s2 h1",
        profiles=[profile_hash(SSD), profile_hash(SSD), profile_hash(HDD)],
        taints=[[], [], [Taint("slow", "NoSchedule", "yes")]],
    )
    fleet.apply_inventory("c", "1-0", shard)
    fleet.apply_usage("c", "1-0", usage(3))
    return fleet


def term(key: str, operator: Operator, *values: str) -> Term:
    return Term((Requirement(key, operator, values),))


SLOW = (Toleration("slow", "Exists"),)


class TestFit:
    @pytest.mark.parametrize(
        ("demand", "fits", "matching"),
        [
            (Demand.of({"cpu": 1000}), 8, 3),
            (Demand.of({"cpu": 1001}), 6, 3),
            (Demand.of({"cpu": 4001}), 0, 3),
            (Demand.of({"cpu": 1000, "memory": 33}), 2, 3),
            (Demand.of({}), 20, 3),
            (Demand.of({"example.com/gpu": 1}), 0, 3),
            (Demand.of({"cpu": 1000}, tolerations=SLOW), 12, 3),
            (Demand.of({"cpu": 1000}, tolerations=[Toleration("slow", "Equal", "no")]), 8, 3),
            (Demand.of({"cpu": 1000}, {"disk": "ssd"}), 8, 2),
            (Demand.of({"cpu": 1000}, {"disk": "hdd"}), 0, 1),
            (Demand.of({"cpu": 1000}, {"disk": "tape"}), 0, 0),
            (Demand.of({"cpu": 1000}, affinity=[term("cores", Operator.GT, "15")]), 8, 2),
            (Demand.of({"cpu": 1000}, affinity=[term("cores", Operator.LT, "16")]), 0, 0),
            (
                Demand.of({"cpu": 1000}, affinity=[term("disk", Operator.NOT_IN, "ssd")], tolerations=SLOW),
                4,
                1,
            ),
            (
                Demand.of(
                    {"cpu": 1000}, affinity=[term("x", Operator.EXISTS), term("disk", Operator.EXISTS)]
                ),
                8,
                3,
            ),
            (Demand.of({"cpu": 1000}, affinity=[Term(())]), 0, 0),
            (Demand.of({"cpu": 1000}, {HOSTNAME: "s2"}), 4, 1),
            (Demand.of({"cpu": 1000}, {HOSTNAME: "s9"}), 0, 0),
            (Demand.of({"cpu": 1000}, {HOSTNAME: "s2", "disk": "hdd"}), 0, 0),
            (Demand.of({"cpu": 1000}, affinity=[term(NODE_NAME_FIELD, Operator.NOT_IN, "s2")]), 4, 2),
            (Demand.of({"cpu": 1000}, affinity=[term(HOSTNAME, Operator.IN, "s1", "h1")]), 4, 2),
        ],
    )
    def test_what_fits_and_what_matches(self, mixed: Fleet, demand: Demand, fits: int, matching: int) -> None:
        assert (capacity(mixed, demand), mixed.matching(demand, ["c"])) == (fits, [matching])
        counted = mixed.explain("c", demand)
        assert counted.replicas == fits
        assert counted.nodes - sum(count for _, count in counted.unselected) == matching
        assert counted.nodes == 3

    def test_explained_down_to_nodes(self, mixed: Fleet) -> None:
        mixed.apply_usage("c", "1-0", usage(3, 2, cpu=[4000, 0, 0]))
        assert str(mixed.explain("c", Demand.of({"cpu": 1000}, {"disk": "ssd"}))) == (
            "1 of 3 lack label disk=ssd; 1 full (cpu); 1 fit: 4 replicas"
        )
        assert str(mixed.explain("c", CORE)) == (
            "1 have untolerated taint slow=yes:NoSchedule; 1 full (cpu); 1 fit: 4 replicas"
        )

    def test_a_report_of_one_cluster_leaves_the_others(self, mixed: Fleet) -> None:
        for report in (facts(),):
            mixed.apply_facts("d", report)
        mixed.apply_profile("d", PLAIN, profile(LABELS))
        mixed.apply_inventory("d", "1-0", inventory("n1"))
        mixed.apply_usage("d", "1-0", usage(1))
        assert mixed.capacity(CORE).tolist() == [8, 4]
        mixed.apply_usage("d", "1-0", usage(1, 2, cpu=2000))
        assert mixed.capacity(CORE).tolist() == [8, 2]
        mixed.forget("c")
        assert mixed.clusters == ("d",)
        assert mixed.capacity(CORE).tolist() == [2]


class TestPromises:
    @pytest.mark.promise(2)
    def test_counted_until_bound_never_twice(self, fleet: Fleet) -> None:
        fleet.promise("c", "w", Promise.of("t", CORE, 3))
        assert (capacity(fleet), fleet.outstanding("w", "c")) == (5, 3)
        fleet.apply_usage("c", "1-0", usage(2, 2, bound=[Bound("w", "t", 1, 2, 0)]))
        assert (capacity(fleet), fleet.outstanding("w", "c"), fleet.bound("w", "c")) == (5, 1, 2)
        fleet.apply_usage("c", "1-0", usage(2, 3, bound=[Bound("w", "t", 1, 3, 0)]))
        assert (capacity(fleet), fleet.outstanding("w", "c")) == (5, 0)
        fleet.apply_usage("c", "1-0", usage(2, 4, bound=[Bound("w", "t", 1, 2, 0)]))
        assert (capacity(fleet), fleet.outstanding("w", "c")) == (5, 1), "a pod that died is due again"
        fleet.unpromise("c", "w")
        assert capacity(fleet) == 6

    def test_pods_of_an_older_template_do_not_count_for_the_new(self, fleet: Fleet) -> None:
        fleet.apply_usage("c", "1-0", usage(2, 2, bound=[Bound("w", "old", 0, 2, 0)]))
        fleet.promise("c", "w", Promise.of("new", CORE, 2))
        assert (capacity(fleet), fleet.outstanding("w", "c")) == (4, 2)

    def test_replacing_a_promise(self, fleet: Fleet) -> None:
        fleet.promise("c", "w", Promise.of("t", CORE, 3))
        fleet.promise("c", "w", Promise.of("t", CORE, 5))
        assert capacity(fleet) == 3
        fleet.promise("c", "w", Promise.of("t", CORE, 0))
        assert capacity(fleet) == 8

    def test_other_signatures_see_what_is_packed(self, fleet: Fleet) -> None:
        two = Demand.of({"cpu": 2000})
        assert (capacity(fleet), capacity(fleet, two)) == (8, 4)
        fleet.promise("c", "w", Promise.of("t", CORE, 3))
        assert (capacity(fleet), capacity(fleet, two)) == (5, 2)

    def test_what_does_not_fit_is_still_owed(self, fleet: Fleet) -> None:
        fleet.promise("c", "w", Promise.of("t", CORE, 10))
        assert (capacity(fleet), fleet.outstanding("w", "c")) == (0, 10)
        assert fleet.totals("c").promised == {"cpu": 10_000, "pods": 10}
        fleet.apply_inventory("c", "1-0", inventory("n1 n2", 2, cpu=6000))
        assert capacity(fleet) == 2

    def test_promised_before_anything_was_heard(self) -> None:
        fleet = Fleet()
        fleet.promise("c", "w", Promise.of("t", CORE, 3))
        fleet.apply_facts("c", facts())
        fleet.apply_profile("c", PLAIN, profile())
        fleet.apply_inventory("c", "1-0", inventory("n1 n2"))
        fleet.apply_usage("c", "1-0", usage(2))
        assert capacity(fleet) == 5


class TestReads:
    def test_totals(self, fleet: Fleet) -> None:
        fleet.apply_usage(
            "c", "1-0", usage(2, 2, cpu=[500, 0], used=[100, 200], bound=[Bound("w", "t", 0, 2, 0)])
        )
        totals = fleet.totals("c")
        assert (totals.nodes, totals.ready) == (2, 2)
        assert totals.allocatable == {"cpu": 8000, "memory": 128, "pods": 20}
        assert (totals.foreign, totals.bound) == ({"cpu": 500}, {"cpu": 2000, "pods": 2})
        assert totals.used == {"cpu": 300}

    def test_nodes_are_filtered(self, mixed: Fleet) -> None:
        def names(**filters: object) -> list[str]:
            return [row.name for row in mixed.nodes("c", **filters)]  # pyright: ignore[reportArgumentType]

        assert names() == ["s1", "s2", "h1"]
        assert names(labels={"disk": "ssd"}) == ["s1", "s2"]
        assert names(name_contains="1", labels={"disk": "ssd"}) == ["s1"]
        assert names(ready=False) == []

    def test_profiles_that_nothing_refers_to(self, fleet: Fleet) -> None:
        other = profile({"x": "y"})
        fleet.apply_profile("c", other.hash, other)
        assert fleet.unreferenced_profiles("c") == [other.hash]
        fleet.purged("c", f"profile.{PLAIN}")
        fleet.purged("c", f"profile.{other.hash}")
        assert fleet.unreferenced_profiles("c") == []
        assert fleet.applied("c", f"profile.{PLAIN}") == (1, 1), "what is in use is not forgotten"

    def test_equal_labels_are_held_once(self, fleet: Fleet) -> None:
        fleet.apply_profile("d", PLAIN, profile())
        fleet.apply_facts("d", facts())
        fleet.apply_inventory("d", "1-0", inventory("n1"))
        (first, *_), (second,) = fleet.nodes("c"), fleet.nodes("d")
        assert first.labels is second.labels


def _fields(report: object) -> dict[str, object]:
    return {name: getattr(report, name) for name in report.__struct_fields__}  # type: ignore[attr-defined]


def test_profiles_long_gone_leave_nothing_behind_and_no_answer_wrong(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.fleet.features._SLACK", 4)
    features = fleet._features  # pyright: ignore[reportPrivateUsage]
    features._limit = 4  # pyright: ignore[reportPrivateUsage]
    for number in range(40):
        labels = profile({"make": f"m{number}"}, number + 2)
        fleet.apply_profile("c", labels.hash, labels)
        fleet.apply_inventory("c", "1-0", inventory("n1 n2", number + 2, profiles=[labels.hash, PLAIN]))
        assert capacity(fleet, Demand.of({"cpu": 1000}, {"make": f"m{number}"})) == 4
        assert capacity(fleet, Demand.of({"cpu": 1000}, {"make": f"m{number - 1}"})) == 0
        assert capacity(fleet, Demand.of({"cpu": 1000}, LABELS)) == 4
    assert features.counts[0] < 20
    assert features.numbering > 1
