"""What happens to a request on its way: a seeded plan of losses, delays and partitions."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import TypeVar

from agents.returning import Returns

T = TypeVar("T")
CENTRE = "centre"
REQUEST_SECONDS = 2.0


class Fate(Enum):
    """LATE: given up by the sender, and done all the same some time after. TWICE: and once more later."""

    DONE = auto()
    LOST = auto()
    ANSWER_LOST = auto()
    LATE = auto()
    TWICE = auto()


class Interrupted(Exception):
    """No answer within the time: done or not, the sender cannot know."""


@dataclass
class Rates:
    """Probabilities of one request. late_seconds: how long after it a late one arrives, at most."""

    lost: float = 0.0
    answer_lost: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    latency_seconds: float = 0.01
    late_seconds: float = 20.0


QUIET = Rates()


@dataclass
class Network:
    """Parties are cluster ids and CENTRE. Whatever is drawn comes from one seeded generator."""

    random: Random = field(default_factory=lambda: Random(0))
    rates: Rates = field(default_factory=Rates)
    partitioned: set[str] = field(default_factory=set[str])
    returns: defaultdict[str, Returns] = field(default_factory=lambda: defaultdict(Returns))
    _healed: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])

    def heal(self) -> None:
        """No partition, no fault."""
        self.rates = QUIET
        for party in sorted(self.partitioned):
            self.join(party)

    def split(self, party: str) -> None:
        self.partitioned.add(party)

    def join(self, party: str) -> None:
        self.partitioned.discard(party)
        self.returns[party].happened()
        healed, self._healed = self._healed, []
        for future in healed:
            if not future.done():
                future.set_result(None)

    async def reachable(self, party: str) -> None:
        """Until no partition keeps the party from the server."""
        while party in self.partitioned:
            future = asyncio.get_running_loop().create_future()
            self._healed.append(future)
            await future

    def fate(self) -> Fate:
        rates, drawn = self.rates, self.random.random()
        for fate, rate in (
            (Fate.LOST, rates.lost),
            (Fate.ANSWER_LOST, rates.answer_lost),
            (Fate.LATE, rates.late),
            (Fate.TWICE, rates.twice),
        ):
            if drawn < rate:
                return fate
            drawn -= rate
        return Fate.DONE

    async def latency(self) -> None:
        await asyncio.sleep(self.random.uniform(0.0005, self.rates.latency_seconds))

    def later(self, effect: Callable[[], object], *errors: type[Exception]) -> None:
        """Do it within `late_seconds`, whatever became of the sender."""

        def arrive() -> None:
            try:
                effect()
            except errors:
                pass

        delay = self.random.uniform(0.0, self.rates.late_seconds)
        asyncio.get_running_loop().call_later(delay, arrive)

    async def carry(
        self,
        party: str,
        effect: Callable[[], T],
        *errors: type[Exception],
        timeout_seconds: float = REQUEST_SECONDS,
    ) -> T:
        """The answer of one request. Raises Interrupted; errors: what a late effect may raise unheard."""
        if party in self.partitioned:
            await self._give_up(timeout_seconds)
        await self.latency()
        fate = self.fate()
        if party in self.partitioned or fate is Fate.LOST:
            await self._give_up(timeout_seconds)
        if fate is Fate.LATE:
            self.later(effect, *errors)
            await self._give_up(timeout_seconds)
        if fate is Fate.TWICE:
            self.later(effect, *errors)
        answer = effect()
        if fate is Fate.ANSWER_LOST:
            await self._give_up(timeout_seconds)
        await self.latency()
        if party in self.partitioned:
            await self._give_up(timeout_seconds)
        return answer

    async def _give_up(self, timeout_seconds: float) -> None:
        await asyncio.sleep(timeout_seconds)
        raise Interrupted(f"no answer in {timeout_seconds} s")
