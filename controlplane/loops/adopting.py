"""A quota is given to a tenant that runs already: what runs counts before anything else is let in.

1. Move what is charged under no flavor to the first that covers it, in the ledger and then in memory.
2. Where the quota is another by then, stop: once that is read, go on from there.
3. Say of which workloads that was: which flavor is theirs is decided next.
"""

from collections.abc import Sequence
from itertools import islice

from controlplane.known.adopting import Adopted, to_adopt
from controlplane.known.known import Known
from controlplane.known.records import Lease
from controlplane.loops.ports import LeaseLost, Store, StoreUnavailable

PLACES_AT_ONCE = 500


class Adopting:
    """Of one epoch. is_unfinished: it stopped on the way."""

    def __init__(self, store: Store, known: Known, lease: Lease) -> None:
        self._store = store
        self._known = known
        self._lease = lease
        self._moved: dict[str, None] = {}
        self.is_unfinished = False

    async def adopt(self) -> list[str]:
        """uids. Nothing else may be charged or released meanwhile: the caller holds the ledger."""
        self.is_unfinished = True
        found = to_adopt(self._known.quotas)
        while some := list(islice(found, PLACES_AT_ONCE)):
            if not await self._move(some):
                break
            self._moved |= dict.fromkeys(each.place[0] for each in some)
        else:
            self.is_unfinished = False
        moved, self._moved = self._moved, {}
        return list(moved)

    async def _move(self, some: Sequence[Adopted]) -> bool:
        quotas = self._known.quotas
        lines = [line for each in some for line in each.lines]
        if lines:
            try:
                stands = await self._store.move_lines(self._lease, lines, quotas.version)
            except StoreUnavailable as error:
                raise LeaseLost(f"the outcome of a move is unknown: {error}") from error
            if not stands:
                return False
            # What comes before what goes: in between nobody is told that something is free.
            quotas.enter(sorted(lines, key=lambda line: line.amount < 0))
        for each in some:
            quotas.charges.ask(*each.place, each.tenant, each.asked)
        return True
