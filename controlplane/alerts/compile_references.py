"""Names that one part of the file uses and another declares. Looks at plain values: it speaks also where
other things are wrong, so that everything is said at once."""

from collections.abc import Iterator
from typing import Any, cast

from controlplane.alerts.configuration import OWNER
from controlplane.alerts.problems import Problems
from schemas.manifests.alertmanager_yaml import Path

_ROOT_HAS_NO = ("match", "match_re", "matchers", "mute_time_intervals", "active_time_intervals", "continue")


def check_references(value: dict[str, Any], problems: Problems) -> None:
    receivers = _declared(value, ("receivers",), problems)
    intervals = _declared(value, ("mute_time_intervals", "time_intervals"), problems)
    if OWNER in receivers:
        right = f"{OWNER!r} stands for whoever owns what an alert is about: give this receiver another name"
        problems.add(("receivers", receivers[OWNER], "name"), right)
    root = value.get("route")
    if not isinstance(root, dict):
        return
    _check_root(cast("dict[str, Any]", root), problems)
    for path, route in _routes(cast("dict[str, Any]", root), ("route",)):
        _check_receiver(route.get("receiver"), (*path, "receiver"), receivers, problems)
        for place, step in enumerate(_dicts(_dict(route.get("muster")).get("escalate"))):
            where = (*path, "muster", "escalate", place, "receiver")
            _check_receiver(step.get("receiver"), where, receivers, problems)
        for field in ("mute_time_intervals", "active_time_intervals"):
            for place, name in enumerate(_list(route.get(field))):
                if isinstance(name, str) and name not in intervals:
                    right = f"{name!r} is declared nowhere in time_intervals"
                    problems.add((*path, field, place), right)


def _check_root(root: dict[str, Any], problems: Problems) -> None:
    if not root.get("receiver"):
        problems.add(("route", "receiver"), "missing: the root route takes what no other route takes")
    for field in _ROOT_HAS_NO:
        if root.get(field) and root.get(field) not in ("false", "no", "off"):
            problems.add(("route", field), "not on the root route: it takes every alert, at any time")


def _check_receiver(name: Any, path: Path, receivers: dict[str, int], problems: Problems) -> None:
    if isinstance(name, str) and name and name != OWNER and name not in receivers:
        problems.add(path, f"{name!r} is declared nowhere in receivers")


def _declared(value: dict[str, Any], fields: tuple[str, ...], problems: Problems) -> dict[str, int]:
    """Name -> place in its list."""
    found: dict[str, int] = {}
    for field in fields:
        for place, each in enumerate(_list(value.get(field))):
            name = _dict(each).get("name")
            if not isinstance(name, str):
                continue
            if name in found:
                problems.add((field, place, "name"), f"{name!r} is declared more than once")
            found.setdefault(name, place)
    return found


def _routes(root: dict[str, Any], path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    yield path, root
    for place, child in enumerate(_list(root.get("routes"))):
        if isinstance(child, dict):
            yield from _routes(cast("dict[str, Any]", child), (*path, "routes", place))


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [_dict(each) for each in _list(value)]
