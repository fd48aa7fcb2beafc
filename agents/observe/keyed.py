"""Rows by key, and who hears of what changed."""

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
R = TypeVar("R")


class Rows(Generic[K, R]):
    """Rows by key; `on_change(before, after)` hears of every difference, and of nothing else."""

    def __init__(self, on_change: Callable[[K, R | None, R | None], None]) -> None:
        self.rows: dict[K, R] = {}
        self._on_change = on_change

    def replace(self, rows: dict[K, R]) -> None:
        for key in self.rows.keys() - rows.keys():
            self.drop(key)
        for key, row in rows.items():
            self.put(key, row)

    def put(self, key: K, row: R) -> None:
        before = self.rows.get(key)
        if before != row:
            self.rows[key] = row
            self._on_change(key, before, row)

    def drop(self, key: K) -> None:
        before = self.rows.pop(key, None)
        if before is not None:
            self._on_change(key, before, None)
