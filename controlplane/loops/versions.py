"""Versions of orders: the epoch of the leader, and generations of the one database sequence."""

from controlplane.known.known import Known
from controlplane.known.records import Lease
from controlplane.loops.ports import Store
from schemas.wire.orders import Version

GENERATION_BLOCK = 8_192


class Versions:
    """Of one epoch. Generations are reserved in blocks, so that a decision needs no round trip."""

    def __init__(self, store: Store, known: Known, lease: Lease) -> None:
        self._store = store
        self._known = known
        self._lease = lease
        self._generations = range(0)

    def __len__(self) -> int:
        """How many may be taken before the next block is reserved."""
        return len(self._generations)

    async def reserve(self) -> None:
        if len(self._generations) < GENERATION_BLOCK // 2:
            self._generations = await self._store.reserve_generations(self._lease, GENERATION_BLOCK)
            self._known.last_generation = self._generations[-1]

    def next(self) -> Version:
        generation, self._generations = self._generations[0], self._generations[1:]
        return Version(self._lease.epoch, generation)
