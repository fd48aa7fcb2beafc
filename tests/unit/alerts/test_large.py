"""Alerts as large as are taken: a message, and a part of a checkpoint, stay of a size that can be stored."""

import pytest

from controlplane.alerts import flushing, held
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
