"""What the demo makes of what it sees: is each sample where it should be, and what a terminal can show."""

import io
from typing import Any

import pytest
from rich.console import Console

from controlplane.cli.demo.outcome import EXPECTED, EXPECTED_AFTER_LOSS, Course, Seen, outcome
from controlplane.cli.demo.run import SAMPLES
from controlplane.cli.demo.screen import Screen
from controlplane.cli.demo.story import MOVES, TOLERATED_SECONDS, Line
from controlplane.cli.files import read_manifests
from schemas.manifests import Workload

Row = dict[str, Any]


def workload(clusters: tuple[str, ...] = ("a",), state: str = "Running", after_loss: str = "") -> Row:
    """One that should be in `a`, and in `after_loss` once that was lost."""
    return {
        "name": "web",
        "tenant": "shop",
        "state": state,
        "ready": 1,
        "replicas": 1,
        "pods": 1,
        "revision": 1,
        "created_at": 0.0,
        "reason": "",
        "message": "one replica",
        "clusters": dict.fromkeys(clusters, 1),
        "annotations": {EXPECTED: "a"} | ({EXPECTED_AFTER_LOSS: after_loss} if after_loss else {}),
    }


def stream(cluster: str, **counts: int) -> Row:
    return {
        "cluster": cluster,
        "orders_sent": 0,
        "orders_carried_out": 0,
        "orders_repeated": 0,
        "reports_received": 0,
        "reports_behind": 0,
        **counts,
    }


def cluster(name: str) -> Row:
    amounts = {"cpu": 1000, "memory": 2**30}
    return {
        "name": name,
        "status": "Ready",
        "provider": "",
        "region": "",
        "environment": "",
        "kubernetes_version": "v1.34.1",
        "nodes": 3,
        "nodes_ready": 3,
        "workloads": 1,
        "allocatable": amounts,
        "requested": amounts,
        "used": amounts,
        "heard_at": 0.0,
    }


def seen(*workloads: Row, streams: tuple[Row, ...] = (), after_loss: bool = False) -> Seen:
    return Seen([cluster("a")], workloads, [], streams, after_loss)


@pytest.mark.parametrize(
    ("row", "after_loss", "says"),
    [
        pytest.param(workload(), False, "", id="where it should be"),
        pytest.param(workload(clusters=("b",)), False, "web is in b, and should be in a", id="elsewhere"),
        pytest.param(workload(clusters=()), False, "web is in no cluster", id="nowhere"),
        pytest.param(workload(state="Progressing"), False, "web is Progressing (1/1)", id="not yet"),
        pytest.param(workload(clusters=("b",), after_loss="b"), True, "", id="moved when a was lost"),
        pytest.param(
            workload(clusters=("b",), after_loss="b"),
            False,
            "should be in a",
            id="moved too soon",
        ),
        pytest.param(workload(after_loss="b"), True, "should be in b", id="did not move when a was lost"),
        pytest.param(workload(), True, "", id="what says nothing of a loss stays"),
    ],
)
def test_a_sample_is_where_it_says_that_it_should_be(row: Row, after_loss: bool, says: str) -> None:
    ended = outcome(seen(row, after_loss=after_loss), Course(1, 9.0))
    assert ended.ok is (says == "")
    assert says in " ".join(ended.problems)


@pytest.mark.parametrize(
    ("course", "streams", "says"),
    [
        (Course(2, 9.0), (), "1 samples are not there"),
        (Course(1, 9.0, trouble=["the centre ended"]), (), "the centre ended"),
        (Course(1, 9.0), (stream("a", reports_behind=1),), "1 subjects do not stand at their last report"),
    ],
)
def test_what_went_wrong_is_a_problem(course: Course, streams: tuple[Row, ...], says: str) -> None:
    ended = outcome(seen(workload(), streams=streams), course)
    assert not ended.ok
    assert says in ended.problems


def test_the_sample_that_moves_tolerates_a_loss_for_as_long_as_the_story_tells() -> None:
    (manifest,) = read_manifests([SAMPLES / f"{MOVES}.yaml"])
    assert isinstance(manifest, Workload)
    seconds = [each.toleration_seconds for each in manifest.spec.placement.cluster_tolerations]
    assert TOLERATED_SECONDS in seconds


def test_orders_repeated_by_an_agent_that_was_started_anew_are_no_duplicates() -> None:
    streams = (stream("a", orders_repeated=2), stream("b", orders_repeated=1))
    ended = outcome(seen(workload(), streams=streams), Course(1, 9.0, started_anew=["a"]))
    assert (ended.orders_duplicated, ended.orders_repeated) == (1, 2)


@pytest.mark.parametrize(
    ("lines", "told", "has_bars"),
    [(24, 8, False), (43, 12, False), (60, 12, True)],
)
def test_a_low_terminal_shows_the_end_of_the_story(
    lines: int, told: int, has_bars: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("COLUMNS", "100")
    story = [Line(float(at), f"line {at:02}") for at in range(20)]
    written = io.StringIO()
    paper = Console(file=written, width=100, height=lines)
    paper.print(Screen("http://127.0.0.1:8420", 0.0, "muster").draw(seen(workload()), 9.0, story))
    text = written.getvalue()
    assert [f"line {at:02}" for at in range(20 - told, 20)] == [
        line.split("  ")[-1].strip() for line in text.splitlines() if " s  " in line and "line " in line
    ]
    assert ("█" in text) is has_bars
    assert len(text.splitlines()) <= lines
