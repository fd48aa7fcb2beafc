"""Whose turn it is to write to the ledger: one decides, releases or compares at a time."""

import asyncio
from typing import Literal


class Turns(asyncio.Lock):
    """In the order in which they asked."""

    def __init__(self) -> None:
        super().__init__()
        self._asking = 0

    async def acquire(self) -> Literal[True]:
        self._asking += 1
        try:
            return await super().acquire()
        finally:
            self._asking -= 1

    @property
    def awaited(self) -> bool:
        """Whether somebody else asks for a turn: who holds many things for one gives it up soon."""
        return self._asking > 0
