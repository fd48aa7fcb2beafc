"""Alerts as large as are taken: a message, and a part of a checkpoint, stay of a size that can be stored."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from controlplane.alerts import crowding, flushing, held
from controlplane.alerts.alert import Alert
from controlplane.alerts.crowding import beyond
from tests.unit.alerts.making import Leader, alert, configured

LARGE = 1_000


@pytest.mark.promise(4)
def test_a_message_that_would_be_too_large_names_all_and_leaves_out_what_does_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flushing, "ALWAYS_FIT", 2)
    monkeypatch.setattr(flushing, "MOST_CHARACTERS", 3 * LARGE)
    leader = Leader(configured())
    leader.report(0.0, *(alert("Big", pod=str(number), text="x" * LARGE) for number in range(5)))
    [notice] = [notice for flush in leader.flush(100.0) for notice in flush.notices]
    assert len(notice.alerts) == len(notice.firing) == 5
    assert {each.fingerprint for each in notice.alerts} == notice.firing
    assert [len(each.labels.get("text", "")) for each in notice.alerts] == [LARGE, LARGE, 0, 0, 0]
    assert notice.alerts[-1].labels == {"alertname": "Big"}
    assert notice.alerts[-1].annotations == {"muster": flushing.LEFT_OUT}


def test_large_alerts_are_saved_a_few_at_a_time_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MOST_SAVED_CHARACTERS", 2 * LARGE)
    leader = Leader(configured())
    leader.report(0.0, *(alert("Big", pod=str(number), text="x" * LARGE) for number in range(5)))
    assert leader.board.unsaved == (5, 0)
    slices = [leader.board.changed_since_checkpoint(4)[0] for _ in range(4)]
    assert [len(each) for each in slices] == [2, 2, 1, 0]
    assert len({saved.alert.fingerprint for each in slices for saved in each}) == 5


def test_the_size_of_all_that_is_held_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "MOST_CHARACTERS", 2 * LARGE)
    leader = Leader(configured())
    board, first = leader.board, alert("A", text="x" * LARGE, ends=50.0)
    leader.report(0.0, first, alert("B", text="x" * LARGE, ends=50.0))
    assert board.characters == sum(each.characters for each in board.alerts.values())
    grown = replace(first, annotations={"summary": "y" * LARGE}, updated_at=1.0)
    assert beyond([first, grown, alert("C")], *_held(leader)) == {first.fingerprint, alert("C").fingerprint}
    leader.report(1.0, grown)
    assert board.characters == sum(each.characters for each in board.alerts.values())
    for at in (100.0, 200.0, 5_000.0, 10_000.0):
        leader.flush(at)
    leader.report(10_000.0, alert("D", starts=10_000.0))
    assert board.characters == sum(each.characters for each in board.alerts.values()) < LARGE


def _held(leader: Leader) -> tuple[Mapping[str, Alert], int, int]:
    return leader.board.alerts, 0, leader.board.characters
