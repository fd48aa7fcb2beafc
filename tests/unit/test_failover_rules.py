"""Rules of a lost cluster: when it is lost, what is placed again and after how long, what stays and why."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.interpreters import interpret
from controlplane.placement import ClusterView, Decision, PlacementRequest, place
from controlplane.placement.compiled import placement_request
from controlplane.placement.rules import Affinity, Division, StaticWeight
from controlplane.rollout import (
    FailoverRule,
    Losses,
    LossRules,
    begin,
    failover_rule,
    look,
    outlook,
    tolerated_seconds,
)
from controlplane.rollout.data import held_data
from schemas.manifests import ManifestError, Workload, parse_manifest
from schemas.reasons import Reason

RULES = LossRules(lost_seconds=45.0, toleration_seconds=300.0, suspect_share=0.55)
MOVES = FailoverRule(None, 300.0)
START = 1_000_000.0


def watched(*looks: tuple[float, dict[str, float]], rules: LossRules = RULES) -> Losses:
    """Looks at (seconds after the start, when each cluster was heard last), and every ten seconds."""
    losses = begin(START)
    for until, heard in looks:
        while losses.at < START + until:
            now = min(losses.at + 10.0, START + until)
            losses = look(losses, {name: START + at for name, at in heard.items()}, now, rules)
    return losses


def names(*clusters: str, at: float) -> dict[str, float]:
    return dict.fromkeys(clusters, at)


@pytest.mark.parametrize(
    ("case", "looks", "unreachable", "suspected"),
    [
        ("all are heard", [(600.0, names("a", "b", "c", at=600.0))], [], False),
        ("one misses beats", [(45.0, names("b", "c", at=45.0) | {"a": 0.0})], [], False),
        ("one is lost", [(46.0, names("b", "c", at=46.0) | {"a": 0.0})], ["a"], False),
        (
            "two of four are lost",
            [(90.0, names("c", "d", at=90.0) | names("a", "b", at=0.0))],
            ["a", "b"],
            False,
        ),
        ("two of three", [(90.0, {"c": 90.0} | names("a", "b", at=0.0))], ["a", "b"], True),
        ("all", [(90.0, names("a", "b", at=0.0))], ["a", "b"], True),
        ("the only one", [(90.0, {"a": 0.0})], ["a"], True),
        (
            "one is lost, and others are overdue: they were cut off together",
            [(46.0, {"a": 0.0, "b": 5.0, "c": 9.0, "d": 46.0})],
            ["a"],
            True,
        ),
        ("a new leader hears nobody yet", [(44.0, names("a", "b", "c", at=-600.0))], [], True),
        ("it hears all but one", [(90.0, names("b", "c", at=90.0) | {"a": -600.0})], ["a"], False),
    ],
)
def test_a_cluster_is_lost_once_it_is_silent(
    case: str, looks: list[tuple[float, dict[str, float]]], unreachable: list[str], suspected: bool
) -> None:
    seen = watched(*looks)
    assert (sorted(seen.unreachable), seen.suspected) == (unreachable, suspected), case


def test_it_is_unreachable_from_the_moment_it_was_missed() -> None:
    assert watched((90.0, {"a": 10.0, "b": 90.0})).unreachable == {"a": START + 55.0}
    assert watched((90.0, {"a": -600.0, "b": 90.0})).unreachable == {"a": START + 45.0}


def test_a_centre_that_was_away_itself_begins_anew() -> None:
    before = watched((10.0, names("a", "b", "c", at=10.0)))
    heard = {"a": START + 10.0, "b": START + 700.0, "c": START + 700.0}
    after = look(before, heard, START + 700.0, RULES)
    assert (dict(after.unreachable), after.began) == ({}, START + 700.0)


def test_after_a_suspicion_every_cluster_has_time_to_be_heard() -> None:
    cut = names("a", "b", "c", "d", at=0.0)
    suspected = watched((600.0, cut))
    assert suspected.suspected
    seen = outlook(MOVES, suspected, "a", RULES)
    assert seen is not None
    assert (seen.reason, seen.at) == (Reason.NETWORK_SUSPECTED, None)

    back = watched((600.0, cut), (602.0, cut | names("b", "c", "d", at=601.0)))
    assert not back.suspected
    seen = outlook(MOVES, back, "a", RULES)
    assert seen is not None
    assert seen.at == START + 600.0 + RULES.lost_seconds + 300.0


def toleration(**fields: Any) -> dict[str, Any]:
    return {"key": "muster.dev/unreachable", "operator": "Exists"} | fields


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 300.0),
        ([toleration(tolerationSeconds=30)], 30.0),
        ([toleration(tolerationSeconds=0)], 0.0),
        ([toleration()], None),
        ([toleration(effect="NoExecute", tolerationSeconds=7)], 7.0),
        ([toleration(effect="NoSchedule")], 300.0),
        ([toleration(operator="Equal", value="", tolerationSeconds=8)], 8.0),
        ([toleration(operator="", tolerationSeconds=8)], 8.0),
        ([toleration(operator="Equal", value="yes")], 300.0),
        ([{"operator": "Exists"}], None),
        ([{"key": "maintenance", "operator": "Exists"}], 300.0),
        ([toleration(key="cluster.karmada.io/unreachable", tolerationSeconds=60)], 60.0),
        ([toleration(key="cluster.karmada.io/not-ready", tolerationSeconds=20)], 20.0),
        (
            [
                toleration(key="cluster.karmada.io/unreachable", tolerationSeconds=60),
                toleration(key="cluster.karmada.io/not-ready", tolerationSeconds=20),
            ],
            20.0,
        ),
        ([toleration(), toleration(tolerationSeconds=40)], 40.0),
    ],
)
def test_a_toleration_says_how_long_it_stays(
    tolerations: list[dict[str, Any]], seconds: float | None
) -> None:
    stated = workload(clusterTolerations=tolerations).spec.placement.cluster_tolerations
    assert tolerated_seconds(stated, 300.0) == seconds


DIVIDED = {"replicaScheduling": {"replicaSchedulingType": "Divided"}}
CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
HOST = {"name": "host", "hostPath": {"path": "/data"}}
SCRATCH = {"name": "scratch", "emptyDir": {}}
EPHEMERAL = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}
PVC = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "apps"},
    "spec": {},
}


def podded(kind: str = "Deployment", replicas: int = 3, volume: object = None, **spec: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    pod = {"containers": [{"name": "main", "image": "registry.example/web:1"}]}
    if volume is not None:
        pod["volumes"] = [volume]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "namespace": "apps"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **spec,
        },
    }


def workload(
    *manifests: dict[str, Any], failover: dict[str, Any] | None = None, **placement: Any
) -> Workload:
    parsed = parse_manifest(
        {
            "apiVersion": "muster.dev/v1",
            "kind": "Workload",
            "metadata": {"name": "web"},
            "spec": {
                "manifests": list(manifests) or [podded()],
                "placement": DIVIDED | placement,
                "failover": failover or {},
            },
        },
        "workload.yaml",
    )
    assert isinstance(parsed, Workload)
    return parsed


def rule_of(given: Workload) -> FailoverRule:
    request = placement_request("uid", given.spec, interpret(given.spec.manifests))
    return failover_rule(given.spec, request, RULES)


BOTH = {"singleton": "Move", "data": "Move"}
DUPLICATED = {"replicaScheduling": {"replicaSchedulingType": "Duplicated"}}


@pytest.mark.parametrize(
    ("case", "given", "stays"),
    [
        ("stateless replicas", workload(podded()), None),
        ("one replica", workload(podded(replicas=1)), Reason.SINGLETON),
        ("one that may move", workload(podded(replicas=1), failover={"singleton": "Move"}), None),
        ("none at all", workload(podded(replicas=0)), Reason.DUPLICATED),
        ("copies", workload(podded(), **DUPLICATED), Reason.DUPLICATED),
        ("copies of one", workload(podded(replicas=1), failover=BOTH, **DUPLICATED), Reason.DUPLICATED),
        ("no pods", workload(PVC, failover=BOTH), Reason.DUPLICATED),
        ("a StatefulSet", workload(podded("StatefulSet")), Reason.HOLDS_DATA),
        ("one that may move", workload(podded("StatefulSet"), failover={"data": "Move"}), None),
        ("a claim beside it", workload(podded(), PVC), Reason.HOLDS_DATA),
        ("a claim in the pod", workload(podded(volume=CLAIM)), Reason.HOLDS_DATA),
        ("a folder of the node", workload(podded(volume=HOST)), Reason.HOLDS_DATA),
        ("scratch", workload(podded(volume=SCRATCH)), None),
        ("scratch by a claim of the pod's own", workload(podded(volume=EPHEMERAL)), None),
        ("data, alone", workload(podded(replicas=1, volume=CLAIM)), Reason.HOLDS_DATA),
        (
            "data that may move, alone",
            workload(podded(replicas=1, volume=CLAIM), failover={"data": "Move"}),
            Reason.SINGLETON,
        ),
        ("both may move", workload(podded(replicas=1, volume=CLAIM), failover=BOTH), None),
    ],
)
def test_what_stays_says_why(case: str, given: Workload, stays: Reason | None) -> None:
    found = rule_of(given).stays
    assert (found.reason if found else None) == stays, case


def test_data_is_found_wherever_a_kind_keeps_its_pods() -> None:
    virtual_machine = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "vm"},
        "spec": {"template": {"spec": {"volumes": [{"name": "root", "dataVolume": {"name": "root"}}]}}},
    }
    assert held_data([virtual_machine]) == "VirtualMachine vm: volume root is dataVolume"
    templates = podded("Custom", volumeClaimTemplates=[{"metadata": {"name": "data"}}])
    assert held_data([templates]) == "Custom web: volumeClaimTemplates"
    assert (
        held_data([podded(), {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"volumes": "x"}}])
        == ""
    )


@pytest.mark.parametrize(
    ("failover", "field"),
    [({"singleton": "Maybe"}, "singleton"), ({"data": True}, "data"), ({"stateless": "Move"}, "stateless")],
)
def test_a_wrong_failover_names_its_field(failover: dict[str, Any], field: str) -> None:
    with pytest.raises(ManifestError, match=rf"spec\.failover\.{field}"):
        workload(failover=failover)


@pytest.mark.parametrize(
    ("rule", "after", "reason", "at", "says"),
    [
        (MOVES, 145.0, Reason.CLUSTER_UNKNOWN, 345.0, "will be placed again in 200 s"),
        (MOVES, 345.0, Reason.CLUSTER_UNKNOWN, 345.0, "is to be placed again"),
        (replace(MOVES, tolerated_seconds=0.0), 46.0, Reason.CLUSTER_UNKNOWN, 45.0, "is to be placed again"),
        (replace(MOVES, tolerated_seconds=None), 999.0, Reason.TAINT_TOLERATED, None, "tolerates for ever"),
        (rule_of(workload(podded(replicas=1))), 999.0, Reason.SINGLETON, None, "the only one of it"),
        (rule_of(workload(podded("StatefulSet"))), 999.0, Reason.HOLDS_DATA, None, "StatefulSet web"),
    ],
)
def test_an_outlook_says_what_becomes_of_it_and_when(
    rule: FailoverRule, after: float, reason: Reason, at: float | None, says: str
) -> None:
    losses = watched((after, names("b", "c", at=after) | {"a": 0.0}))
    seen = outlook(rule, losses, "a", RULES)
    assert seen is not None
    assert (seen.reason, seen.at) == (reason, None if at is None else START + at)
    assert says in seen.message
    # 1,000,045 s after 1970.
    assert "unreachable since 13:47:25 UTC" in seen.message
    assert outlook(rule, losses, "b", RULES) is None


# Beats as they come: (cluster, seconds until it is heard again), and the time between two looks.
LIVES = st.lists(
    st.tuples(st.floats(0.5, 9.5), st.sets(st.sampled_from("abcde"), max_size=5)), min_size=1, max_size=120
)


@given(LIVES, st.floats(0.0, 60.0))
def test_nothing_is_due_before_its_time_nor_while_the_network_is_suspected(
    looks: list[tuple[float, set[str]]], tolerated: float
) -> None:
    losses, heard = begin(START), dict.fromkeys("abcde", START - 1_000.0)
    rule = FailoverRule(None, tolerated)
    calm_since = START
    for seconds, beating in looks:
        now = losses.at + seconds
        heard |= dict.fromkeys(beating, now)
        losses = look(losses, heard, now, RULES)
        if losses.suspected:
            calm_since = now
        due = [each for each in heard if (seen := outlook(rule, losses, each, RULES)) and seen.is_due(now)]
        for each in due:
            assert not losses.suspected
            assert now - max(heard[each], calm_since) >= RULES.lost_seconds + tolerated - 1e-6
        assert len(due) <= RULES.suspect_share * len(heard)


@given(LIVES)
def test_a_cluster_that_is_heard_is_not_lost(looks: list[tuple[float, set[str]]]) -> None:
    losses, heard = begin(START), dict.fromkeys("abcde", START)
    for seconds, beating in looks:
        now = losses.at + seconds
        heard |= dict.fromkeys(beating, now)
        losses = look(losses, heard, now, RULES)
        assert losses.unreachable.keys().isdisjoint(beating)


NAMES = ("a", "b", "c", "d", "e")
AMOUNTS = st.fixed_dictionaries(dict.fromkeys(NAMES, st.integers(0, 12)))


def placed_again(
    request: PlacementRequest, current: dict[str, int], room: dict[str, int], lost: str
) -> Decision:
    """As the loop asks for it: the lost cluster holds nothing any more, and may take nothing."""
    views = [
        ClusterView(name, name, standing=Reason.CLUSTER_UNKNOWN if name == lost else None) for name in NAMES
    ]
    left = {name: count for name, count in current.items() if name != lost}
    return place(replace(request, current=left), views, [room[name] for name in NAMES])


def check_moved(decision: Decision, current: dict[str, int], lost: str) -> None:
    assert lost not in decision.assignments
    assert sum(decision.assignments.values()) == sum(current.values())
    assert all(decision.assignments.get(name, 0) >= count for name, count in current.items() if name != lost)


@given(AMOUNTS, AMOUNTS, st.sampled_from([Division.DYNAMIC, Division.AGGREGATED]), st.sampled_from(NAMES))
def test_only_what_was_lost_moves_and_all_of_it_or_nothing(
    held: dict[str, int], room: dict[str, int], division: Division, lost: str
) -> None:
    current = {name: count for name, count in held.items() if count}
    request = PlacementRequest("uid", sum(current.values()), division=division)
    decision = placed_again(request, current, room, lost)
    fits = sum(count for name, count in room.items() if name != lost)
    if not current:
        return
    assert (decision.error is None) == (
        fits >= current.get(lost, 0) and current.keys() | {lost} > {lost}
    ) or fits
    if decision.error is None:
        check_moved(decision, current, lost)
        for name, count in decision.assignments.items():
            assert count - current.get(name, 0) <= room[name]
    else:
        assert decision.assignments == {}


@given(AMOUNTS, st.integers(1, 60), st.sampled_from(NAMES), st.sampled_from(["uid", "another"]))
def test_with_static_weights_the_others_only_gain(
    weights: dict[str, int], replicas: int, lost: str, uid: str
) -> None:
    request = PlacementRequest(
        uid,
        replicas,
        division=Division.STATIC,
        weights=tuple(
            StaticWeight(Affinity(names=frozenset({name})), count) for name, count in weights.items()
        ),
    )
    nothing = dict.fromkeys(NAMES, 0)
    before = place(request, [ClusterView(name, name) for name in NAMES], [0] * len(NAMES))
    # Without any weight left, each counts as one: then all is divided anew.
    if any(count for name, count in weights.items() if name != lost) or not any(weights.values()):
        current = dict(before.assignments)
        check_moved(placed_again(request, current, nothing, lost), current, lost)
