"""There is a bound on what is held: new ones beyond it are refused, and reports of what is held never."""

from dataclasses import dataclass

import pytest

from controlplane.alerts import board, crowding
from controlplane.alerts.alert import Alert
from controlplane.alerts.crowding import beyond
from tests.unit.alerts.making import Leader, alert, configured


def reported(names: str, source: str = "") -> list[Alert]:
    return [Alert(name, {"alertname": name}, {}, 1.0, 1e12, 1.0, source=source) for name in names]


@dataclass
class Case:
    id: str
    arriving: str
    source: str
    out: str
    coming: int = 0


CASES = [
    Case("there is room", "ef", "", ""),
    Case("the last ones of many find none", "efgh", "", "gh"),
    Case("what is held is reported on", "abcd", "x", ""),
    Case("of a report only the new ones are refused", "abefgh", "", "gh"),
    Case("what is on its way takes room", "ef", "", "f", coming=1),
    Case("twice in one batch is one", "eef", "", ""),
    Case("one cluster has its share", "ef", "x", "ef"),
    Case("which is not another's", "ef", "y", ""),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_who_finds_room(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "MOST_HELD", 6)
    monkeypatch.setattr(crowding, "MOST_OF_ONE_CLUSTER", 4)
    held = {each.fingerprint: each for each in reported("abcd", "x")}
    assert beyond(reported(case.arriving, case.source), held, case.coming) == set(case.out)


def test_large_groups_are_not_all_looked_at_in_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "MOST_ALERTS_AT_ONCE", 4)
    leader = Leader(configured())
    leader.report(0.0, *(alert(name, n=str(number)) for name in "ABCD" for number in range(3)))
    assert [len(leader.flush(100.0)) for _ in range(3)] == [2, 2, 0]
