"""The short forms that a quota plan may be written in, as the one form that is checked."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from schemas.manifests.base import shown
from schemas.manifests.objects import ObjectError
from schemas.manifests.quota import calendar_day

DEFAULT_FLAVOR = "default"
MOST_SECONDS = 10**11
_CLOCK = re.compile(
    r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)
_DAY_LENGTH = len("2026-01-31")
_TIME = "as 2026-01-31T08:00:00Z, or Unix seconds"
_LIMITS = ("nominal", "borrowingLimit", "lendingLimit")


def as_object(value: object) -> dict[str, Any] | None:
    """With text keys; None for what is no object."""
    if not isinstance(value, Mapping):
        return None
    return {str(key): each for key, each in cast(Mapping[Any, Any], value).items()}


def renamed(fields: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Other names for the same field. What is there under both is left for the refusal of unknown fields."""
    return {names[key] if names.get(key, key) not in fields else key: each for key, each in fields.items()}


def named_list(value: object) -> object:
    """`{a: {...}}` as `[{name: a, ...}]`."""
    fields = as_object(value)
    if fields is None:
        return value
    return [
        {"name": name, **(as_object(each) or {})} if _is_body(each) else each for name, each in fields.items()
    ]


def _is_body(value: object) -> bool:
    return value is None or isinstance(value, Mapping)


def by_name(value: object, inner: str = "") -> object:
    """`[{name: a, ...}]` as `{a: ...}`; inner: the field that stands for what is below, `resources`."""
    if not isinstance(value, list):
        return value
    found: dict[str, Any] = {}
    for index, each in enumerate(cast(list[Any], value)):
        fields = as_object(each)
        name = fields.pop("name", None) if fields is not None else None
        if fields is None or not isinstance(name, str):
            raise ObjectError((index,), "an object with a name is needed")
        if name in found:
            raise ObjectError((index, "name"), f"{name} stands there more than once")
        if inner and fields.keys() - {inner}:
            raise ObjectError((index, min(fields.keys() - {inner})), "no such field here")
        found[name] = fields.get(inner, {}) if inner else fields
    return found


def flavors_by_name(value: object) -> object:
    """Also `{default: {resources: {cpu: 4}}}`."""
    fields = as_object(by_name(value, "resources"))
    if fields is None:
        return value
    found: dict[str, Any] = {}
    for name, each in fields.items():
        body = as_object(each)
        inner: object = each
        if body is not None and body.keys() == {"resources"}:
            inner = body["resources"]
        found[name] = by_name(inner)
    return found


def with_flavors(fields: dict[str, Any]) -> dict[str, Any]:
    """`resources: {cpu: 4}` as `flavors: {default: {cpu: 4}}`; with `flavor: a100` beside it, of that one."""
    if "resources" not in fields or "flavors" in fields:
        return fields
    flavor = fields.get("flavor", DEFAULT_FLAVOR)
    if not isinstance(flavor, str):
        return fields
    rest = {name: value for name, value in fields.items() if name not in ("resources", "flavor")}
    return {**rest, "flavors": {flavor: by_name(fields["resources"])}}


def with_amounts(fields: dict[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    """`usage: {default: {cpu: 4}}`, or `usage: {cpu: 4}`, as the usage of its flavors; other kinds alike."""
    flavors = as_object(flavors_by_name(fields.get("flavors", {})))
    if flavors is None:
        return fields
    for kind in kinds:
        amounts = as_object(fields.get(kind))
        if amounts is not None:
            _put(flavors, kind, amounts)
            fields = {name: value for name, value in fields.items() if name != kind} | {"flavors": flavors}
    return fields


def _put(flavors: dict[str, Any], kind: str, amounts: dict[str, Any]) -> None:
    if not any(map(_is_body, amounts.values())):
        amounts = {DEFAULT_FLAVOR: amounts}
    for flavor, each in amounts.items():
        resources, said = as_object(flavors.get(flavor, {})), as_object(each)
        if resources is None or said is None:
            raise ObjectError((kind, flavor), "amounts by resource are needed, as {cpu: 4}")
        for resource, value in said.items():
            body = as_object(amount_fields(resources.get(resource, {})))
            if body is None or kind in body:
                raise ObjectError((kind, flavor, resource), "stands in flavors, too")
            resources[resource] = {**body, kind: value}
        flavors[flavor] = resources


def amount_fields(value: object) -> object:
    fields = as_object(value)
    if fields is None:
        return {"nominal": value}
    return renamed(fields, {"nominalQuota": "nominal", "nominal_quota": "nominal", "used": "usage"})


def with_weight(fields: dict[str, Any]) -> dict[str, Any]:
    """Kueue's `fairSharing: {weight: 2}`."""
    sharing = as_object(fields.get("fairSharing"))
    if sharing is not None and sharing.keys() == {"weight"} and "weight" not in fields:
        del fields["fairSharing"]
        return {**fields, "weight": sharing["weight"]}
    return fields


def cohort_fields(value: object) -> object:
    fields = as_object(value)
    if fields is None:
        return value
    fields = renamed(fields, {"parentName": "parent", "nominalQuota": "nominal"})
    return with_amounts(with_flavors(with_weight(fields)), _LIMITS)


def tenant_fields(value: object) -> object:
    fields = as_object(value)
    if fields is None:
        return value
    fields = renamed(fields, {"cohortName": "cohort", "nominalQuota": "nominal"})
    fields = with_amounts(with_flavors(with_weight(fields)), (*_LIMITS, "usage"))
    policy = as_object(fields.get("preemption"))
    if policy is not None:
        fields["preemption"] = renamed(policy, {"withinClusterQueue": "withinTenant"})
    return fields


def workload_fields(value: object) -> object:
    fields = as_object(value)
    return value if fields is None else with_flavors(fields)


def request_fields(value: object) -> object:
    fields = as_object(value)
    return with_flavors(fields) if fields is not None and "flavor" in fields else value


def moment(value: object) -> object:
    """RFC 3339, or Unix seconds."""
    if isinstance(value, str):
        day, clock = value[:_DAY_LENGTH], value[_DAY_LENGTH:]
        if _is_day(day) and (not clock or _CLOCK.fullmatch(clock)):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST_SECONDS:
        return value
    raise ValueError(f"{shown(value)} is no time: {_TIME}")


def _is_day(text: str) -> bool:
    try:
        calendar_day(text)
    except ValueError:
        return False
    return True
