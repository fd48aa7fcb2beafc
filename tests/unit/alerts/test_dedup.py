"""The five rules of the dedup stage, in their order; first hit wins."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.dedup import why_send
from controlplane.alerts.notice import Sent, Why

NOW, REPEAT = 10_000.0, 3_600.0


@dataclass(frozen=True)
class Case:
    """told: firing and resolved of the log entry, as letters; None: there is none. ago: its age."""

    says: str
    told: tuple[str, str] | None
    firing: str
    resolved: str
    sends: Why | None
    ago: float = 60.0
    send_resolved: bool = True
    owed: str = ""


CASES = [
    Case("1: nothing was told, something fires", None, "a", "", Why.FIRST),
    Case("1: nothing was told, nothing fires", None, "", "a", None),
    Case("1: nothing was told, nothing there", None, "", "", None),
    Case("2: another fires", ("a", ""), "ab", "", Why.NEW_FIRING),
    Case("2: one that was told as resolved fires", ("", "a"), "a", "", Why.NEW_FIRING),
    Case("2: before 4 and 5", ("a", ""), "b", "a", Why.NEW_FIRING, ago=REPEAT * 2),
    Case("3: nothing fires any more", ("a", ""), "", "a", Why.ALL_RESOLVED),
    Case(
        "3: also where resolved are not wanted: the log forgets it",
        ("a", ""),
        "",
        "a",
        Why.ALL_RESOLVED,
        send_resolved=False,
    ),
    Case("3: it had been told already", ("", "a"), "", "a", None),
    Case("3: fired and ended unseen", ("", "a"), "", "ab", None),
    Case("3: nothing fires, so it does not repeat", ("", "a"), "", "a", None, ago=REPEAT * 2),
    Case("beyond 3: an end that is owed", ("", "b"), "", "a", Why.ALL_RESOLVED, owed="a"),
    Case("beyond 3: what is owed has not ended", ("", "b"), "", "b", None, owed="a"),
    Case("4: one of two ended", ("ab", ""), "a", "b", Why.RESOLVED),
    Case("4: resolved are not wanted", ("ab", ""), "a", "b", None, send_resolved=False),
    Case("4: it had been told already", ("a", "b"), "a", "b", None),
    Case("5: nothing new", ("a", ""), "a", "", None, ago=REPEAT),
    Case("5: fewer fire, which is nothing new", ("ab", ""), "a", "", None),
    Case("5: for long enough", ("a", ""), "a", "", Why.REPEAT, ago=REPEAT + 1),
    Case("5: fewer fire, for long enough", ("ab", ""), "a", "", Why.REPEAT, ago=REPEAT + 1),
]


def sent(told: tuple[str, str], ago: float, owed: str = "") -> Sent:
    firing, resolved = (frozenset(each) for each in told)
    return Sent("g", "team", "webhook[0]", firing, resolved, NOW - ago, frozenset(owed))


def decided(case: Case) -> Why | None:
    return why_send(
        None if case.told is None else sent(case.told, case.ago, case.owed),
        frozenset(case.firing),
        frozenset(case.resolved),
        send_resolved=case.send_resolved,
        repeat_interval_seconds=REPEAT,
        now=NOW,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_rules(case: Case) -> None:
    assert decided(case) is case.sends


SOME = st.frozensets(st.sampled_from("abc")).map("".join)
EVERY = st.builds(
    Case,
    says=st.just(""),
    told=st.none() | st.tuples(SOME, SOME),
    firing=SOME,
    resolved=SOME,
    sends=st.none(),
    ago=st.sampled_from((60.0, REPEAT, REPEAT + 1)),
    send_resolved=st.booleans(),
)


@given(EVERY)
def test_it_is_the_rules_as_they_are_stated(case: Case) -> None:
    firing, resolved = set(case.firing), set(case.resolved)
    if case.told is None:
        sends = bool(firing)
    else:
        told_firing, told_resolved = set(case.told[0]), set(case.told[1])
        if firing - told_firing:
            sends = True
        elif not firing:
            sends = bool(told_firing)
        elif case.send_resolved and resolved - told_resolved:
            sends = True
        else:
            sends = case.ago > REPEAT
    assert (decided(case) is not None) is sends
