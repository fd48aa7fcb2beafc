"""Alerts on disk: durable, numbered without gaps, trimmed by the watermark only."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.spool import BatchTooLarge, Spool, SpoolFull
from schemas.wire.alerts import Alert, follows
from schemas.wire.reports import Stamp


def alert(name: str = "Down") -> Alert:
    return Alert(labels={"alertname": name})


def stamps(spool: Spool) -> list[Stamp]:
    return [batch.stamp for batch in spool.after((0, 0), 1000)]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool.sqlite")
    made.begin(1, renumber_from=1)
    return made


@pytest.mark.promise(1)
def test_what_was_accepted_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    script = (
        "import os, signal, sys\n"
        "from agents.spool import Spool\n"
        "from schemas.wire.alerts import Alert\n"
        "spool = Spool(sys.argv[1])\n"
        "spool.begin(1, renumber_from=1)\n"
        "for number in range(20):\n"
        "    spool.append([Alert(labels={'n': str(number)})], received_at=1.0)\n"
        "    print(number, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        cwd=os.getcwd(),
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    accepted = ended.stdout.split()
    batches = Spool(path).after((0, 0), 1000)
    assert [batch.alerts[0].labels["n"] for batch in batches] == accepted
    assert [batch.stamp for batch in batches] == [(1, number) for number in range(1, 21)]


@pytest.mark.promise(1)
def test_only_a_watermark_of_this_disk_trims(spool: Spool) -> None:
    for _ in range(3):
        spool.append([alert()], received_at=1.0)
    spool.trim((7, 100))
    assert spool.depth == 3, "another agent's watermark says nothing about what lies here"
    spool.trim((1, 2))
    assert stamps(spool) == [(1, 3)]
    assert spool.append([alert()], received_at=1.0) == (1, 4)


def test_full_is_said_and_leaves_no_gap(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", most_batches=2)
    spool.begin(1, renumber_from=1)
    spool.append([alert()], received_at=1.0)
    spool.append([alert()], received_at=1.0)
    with pytest.raises(SpoolFull):
        spool.append([alert()], received_at=1.0)
    spool.trim((1, 1))
    assert spool.append([alert()], received_at=1.0) == (1, 3)


def test_more_than_a_message_holds_is_refused_whole(spool: Spool) -> None:
    with pytest.raises(BatchTooLarge):
        spool.append([alert("x" * 300_000)], received_at=1.0)
    assert spool.depth == 0


@pytest.mark.parametrize(
    ("watermark", "takes"),
    [
        pytest.param((0, 0), False, id="restored-to-the-very-beginning"),
        pytest.param((1, 1), False, id="restored-from-before-what-was-trimmed"),
        pytest.param((1, 2), True, id="as-it-was"),
        pytest.param((1, 4), True, id="all-of-it"),
        pytest.param((2, 9), False, id="another-agent-has-spoken"),
    ],
)
def test_it_knows_whether_the_centre_can_take_what_comes_next(
    spool: Spool, watermark: Stamp, takes: bool
) -> None:
    for _ in range(4):
        spool.append([alert()], received_at=1.0)
    spool.trim((1, 2))
    spool.trim(watermark)
    assert spool.takes(watermark) is takes
    if not takes:
        spool.begin(5, renumber_from=0)
        assert stamps(spool) == [(5, 1), (5, 2)]
        assert spool.takes(watermark)


def test_what_was_never_sent_becomes_the_first_of_the_settled_incarnation(spool: Spool) -> None:
    spool.append([alert("sent")], received_at=1.0)
    spool.begin(2, renumber_from=2)
    spool.append([alert("unsent")], received_at=1.0)
    spool.begin(9, renumber_from=2)
    assert stamps(spool) == [(1, 1), (9, 1)]
    assert spool.append([alert()], received_at=1.0) == (9, 2)


def test_an_incarnation_never_goes_back(spool: Spool) -> None:
    with pytest.raises(ValueError, match="above 1"):
        spool.begin(1, renumber_from=1)


@given(steps=st.lists(st.sampled_from(["append", "trim", "begin", "renumber", "reopen"]), max_size=40))
def test_the_log_is_always_one_that_the_centre_can_follow(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    path = tmp_path_factory.mktemp("spool") / "spool.sqlite"
    spool, watermark, incarnation = Spool(path), (0, 0), 1
    spool.begin(1, renumber_from=1)
    for step in steps:
        match step:
            case "append":
                spool.append([alert()], received_at=1.0)
            case "trim":
                first = spool.oldest()
                watermark = first or watermark
                spool.trim(watermark)
            case "begin" | "renumber":
                incarnation += 1
                spool.begin(incarnation, renumber_from=0 if step == "renumber" else incarnation)
            case _:
                spool.close()
                spool = Spool(path)
        expected = watermark
        for stamp in stamps(spool):
            assert follows(expected, stamp), (expected, stamp)
            expected = stamp
        assert spool.takes(watermark)
    spool.close()
