"""The table of docs/reliability.md: each row's test is there and holds up its promises; each failpoint
of the code has a row, and each test in tests/crash is in one."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
REACHED = re.compile(r"reached\(\"([a-z_.]+)\"\)")
ROW = re.compile(
    r"^\|(?P<seam>[^|]+)\|(?P<fault>[^|]+)\|(?P<promises>[\d, ]+)\|\s*`(?P<test>[^`]+)`\s*\|$", re.M
)
UNLISTED = frozenset(
    {
        # Of replicas of the centre, and nothing breaks in them.
        "test_every_replica_is_ready_and_answers_the_same",
        "test_what_one_has_taken_the_others_show_within_a_second",
        "test_who_serves_the_api_leads_in_nothing_and_does_all_that_intent_needs",
        "test_alerts_are_taken_by_one_and_told_of_by_another",
        "test_who_serves_no_api_says_how_it_is",
    }
)


@dataclass(frozen=True)
class Row:
    seam: str
    fault: str
    promises: frozenset[int]
    file: str
    test: str


def rows() -> list[Row]:
    return [
        Row(
            match["seam"].strip(),
            match["fault"].strip(),
            frozenset(int(number) for number in match["promises"].split(",")),
            *match["test"].split("::"),
        )
        for match in ROW.finditer(PAGE.read_text())
    ]


def named_in(path: Path) -> dict[str, frozenset[int]]:
    """By name, the promises that each is marked with."""
    found: dict[str, frozenset[int]] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = [each for each in node.decorator_list if isinstance(each, ast.Call)]
            found[node.name] = frozenset(
                argument.value
                for mark in marks
                if ast.unparse(mark.func) == "pytest.mark.promise"
                for argument in mark.args
                if isinstance(argument, ast.Constant)
            )
    return found


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.file}::{row.test}")
def test_a_row_names_a_test_that_holds_up_its_promises(row: Row) -> None:
    found = named_in(ROOT / row.file)
    assert row.test in found
    assert row.promises <= found[row.test]


def test_every_failpoint_has_a_row() -> None:
    sources = [path for side in ("agents", "controlplane") for path in (ROOT / side).rglob("*.py")]
    named = {name for path in sources for name in REACHED.findall(path.read_text())}
    told = " ".join(row.fault for row in rows())
    assert named
    assert {name for name in named if f"`{name}`" not in told} == set()


def test_every_test_of_a_crash_has_a_row() -> None:
    listed = {row.test for row in rows()}
    files = sorted((ROOT / "tests" / "crash").glob("test_*.py"))
    assert {name for file in files for name in named_in(file)} - listed <= UNLISTED
