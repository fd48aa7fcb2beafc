"""Matchers: what is written, what it means, how it is written back. Many cases are Alertmanager's own."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.matcher_index import MatcherIndex
from controlplane.alerts.matchers import (
    MOST_PATTERN,
    MOST_VALUE,
    Matcher,
    Operator,
    canonical,
    matches_all,
    parse_matcher,
    parse_matchers,
    sorted_matchers,
)
from controlplane.alerts.quoting import go_quote, go_unquote

EQUAL, NOT, REGEX, NOT_REGEX = Operator.EQUAL, Operator.NOT_EQUAL, Operator.MATCHES, Operator.MATCHES_NOT


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a=b", [("a", EQUAL, "b")]),
        ('a="b"', [("a", EQUAL, "b")]),
        ("a!=b", [("a", NOT, "b")]),
        ("a=~b.*", [("a", REGEX, "b.*")]),
        ('a!~"b.*"', [("a", NOT_REGEX, "b.*")]),
        ("  a  =  b c  ", [("a", EQUAL, "b c")]),
        ("a=", [("a", EQUAL, "")]),
        ('a=""', [("a", EQUAL, "")]),
        ("", []),
        ("{}", []),
        ('{foo = "bar", dings != "bums", }', [("foo", EQUAL, "bar"), ("dings", NOT, "bums")]),
        ("foo=bar,dings!=bums", [("foo", EQUAL, "bar"), ("dings", NOT, "bums")]),
        ("foo=bar, dings!=bums", [("foo", EQUAL, "bar"), ("dings", NOT, "bums")]),
        ('{quote="She said: \\"Hi, ladies!\\""}', [("quote", EQUAL, 'She said: "Hi, ladies!"')]),
        ('statuscode=~"5.."', [("statuscode", REGEX, "5..")]),
        ('a="b\\nc\\\\d"', [("a", EQUAL, "b\nc\\d")]),
        ('a=~"\\d+"', [("a", REGEX, "\\d+")]),
        ("a=b\\", [("a", EQUAL, "b\\")]),
        ("a:b=c", [("a:b", EQUAL, "c")]),
        ("{a=b", [("a", EQUAL, "b")]),
        ("a='b'", [("a", EQUAL, "'b'")]),
        ("日本=x", [("日本", EQUAL, "x")]),
        ('"my label"="x"', [("my label", EQUAL, "x")]),
        ('{"foo.bar"=~"x|y", b="c"}', [("foo.bar", REGEX, "x|y"), ("b", EQUAL, "c")]),
        ('"é\\u00e9"=b', [("éé", EQUAL, "b")]),
    ],
)
def test_matchers_are_read_as_alertmanager_reads_them(text: str, parsed: list[tuple[str, Operator, str]]):
    assert parse_matchers(text) == tuple(Matcher(*each) for each in parsed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "NAME=VALUE"),
        ("=b", "NAME=VALUE"),
        ("a=b,,c=d", "NAME=VALUE"),
        ('a="b', "closing double quote"),
        ('a=b"c', 'written \\"'),
        ("a=~(", "RE2"),
        ("a=~" + "x" * (MOST_PATTERN + 1), "up to 4,096"),
        ("a=" + "x" * (MOST_VALUE + 1), "up to 32,768"),
        ('a=~"x{1000}{1000}"', "RE2"),
        ("a=\ud800", "UTF-8"),
    ],
)
def test_what_is_no_matcher_is_refused_with_what_would_be_right(text: str, said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_matchers(text)


@pytest.mark.parametrize("text", ["{a=b}", "a=b}", '{a="b"}'])
def test_one_matcher_takes_no_braces(text: str):
    with pytest.raises(ValueError, match="braces"):
        parse_matcher(text)


@pytest.mark.parametrize("text", ["a=b,c=d", '"x y"=1, "z"=2', "a"])
def test_one_matcher_is_one(text: str):
    if text == "a=b,c=d":
        assert parse_matcher(text) == Matcher("a", EQUAL, "b,c=d")
        return
    with pytest.raises(ValueError, match="is no matcher"):
        parse_matcher(text)


@pytest.mark.parametrize(
    ("matcher", "labels", "matches"),
    [
        (Matcher("a", EQUAL, "b"), {"a": "b"}, True),
        (Matcher("a", EQUAL, "b"), {}, False),
        (Matcher("a", EQUAL, ""), {}, True),
        (Matcher("a", NOT, ""), {}, False),
        (Matcher("a", NOT, "b"), {}, True),
        (Matcher("a", REGEX, "b"), {"a": "abc"}, False),
        (Matcher("a", REGEX, "b|c"), {"a": "c"}, True),
        (Matcher("a", REGEX, ".*"), {}, True),
        (Matcher("a", REGEX, ".+"), {}, False),
        (Matcher("a", REGEX, "."), {"a": "日"}, True),
        (Matcher("a", REGEX, ".*"), {"a": "x\ny"}, False),
        (Matcher("a", REGEX, "(?i)X"), {"a": "x"}, True),
        (Matcher("a", NOT_REGEX, "b"), {"a": "abc"}, True),
        (Matcher("a", NOT_REGEX, ".*"), {}, False),
        # As Alertmanager compiles it: ^(?:a)|(b)$
        (Matcher("a", REGEX, "a)|(b"), {"a": "xb"}, True),
    ],
)
def test_what_matches(matcher: Matcher, labels: dict[str, str], matches: bool):
    assert matcher.matches(labels) is matches


@pytest.mark.parametrize(
    ("matcher", "text"),
    [
        (Matcher("a", EQUAL, "b"), 'a="b"'),
        (Matcher("a", REGEX, "b.*"), 'a=~"b.*"'),
        (Matcher("a", EQUAL, 'x"y\\z\n'), 'a="x\\"y\\\\z\\n"'),
        (Matcher("my label", EQUAL, "x"), '"my label"="x"'),
        (Matcher("a,b", NOT, "\t"), '"a,b"!="\\t"'),
    ],
)
def test_a_matcher_is_written_as_in_the_keys_of_routes(matcher: Matcher, text: str):
    assert str(matcher) == text


def test_keys_sort_by_name_then_value_then_operator():
    matchers = parse_matchers("b=x,a=~z,a=y,a!=y,A=q")
    assert canonical(sorted_matchers(matchers)) == '{A="q",a="y",a!="y",a=~"z",b="x"}'


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
VALUES = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@given(NAMES, st.sampled_from([EQUAL, NOT]), VALUES)
def test_what_is_written_is_read_back(name: str, operator: Operator, value: str):
    matcher = Matcher(name, operator, value)
    assert parse_matchers("{" + str(matcher) + "}") == (matcher,)


@given(VALUES)
def test_quoted_texts_are_read_back(text: str):
    assert go_unquote(go_quote(text)) == text


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str):
    try:
        parsed = parse_matchers(text)
    except ValueError:
        return
    assert all(isinstance(each, Matcher) for each in parsed)


SLOW = ["((.?){30}){15}y", "(x+x+)+y", "(.*a.*b){20}c", "(.{0,60}){40}z", "|".join(["a.*b"] * 500)]


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_made_to_be_slow_is_refused_or_quick(pattern: str):
    began = time.thread_time()
    try:
        matcher = Matcher("a", REGEX, pattern)
    except ValueError:
        return
    for length in (200, MOST_VALUE):
        matcher.matches({"a": "xa" * (length // 2)})
    assert time.thread_time() - began < 1


def test_a_large_value_matches_and_with_a_large_pattern_too_it_is_not_begun():
    large = {"a": "x" * MOST_VALUE}
    assert Matcher("a", REGEX, "x*").matches(large)
    assert not Matcher("a", REGEX, "(x?){900}x*").matches(large)
    assert Matcher("a", NOT_REGEX, "(x?){900}x*").matches(large)


SMALL = st.sampled_from(["a", "b", "c"])
SMALL_VALUES = st.sampled_from(["", "x", "y"])
LABELS = st.dictionaries(SMALL, SMALL_VALUES, max_size=3)
MATCHERS = st.lists(st.builds(Matcher, SMALL, st.sampled_from(Operator), SMALL_VALUES), max_size=3)


@given(st.lists(MATCHERS, max_size=12), LABELS)
def test_the_index_leaves_out_nothing_that_matches_and_keeps_the_order(
    lists: list[list[Matcher]], labels: dict[str, str]
):
    index = MatcherIndex((matchers, place) for place, matchers in enumerate(lists))
    found = [place for place in index.candidates(labels) if matches_all(lists[place], labels)]
    assert found == [place for place, matchers in enumerate(lists) if matches_all(matchers, labels)]
