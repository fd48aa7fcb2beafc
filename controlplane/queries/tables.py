"""What rows of a kind can be filtered and sorted by, and a page of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from controlplane.queries.filters import Filter, Value, parse_filter
from controlplane.queries.paging import Order, Page, PageBuilder, Query, SortValue, parse_sort, take_page

Row = TypeVar("Row")


@dataclass(frozen=True)
class Table(Generic[Row]):
    """fields: every name that `filter` and `sort` know. identity: unique, the order where `sort` is silent.

    labels: of a row, for filters on labels; None where rows have none.
    """

    fields: Mapping[str, Callable[[Row], Value]]
    identity: Callable[[Row], str]
    labels: Callable[[Row], Mapping[str, str]] | None = None

    def filter(self, query: Query) -> Filter:
        return parse_filter(query.filter, self.fields.keys(), labelled=self.labels is not None)

    def order(self, query: Query) -> Order[Row]:
        return Order(parse_sort(query.sort, self.fields.keys()), self._sort_value, self.identity)

    def holds(self, terms: Filter, row: Row) -> bool:
        labels: Mapping[str, str] = self.labels(row) if self.labels is not None else {}
        return terms.holds(lambda name: self.fields[name](row), labels)

    def builder(self, query: Query) -> PageBuilder[Row]:
        return PageBuilder(self.order(query), query)

    def page(self, rows: Iterable[Row], query: Query) -> Page[Row]:
        """Those of `rows` that pass the filter, sorted. BadQuery names the parameter that is wrong."""
        terms = self.filter(query)
        return take_page((row for row in rows if self.holds(terms, row)), self.order(query), query)

    def _sort_value(self, row: Row, name: str) -> SortValue:
        value = self.fields[name](row)
        if value is None or isinstance(value, str | int | float | bool):
            return value
        return ",".join(value)
