"""Charges that end: released once it was reported, not when it was decided.

1. Take the places (workload, cluster) of which something was reported, or that were settled; now and then
   those where nothing is ordered, for what nobody offered: a cluster that was removed, a crash in between;
   and, more seldom, all.
2. Work out what may still be held there, by the newest order, the report and what the placement asks for.
3. Commit the lines, then take them into memory. A crash between is harmless: what was committed is loaded,
   what was not is worked out again.

Nothing is decided meanwhile: a charge that is to grow again is not to shrink below it at the same time.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from controlplane.failpoints import reached
from controlplane.known.charging import lines_of
from controlplane.known.finished import ordered_in
from controlplane.known.known import Known
from controlplane.known.records import Cause, Lease, LedgerLine
from controlplane.loops.ports import Clock, LeaseLost, Store, StoreUnavailable
from controlplane.quota.quota import NOTHING, Amounts
from controlplane.quota.releasing import Ordered, released, still_held

PASS_SECONDS = 1.0
UNORDERED_SECONDS = 5.0
ALL_SECONDS = 60.0
LINES_AT_ONCE = 2_000
PLACES_AT_ONCE = 500
Place = tuple[str, str]
"""(workload, cluster)"""


class Releasing:
    """Releases for one epoch; begins with everything that is charged."""

    def __init__(
        self,
        store: Store,
        known: Known,
        clock: Clock,
        lease: Lease,
        ledger: asyncio.Lock,
        *,
        quota_freed: Callable[[], None] = lambda: None,
    ) -> None:
        """ledger: whoever holds it decides or releases. quota_freed: called when something was released."""
        self._store = store
        self._known = known
        self._clock = clock
        self._lease = lease
        self._ledger = ledger
        self._freed = quota_freed
        self._waiting: dict[Place, None] = {}
        self._looked_at = self._looked_at_all = 0.0

    def offer(self, cluster: str, workload: str) -> None:
        """Something was reported of this place, or is ordered there no longer."""
        self._waiting[workload, cluster] = None

    @property
    def depth(self) -> int:
        """Places to look at."""
        return len(self._waiting)

    async def run_pass(self) -> None:
        """Release what is held no longer; what could not be committed stays for the next pass."""
        self._look(self._clock.now())
        while self._waiting:
            async with self._ledger:
                # What is reported while it is written is looked at again.
                places = list(islice(self._waiting, PLACES_AT_ONCE))
                for place in places:
                    del self._waiting[place]
                try:
                    await self._release(places)
                except Exception:
                    self._waiting |= dict.fromkeys(places)
                    raise
            await asyncio.sleep(0)

    def _look(self, now: float) -> None:
        known, places = self._known, self._known.quotas.charges.places()
        if now - self._looked_at_all >= ALL_SECONDS:
            self._looked_at = self._looked_at_all = now
            self._waiting |= dict.fromkeys(places)
        elif now - self._looked_at >= UNORDERED_SECONDS:
            self._looked_at = now
            unordered = (place for place in places if known.order(place[1], place[0]) is None)
            self._waiting |= dict.fromkeys(unordered)

    async def _release(self, places: Iterable[Place]) -> None:
        lines = [line for place in places for line in self._lines(*place)]
        for start in range(0, len(lines), LINES_AT_ONCE):
            some = lines[start : start + LINES_AT_ONCE]
            try:
                await self._store.commit_lines(self._lease, some)
            except StoreUnavailable as error:
                # Committed or not: only a leader that loads everything anew knows which.
                raise LeaseLost(f"the outcome of a release is unknown: {error}") from error
            reached("centre.after_release")
            self._known.quotas.enter(some)
        if lines:
            self._freed()

    def _lines(self, uid: str, cluster: str) -> Iterator[LedgerLine]:
        known, charges = self._known, self._known.quotas.charges
        tenants = charges.tenants_of(uid, cluster)
        if not tenants:
            return
        record = known.workloads.get(uid)
        tenant = record.tenant if record is not None else ""
        asked = charges.asked(uid, cluster, tenant) if tenant else NOTHING
        ordered = ordered_in(known, uid, cluster)
        pods = (ordered.pods or {}).values() if ordered is not None else ()
        # Of what has pods and asks for nothing, it is not known yet what it comes to.
        is_known = bool(asked) or not tenant or not any(pods)
        held = still_held(ordered, known.work.get(uid, {}).get(cluster), asked if is_known else None)
        if held is None:
            return
        for each in sorted(tenants):
            yield from self._released(uid, cluster, each, held if each == tenant else NOTHING, ordered)

    def _released(
        self, uid: str, cluster: str, tenant: str, held: Amounts, ordered: Ordered | None
    ) -> Iterator[LedgerLine]:
        ended = released(self._known.quotas.charges.of(uid, cluster, tenant), held)
        amounts = {key: -amount for key, amount in ended.items()}
        version = ordered.version if ordered is not None else None
        return lines_of(tenant, uid, cluster, amounts, Cause.RELEASED, version)
