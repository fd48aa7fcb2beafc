"""That this process is there, said in Postgres every few seconds, and who else is."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Protocol

from controlplane.known.replicas import PRESENT_SECONDS, Replica, hearing_beside, leads_unseen
from controlplane.loops.ports import StoreUnavailable
from controlplane.troubles import Trouble

PERIOD_SECONDS = 3.0
HEARS_SECONDS = 3.0
"""Since NATS answered one that says that it hears. With a period of writing such a row and one of reading it
that is less than DEAF_SECONDS, whatever a lease takes: with NATS away for all, nobody may name another."""
LEAVING_SECONDS = 2.0
WITHOUT = "others do not know that this process is there"


class Presences(Protocol):
    """The store's. All raise StoreUnavailable."""

    async def see_replica(self, own: Replica, *, first: bool) -> Sequence[Replica]: ...

    async def who_decides(self) -> str: ...

    async def leave_replica(self, name: str) -> None: ...


class Presence:
    """own: all but hears and ready. silent_seconds: since NATS answered, infinite before it first did.

    replicas: as read last, this one among them.
    """

    def __init__(
        self,
        store: Presences,
        own: Replica,
        silent_seconds: Callable[[], float],
        is_ready: Callable[[], bool],
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        self._period_seconds = period_seconds
        self._store = store
        self.own = own
        self._silent_seconds = silent_seconds
        self._is_ready = is_ready
        self.replicas: Sequence[Replica] = ()
        self._decides = ""
        self._read_at = 0.0

    def hearing(self) -> list[str]:
        """Others that do the same, answered by NATS and ready; none where that was read long ago."""
        if asyncio.get_running_loop().time() - self._read_at > PRESENT_SECONDS:
            return []
        beside = hearing_beside(self.replicas, self.own.name, self.own.loops)
        unseen = self._is_deaf_born and leads_unseen(self.replicas, self.own.name, self._decides)
        return [*beside, self._decides] if unseen else beside

    @property
    def _is_deaf_born(self) -> bool:
        """NATS has never answered it. Then who leads counts, too: in an upgrade from a release that writes no
        rows, nobody else keeps a process with a wrong address from being ready.
        """
        return self._silent_seconds() == inf and "deciding" in self.own.loops.split(",")

    async def run(self) -> None:
        """Until cancelled; then the row goes. Nothing that is wrong with the rows ends it: they serve
        readiness only. That Postgres is away is told by who follows the records.
        """
        is_first, trouble = True, Trouble("presence_not_said", "presence_said")
        try:
            while True:
                try:
                    hears = self._silent_seconds() <= HEARS_SECONDS
                    own = replace(self.own, hears=hears, ready=self._is_ready())
                    self.replicas = await self._store.see_replica(own, first=is_first)
                    self._decides = await self._store.who_decides() if self._is_deaf_born else ""
                    is_first, self._read_at = False, asyncio.get_running_loop().time()
                    trouble.over()
                except StoreUnavailable:
                    pass
                except Exception as error:
                    trouble.met(reason=type(error).__name__, detail=str(error), effect=WITHOUT)
                await asyncio.sleep(self._period_seconds)
        finally:
            with suppress(Exception):
                async with asyncio.timeout(LEAVING_SECONDS):
                    await self._store.leave_replica(self.own.name)
