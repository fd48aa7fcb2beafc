"""Silences: when they are active, and which alerts they mean."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.silence import Silence, State
from controlplane.alerts.silencing import KEPT_SECONDS, Silences, active, shown_state, state
from tests.unit.alerts.making import silence

MIDNIGHT = 1_700_006_400.0


@pytest.mark.parametrize(
    ("now", "found", "quiet"),
    [
        (9, State.PENDING, False),
        (10, State.ACTIVE, True),
        (15, State.ACTIVE, True),
        (20, State.ACTIVE, True),
        (20.001, State.EXPIRED, False),
    ],
)
def test_both_ends_belong_to_it(now: float, found: State, quiet: bool) -> None:
    known = silence("a=b", starts=10, ends=20)
    assert (state(known, now), active(known, now)) == (found, quiet)


@pytest.mark.parametrize(
    ("after", "quiet"),
    [(-1, False), (0, True), (3599, True), (3600, False), (86_400, True), (10 * 86_400, False)],
)
def test_one_that_returns_is_active_in_its_windows(after: float, quiet: bool) -> None:
    nightly = replace(
        silence("a=b", starts=MIDNIGHT - 3600, ends=MIDNIGHT + 9 * 86_400),
        cron="0 0 * * *",
        duration_seconds=3600.0,
    )
    assert active(nightly, MIDNIGHT + after) is quiet


@pytest.mark.parametrize(
    ("after", "shown"),
    [
        (-3601, State.PENDING),
        (-1, State.PENDING),
        (0, State.ACTIVE),
        (3600, State.PENDING),
        (86_400, State.ACTIVE),
        (86_400 + 3600, State.EXPIRED),
        (10 * 86_400, State.EXPIRED),
    ],
)
def test_clients_see_one_that_returns_as_active_in_its_windows(after: float, shown: State) -> None:
    twice = replace(
        silence("a=b", starts=MIDNIGHT - 3600, ends=MIDNIGHT + 86_400 + 7200),
        cron="0 0 * * *",
        duration_seconds=3600.0,
    )
    assert shown_state(twice, MIDNIGHT + after) is shown


TEXTS = ("a=1", "a!=1", "b=2,a=1", "b=~1|2", "c=")
STEPS = st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(TEXTS)), max_size=30)
LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"), max_size=3)


@given(STEPS, LABELS, st.integers(0, 30))
def test_what_is_remembered_is_what_would_be_found_anew(
    steps: list[tuple[str, str]], labels: dict[str, str], looked: int
) -> None:
    silences, known, mark = Silences(), (), 0
    for place, (id, text) in enumerate(steps):
        if place == looked:
            known, mark = silences.matching(labels), silences.mark
        silences.put(silence(text, id=id))
    assert set(silences.matching_since(known, mark, labels)) == set(silences.matching(labels))
    assert set(silences.matching(labels)) == {
        each.id
        for each in silences.by_id.values()
        if all(matcher.matches(labels) for matcher in each.matchers)
    }


def test_an_end_that_moves_tries_no_alert_again() -> None:
    silences = Silences()
    silences.put(silence("a=1"))
    mark = silences.mark
    silences.put(silence("a=1", ends=5))
    assert silences.mark == mark
    assert not silences.active_among(("s1",), 6)


def test_one_that_expired_can_be_looked_up_for_five_days() -> None:
    silences = Silences()
    silences.put(silence("a=1", ends=5))
    silences.put(_at(silence("a=1", id="s2"), 5 + KEPT_SECONDS))
    assert set(silences.by_id) == {"s1", "s2"}
    silences.put(_at(silence("a=1", id="s3"), 6 + KEPT_SECONDS))
    assert set(silences.by_id) == {"s2", "s3"}


def _at(known: Silence, at: float) -> Silence:
    return replace(known, updated_at=at)
