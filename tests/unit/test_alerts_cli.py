"""`muster alerts check` and `route`: what is printed, where, and how it ends."""

import json
from pathlib import Path

import pytest
import yaml

from controlplane.cli.main import run

FILE = """\
route:
  receiver: default
  group_by: [alertname]
  routes:
    - {matchers: [team="a"], receiver: a, continue: true}
    - {matchers: [team=~"a|b", severity!="info"], receiver: b}
    - {match: {team: c}, receiver: owner}
receivers: [{name: default}, {name: a}, {name: b}]
inhibit_rules: [{source_matchers: [a=b], target_matchers: [c=d]}]
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "am.yml"
    path.write_text(FILE)
    return str(path)


def test_a_file_that_is_taken_is_summed_up_as_amtool_does(file: str, capsys: pytest.CaptureFixture[str]):
    assert run(["alerts", "check", file]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"Checking '{file}'  SUCCESS",
        "Found:",
        " - global config",
        " - route",
        " - 1 inhibit rules",
        " - 3 receivers",
        " - 0 templates",
    ]
    assert not printed.err


def test_what_is_wrong_is_one_line_each_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "bad.yml"
    path.write_text("route:\n  receiver: x\n  routs: []\nreceivers: []\n")
    assert run(["alerts", "check", str(path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{path}:2: route.receiver: 'x' is declared nowhere in receivers",
        f"{path}:3: route.routs: no such field; routes is one",
    ]


def test_one_bad_file_of_several_fails_and_the_others_are_looked_at(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(["alerts", "check", str(tmp_path / "none.yml"), file]) == 1
    printed = capsys.readouterr()
    assert "cannot be read" in printed.err
    assert f"Checking '{file}'  SUCCESS" in printed.out


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["team=a"], ["a", "b"]),
        (['team="a"', "severity=info"], ["a"]),
        (["team=b"], ["b"]),
        (["team=c"], ["owner"]),
        (["team=d"], ["default"]),
    ],
    ids=str,
)
def test_receivers_come_in_the_order_of_the_routes(
    file: str, labels: list[str], receivers: list[str], capsys: pytest.CaptureFixture[str]
):
    assert run(["alerts", "route", "--config", file, *labels]) == 0
    assert capsys.readouterr().out.splitlines()[0] == ",".join(receivers)
    assert run(["alerts", "route", "--config", file, *labels, "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["receivers"] == receivers
    assert [route["receiver"] for route in answer["routes"]] == receivers


def test_json_says_which_routes_and_why(file: str, capsys: pytest.CaptureFixture[str]):
    assert run(["alerts", "route", "--config", file, "-o", "json", "team=b", "alertname=X"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["labels"] == {"team": "b", "alertname": "X"}
    (route,) = answer["routes"]
    assert route["key"] == '{}/{severity!="info",team=~"a|b"}'
    assert route["group_key"] == '{}/{severity!="info",team=~"a|b"}:{alertname="X"}'
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == ("30s", "5m", "4h")
    assert [(step["matched"], step["chosen"], step["failed"]) for step in answer["steps"]] == [
        (True, False, []),
        (False, False, ['team="a"']),
        (True, True, []),
        (False, False, []),
    ]
    assert [step["why"] for step in answer["steps"]][1:] == [
        'does not match: team="a"',
        "matches",
        "passed over: a route before it matched and does not continue",
    ]


def test_yaml_says_the_same(file: str, capsys: pytest.CaptureFixture[str]):
    assert run(["alerts", "route", "--config", file, "-o", "yaml", "team=b"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["receivers"] == ["b"]


@pytest.mark.parametrize(("expected", "code"), [("a,b", 0), ("b,a", 1), ("a", 1)])
def test_receivers_can_be_verified(file: str, expected: str, code: int):
    assert run(["alerts", "route", "--config.file", file, "--verify.receivers", expected, "team=a"]) == code


@pytest.mark.parametrize("label", ["team", "team!=a", "=a", "team=~a"])
def test_what_is_no_label_is_not_understood(file: str, label: str):
    assert run(["alerts", "route", "--config", file, label]) == 2


def test_a_bad_file_routes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "bad.yml"
    path.write_text("route: {}\n")
    assert run(["alerts", "route", "--config", str(path), "a=b"]) == 1
    printed = capsys.readouterr()
    assert not printed.out
    assert f"{path}:1: route.receiver: missing" in printed.err
