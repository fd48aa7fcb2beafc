"""The tree of routes, with everything that a child inherits filled in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from controlplane.alerts.configuration import Escalation, InhibitRule, Route
from controlplane.alerts.matchers import Matcher, Operator, canonical, parse_matchers, sorted_matchers
from controlplane.alerts.problems import Problems
from schemas.manifests.alertmanager import InhibitRuleSection, RouteSection
from schemas.manifests.alertmanager_yaml import Path

_CLASSIC_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NAME_RIGHT = "no name of a label: letters, digits and _ are taken, a digit not first"


def compile_routes(root: RouteSection, problems: Problems) -> Route:
    """What is wrong goes to `problems`. Defaults of the root: 30s, 5m, 4h, no group_by."""
    return _Builder(problems).build(root, ("route",), Route(key="", id="", receiver=""), None)


@dataclass
class _Builder:
    problems: Problems

    def build(self, section: RouteSection, path: Path, above: Route, place: int | None) -> Route:
        """above: what is inherited. place: among its siblings, None for the root."""
        matchers = route_matchers(section, path, self.problems)
        written = canonical(matchers)
        route = self._timed(section, self._grouped(section, path, above))
        route = replace(
            route,
            key=written if place is None else f"{above.key}/{written}",
            id=written if place is None else f"{above.id}/{written}/{place}",
            receiver=section.receiver or above.receiver,
            matchers=matchers,
            continues=section.continue_,
            mute=tuple(section.mute_time_intervals),
            active=tuple(section.active_time_intervals),
        )
        if section.muster is not None:
            steps = (Escalation(step.after, step.receiver) for step in section.muster.escalate)
            route = replace(route, escalations=tuple(sorted(steps, key=lambda step: step.after_seconds)))
        children = (
            self.build(child, (*path, "routes", index), route, index)
            for index, child in enumerate(section.routes)
        )
        return replace(route, routes=tuple(children))

    def _grouped(self, section: RouteSection, path: Path, above: Route) -> Route:
        """An empty list is as none: what is above holds. `...` leaves the inherited labels behind it."""
        if not section.group_by:
            return above
        if section.group_by == ["..."]:
            return replace(above, group_by_all=True)
        for place, name in enumerate(section.group_by):
            if not name:
                self.problems.add((*path, "group_by", place), "a name of a label is needed")
        return replace(above, group_by=tuple(section.group_by), group_by_all=False)

    def _timed(self, section: RouteSection, above: Route) -> Route:
        def or_above(stated: float | None, inherited: float) -> float:
            return inherited if stated is None else stated

        return replace(
            above,
            group_wait_seconds=or_above(section.group_wait, above.group_wait_seconds),
            group_interval_seconds=or_above(section.group_interval, above.group_interval_seconds),
            repeat_interval_seconds=or_above(section.repeat_interval, above.repeat_interval_seconds),
        )


def route_matchers(section: RouteSection, path: Path, problems: Problems) -> tuple[Matcher, ...]:
    """Of `match`, `match_re` and `matchers`, sorted as keys have them."""
    lists = _Lists(path, problems)
    found = [
        *lists.equal("match", section.match),
        *lists.regex("match_re", section.match_re),
        *lists.written("matchers", section.matchers),
    ]
    return sorted_matchers(found)


def compile_inhibit_rule(section: InhibitRuleSection, path: Path, problems: Problems) -> InhibitRule:
    lists = _Lists(path, problems)
    source = [
        *lists.equal("source_match", section.source_match),
        *lists.regex("source_match_re", section.source_match_re),
        *lists.written("source_matchers", section.source_matchers),
    ]
    target = [
        *lists.equal("target_match", section.target_match),
        *lists.regex("target_match_re", section.target_match_re),
        *lists.written("target_matchers", section.target_matchers),
    ]
    for place, name in enumerate(section.equal):
        if not name:
            problems.add((*path, "equal", place), "a name of a label is needed")
    return InhibitRule(sorted_matchers(source), sorted_matchers(target), tuple(section.equal))


@dataclass
class _Lists:
    """The three ways to write matchers, each with its own rules for names."""

    path: Path
    problems: Problems

    def equal(self, field: str, texts: Mapping[str, str]) -> list[Matcher]:
        return self._all(field, texts, Operator.EQUAL)

    def regex(self, field: str, texts: Mapping[str, str]) -> list[Matcher]:
        """They are anchored twice, as in Alertmanager: its keys of routes show one of them."""
        return self._all(field, {name: f"^(?:{text})$" for name, text in texts.items()}, Operator.MATCHES)

    def _all(self, field: str, texts: Mapping[str, str], operator: Operator) -> list[Matcher]:
        found: list[Matcher] = []
        for name, text in texts.items():
            where = (*self.path, field, name)
            if not _CLASSIC_NAME.fullmatch(name):
                self.problems.add(where, f"{name!r} is {_NAME_RIGHT}")
                continue
            try:
                found.append(Matcher(name, operator, text))
            except ValueError as error:
                self.problems.add(where, str(error))
        return found

    def written(self, field: str, texts: list[str]) -> list[Matcher]:
        found: list[Matcher] = []
        for place, text in enumerate(texts):
            try:
                found += parse_matchers(text)
            except ValueError as error:
                self.problems.add((*self.path, field, place), str(error))
        return found
