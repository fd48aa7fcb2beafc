"""Inhibition: a target is held back while a source with the same `equal` labels fires.

Alertmanager tries every rule on every alert and keeps one source for each set of values (#4606, #4950). Here
each alert learns once which rules it is a target or a source of; each rule keeps all sources by their values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from controlplane.alerts.alert import Alert, Labels
from controlplane.alerts.configuration import InhibitRule
from controlplane.alerts.matcher_index import MatcherIndex
from controlplane.alerts.matchers import matches_all

Side = tuple[int, tuple[str, ...], bool]
"""Rule, values of its `equal` labels, whether the other side matches too."""


class HasAlert(Protocol):
    """Something that always has the newest report of one alert."""

    alert: Alert


@dataclass(frozen=True, slots=True)
class Sides:
    """What an alert is to the rules. Follows from its labels alone."""

    target_of: tuple[Side, ...] = ()
    source_of: tuple[Side, ...] = ()


NEITHER = Sides()
_Sources = dict[str, HasAlert]


class Inhibition:
    def __init__(self, rules: Sequence[InhibitRule]) -> None:
        self._rules = rules
        self._targets = MatcherIndex((rule.target, place) for place, rule in enumerate(rules))
        self._sources = MatcherIndex((rule.source, place) for place, rule in enumerate(rules))
        # By rule and values: sources that only its source side matches, and those that both sides match.
        self._only: dict[tuple[int, tuple[str, ...]], _Sources] = {}
        self._both: dict[tuple[int, tuple[str, ...]], _Sources] = {}

    def sides(self, labels: Labels) -> Sides:
        targets = [p for p in self._targets.candidates(labels) if matches_all(self._rules[p].target, labels)]
        sources = [p for p in self._sources.candidates(labels) if matches_all(self._rules[p].source, labels)]
        if not targets and not sources:
            return NEITHER
        is_target, is_source = frozenset(targets), frozenset(sources)
        return Sides(
            tuple((place, self._values(place, labels), place in is_source) for place in targets),
            tuple((place, self._values(place, labels), place in is_target) for place in sources),
        )

    def add(self, fingerprint: str, sides: Sides, held: HasAlert) -> None:
        for rule, values, also_target in sides.source_of:
            sources = self._both if also_target else self._only
            sources.setdefault((rule, values), {})[fingerprint] = held

    def remove(self, fingerprint: str, sides: Sides) -> None:
        for rule, values, also_target in sides.source_of:
            sources = self._both if also_target else self._only
            found = sources.get((rule, values), {})
            found.pop(fingerprint, None)
            if not found:
                sources.pop((rule, values), None)

    def inhibited_by(self, sides: Sides, now: float) -> str | None:
        """The fingerprint of a source that fires; the first rule that holds it back counts."""
        for rule, values, also_source in sides.target_of:
            key = rule, values
            found = _firing(self._only.get(key), now)
            if found is None and not also_source:
                found = _firing(self._both.get(key), now)
            if found is not None:
                return found
        return None

    def _values(self, place: int, labels: Labels) -> tuple[str, ...]:
        return tuple(labels.get(name, "") for name in self._rules[place].equal)


def _firing(sources: _Sources | None, now: float) -> str | None:
    if sources:
        for fingerprint, held in sources.items():
            if held.alert.ends_at > now:
                return fingerprint
    return None
