"""Which routes an alert takes: tables in Alertmanager's words, and laws over any tree."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.alerts.compile import read_configuration
from controlplane.alerts.configuration import Route
from controlplane.alerts.matchers import Matcher, Operator
from controlplane.alerts.routes import (
    Routes,
    every_route,
    explain_routes,
    group_id,
    group_key,
    group_labels,
    label_set,
    match_routes,
)

TREE = """
route:
  receiver: default
  group_by: [alertname, b]
  group_wait: 10s
  routes:
    - matchers: [owner="team-A"]
      receiver: A
      group_interval: 1m
      group_by: [...]
      mute_time_intervals: [night]
      muster: {escalate: [{after: 10m, receiver: B}, {after: 5m, receiver: default}]}
      routes:
        - match: {env: testing}
          receiver: A-testing
          group_by: [env]
        - match_re: {env: prod.*}
          continue: true
          repeat_interval: 1h
        - matchers: [env=~"prod.*", tier!=""]
          receiver: A-tier
    - matchers: [owner=~"team-(B|C)"]
      receiver: B
      continue: true
    - matchers: [owner="team-C"]
      receiver: C
receivers: [{name: default}, {name: A}, {name: A-testing}, {name: A-tier}, {name: B}, {name: C}]
time_intervals: [{name: night, time_intervals: [{weekdays: [sunday]}]}]
"""
ROOT = read_configuration(TREE).root


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({}, ["default"]),
        ({"owner": "nobody"}, ["default"]),
        ({"owner": "team-A"}, ["A"]),
        ({"owner": "team-A", "env": "testing"}, ["A-testing"]),
        ({"owner": "team-A", "env": "production"}, ["A"]),
        ({"owner": "team-A", "env": "production", "tier": "web"}, ["A", "A-tier"]),
        ({"owner": "team-B"}, ["B"]),
        ({"owner": "team-C"}, ["B", "C"]),
    ],
    ids=str,
)
def test_depth_first_left_to_right_and_on_only_where_it_says_continue(
    labels: dict[str, str], receivers: list[str]
):
    assert [route.receiver for route in match_routes(ROOT, labels)] == receivers
    assert [route.receiver for route in Routes(ROOT).match(labels)] == receivers


def test_timers_receiver_and_escalation_are_inherited_and_intervals_are_not():
    parent = ROOT.routes[0]
    child = parent.routes[1]
    assert (child.receiver, child.group_wait_seconds, child.group_interval_seconds) == ("A", 10, 60)
    assert (child.repeat_interval_seconds, parent.repeat_interval_seconds) == (3600, 4 * 3600)
    assert (parent.mute, child.mute) == (("night",), ())
    assert [(step.after_seconds, step.receiver) for step in child.escalations] == [
        (300, "default"),
        (600, "B"),
    ]


def test_group_by_of_a_child_clears_all_labels_that_it_inherited():
    parent, child = ROOT.routes[0], ROOT.routes[0].routes[0]
    assert parent.group_by_all
    assert not child.group_by_all
    assert child.group_by == ("env",)
    assert ROOT.routes[0].routes[1].group_by_all


@pytest.mark.parametrize(
    ("route", "key", "id_"),
    [
        (ROOT, "{}", "{}"),
        (ROOT.routes[0], '{}/{owner="team-A"}', '{}/{owner="team-A"}/0'),
        (
            ROOT.routes[0].routes[1],
            '{}/{owner="team-A"}/{env=~"^(?:prod.*)$"}',
            '{}/{owner="team-A"}/0/{env=~"^(?:prod.*)$"}/1',
        ),
        (
            ROOT.routes[0].routes[2],
            '{}/{owner="team-A"}/{env=~"prod.*",tier!=""}',
            '{}/{owner="team-A"}/0/{env=~"prod.*",tier!=""}/2',
        ),
    ],
)
def test_keys_and_ids_are_those_of_alertmanager(route: Route, key: str, id_: str):
    assert (route.key, route.id) == (key, id_)


def test_a_group_is_the_labels_that_are_there_and_its_key_says_them():
    labels = {"alertname": "X", "b": "c", "owner": "team-A"}
    assert group_labels(ROOT, labels) == {"alertname": "X", "b": "c"}
    assert group_labels(ROOT, {"alertname": "X"}) == {"alertname": "X"}
    assert group_labels(ROOT.routes[0], labels) == labels
    assert (
        group_key(ROOT.routes[0], {"alertname": "X", "b": "c"})
        == '{}/{owner="team-A"}:{alertname="X", b="c"}'
    )
    assert group_id(ROOT.routes[0], {}) == '{}/{owner="team-A"}/0:{}'
    assert label_set({"b": 'q"\n', "a": "日"}) == '{a="日", b="q\\"\\n"}'


def test_every_route_that_was_looked_at_says_why():
    steps = explain_routes(ROOT, {"owner": "team-A", "env": "testing"})
    told = [(step.route.id.rpartition("/")[2], step.matched, step.chosen, step.passed_over) for step in steps]
    assert told == [
        ("{}", True, False, False),
        ("0", True, False, False),
        ("0", True, True, False),
        ("1", False, False, True),
        ("2", False, False, True),
        ("1", False, False, True),
        ("2", False, False, True),
    ]
    failed = explain_routes(ROOT, {"owner": "x"})[1]
    assert [str(matcher) for matcher in failed.failed] == ['owner="team-A"']


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["", "x", "y", "z"])
PATTERNS = st.sampled_from(["", "x", "x|y", ".*", ".+", "[^x]"])
MATCHERS = st.lists(
    st.builds(Matcher, NAMES, st.sampled_from([Operator.EQUAL, Operator.NOT_EQUAL]), VALUES)
    | st.builds(Matcher, NAMES, st.sampled_from([Operator.MATCHES, Operator.MATCHES_NOT]), PATTERNS),
    max_size=2,
).map(tuple)
LABELS = st.dictionaries(NAMES, VALUES, max_size=3)


def _routes(children: st.SearchStrategy[tuple[Route, ...]]) -> st.SearchStrategy[Route]:
    return st.builds(
        Route,
        key=st.just("k"),
        id=st.uuids().map(str),
        receiver=st.just("r"),
        matchers=MATCHERS,
        continues=st.booleans(),
        routes=children,
    )


TREES = st.recursive(
    _routes(st.just(())), lambda below: _routes(st.lists(below, max_size=6).map(tuple)), max_leaves=25
)


@settings(max_examples=300, deadline=None)
@given(TREES, st.lists(LABELS, min_size=1, max_size=8))
def test_the_indexed_tree_equals_the_naive_model(root: Route, alerts: list[dict[str, str]]):
    indexed = Routes(root)
    for labels in alerts:
        naive = match_routes(root, labels)
        assert list(indexed.match(labels)) == naive
        assert [step.route for step in explain_routes(root, labels) if step.chosen] == naive


def test_hundreds_of_routes_are_all_reached():
    children = tuple(
        Route(key=f"k{n}", id=f"i{n}", receiver=f"r{n}", matchers=(Matcher("team", Operator.EQUAL, f"t{n}"),))
        for n in range(500)
    )
    root = Route(key="{}", id="{}", receiver="root", routes=children)
    indexed = Routes(root)
    assert len(list(every_route(root))) == 501
    for number in range(500):
        assert [route.receiver for route in indexed.match({"team": f"t{number}"})] == [f"r{number}"]
    assert [route.receiver for route in indexed.match({"team": "none"})] == ["root"]
