"""Alert rules looked at, and what they say appended to the log like every other alert. On the leader only.

0. A process that has just begun lets clusters speak first: that it has not heard them yet is no news.
1. Of each rule, look at everything in its scope, a slice at a time.
2. What holds now and did not before begins to be pending; since when is stored, so that a leader that comes
   after counts on.
3. What has held for as long as the rule says fires; it is said again every so often, since what is not said
   again resolves. What fired and holds no more is said to have ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

import structlog

from controlplane.alerts.alert import Alert
from controlplane.alerts.entry import Arrived, Entry
from controlplane.alerts.fingerprint import fingerprint
from controlplane.alerts.rules import Firing, Key, Look, Thing, held_since
from controlplane.known.known import Known
from controlplane.known.records import Lease, Standing
from controlplane.known.ruling import AlertRules, CompiledRule
from controlplane.known.views import Views
from controlplane.loops.ports import Clock
from controlplane.queries.facts import Facts

log = structlog.get_logger()

PASS_SECONDS = 15.0
SAY_AGAIN_SECONDS = 60.0
RESOLVE_SECONDS = 300.0
"""What is said is good for so long: four passes may be missed."""
SLICE = 100
_Held = tuple[str, Key]


class RuleMemory(Protocol):
    """Since when expressions hold, in Postgres. Raises StoreUnavailable; writes raise LeaseLost."""

    async def read_pending(self) -> Mapping[tuple[str, Key], float]: ...

    async def write_pending(
        self, lease: Lease, begun: Mapping[tuple[str, Key], float], ended: Sequence[tuple[str, Key]]
    ) -> None: ...


class Ruling:
    """For one epoch."""

    def __init__(
        self,
        memory: RuleMemory,
        known: Known,
        append: Callable[[Sequence[Entry]], Awaitable[Sequence[int]]],
        clock: Clock,
        lease: Lease,
    ) -> None:
        self._memory, self._known, self._append = memory, known, append
        self._clock, self._lease = clock, lease
        self._began = clock.now()
        self._rules, self._views = AlertRules(known), Views(known)
        self._since: dict[_Held, float] | None = None
        self._said: dict[_Held, tuple[float, Firing]] = {}

    async def run_pass(self) -> None:
        now = self._clock.now()
        if self._awaits_beats(now):
            return
        rules = self._rules.all()
        for name, problem in self._rules.problems.items():
            log.error("alert_rule_not_understood", rule=name, detail=problem)
        if self._since is None:
            self._since = dict(await self._memory.read_pending())
            self._said = _said_before(self._since, rules, now)
        held: dict[_Held, float] = {}
        alerts: list[Alert] = []
        for compiled in rules:
            name = compiled.record.name
            before = {key: at for (rule, key), at in self._since.items() if rule == name}
            look = await self._look(compiled, now)
            since = held_since(before, look, now)
            held.update({(name, key): at for key, at in since.items()})
            alerts += self._fire(compiled, look, since, now)
        ended = [key for key in self._since if key not in held]
        begun = {key: at for key, at in held.items() if key not in self._since}
        alerts += [self._end(key, now) for key in ended if key in self._said]
        if begun or ended:
            await self._memory.write_pending(self._lease, begun, ended)
        self._since = held
        if alerts:
            await self._append([Arrived(now, alerts)])

    def _awaits_beats(self, now: float) -> bool:
        """The leader that decides may be another process, so that `Known.awaits_beats` does not tell."""
        return now - self._began <= self._known.loss_rules.lost_seconds and any(
            record.standing is Standing.JOINED and record.id not in self._known.heard
            for record in self._known.clusters.values()
        )

    async def _look(self, compiled: CompiledRule, now: float) -> Look:
        things = Facts(self._known, self._views, now).things(compiled.spec)
        looks: list[Look] = []
        while part := _slice(things):
            looks.append(compiled.rule.look(part, now))
            await asyncio.sleep(0)
        errors = [error for look in looks for error in look.errors]
        if errors:
            log.warning("alert_rule_unsure", rule=compiled.record.name, detail=errors[0], things=len(errors))
        return Look(
            {key: firing for look in looks for key, firing in look.holds.items()},
            frozenset[Key]().union(*(look.unsure for look in looks)),
            tuple(errors[:1]),
        )

    def _fire(
        self, compiled: CompiledRule, look: Look, since: Mapping[Key, float], now: float
    ) -> Iterator[Alert]:
        """What is due to be said, or to be said again."""
        for key, firing in look.holds.items():
            fires_from = since[key] + compiled.rule.for_seconds
            if now < fires_from:
                continue
            held = compiled.record.name, key
            said_at, _ = self._said.get(held, (0.0, firing))
            if now - said_at >= SAY_AGAIN_SECONDS:
                self._said[held] = now, firing
                yield _alert(firing, fires_from, now + RESOLVE_SECONDS, now, timed=True)

    def _end(self, held: _Held, now: float) -> Alert:
        _, firing = self._said.pop(held)
        return _alert(firing, now, now, now, timed=False)


def _said_before(
    since: Mapping[_Held, float], rules: Sequence[CompiledRule], now: float
) -> dict[_Held, tuple[float, Firing]]:
    """What fired under the former leader: we say that it has ended, should it have."""
    waits = {compiled.record.name: compiled.rule.for_seconds for compiled in rules}
    return {
        (name, key): (0.0, Firing(dict(key), {}))
        for (name, key), at in since.items()
        if now >= at + waits.get(name, 0.0)
    }


def _slice(things: Iterator[Thing]) -> list[Thing]:
    return list(islice(things, SLICE))


def _alert(firing: Firing, starts_at: float, ends_at: float, now: float, *, timed: bool) -> Alert:
    identity = dict(sorted(firing.labels.items()))
    return Alert(
        fingerprint=fingerprint(identity),
        identity=identity,
        annotations=firing.annotations,
        starts_at=starts_at,
        ends_at=ends_at,
        updated_at=now,
        timed=timed,
    )
