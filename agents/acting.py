"""The recorded orders brought about, and held to: what the cluster would not take is tried again.

1. Held by the bound on removals: only a release that is newer lets it go.
2. An apply is carried out as planned; a withdrawal until nothing is left, asked of the API server itself.
3. Done: marked in the record. Not done: the reason is reported, and it is tried again after a growing pause.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import structlog

from agents.carry_out import CarryOut
from agents.failpoints import reached
from agents.fence import BadRecord, Entry
from agents.ports import Clock, Conflict, KubeError
from agents.records import Records, Superseded
from agents.standing import Standing, Standings, held_refusal
from schemas.reasons import Reason
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Refusal, WorkState
from schemas.wire.subjects import RELEASE

SETTLE_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 60.0
_log = structlog.get_logger()


class Acting:
    """Acts on what is recorded, as far as the order is needed and here. Calls for one workload are serial.

    `newest` names the highest verified version that was delivered, be it recorded yet or not.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        records: Records,
        carry_out: CarryOut,
        standings: Standings,
        newest: Callable[[str], Version | None],
    ) -> None:
        self._clock = clock
        self._random = random
        self._records = records
        self._carry_out = carry_out
        self._standings = standings
        self._newest = newest

    async def act(self, workload: str) -> None:
        """Bring the recorded order about, as far as this process has it."""
        standing, entry = self._standings.of(workload), self._records.entries.get(workload)
        if entry is None or not (standing.is_for(entry.version) or _needs_no_order(entry)):
            return
        try:
            if entry.held and not await self._let_go(entry):
                standing.state, standing.refusals = WorkState.HELD, [held_refusal()]
            elif entry.verb is Verb.WITHDRAW:
                await self._withdraw(standing, self._records.entries[workload])
            else:
                await self._apply(standing, self._records.entries[workload])
        except Superseded:
            _log.info("order_superseded", workload=workload)
        except (KubeError, BadRecord) as error:
            self._fail(standing, [Refusal(reason=Reason.CLUSTER_UNREACHABLE, message=str(error)[:1000])])
        self._standings.touch(workload)

    def _is_released(self, entry: Entry) -> bool:
        release = self._records.entries.get(RELEASE)
        return release is not None and release.version > entry.version

    async def _let_go(self, entry: Entry) -> bool:
        if not self._is_released(entry):
            return False
        await self._records.write(replace(entry, held=False, decided_at=self._clock.now()))
        return True

    async def _apply(self, standing: Standing, entry: Entry) -> None:
        ready = standing.prepared
        if ready is None:
            return
        if ready.malformed is not None:
            standing.state, standing.refusals = WorkState.REFUSED, [ready.malformed]
            return
        version, workload = entry.version, entry.workload
        outcome = await self._carry_out.apply(
            workload,
            version,
            ready.manifests,
            ready.dropped,
            ready.overwrite,
            lambda: self._newest(workload) in (None, version),
        )
        reached("agent.after_apply")
        standing.marks |= outcome.marks
        if outcome.refused or outcome.failed:
            self._fail(standing, [*outcome.refused, *outcome.failed], refused=bool(outcome.refused))
            return
        standing.marks = outcome.marks
        # What an order neither has nor dropped stays recorded: a withdrawal has to find it.
        left = tuple(ref for ref in entry.objects if ref not in ready.dropped)
        if not entry.is_carried_out or entry.objects != left:
            await self.mark(replace(entry, carried_out=version, objects=left))
        reached("agent.after_mark")
        self._settle(standing, WorkState.APPLIED)

    async def _withdraw(self, standing: Standing, entry: Entry) -> None:
        standing.marks = {}
        if not entry.is_carried_out or standing.state is not WorkState.WITHDRAWN:
            standing.state = WorkState.WITHDRAWING
        preserve = entry.preserve
        outcome = await self._carry_out.withdraw(entry.workload, entry.version, entry.objects, preserve)
        reached("agent.after_apply")
        if outcome.failed:
            self._fail(standing, outcome.failed)
            return
        if not await self._carry_out.is_gone(entry.workload, entry.objects, preserve):
            self._standings.touch(entry.workload)
            return
        if not entry.is_carried_out:
            await self.mark(replace(entry, carried_out=entry.version))
        if preserve or not self._standings.pods(entry.workload):
            self._settle(standing, WorkState.WITHDRAWN)

    async def release(self) -> None:
        """The release is heard; what it lets go is due from now on."""
        entry = self._records.entries[RELEASE]
        self._standings.of(RELEASE).state = WorkState.APPLIED
        try:
            await self.mark(replace(entry, carried_out=entry.version))
        except (Superseded, KubeError, BadRecord) as error:
            _log.info("release_not_marked", detail=str(error))

    async def mark(self, entry: Entry) -> None:
        """Raises Superseded when a newer one was recorded, and KubeError."""
        try:
            await self._records.write(entry)
        except Conflict:
            await self._records.check(entry.workload, entry.version)
            await self._records.write(entry)

    def _settle(self, standing: Standing, state: WorkState) -> None:
        standing.state, standing.refusals, standing.failures = state, [], 0
        standing.settled_at = self._clock.now()

    def _fail(self, standing: Standing, refusals: Sequence[Refusal], *, refused: bool = False) -> None:
        standing.state = WorkState.REFUSED if refused else WorkState.FAILED
        standing.refusals = list(refusals)
        pause = min(LONGEST_RETRY_SECONDS, 2.0 ** min(standing.failures, 10))
        standing.failures += 1
        standing.retry_at = self._clock.now() + pause * (0.75 + self._random.random() / 2)

    def is_due(self, workload: str) -> bool:
        """Whether something is still to be done, or was undone by somebody."""
        standing, entry = self._standings.of(workload), self._records.entries.get(workload)
        if entry is None or workload == RELEASE:
            return False
        if not standing.is_for(entry.version) and not _needs_no_order(entry):
            return False
        if entry.verb is Verb.APPLY and standing.prepared is not None and standing.prepared.malformed:
            return False
        now = self._clock.now()
        match standing.state:
            case WorkState.WITHDRAWING | None:
                return True
            case WorkState.HELD:
                return self._is_released(entry)
            case WorkState.FAILED | WorkState.REFUSED:
                return now >= standing.retry_at
            case WorkState.APPLIED | WorkState.WITHDRAWN:
                settled = now - standing.settled_at >= SETTLE_SECONDS
                return settled and self._standings.drifted(workload, entry)
            case _:
                return False


def _needs_no_order(entry: Entry) -> bool:
    """A withdrawal that is recorded names all that it removes: it is finished, be its order lost since."""
    return entry.verb is Verb.WITHDRAW and not entry.is_carried_out
