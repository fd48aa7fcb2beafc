"""The tree of quota in a terminal: guides, bars, widths."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.cli.quota_tree import bar, show_tree, shown


def line(**figures: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(("used", "total", "borrowed", "lent", "available", "drift", "leaving"), 0)
    return {"flavor": "default", "resource": "cpu", "window": "", **zeros, **figures}


def row(name: str, depth: int, *quotas: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "kind": "Tenant",
        "name": name,
        "depth": depth,
        "declared": True,
        "bounded": True,
        "weight": 1.0,
        "share": 0,
        "share_resource": "",
        "waiting": 0,
        "budget": None,
        "quotas": list(quotas),
        **more,
    }


def drawn(capsys: pytest.CaptureFixture[str], *rows: Mapping[str, Any]) -> list[str]:
    capsys.readouterr()
    show_tree(rows)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("depths", "leads"),
    [
        ([0], ["a"]),
        ([0, 1, 1], ["a", "├ b", "└ c"]),
        ([0, 1, 2, 1], ["a", "├ b", "│ └ c", "└ d"]),
        ([0, 1, 2, 3, 1, 0], ["a", "├ b", "│ └ c", "│   └ d", "└ e", "f"]),
        ([0, 1, 2, 2, 0, 1], ["a", "└ b", "  ├ c", "  └ d", "e", "└ f"]),
    ],
)
def test_lines_lead_from_each_to_those_below_it(
    depths: list[int], leads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row("abcdef"[index], depth) for index, depth in enumerate(depths)]
    assert drawn(capsys, *rows) == leads


def test_quotas_stand_below_their_name_with_the_line_to_what_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = (row("a", 0, line()), row("b", 1, line()), row("c", 2, line()), row("d", 1, line()))
    heads = [each.partition("default")[0].rstrip() for each in drawn(capsys, *rows)[1:-1]]
    assert heads == ["a", "│", "├ b", "│ │", "│ └ c", "│", "└ d", ""]


@pytest.mark.parametrize(
    ("figures", "marks"),
    [
        ({"used": 5, "total": 10}, "█████░░░░░"),
        ({"used": 0, "total": 10}, "░░░░░░░░░░"),
        ({"used": 10, "total": 10}, "██████████"),
        ({"used": 12, "total": 8, "borrowed": 4}, "███████▓▓▓"),
        ({"used": 4, "total": 10, "lent": 3}, "████▒▒▒░░░"),
        ({"used": 1, "total": 1000}, "█░░░░░░░░░"),
        ({"used": 1000, "total": 999, "borrowed": 1}, "█████████▓"),
        ({"used": 5, "total": 0, "borrowed": 5}, "▓▓▓▓▓▓▓▓▓▓"),
        ({}, "··········"),
    ],
)
def test_bars(figures: dict[str, int], marks: str) -> None:
    assert bar(line(**figures), 10).plain == marks


@given(
    st.integers(0, 2**63),
    st.integers(0, 2**63),
    st.integers(0, 2**63),
    st.integers(0, 2**63),
    st.integers(8, 40),
)
def test_a_bar_is_as_wide_as_asked_and_shows_all_that_is_there(
    own: int, borrowed: int, lent: int, free: int, width: int
) -> None:
    figures = {"used": own + borrowed, "borrowed": borrowed, "lent": lent, "total": own + lent + free}
    plain = bar(line(**figures), width).plain
    assert len(plain) == width
    for amount, mark in ((own, "█"), (borrowed, "▓"), (lent, "▒"), (free, "░")):
        assert (mark in plain) == bool(amount)


@pytest.mark.parametrize(
    ("resource", "amount", "text"),
    [
        ("cpu", 8_000, "8"),
        ("cpu", 1_500, "1.5"),
        ("cpu", 250, "250m"),
        ("cpu", 1_250, "1250m"),
        ("cpu", 123_456, "123"),
        ("memory", 64 * 2**30, "64Gi"),
        ("nvidia.com/gpu", 8, "8"),
    ],
)
def test_amounts_are_short_and_never_rounded_to_what_they_are_not(
    resource: str, amount: int, text: str
) -> None:
    assert shown(resource, amount) == text


def test_what_stands_beside_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    budget = {"state": "Warned", "share": 0.83, "amount": "500", "currency": "EUR"}
    rows = (
        row("named", 0, kind="Cohort", declared=False),
        row("loose", 0, line(available=None, used=3_000), bounded=False),
        row("busy", 0, share=250, share_resource="cpu", weight=2.0, waiting=1_200, budget=budget),
        row("none", 0, share="infinite", share_resource="cpu", weight=0.0),
    )
    assert drawn(capsys, *rows)[1:-1] == [
        "named  only named: a root without quota",
        "loose  not bounded",
        "  default cpu                                     3",
        "busy  share 250 of cpu  weight 2  1,200 waiting  83% of 500 EUR spent",
        "none  share infinite of cpu  weight 0",
    ]


def test_without_any_quota_it_is_said_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    show_tree([])
    assert "muster apply -f FILE" in capsys.readouterr().err
