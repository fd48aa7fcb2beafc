"""Labels and taints of clusters as people send them."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from controlplane.api.problems import invalid
from controlplane.fleet.headroom import Make
from controlplane.placement.headroom import makes_of
from controlplane.placement.rules import PRICE_LABEL
from controlplane.placement.score import price_of
from schemas.manifests.base import label_key, label_value
from schemas.manifests.fleet import HeadroomList
from schemas.manifests.load import ManifestError, validated
from schemas.wire.reports import Taint

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
MAX_LABELS = 200
MAX_TAINTS = 50


def parse_labels(given: Any, *, removable: bool) -> dict[str, str | None]:
    """Labels by key; None removes one, where that is taken. 422 names the key."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise invalid("labels", "an object of strings is needed")
    labels = cast(dict[str, Any], given)
    if len(labels) > MAX_LABELS:
        raise invalid("labels", f"{len(labels)} labels; at most {MAX_LABELS}")
    for key, value in labels.items():
        try:
            label_key(key)
            if value is None and removable:
                continue
            if not isinstance(value, str):
                raise ValueError(f"{value!r} is no string")
            label_value(value)
        except ValueError as error:
            raise invalid(f"labels.{key}", str(error)) from error
    return labels


def merged_labels(held: Mapping[str, str], given: Mapping[str, str | None]) -> dict[str, str]:
    """`held` under `given`; a None in `given` removes. 422 names a label that we read and cannot."""
    merged = {**held, **given}
    labels = {key: value for key, value in merged.items() if value is not None}
    try:
        price_of(labels)
    except ValueError as error:
        raise invalid(f"labels.{PRICE_LABEL}", str(error)) from error
    return labels


def parse_headroom(given: Any, present: Callable[[Mapping[str, str]], int]) -> tuple[Make, ...]:
    """present: how many nodes of the cluster have these labels now. 422 names the make and its field."""
    try:
        listed = validated(HeadroomList, {"headroom": given}, "headroom", 0)
    except ManifestError as error:
        problem = error.problems[0]
        raise invalid(problem.path, problem.message) from error
    try:
        return makes_of(listed.headroom, "headroom", present)
    except ValueError as error:
        field, _, message = str(error).partition(": ")
        raise invalid(field, message) from error


def parse_taints(given: Any) -> tuple[Taint, ...]:
    """422 names the taint and its field."""
    if not isinstance(given, list):
        raise invalid("taints", "a list of {key, value, effect} is needed")
    taints = cast(list[Any], given)
    if len(taints) > MAX_TAINTS:
        raise invalid("taints", f"{len(taints)} taints; at most {MAX_TAINTS}")
    parsed = tuple(_parse_taint(f"taints[{index}]", each) for index, each in enumerate(taints))
    if len({(taint.key, taint.effect) for taint in parsed}) < len(parsed):
        raise invalid("taints", "one key with the same effect stands there twice")
    return parsed


def _parse_taint(field: str, given: Any) -> Taint:
    if not isinstance(given, dict):
        raise invalid(field, "an object {key, value, effect} is needed")
    taint = cast(dict[str, Any], given)
    unknown = sorted(set(taint) - {"key", "value", "effect"})
    if unknown:
        raise invalid(f"{field}.{unknown[0]}", "unknown field; known: effect, key, value")
    key, value, effect = taint.get("key"), taint.get("value", ""), taint.get("effect")
    if effect not in EFFECTS:
        raise invalid(f"{field}.effect", f"one of {', '.join(EFFECTS)} is needed")
    for name, text, check in (("key", key, label_key), ("value", value, label_value)):
        try:
            if not isinstance(text, str):
                raise ValueError("a string is needed")
            check(text)
        except ValueError as error:
            raise invalid(f"{field}.{name}", str(error)) from error
    return Taint(str(key), str(effect), str(value))
