"""At what pace usage is told: own pods at once, others in turn, and each at last as it is by then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.observe.cache import Cache
from agents.observe.rows import PodRow
from agents.observe.usage import usage
from agents.observe.usage_reports import FEWEST_SHARDS, MOST_ROUNDS, UsageReports

LAYOUT = 64
NODES = [f"node-{number}" for number in range(LAYOUT)]


def shard(name: str) -> int:
    """One node on each."""
    return NODES.index(name)


def due(reports: UsageReports, changed: list[str], own: tuple[str, ...] = ()) -> list[int]:
    return reports.due(changed, own, (), shard, LAYOUT)


def test_a_small_cluster_is_told_whole_each_time() -> None:
    reports = UsageReports(Cache())
    assert reports.due(NODES[:FEWEST_SHARDS], (), (), shard, FEWEST_SHARDS) == list(range(FEWEST_SHARDS))
    assert not reports.owes


def test_where_own_pods_changed_it_is_told_at_once_whoever_waits() -> None:
    reports = UsageReports(Cache())
    due(reports, NODES)
    assert LAYOUT - 1 in due(reports, [NODES[-1]], own=(NODES[-1],))


@given(st.lists(st.sets(st.sampled_from(NODES)), min_size=1, max_size=30))
def test_whatever_changed_is_told_within_some_rounds(rounds: list[set[str]]) -> None:
    reports = UsageReports(Cache())
    waiting: dict[int, int] = {}
    for changed in [*rounds, *([set[str]()] * MOST_ROUNDS)]:
        for name in changed:
            waiting.setdefault(shard(name), 0)
        for index in due(reports, sorted(changed)):
            del waiting[index]
        waiting = {index: waited + 1 for index, waited in waiting.items()}
        assert all(waited < MOST_ROUNDS for waited in waiting.values())
    assert not waiting
    assert not reports.owes


def pod(node: str, cpu: int, workload: str = "") -> PodRow:
    return PodRow(node, workload, "t" if workload else "", {"cpu": cpu, "pods": 1}, False, False, True)


@pytest.mark.promise(2)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from(NODES[:3]),
            st.integers(1, 4),
            st.sampled_from(["", "w1", "w2"]),
        ),
        max_size=30,
    )
)
def test_what_is_summed_node_by_node_is_what_the_pods_come_to(pods: list[tuple[int, str, int, str]]) -> None:
    cache = Cache()
    reports = UsageReports(cache)
    names = NODES[:3]
    for number, node, cpu, workload in pods:
        key = ("shop", f"pod-{number}")
        if cache.pods.rows.get(key) == pod(node, cpu, workload):
            cache.pods.drop(key)
        else:
            cache.pods.put(key, pod(node, cpu, workload))
        changes = cache.take_changes()
        reports.due(changes.usage, changes.own, (), shard, LAYOUT)
        assert reports.report(names) == usage(names, cache.pods_on, None)
