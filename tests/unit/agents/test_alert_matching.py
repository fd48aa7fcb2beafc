"""Matchers in the agent's files: as Alertmanager has them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.matching import all_hold, read_matcher

LABELS = {"severity": "critical", "node": "edge-07", "path": 'a"b\\c', "weird name": "x"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('severity="critical"', True),
        ("severity=critical", True),
        (' severity = "critical" ', True),
        ('severity="Critical"', False),
        ('severity!="critical"', False),
        ('severity!="warning"', True),
        ('node=~"edge-.*"', True),
        ('node=~"edge"', False),
        ("node=~edge-[0-9]+", True),
        ('node=~"a|edge-07"', True),
        (r'node=~"edge-\d+"', True),
        ('node!~"edge-.*"', False),
        ('node!~"cloud-.*"', True),
        ('absent=""', True),
        ('absent!=""', False),
        ('absent=~".*"', True),
        ('absent=~".+"', False),
        (r'path="a\"b\\c"', True),
        ('"weird name"="x"', True),
        ('"node"="edge-07"', True),
    ],
)
def test_what_holds(text: str, holds: bool) -> None:
    assert all_hold([read_matcher(text)], LABELS) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no matcher"),
        ("severity", "no matcher"),
        ('="x"', "no matcher"),
        ('a="b', "no matcher"),
        ('a=~"("', "no pattern of RE2"),
        ('a=~"(?=x)"', "no pattern of RE2"),
        ('a=~"' + "x" * 2000 + '"', "at most 1000 characters"),
    ],
)
def test_what_is_no_matcher_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        read_matcher(text)


@given(value=st.text(st.characters(exclude_categories=["Cs"]), max_size=20), other=st.text(max_size=5))
def test_a_quoted_value_is_that_value(value: str, other: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    equal, unequal = read_matcher(f'a="{quoted}"'), read_matcher(f'a!="{quoted}"')
    assert equal.holds(value)
    for label in (value, other):
        assert equal.holds(label) is not unequal.holds(label)


def test_a_pattern_made_to_be_slow_is_not() -> None:
    matcher = read_matcher('a=~"(x+x+)+y"')
    assert not matcher.holds("x" * 10_000)
