"""What runs somewhere and asks for something else now: where it no longer fits, it goes, or nothing moves."""

import pytest

from controlplane.fleet import Demand, Fleet, Promise
from controlplane.fleet.demand import Operator, Requirement
from schemas.wire.reports import Bound
from tests.unit.reports import PLAIN, facts, inventory, profile, usage

AMX = Requirement("feature:cpu.cpuid.AMXTILE", Operator.EXISTS)


def fleet(*bound: Bound, requests: dict[str, int] | None = None) -> Fleet:
    """Two nodes of four cores."""
    made = Fleet()
    made.apply_facts("c", facts())
    made.apply_profile("c", PLAIN, profile())
    made.apply_inventory("c", "1-0", inventory("a b"))
    made.apply_usage("c", "1-0", usage(2, bound=list(bound), requests=[requests or {"cpu": 3000}]))
    return made


@pytest.mark.parametrize(
    ("cpu", "bound", "promised", "room"),
    [
        (1000, 0, 0, 8),
        (4000, 2, 0, 2),
        (5000, 2, 0, 0),
        (4000, 0, 2, 2),
        (2000, 1, 1, 4),
    ],
    ids=["holds nothing", "its pods give way", "more than a node has", "its promises give way", "both"],
)
def test_what_it_holds_is_as_good_as_free_to_it(cpu: int, bound: int, promised: int, room: int) -> None:
    made = fleet(*(Bound("w", "t", node, 1, 0) for node in range(bound)))
    if promised:
        made.promise("c", "w", Promise.of("t", Demand.of({"cpu": 3000}), bound + promised))
    asked = Demand.of({"cpu": cpu})
    before = made.available(asked, ["c"])
    assert made.room_released("c", ("w",), asked) == room
    assert made.available(asked, ["c"]) == before, "looked at, and left as it was"
    never_asked = Demand.of({"cpu": cpu, "memory": 1})
    assert made.available(never_asked, ["c"]) == before, "also for what is counted anew"


def test_what_others_hold_is_not() -> None:
    made = fleet(Bound("other", "t", 0, 1, 0))
    assert made.room_released("c", ("w",), Demand.of({"cpu": 4000})) == 1


def test_no_room_where_no_node_is_selected() -> None:
    made = fleet(Bound("w", "t", 0, 1, 0))
    assert made.room_released("c", ("w",), Demand.of({"cpu": 1}, traits=(AMX,))) == 0


def test_what_others_were_promised_is_theirs_still() -> None:
    made = fleet()
    made.promise("c", "other", Promise.of("t", Demand.of({"cpu": 3000}), 1))
    made.promise("c", "w", Promise.of("t", Demand.of({"cpu": 3000}), 1))
    assert made.room_released("c", ("w",), Demand.of({"cpu": 4000})) == 1


def test_a_feature_is_looked_for_on_every_node_full_or_not() -> None:
    made = fleet(Bound("w", "t", 0, 1, 0), requests={"cpu": 4000})
    assert made.has(Requirement("arch", Operator.IN, ("amd64",)))
    assert not made.has(AMX)
