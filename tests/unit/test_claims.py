"""Two tenants may not claim one namespace in one cluster."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.placement.claims import Claim, clashes, matches, outside, overlap
from controlplane.placement.rules import ENVIRONMENT_LABEL, Affinity, ClusterView, TenantRule

PATTERNS = st.text("ab-*", min_size=1, max_size=6)


def as_expression(pattern: str) -> str:
    return ".*".join(re.escape(part) for part in pattern.split("*"))


@pytest.mark.parametrize(
    ("pattern", "namespace", "covered"),
    [
        ("shop", "shop", True),
        ("shop", "shop-2", False),
        ("shop-*", "shop-", True),
        ("shop-*", "shop-test", True),
        ("*-test", "shop-test", True),
        ("a*b*c", "axxbxxc", True),
        ("a*b*c", "acb", False),
        ("ab*ba", "aba", False),
        ("*", "anything", True),
        ("sh.p", "shop", False),
    ],
)
def test_patterns_know_only_the_star(pattern: str, namespace: str, covered: bool) -> None:
    assert matches(pattern, namespace) is covered


@given(PATTERNS, st.text("ab-", max_size=8))
def test_a_pattern_is_the_expression_that_it_looks_like(pattern: str, namespace: str) -> None:
    assert matches(pattern, namespace) == bool(re.fullmatch(as_expression(pattern), namespace))


@pytest.mark.parametrize(
    ("first", "second", "example"),
    [
        ("shop", "shop", "shop"),
        ("shop-*", "*-test", "shop-test"),
        ("shop-*", "store-*", None),
        ("*", "*", "a"),
        ("a*", "*b", "ab"),
        ("a*c", "ab*", "abc"),
        ("x" * 40 + "*", "*" + "y" * 40, None),
    ],
)
def test_overlaps(first: str, second: str, example: str | None) -> None:
    assert overlap(first, second) == example


@given(PATTERNS, PATTERNS, st.text("ab-", max_size=8))
def test_what_both_match_is_found_and_what_is_found_both_match(
    first: str, second: str, namespace: str
) -> None:
    found = overlap(first, second)
    if matches(first, namespace) and matches(second, namespace):
        assert found is not None
    if found is not None:
        assert matches(first, found)
        assert matches(second, found)


PROD = ClusterView("1", "prod-1", {ENVIRONMENT_LABEL: "prod"})
TEST = ClusterView("2", "test-1", {ENVIRONMENT_LABEL: "test"})


def claim(name: str, *patterns: str, environments: frozenset[str] = frozenset(), names: str = "") -> Claim:
    return Claim(TenantRule(name, Affinity(names=frozenset(names.split())), environments), patterns)


@pytest.mark.parametrize(
    ("mine", "other", "clusters"),
    [
        (claim("a", "shop-*"), claim("b", "*-test"), ["prod-1", "test-1"]),
        (claim("a", "shop-*"), claim("b", "store-*"), []),
        (claim("a", "*", environments=frozenset({"prod"})), claim("b", "*"), ["prod-1"]),
        (claim("a", "*", environments=frozenset({"prod"})), claim("b", "*", names="test-1"), []),
        (claim("a", "*"), claim("a", "*"), []),
    ],
)
def test_clashes_are_of_one_cluster(mine: Claim, other: Claim, clusters: list[str]) -> None:
    assert [each.cluster for each in clashes(mine, [other], [PROD, TEST])] == clusters


def test_a_clash_says_who_and_what() -> None:
    (clash, *_) = clashes(claim("a", "shop-*"), [claim("b", "*-test")], [PROD])
    assert str(clash) == "namespace shop-test in cluster prod-1: shop-* of a and *-test of b both claim it"


def test_namespaces_outside_of_the_patterns() -> None:
    assert outside({"shop-a", "store", "default"}, ["shop-*"]) == ["default", "store"]
