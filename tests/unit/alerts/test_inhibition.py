"""A target is held back while a source with the same `equal` labels fires."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.alert import Alert
from controlplane.alerts.configuration import InhibitRule
from controlplane.alerts.groups import Record
from controlplane.alerts.inhibition import Inhibition
from controlplane.alerts.matchers import Matcher, Operator, matches_all
from tests.unit.alerts.making import alert, inhibits

DOWN = inhibits("alertname=Down", "severity=warning", "cluster")
SELF = inhibits("severity=~critical|warning", "severity=warning", "cluster")


@dataclass(frozen=True)
class Case:
    says: str
    rules: tuple[InhibitRule, ...]
    target: Alert
    others: tuple[Alert, ...]
    held: bool


def target(**labels: str) -> Alert:
    return alert("Slow", severity="warning", **labels)


CASES = [
    Case(
        "source and target, equal labels", (DOWN,), target(cluster="a"), (alert("Down", cluster="a"),), True
    ),
    Case("another cluster", (DOWN,), target(cluster="a"), (alert("Down", cluster="b"),), False),
    Case("missing on both sides is equal", (DOWN,), target(), (alert("Down"),), True),
    Case("missing is the same as empty", (DOWN,), target(), (alert("Down", cluster=""),), True),
    Case("missing on one side is not equal", (DOWN,), target(cluster="a"), (alert("Down"),), False),
    Case("the source is over", (DOWN,), target(cluster="a"), (alert("Down", ends=5, cluster="a"),), False),
    Case(
        "one of two sources with the same labels is over",
        (DOWN,),
        target(cluster="a"),
        (alert("Down", ends=5, cluster="a"), alert("Down", cluster="a", pod="2")),
        True,
    ),
    Case(
        "no equal labels: any source",
        (inhibits("alertname=Down", "severity=warning"),),
        target(cluster="a"),
        (alert("Down", cluster="b"),),
        True,
    ),
    Case("it does not hold itself back", (SELF,), target(cluster="a"), (), False),
    Case(
        "both sides: sources that match both are ignored",
        (SELF,),
        target(cluster="a"),
        (alert("Other", severity="warning", cluster="a"),),
        False,
    ),
    Case(
        "both sides: a source that is only one counts",
        (SELF,),
        target(cluster="a"),
        (alert("Other", severity="critical", cluster="a"),),
        True,
    ),
    Case(
        "a target on one side only is held by sources of both",
        (inhibits("severity=~critical|warning", "team=x"),),
        alert("Slow", team="x"),
        (alert("Other", team="x", severity="warning"),),
        True,
    ),
    Case(
        "no target",
        (DOWN,),
        alert("Slow", severity="info", cluster="a"),
        (alert("Down", cluster="a"),),
        False,
    ),
    Case(
        "the second rule",
        (DOWN, inhibits("alertname=Boot", "severity=warning")),
        target(),
        (alert("Boot"),),
        True,
    ),
]


def inhibition_of(rules: tuple[InhibitRule, ...], *alerts: Alert) -> tuple[Inhibition, list[Record]]:
    inhibition = Inhibition(rules)
    records = [Record(each, each.labels, sides=inhibition.sides(each.labels)) for each in alerts]
    for record in records:
        inhibition.add(record.alert.fingerprint, record.sides, record)
    return inhibition, records


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_inhibition(case: Case) -> None:
    inhibition, records = inhibition_of(case.rules, case.target, *case.others)
    assert (inhibition.inhibited_by(records[0].sides, 10) is not None) is case.held


def test_a_source_that_is_forgotten_holds_nothing_back() -> None:
    inhibition, (held, source) = inhibition_of((DOWN,), target(), alert("Down"))
    inhibition.remove(source.alert.fingerprint, source.sides)
    assert inhibition.inhibited_by(held.sides, 10) is None


NAMES, VALUES = ("a", "b", "c"), ("", "1", "2")
LABELS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=3)
MATCHERS = st.lists(
    st.builds(Matcher, st.sampled_from(NAMES), st.sampled_from(list(Operator)), st.sampled_from(VALUES)),
    min_size=1,
    max_size=2,
).map(tuple)
RULES = st.lists(
    st.builds(InhibitRule, MATCHERS, MATCHERS, st.lists(st.sampled_from(NAMES), unique=True).map(tuple)),
    max_size=4,
).map(tuple)
ALERTS = st.lists(
    st.builds(
        lambda labels, place, ends: alert(str(place), ends=ends, **labels),
        LABELS,
        st.integers(0, 5),
        st.sampled_from((5.0, 50.0)),
    ),
    unique_by=lambda each: each.fingerprint,
    min_size=1,
    max_size=6,
)


@given(RULES, ALERTS)
def test_the_index_equals_the_rule_as_it_is_stated(
    rules: tuple[InhibitRule, ...], alerts: list[Alert]
) -> None:
    inhibition, records = inhibition_of(rules, *alerts)
    for record in records:
        assert (inhibition.inhibited_by(record.sides, 10) is not None) is _held(rules, record.alert, alerts)


def _held(rules: tuple[InhibitRule, ...], held: Alert, alerts: list[Alert]) -> bool:
    for rule in rules:
        if not matches_all(rule.target, held.labels):
            continue
        two_sided = matches_all(rule.source, held.labels)
        for source in alerts:
            same = all(source.labels.get(name, "") == held.labels.get(name, "") for name in rule.equal)
            ignored = two_sided and matches_all(rule.target, source.labels)
            if matches_all(rule.source, source.labels) and same and source.ends_at > 10 and not ignored:
                return True
    return False
