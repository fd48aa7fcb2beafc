"""What a score asks of the fleet: sums, what was really used, and where a pod would rather be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.fleet import Demand, Fleet, Promise
from controlplane.fleet.demand import Operator, Requirement, Term
from controlplane.fleet.preferences import Preference
from controlplane.fleet.slack import LEAST_SAMPLES, WINDOW_SECONDS, Slacks, UsedShare
from schemas.wire.reports import Taint, profile_hash
from tests.unit.reports import apply, facts, inventory, profile, usage

AMX, SSD = {"amx": "true"}, {"amx": "true", "ssd": "true"}
WORKER = Demand.of({"cpu": 1000})


def of(key: str, weight: int = 1) -> Preference:
    return Preference(weight, Term((Requirement(key, Operator.EXISTS),)))


def fleet_of(cluster: str = "c", **given: int) -> Fleet:
    """Four nodes: two of AMX, one of AMX and SSD, one plain that is tainted; 4 cores each."""
    fleet = Fleet()
    add(fleet, cluster, **given)
    return fleet


def add(fleet: Fleet, cluster: str, cpu: int = 0, used: int | None = None) -> None:
    apply(fleet, cluster, "facts", facts())
    for labels in (AMX, SSD, {"arch": "amd64"}):
        apply(fleet, cluster, f"profile.{profile_hash(labels)}", profile(labels))
    profiles = [profile_hash(each) for each in (AMX, AMX, SSD, {"arch": "amd64"})]
    tainted = [Taint("own", "NoSchedule")]
    made = inventory("a b c d", profiles=profiles, taints=[[], [], [], tainted], memory=1000)
    apply(fleet, cluster, "inventory.1-0", made)
    apply(fleet, cluster, "usage.1-0", usage(4, cpu=cpu, used=[] if used is None else [used] * 4))


class TestSums:
    def test_what_is_promised_is_not_free(self) -> None:
        fleet = fleet_of(cpu=500)
        (before,) = fleet.sums(["c"])
        assert (before.allocatable["cpu"], before.free["cpu"], before.free["memory"]) == (16000, 14000, 4000)
        fleet.promise("c", "w", Promise.of("t", WORKER, 3))
        (after,) = fleet.sums(["c"])
        assert (after.allocatable["cpu"], after.free["cpu"]) == (16000, 11000)

    def test_another_inventory_counts_anew(self) -> None:
        fleet = fleet_of()
        assert fleet.sums(["c"])[0].allocatable["cpu"] == 16000
        apply(
            fleet,
            "c",
            "inventory.1-0",
            inventory("a b c d", 2, epoch=2, cpu=1000, profiles=[profile_hash(AMX)] * 4),
        )
        apply(fleet, "c", "usage.1-0", usage(4, 2, epoch=2))
        assert fleet.sums(["c"])[0].allocatable["cpu"] == 4000

    def test_clusters_that_are_not_known_have_nothing(self) -> None:
        fleet = fleet_of("a")
        add(fleet, "b")
        fleet.sums(["a", "b"])
        fleet.forget("a")
        unknown, known = fleet.sums(["a", "b"])
        assert (unknown.allocatable, known.allocatable["cpu"]) == ({}, 16000)


class TestPreferred:
    @pytest.mark.parametrize(
        ("preferences", "expected"),
        [
            ((of("amx"),), 1.0),
            ((of("ssd"),), 1 / 3),
            ((of("gpu"),), 0.0),
            ((of("amx", 1), of("ssd", 2)), 5 / 9),
            ((Preference(1, Term((Requirement("metadata.name", Operator.IN, ("a",)),))),), 1 / 3),
        ],
    )
    def test_the_share_of_nodes_with_room(self, preferences: tuple[Preference, ...], expected: float) -> None:
        """The tainted node has none for it."""
        assert fleet_of().preferred(WORKER, preferences, ["c"]) == [pytest.approx(expected)]

    def test_it_changes_with_what_is_promised(self) -> None:
        fleet = fleet_of()
        assert fleet.preferred(WORKER, (of("ssd"),), ["c"]) == [pytest.approx(1 / 3)]
        fleet.promise("c", "w", Promise.of("t", WORKER, 8))
        assert fleet.preferred(WORKER, (of("ssd"),), ["c"]) == [1.0]
        fleet.promise("c", "v", Promise.of("t", WORKER, 4))
        assert fleet.preferred(WORKER, (of("ssd"),), ["c", "unknown"]) == [None, None]


class TestSlack:
    def test_the_scarcer_at_its_95th_percentile(self) -> None:
        slacks = Slacks()
        for minute in range(20):
            slacks.sample("c", UsedShare(0.9 if minute == 7 else 0.2, 0.5), minute * 60.0)
        assert slacks.slack("c").idle == pytest.approx(0.5)
        slacks.sample("c", UsedShare(0.9, 0.5), 20 * 60.0)
        assert slacks.slack("c").idle == pytest.approx(0.1)

    @pytest.mark.parametrize(
        ("samples", "served", "lacks"),
        [
            (0, False, "serves no metrics"),
            (1, True, f"1 of {LEAST_SAMPLES} samples"),
            (LEAST_SAMPLES - 1, True, "samples"),
        ],
    )
    def test_without_enough_samples_it_is_not_known(self, samples: int, served: bool, lacks: str) -> None:
        slacks = Slacks()
        for minute in range(samples):
            slacks.sample("c", UsedShare(0.1, 0.1), minute * 60.0)
        if not served:
            slacks.sample("c", None, 0.0)
        assert slacks.slack("c").idle is None
        assert lacks in slacks.slack("c").lacks
        assert "never" in slacks.slack("other").lacks

    def test_old_samples_go(self) -> None:
        slacks = Slacks()
        for minute in range(LEAST_SAMPLES):
            slacks.sample("c", UsedShare(0.9, 0.9), minute * 60.0)
        for minute in range(LEAST_SAMPLES):
            slacks.sample("c", UsedShare(0.1, 0.2), WINDOW_SECONDS * 2 + minute * 60.0)
        assert slacks.slack("c").idle == pytest.approx(0.8)
        slacks.sample("c", None, WINDOW_SECONDS * 4)
        assert slacks.slack("c").idle is None

    def test_removed_clusters_are_forgotten(self) -> None:
        slacks = Slacks()
        for minute in range(LEAST_SAMPLES):
            slacks.sample("c", UsedShare(0.1, 0.1), minute * 60.0)
        slacks.keep_only({"d"})
        assert slacks.slack("c").idle is None

    @given(shares=st.lists(st.floats(0, 2), min_size=LEAST_SAMPLES, max_size=500))
    def test_it_is_a_share_and_bounded(self, shares: list[float]) -> None:
        slacks = Slacks()
        for at, share in enumerate(shares):
            slacks.sample("c", UsedShare(share, share), at * 60.0)
        idle = slacks.slack("c").idle
        assert idle is not None
        assert 0 <= idle <= 1
        kept = shares[-360:]
        assert sum(share <= 1 - idle + 1e-6 or idle == 0 for share in kept) >= 0.95 * len(kept)

    def test_what_is_used_now(self) -> None:
        fleet = fleet_of(used=1000)
        assert fleet.used_share("c") is None, "of memory nothing is told"
        assert fleet_of().used_share("c") is None
        assert Fleet().used_share("c") is None


class TestNearly:
    def test_taints_and_the_largest_that_is_free(self) -> None:
        fleet = fleet_of(cpu=500)
        assert fleet.repelling_taints("c", 5) == [Taint("own", "NoSchedule")]
        big = Demand.of({"cpu": 8000, "memory": 900})
        assert fleet.largest_free("c", big, "cpu") == 3500
        assert fleet.largest_free("c", Demand.of({"cpu": 8000, "memory": 2000}), "cpu") == 0
        assert fleet.largest_free("c", Demand.of({"cpu": 1}, {"gpu": "h100"}), "cpu") == 0
        assert fleet.largest_free("unknown", big, "cpu") == 0
