"""Two reports of one alert: what holds then. Times are seconds; reports arrive at their `at`."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.alert import Alert
from controlplane.alerts.arriving import refreshed, refreshes
from controlplane.alerts.merging import merged, overlap
from tests.unit.alerts.making import alert


@dataclass(frozen=True)
class Case:
    """old, new: (starts, ends, reported at, timed). holds: (starts, ends) after both."""

    says: str
    old: tuple[float, float, float, bool]
    new: tuple[float, float, float, bool]
    holds: tuple[float, float]


CASES = [
    Case("firing again, same start: the newest end", (0, 300, 0, True), (0, 360, 60, True), (0, 360)),
    Case("the earliest start", (10, 300, 10, True), (20, 360, 60, True), (10, 360)),
    Case("a start that turns out earlier", (10, 300, 10, True), (5, 360, 60, True), (5, 360)),
    Case(
        "a later end that somebody said wins over a timeout", (0, 900, 0, False), (0, 360, 60, True), (0, 900)
    ),
    Case("a later end by timeout does not", (0, 900, 0, True), (0, 360, 60, False), (0, 360)),
    Case("resolved while it fired", (0, 300, 0, False), (0, 50, 60, False), (0, 50)),
    Case("resolved twice: the latest end", (0, 40, 41, False), (0, 30, 60, False), (0, 40)),
    Case("resolved twice, the newer later", (0, 40, 41, False), (0, 50, 60, False), (0, 50)),
    Case("fires again within what was said to be over", (0, 40, 41, False), (20, 360, 60, True), (0, 360)),
    Case(
        "fires again after it was over: another episode", (0, 40, 41, False), (50, 360, 60, True), (50, 360)
    ),
    Case("reports that touch are two episodes", (0, 40, 41, False), (40, 360, 60, True), (40, 360)),
    Case("a moment within what fires", (0, 300, 0, True), (50, 50, 50, False), (0, 50)),
    Case("an older report that comes late", (50, 360, 60, True), (0, 40, 41, False), (50, 360)),
    Case(
        "an older report of the same episode that comes late", (0, 360, 60, True), (0, 300, 0, True), (0, 360)
    ),
]


def made(of: tuple[float, float, float, bool]) -> Alert:
    starts, ends, at, timed = of
    return replace(alert(starts=starts, ends=ends, at=at), timed=timed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_merging(case: Case) -> None:
    old, new = made(case.old), made(case.new)
    found = merged(old, new, max(old.updated_at, new.updated_at))
    assert (found.starts_at, found.ends_at) == case.holds


def test_annotations_are_those_of_the_younger_report() -> None:
    old, new = (replace(alert(at=at), annotations={"at": str(at)}) for at in (1.0, 2.0))
    assert merged(old, new, 2).annotations == merged(new, old, 2).annotations == {"at": "2.0"}


TIMES = st.integers(0, 20).map(float)
REPORTS = st.builds(
    lambda starts, lasts, at, timed: made((starts, starts + lasts, at, timed)),
    TIMES,
    st.integers(0, 20).map(float),
    TIMES,
    st.booleans(),
)


@given(REPORTS, REPORTS, TIMES)
def test_which_of_two_comes_first_does_not_matter(one: Alert, other: Alert, now: float) -> None:
    if one.updated_at != other.updated_at:
        assert merged(one, other, now) == merged(other, one, now)


@given(REPORTS, REPORTS, TIMES)
def test_it_is_alertmanagers_rule(old: Alert, new: Alert, now: float) -> None:
    """Its Put and Merge, for a report that is not older than what is known."""
    if new.updated_at < old.updated_at:
        return
    within = old.starts_at < new.ends_at < old.ends_at or old.starts_at < new.starts_at < old.ends_at
    starts, ends = new.starts_at, new.ends_at
    if within:
        starts = min(starts, old.starts_at)
        if new.resolved(now):
            ends = max(ends, old.ends_at) if old.resolved(now) else ends
        elif old.ends_at > ends and not old.timed:
            ends = old.ends_at
    found = merged(old, new, now)
    assert (found.starts_at, found.ends_at) == (starts, ends)


@given(REPORTS, REPORTS, TIMES)
def test_the_quick_way_is_the_same(old: Alert, new: Alert, now: float) -> None:
    if refreshes(old, new, now) and new.starts_at <= now:
        assert refreshed(old, new) == merged(old, new, now)
        assert overlap(old, new)
