"""Sorting and pages. A cursor holds a place in the order, not a count: what comes and goes shifts nothing."""

import base64
import hashlib
import heapq
import itertools
import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import total_ordering
from typing import Any, Generic, TypeVar

MAX_LIMIT = 500
DEFAULT_LIMIT = 100
MAX_SORT_KEYS = 4
MAX_CURSOR_CHARACTERS = 4000
Row = TypeVar("Row")
SortValue = str | int | float | bool | None


class BadQuery(ValueError):
    """A parameter of a query that cannot be answered; `parameter` names it."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True)
class Query:
    """sort: field names, the largest first behind a `-`. continue_: `next` of the page before."""

    filter: str = ""
    sort: str = ""
    limit: int = DEFAULT_LIMIT
    continue_: str = ""


@dataclass(frozen=True)
class Page(Generic[Row]):
    """`next` goes into `continue` for what follows; empty on the last page."""

    items: tuple[Row, ...]
    next: str = ""


@total_ordering
@dataclass(frozen=True, eq=True)
class _Place:
    """A sort value in its direction. Missing values come first, whatever the type of the others is."""

    value: SortValue
    descending: bool

    def __lt__(self, other: "_Place") -> bool:
        left, right = _comparable(self.value), _comparable(other.value)
        return right < left if self.descending else left < right


def _comparable(value: SortValue) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    return (2, value) if isinstance(value, str) else (1, value)


@dataclass(frozen=True)
class Order(Generic[Row]):
    """An order over rows that is total: `identity` (unique) breaks every tie."""

    keys: tuple[tuple[str, bool], ...]
    read: Callable[[Row, str], SortValue]
    identity: Callable[[Row], str]

    def place(self, row: Row) -> tuple[Any, ...]:
        return (*(_Place(self.read(row, name), down) for name, down in self.keys), self.identity(row))

    def place_of(self, values: list[Any]) -> tuple[Any, ...]:
        paired = zip(values[:-1], self.keys, strict=True)
        return (*(_Place(value, down) for value, (_, down) in paired), values[-1])

    def values(self, row: Row) -> list[Any]:
        return [*(self.read(row, name) for name, _ in self.keys), self.identity(row)]


def parse_sort(text: str, fields: Collection[str]) -> tuple[tuple[str, bool], ...]:
    """`name,-nodes` as ((name, descending), ...). BadQuery names the field that is none."""
    keys: list[tuple[str, bool]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name = part.removeprefix("-")
        if name not in fields:
            raise BadQuery("sort", f"{name!r} is no field to sort by: {', '.join(sorted(fields))}")
        keys.append((name, part.startswith("-")))
    if len(keys) > MAX_SORT_KEYS:
        raise BadQuery("sort", f"{len(keys)} fields; at most {MAX_SORT_KEYS}")
    return tuple(keys)


class PageBuilder(Generic[Row]):
    """The page that `query` asks for, of rows that come in parts; only a page of them is kept."""

    def __init__(self, order: Order[Row], query: Query) -> None:
        if not 1 <= query.limit <= MAX_LIMIT:
            raise BadQuery("limit", f"{query.limit}; 1 to {MAX_LIMIT}")
        self._order, self._query = order, query
        self._after = _read_cursor(query, order)
        self._first: list[tuple[tuple[Any, ...], Row]] = []

    @property
    def starts_at(self) -> str:
        """The identity that the last page ended with; "" for the first page."""
        return "" if self._after is None else str(self._after[-1])

    @property
    def full(self) -> bool:
        """Whether a page and one more row are here: rows that come later in the order change nothing."""
        return len(self._first) > self._query.limit

    def add(self, rows: Iterable[Row]) -> None:
        placed = ((self._order.place(row), row) for row in rows)
        wanted = (pair for pair in placed if self._after is None or pair[0] > self._after)
        both = itertools.chain(self._first, wanted)
        self._first = heapq.nsmallest(self._query.limit + 1, both, key=lambda pair: pair[0])

    def page(self) -> Page[Row]:
        items = tuple(row for _, row in self._first[: self._query.limit])
        return Page(items, _write_cursor(self._query, self._order.values(items[-1])) if self.full else "")


def take_page(rows: Iterable[Row], order: Order[Row], query: Query) -> Page[Row]:
    """The page of rows that are all at hand."""
    builder = PageBuilder(order, query)
    builder.add(rows)
    return builder.page()


def _write_cursor(query: Query, values: list[Any]) -> str:
    text = json.dumps([_shape(query), values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(query: Query, order: Order[Any]) -> tuple[Any, ...] | None:
    if not query.continue_:
        return None
    refusal = BadQuery("continue", "not a cursor of this query: take `next` of its last page, unchanged")
    if len(query.continue_) > MAX_CURSOR_CHARACTERS:
        raise refusal
    try:
        padded = query.continue_ + "=" * (-len(query.continue_) % 4)
        shape, values = json.loads(base64.urlsafe_b64decode(padded))
        if shape != _shape(query) or len(values) != len(order.keys) + 1 or not isinstance(values[-1], str):
            raise refusal
        place = order.place_of(values)
        hash(place)
    except (ValueError, TypeError):
        raise refusal from None
    return place


def _shape(query: Query) -> str:
    return hashlib.sha256(f"{query.filter}\n{query.sort}".encode()).hexdigest()[:12]
