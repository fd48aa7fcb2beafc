"""Alert rules: which expressions are taken, of what they hold, and since when."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controlplane.alerts.rules import Key, Look, Rule, RuleError, Thing, held_since
from controlplane.known.ruling import compiled_rule
from controlplane.queries.facts import sample
from schemas.manifests import AlertRuleSpec


def spec(over: str = "workload", expr: str = "true", **more: Any) -> AlertRuleSpec:
    return AlertRuleSpec.model_validate({"over": over, "expr": expr, **more})


def thing(name: str, **row: Any) -> Thing:
    return Thing({"workload": name}, {"name": name, **row})


@pytest.mark.parametrize(
    ("over", "expr"),
    [
        ("cluster", 'cluster.status != "Ready"'),
        ("cluster", 'cluster.labels["env"] == "prod" && cluster.nodes_ready * 10 < cluster.nodes * 9'),
        ("cluster", 'cluster.requested["cpu"] * 100 / cluster.allocatable["cpu"] > 90'),
        ("workload", 'workload.state == "Unplaced" && now - workload.updated_at > 300'),
        (
            "workload",
            'workload.kinds.exists(kind, kind == "Deployment") && workload.ready < workload.replicas',
        ),
        ("placement", 'placement.refusals.exists(each, each.reason == "OwnedByOther")'),
        ("agent", "agent.silent_seconds > 60 || agent.spool_depth > 1000"),
        ("tenant", "size(tenant.owners) == 0"),
        ("fleet", "fleet.clusters_ready * 2 < fleet.clusters"),
    ],
)
def test_what_can_be_asked(over: str, expr: str) -> None:
    compiled_rule("rule", spec(over, expr)).try_on(sample(over), 1_700_000_000.0)


@pytest.mark.parametrize(
    ("over", "expr", "named"),
    [
        pytest.param("workload", "workload.ready <", "Syntax error", id="no expression"),
        pytest.param("workload", "workload.redy < 3", "workload.redy: a workload has", id="a slip"),
        pytest.param("workload", "cluster.nodes > 3", "cluster", id="another variable"),
        pytest.param("workload", "workload.ready", "not true or false", id="a number"),
        pytest.param("workload", 'workload.ready > "3"', "overload", id="a number against a text"),
        pytest.param("workload", "workload.ready.startsWith('a')", "startsWith", id="a number as a text"),
        pytest.param(
            "workload",
            "workload.kinds.all(a, workload.kinds.all(b, workload.kinds.all(c, a == b && b == c)))",
            "more than 2",
            id="loops in loops in loops",
        ),
    ],
)
def test_what_is_refused(over: str, expr: str, named: str) -> None:
    with pytest.raises(RuleError, match=named) as refused:
        compiled_rule("rule", spec(over, expr)).try_on(sample(over), 0.0)
    assert str(refused.value).startswith("spec.expr: ")


def test_a_slip_in_an_annotation_is_refused_too() -> None:
    written = spec("workload", "workload.ready < 3", annotations={"summary": "{{ workload.nme }} is down"})
    with pytest.raises(RuleError, match=r"^spec.annotations\[summary\]: workload.nme: a workload has"):
        compiled_rule("rule", written).try_on(sample("workload"), 0.0)


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ({"over": "pod", "expr": "true"}, "over"),
        ({"over": "workload", "expr": "true", "for": "5 minutes"}, "30s, 5m, 1h30m"),
        ({"over": "workload", "expr": "true", "for": "8d"}, "a week at most"),
        ({"over": "workload", "expr": "true", "labels": {"cluster": "eu"}}, "set by Muster itself"),
        ({"over": "workload", "expr": "true", "labels": {"a-b": "c"}}, "no label name"),
        ({"over": "fleet", "expr": "true", "clusters": {"clusterNames": ["eu"]}}, "a fleet has none"),
        ({"over": "cluster", "expr": "true", "tenants": ["retail"]}, "a cluster has none"),
        ({"over": "workload", "expr": ""}, "expr"),
    ],
)
def test_manifests_that_are_refused(written: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        AlertRuleSpec.model_validate(written)


def test_labels_tell_things_apart_and_annotations_are_filled() -> None:
    rule = compiled_rule(
        "NotReady",
        spec(
            expr="workload.ready < workload.replicas",
            labels={"severity": "warning"},
            annotations={"summary": "{{ workload.ready }} of {{workload.replicas}}, {{ workload.nothing }}"},
        ),
    )
    look = rule.look([thing("a", ready=1, replicas=3), thing("b", ready=3, replicas=3)], 0.0)
    (firing,) = look.holds.values()
    assert firing.labels == {
        "alertname": "NotReady",
        "source": "muster",
        "severity": "warning",
        "workload": "a",
    }
    assert firing.annotations == {"summary": "1 of 3, <workload.nothing: has no 'nothing'>"}


def test_what_cannot_be_said_of_one_thing_is_said_of_the_others() -> None:
    rule = Rule("rule", "workload", 'workload.labels["team"] == "a"')
    look = rule.look([thing("x", labels={}), thing("y", labels={"team": "a"})], 0.0)
    assert [firing.labels["workload"] for firing in look.holds.values()] == ["y"]
    assert len(look.unsure) == 1
    assert look.errors == ('x: workload.labels["team"] == "a": has no \'team\'',)


A: Key = (("workload", "a"),)
B: Key = (("workload", "b"),)


@pytest.mark.parametrize(
    ("before", "look", "since"),
    [
        pytest.param({}, {"a"}, {A: 10.0}, id="begins now"),
        pytest.param({A: 3.0}, {"a"}, {A: 3.0}, id="goes on"),
        pytest.param({A: 3.0}, {"b"}, {B: 10.0}, id="ends"),
        pytest.param({A: 3.0}, {"?a"}, {A: 3.0}, id="cannot be said: as it was"),
        pytest.param({}, {"?a"}, {}, id="cannot be said, and was not"),
    ],
)
def test_since_when_it_holds(before: dict[Key, float], look: set[str], since: dict[Key, float]) -> None:
    rule = Rule("r", "workload", "true")
    keys = {"a": A, "b": B}
    held = rule.look([], 0.0).holds
    found = Look(
        {**held, **{keys[each]: None for each in look if each in keys}},  # type: ignore[dict-item]
        frozenset(keys[each[1:]] for each in look if each.startswith("?")),
    )
    assert held_since(before, found, 10.0) == since


@given(st.lists(st.booleans(), max_size=30))
def test_what_held_all_the_time_is_counted_from_its_beginning(holds: list[bool]) -> None:
    since: dict[Key, float] = {}
    began: float | None = None
    rule = Rule("r", "workload", "workload.x")
    for now, is_so in enumerate(holds):
        look = rule.look([thing("a", x=is_so)], float(now))
        since = held_since(since, look, float(now))
        began = (began if began is not None else float(now)) if is_so else None
        assert list(since.values()) == ([] if began is None else [began])
