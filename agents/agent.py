"""The agent: acts while it holds the lease, and starts afresh when it has lost it."""

import asyncio
from random import Random

import structlog

from agents.alerts.offline import Offline
from agents.alerts.watch import AlertRules
from agents.alerts.writing import SpoolWriter
from agents.keys import OrderKeys
from agents.lease import Held, Lease, LeaseLost
from agents.ports import Bus, Clock, Kube, KubeError
from agents.records import Records
from agents.spool import Spool
from agents.term import Around, Member, Periods, Term
from agents.timing import Backoff, within

__all__ = ["Agent", "Member", "Periods"]
RELEASE_SECONDS = 2.0
_log = structlog.get_logger()


class Agent:
    """One process's agent. `holder` names it in the lease; `random` only spreads and jitters."""

    def __init__(
        self,
        member: Member,
        kube: Kube,
        bus: Bus,
        clock: Clock,
        random: Random,
        keys: OrderKeys,
        spool: Spool,
        holder: str,
        periods: Periods,
        writer: SpoolWriter | None = None,
        rules: AlertRules | None = None,
    ) -> None:
        """writer: of the spool, where other parts of the process write to it as well."""
        self._rules = rules or AlertRules()
        self._offline = Offline(spool.heard_at, clock.now())
        self._member = member
        self._around = Around(kube, bus, clock, random)
        self._keys = keys
        self._spool = spool
        self._writer = writer or SpoolWriter(spool, clock)
        self._periods = periods
        self._acting = False
        self._term: Term | None = None
        self._lease = Lease(kube, clock, random, holder, duration_seconds=periods.lease)

    @property
    def acting(self) -> bool:
        """Whether this process, and no other, speaks for the cluster."""
        return self._acting

    @property
    def term(self) -> Term | None:
        """Of now; None while another process acts."""
        return self._term

    async def run(self) -> None:
        """Until cancelled; then the lease is given back."""
        try:
            while True:
                held = await self._lease.acquire(lambda: self._spool.depth > 0)
                try:
                    await self._act(held)
                except* LeaseLost as lost:
                    _log.warning("lease_lost", detail=str(lost.exceptions[0]))
        finally:
            await within(self._around.clock, self._lease.release(), RELEASE_SECONDS)

    async def _act(self, held: Held) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lease.keep(lambda: self._spool.depth == 0))
            records = Records(self._around.kube)
            await self._load(records)
            term = Term(
                self._member,
                self._around,
                self._periods,
                self._keys,
                self._writer,
                self._lease,
                held,
                records,
                self._rules,
                self._offline,
            )
            self._acting, self._term = True, term
            try:
                await term.run()
            finally:
                self._acting, self._term = False, None

    async def _load(self, records: Records) -> None:
        """The fence comes first: without it nothing may be carried out."""
        backoff = Backoff(self._around.random)
        while True:
            try:
                await records.load()
                return
            except KubeError as error:
                _log.warning("records_not_read", detail=str(error))
                await self._around.clock.sleep(backoff.failed())
