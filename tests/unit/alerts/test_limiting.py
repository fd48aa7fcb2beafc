"""A receiver's limit: never more in any minute, and a digest that loses nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.alert import Alert
from controlplane.alerts.limiting import MOST_IN_DIGEST, Pace, digest_of
from controlplane.alerts.notice import Notice, Why


def alert(name: str, updated_at: float = 0.0) -> Alert:
    return Alert(name, {"alertname": name}, {}, 0.0, 100.0, updated_at)


def notice(key: str, firing: list[str], resolved: list[str], at: float = 1.0) -> Notice:
    return Notice(
        key=key,
        group_key=f"{{}}:{key}",
        receiver="oncall",
        integration="dingtalk[0]",
        why=Why.FIRST,
        at=at,
        deadline=10.0,
        group_labels={},
        alerts=tuple(alert(name, at) for name in (*firing, *resolved)),
        firing=frozenset(firing),
        resolved=frozenset(resolved),
    )


@pytest.mark.parametrize(
    ("per_minute", "sent", "now", "wait"),
    [
        pytest.param(0, [0.0] * 100, 0.0, 0.0, id="no limit"),
        pytest.param(2, [0.0], 1.0, 0.0, id="one of two"),
        pytest.param(2, [0.0, 1.0], 2.0, 58.0, id="until the first is a minute old"),
        pytest.param(2, [0.0, 1.0], 60.0, 0.0, id="a minute later"),
        pytest.param(1, [0.0, 30.0], 40.0, 50.0, id="counted from the last"),
    ],
)
def test_how_long_to_wait(per_minute: int, sent: list[float], now: float, wait: float) -> None:
    pace = Pace(per_minute)
    for at in sent:
        pace.take(at)
    assert pace.wait_seconds(now) == wait


@given(st.integers(1, 5), st.lists(st.floats(0, 40), max_size=60))
def test_never_more_than_the_limit_in_any_minute(per_minute: int, gaps: list[float]) -> None:
    pace, now, sent = Pace(per_minute), 0.0, list[float]()
    for gap in gaps:
        now += gap + pace.wait_seconds(now + gap)
        pace.take(now)
        sent.append(now)
        assert sum(1 for at in sent if at > now - 60 + 1e-6) <= per_minute


def test_a_digest_tells_each_alert_once_and_what_fires_first() -> None:
    made = digest_of([notice("a", ["x"], ["y"]), notice("b", ["y"], []), notice("c", ["z"], [])], 5.0)
    assert [each.fingerprint for each in made.alerts] == ["x", "y", "z"]
    assert made.firing == {"x", "y", "z"}
    assert made.resolved == frozenset()
    assert made.why is Why.DIGEST


def test_the_latest_says_whether_it_fires() -> None:
    made = digest_of([notice("b", [], ["x"], at=2.0), notice("a", ["x"], [], at=1.0)], 5.0)
    assert (made.firing, made.resolved) == (frozenset(), {"x"})


def test_a_digest_is_bounded_and_says_how_many_it_leaves_out() -> None:
    many = [notice(str(n), [f"alert-{n:04}"], []) for n in range(MOST_IN_DIGEST + 30)]
    made = digest_of(many, 5.0)
    assert len(made.alerts) == MOST_IN_DIGEST
    assert made.truncated == 30
    assert len(made.firing) == MOST_IN_DIGEST + 30


def test_the_same_notices_make_the_same_key_in_any_order() -> None:
    one, two = notice("a", ["x"], []), notice("b", ["y"], [])
    assert digest_of([one, two], 5.0).key == digest_of([two, one], 9.0).key


def test_so_many_a_second_too() -> None:
    pace = Pace(100, 2)
    for _ in range(2):
        assert pace.wait_seconds(10.0) == 0
        pace.take(10.0)
    assert pace.wait_seconds(10.25) == 0.75
    assert pace.wait_seconds(11.0) == 0


@given(st.floats(0, 2e9), st.integers(1, 5))
def test_who_waited_to_the_moment_takes_the_last_place_of_the_minute(began: float, per_minute: int) -> None:
    """Or else what waits would never be folded, each time by a rounding."""
    pace = Pace(per_minute)
    for _ in range(per_minute):
        pace.take(began)
    now = began + 12.345
    now += pace.wait_seconds(now)
    assert (pace.wait_seconds(now), pace.last_of_minute) == (0.0, per_minute == 1)
