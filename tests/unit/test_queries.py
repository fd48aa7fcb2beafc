"""Filters, orders and pages: what a list gives, whatever happens between two of its pages."""

import contextlib
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.queries.paging import BadQuery, Query
from controlplane.queries.tables import Table


@dataclass(frozen=True)
class Thing:
    name: str
    size: int | None = 0
    zones: tuple[str, ...] = ()
    live: bool = True
    labels: tuple[tuple[str, str], ...] = ()


THINGS: Table[Thing] = Table(
    fields={
        "name": lambda row: row.name,
        "size": lambda row: row.size,
        "zone": lambda row: row.zones,
        "live": lambda row: row.live,
    },
    identity=lambda row: row.name,
    labels=lambda row: dict(row.labels),
)
BARE: Table[Thing] = Table(fields=THINGS.fields, identity=THINGS.identity)
ROWS = (
    Thing("a", 1, ("x", "y"), True, (("env", "prod"), ("name", "label-called-name"))),
    Thing("b", 5, ("y",), False, (("env", "test"),)),
    Thing("c", None, (), True, (("tier", "24"), ("example.com/team", "red"))),
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "abc"),
        ("name=a", "a"),
        ("name==a", "a"),
        ("name!=a", "bc"),
        ("name in (a, c)", "ac"),
        ("name notin (a,c)", "b"),
        ("env=prod", "a"),
        ("env!=prod", "bc"),
        ("env", "ab"),
        ("!env", "c"),
        ("example.com/team=red", "c"),
        ("label:name=label-called-name", "a"),
        ("zone=y", "ab"),
        ("zone!=x", "bc"),
        ("!zone", "c"),
        ("live=false", "b"),
        ("size>1", "b"),
        ("size>=1", "ab"),
        ("size<2", "a"),
        ("!size", "c"),
        ("tier>20", "c"),
        ("env in (prod,test),size>=5", "b"),
        (" name = a , ", "a"),
    ],
)
def test_a_filter_keeps(text: str, names: str) -> None:
    assert "".join(row.name for row in THINGS.page(ROWS, Query(filter=text)).items) == names


@pytest.mark.parametrize(
    ("query", "parameter", "says"),
    [
        (Query(filter="name=a b=c="), "", ""),
        (Query(filter="size>big"), "filter", "'big' is no number"),
        (Query(filter="(a)"), "filter", "is no term"),
        (Query(filter="a" * 3000), "filter", "2000"),
        (Query(filter=",".join(["name=a"] * 40)), "filter", "32"),
        (Query(sort="colour"), "sort", "colour"),
        (Query(sort="name,size,zone,live,name"), "sort", "at most 4"),
        (Query(limit=0), "limit", "1 to 500"),
        (Query(limit=501), "limit", "1 to 500"),
        (Query(continue_="abc"), "continue", "cursor"),
        (Query(continue_="W10"), "continue", "cursor"),
        (Query(continue_="a" * 5000), "continue", "cursor"),
    ],
)
def test_what_cannot_be_answered_names_its_parameter(query: Query, parameter: str, says: str) -> None:
    if not parameter:
        assert THINGS.page(ROWS, query).items == ()
        return
    with pytest.raises(BadQuery, match=says) as error:
        THINGS.page(ROWS, query)
    assert error.value.parameter == parameter


def test_rows_without_labels_refuse_a_field_that_they_do_not_have() -> None:
    with pytest.raises(BadQuery, match="'env' is no field here: live, name, size, zone"):
        BARE.page(ROWS, Query(filter="env=prod"))


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("", "abc"),
        ("-name", "cba"),
        ("size", "cab"),
        ("-size", "bac"),
        ("live,-name", "bca"),
        ("zone", "cab"),
    ],
)
def test_rows_are_sorted(sort: str, names: str) -> None:
    assert "".join(row.name for row in THINGS.page(ROWS, Query(sort=sort)).items) == names


def test_a_cursor_is_of_one_filter_and_one_sort() -> None:
    first = THINGS.page(ROWS, Query(limit=1))
    for other in (Query(sort="-name", continue_=first.next), Query(filter="env", continue_=first.next)):
        with pytest.raises(BadQuery, match="cursor of this query"):
            THINGS.page(ROWS, other)


things = st.lists(
    st.builds(
        Thing,
        name=st.text("abcdef", min_size=1, max_size=4),
        size=st.none() | st.integers(0, 3),
        zones=st.lists(st.sampled_from("xyz"), max_size=2).map(tuple),
    ),
    unique_by=lambda row: row.name,
    max_size=30,
)
sorts = st.lists(
    st.sampled_from(["name", "-name", "size", "-size", "zone", "-live"]), max_size=3, unique=True
).map(",".join)


def walk(parts: list[list[Thing]], sort: str, limit: int) -> list[Thing]:
    """Every page, the rows being those of the next part each time (the last one stays)."""
    seen: list[Thing] = []
    cursor, turn = "", 0
    while True:
        page = THINGS.page(parts[min(turn, len(parts) - 1)], Query(sort=sort, limit=limit, continue_=cursor))
        seen += page.items
        cursor, turn = page.next, turn + 1
        if not cursor:
            return seen


@given(rows=things, sort=sorts, limit=st.integers(1, 7))
def test_pages_together_are_the_whole_list(rows: list[Thing], sort: str, limit: int) -> None:
    assert walk([rows], sort, limit) == list(THINGS.page(rows, Query(sort=sort, limit=500)).items)


@given(before=things, after=things, sort=sorts, limit=st.integers(1, 5))
def test_what_comes_and_goes_between_pages_moves_nothing_else(
    before: list[Thing], after: list[Thing], sort: str, limit: int
) -> None:
    stays = set(before) & set(after)
    seen = walk([before, after], sort, limit)
    assert stays <= set(seen)
    assert all(seen.count(row) == 1 for row in stays)


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=60))
def test_no_text_does_more_than_be_refused(filter: str, sort: str, cursor: str) -> None:
    query: Any = Query(filter=filter, sort=sort, continue_=cursor)
    with contextlib.suppress(BadQuery):
        THINGS.page(ROWS, query)
