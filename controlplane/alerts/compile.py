"""From the text of Alertmanager's configuration file to what decisions need."""

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import yaml
from pydantic import ValidationError

from controlplane.alerts.compile_intervals import compile_interval
from controlplane.alerts.compile_receivers import compile_owners_email, compile_receiver
from controlplane.alerts.compile_references import check_references
from controlplane.alerts.compile_routes import compile_inhibit_rule, compile_routes
from controlplane.alerts.configuration import (
    OWNER,
    Beyond,
    Configuration,
    DeadMansSwitch,
    FlapDamping,
    Heartbeat,
    History,
    Route,
    SilenceGuard,
)
from controlplane.alerts.intervals import Interval
from controlplane.alerts.matchers import Matcher, parse_matchers
from controlplane.alerts.problems import ConfigurationError, Problem, Problems, unreadable
from controlplane.alerts.routes import every_route
from controlplane.alerts.templates import TemplateFaults, Templates
from schemas.manifests import alertmanager as manifest
from schemas.manifests.alertmanager_values import template_texts
from schemas.manifests.alertmanager_yaml import Document, Path, Unreadable

__all__ = ["ConfigurationError", "Problem", "read_configuration"]

_MOST_ROUNDS = 10


def read_configuration(
    text: str, folder: str = "", read_templates: Callable[[Sequence[str]], Mapping[str, str]] | None = None
) -> Configuration:
    """The file as it is written. folder: of the file; templates and secrets in files are found from there.

    read_templates: gives the texts of the files that match patterns, by path; ValueError says which cannot
    be read. Left out, templates are not looked into where the file names some.
    Raises ConfigurationError with everything that is wrong: line, path, what would be right.
    """
    try:
        document = Document(text)
    except Unreadable as error:
        raise unreadable(error) from error
    problems = Problems(document)
    value: Any = document.value if document.value is not None else {}
    if not isinstance(value, dict):
        problems.add((), "a mapping is needed, with route and receivers in it")
        problems.refuse()
    problems.add_doubled()
    fields = cast("dict[str, Any]", value)
    check_references(fields, problems)
    file = _validated(fields, problems)
    compiled = _compiled(file, folder, problems)
    if read_templates is not None or not compiled.templates:
        _check_templates(file, read_templates or _no_files, compiled.templates, problems)
    problems.refuse()
    return replace(compiled, text=_shown(file, compiled.root))


def _no_files(patterns: Sequence[str]) -> Mapping[str, str]:
    return {}


def _check_templates(
    file: manifest.AlertmanagerFile,
    read: Callable[[Sequence[str]], Mapping[str, str]],
    patterns: Sequence[str],
    problems: Problems,
) -> None:
    try:
        templates = Templates(read(patterns))
    except TemplateFaults as error:
        for fault in error.faults:
            problems.add(("templates",), str(fault))
        return
    except ValueError as error:
        problems.add(("templates",), str(error))
        return
    for place, receiver in enumerate(file.receivers):
        for kind in manifest.INTEGRATIONS:
            for index, stated in enumerate(receiver.integrations(kind)):
                path: Path = ("receivers", place, f"{kind}_configs", index)
                for inner, source in template_texts(stated):
                    for fault in templates.faults_of(source, ""):
                        problems.add_in((*path, *inner), fault.line, fault.what)


def _validated(value: dict[str, Any], problems: Problems) -> manifest.AlertmanagerFile:
    """What is wrong is said, left out, and the rest looked at again: a model tells of fields that do not go
    together only where each of them is right by itself."""
    left_out: set[Path] = set()
    for _ in range(_MOST_ROUNDS):
        try:
            return manifest.AlertmanagerFile.model_validate(value)
        except ValidationError as error:
            found = problems.add_errors(manifest.AlertmanagerFile, error, besides=left_out)
            gone: set[Path] = set()
            for path in found:
                if not any(path[: len(each)] == each for each in gone):
                    gone.add(_leave_out(value, path))
            left_out |= gone
            value.setdefault("route", {})
    return manifest.AlertmanagerFile(route=manifest.RouteSection())


def _leave_out(value: dict[str, Any], path: Path) -> Path:
    """Takes away what is there, or the nearest around it, and says which.

    Only keys of mappings: places in lists stay, for they are places in the file.
    """
    while path:
        around: Any = value
        for part in path[:-1]:
            try:
                around = around[part]
            except (LookupError, TypeError):
                around = None
                break
        if isinstance(around, dict) and path[-1] in around:
            del around[path[-1]]
            return path
        path = path[:-1]
    return path


def _compiled(file: manifest.AlertmanagerFile, folder: str, problems: Problems) -> Configuration:
    root = compile_routes(file.route, problems)
    receivers = [
        compile_receiver(section, ("receivers", place), file.global_, folder, problems)
        for place, section in enumerate(file.receivers)
    ]
    rules = [
        compile_inhibit_rule(section, ("inhibit_rules", place), problems)
        for place, section in enumerate(file.inhibit_rules)
    ]
    return Configuration(
        root=root,
        receivers={receiver.name: receiver for receiver in receivers},
        inhibit_rules=tuple(rules),
        intervals=_intervals(file, problems),
        templates=tuple(posixpath.join(folder, pattern) for pattern in file.templates),
        resolve_timeout_seconds=file.global_.resolve_timeout,
        beyond=_beyond(file.muster, problems),
        owners_email=compile_owners_email(file.global_, folder, problems),
    )


def _intervals(file: manifest.AlertmanagerFile, problems: Problems) -> Mapping[str, tuple[Interval, ...]]:
    found: dict[str, tuple[Interval, ...]] = {}
    for field in ("mute_time_intervals", "time_intervals"):
        sections: Iterable[manifest.TimeIntervalSection] = getattr(file, field)
        for place, section in enumerate(sections):
            path: Path = (field, place, "time_intervals")
            found[section.name] = tuple(
                compile_interval(each, (*path, index), problems)
                for index, each in enumerate(section.time_intervals)
            )
    return found


def _beyond(extras: manifest.Extras, problems: Problems) -> Beyond:
    heartbeats: list[Heartbeat] = []
    for place, section in enumerate(extras.heartbeats):
        path: Path = ("muster", "heartbeats", place)
        if section.name in [each.name for each in heartbeats]:
            problems.add((*path, "name"), f"{section.name!r} is declared more than once")
        matchers = _matchers(section.matchers, (*path, "matchers"), problems)
        heartbeats.append(Heartbeat(section.name, matchers, section.every, dict(section.labels)))
    damping, guard, switch = extras.flap_damping, extras.silence_guard, extras.dead_mans_switch
    return Beyond(
        heartbeats=tuple(heartbeats),
        flap_damping=FlapDamping(damping.transitions, damping.window, damping.quiet),
        silence_guard=SilenceGuard(guard.max_share, guard.from_alerts),
        dead_mans_switch=DeadMansSwitch(switch.url, switch.every) if switch else None,
        history=History(extras.history.days, extras.history.max_bytes),
    )


def _matchers(texts: list[str], path: Path, problems: Problems) -> tuple[Matcher, ...]:
    found: list[Matcher] = []
    for place, text in enumerate(texts):
        try:
            found += parse_matchers(text)
        except ValueError as error:
            problems.add((*path, place), str(error))
    return tuple(found)


def _shown(file: manifest.AlertmanagerFile, root: Route) -> str:
    """The file without secrets, and without what Alertmanager does not know, so that amtool can read it."""
    plain = file.model_dump(exclude_unset=True, by_alias=True, exclude={"muster"})
    stated: list[dict[str, Any]] = plain.get("receivers", [])
    for receiver in stated:
        for kind in manifest.OWN_INTEGRATIONS:
            receiver.pop(f"{kind}_configs", None)
        for kind in manifest.INTEGRATIONS:
            for integration in receiver.get(f"{kind}_configs", []):
                integration.pop("limits", None)
    _without_extras(plain.get("route", {}))
    if any(route.receiver == OWNER for route in every_route(root)):
        plain["receivers"] = [*stated, {"name": OWNER}]
    return yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)


def _without_extras(route: dict[str, Any]) -> None:
    route.pop("muster", None)
    for child in route.get("routes", []):
        _without_extras(child)
