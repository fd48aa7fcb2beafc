"""A quota is given to a tenant that runs already: what runs counts before anything else is let in.

1. Move what is charged under no flavor to the first that covers it, in the ledger and then in memory.
2. Say of which workloads that was: which flavor is theirs is decided next.
"""

from collections.abc import Sequence
from itertools import islice

from controlplane.known.adopting import Adopted, to_adopt
from controlplane.known.known import Known
from controlplane.known.records import Lease
from controlplane.loops.ports import LeaseLost, Store, StoreUnavailable

PLACES_AT_ONCE = 500


class Adopting:
    """Of one epoch."""

    def __init__(self, store: Store, known: Known, lease: Lease) -> None:
        self._store = store
        self._known = known
        self._lease = lease

    async def adopt(self) -> list[str]:
        """uids. Nothing else may be charged or released meanwhile: the caller holds the ledger."""
        found = to_adopt(self._known.quotas)
        uids: dict[str, None] = {}
        while some := list(islice(found, PLACES_AT_ONCE)):
            await self._move(some)
            uids |= dict.fromkeys(each.place[0] for each in some)
        return list(uids)

    async def _move(self, some: Sequence[Adopted]) -> None:
        quotas = self._known.quotas
        lines = [line for each in some for line in each.lines]
        if lines:
            try:
                await self._store.commit_lines(self._lease, lines)
            except StoreUnavailable as error:
                raise LeaseLost(f"the outcome of a move is unknown: {error}") from error
            # What comes before what goes: in between nobody is told that something is free.
            quotas.enter(sorted(lines, key=lambda line: line.amount < 0))
        for each in some:
            quotas.charges.ask(*each.place, each.tenant, each.asked)
