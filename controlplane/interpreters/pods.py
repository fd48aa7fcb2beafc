"""What a pod asks for, counted as Kubernetes does: resources, where it may run, what it tolerates."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from controlplane.fleet.demand import NODE_NAME_FIELD, Demand, Operator, Requirement, Term, Toleration
from controlplane.fleet.numa import Container, Pod, numa_of
from controlplane.fleet.preferences import Preference
from schemas.pods import count_requests, is_pod_level
from schemas.quantities import quantity_amount, quantity_text

_EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")
_MOST_TERMS = 100
_MOST_REMEMBERED = 1_024
_LONGEST_REMEMBERED = 8_192
_demands: dict[bytes, Demand] = {}


class NotUnderstood(ValueError):
    """An object that cannot be taken; the text names its field and what would be right."""


def pod_demand(spec: Mapping[str, Any], path: str) -> Demand:
    """Of one pod with this `spec`, which stands at `path`. NotUnderstood names what is wrong.

    Worked out once of what is written alike: revisions, jobs of one make, what is read again.
    """
    try:
        written = msgspec.json.encode(spec)
    except (TypeError, ValueError, OverflowError):
        # No JSON: what exactly is wrong is said by who reads it.
        return _demand(spec, path)
    known = _demands.get(written)
    if known is None:
        known = _demand(spec, path)
        if len(written) <= _LONGEST_REMEMBERED:
            if len(_demands) >= _MOST_REMEMBERED:
                _demands.clear()
            _demands[written] = known
    return known


def _demand(spec: Mapping[str, Any], path: str) -> Demand:
    selector = {
        key: _text(value, f"{path}.nodeSelector.{key}")
        for key, value in mapping(spec.get("nodeSelector"), f"{path}.nodeSelector").items()
    }
    if spec.get("nodeName"):
        selector[NODE_NAME_FIELD] = _text(spec["nodeName"], f"{path}.nodeName")
    return Demand.of(
        pod_requests(spec, path),
        selector,
        _required_terms(spec, f"{path}.affinity.nodeAffinity"),
        [
            _toleration(each, f"{path}.tolerations[{index}]")
            for index, each in enumerate(sequence(spec.get("tolerations"), f"{path}.tolerations"))
        ],
        numa=numa_of(pod_shape(spec, path)),
    )


def pod_shape(spec: Mapping[str, Any], path: str) -> Pod:
    """What decides about its NUMA alignment and pinning. NotUnderstood names the field."""
    resources = mapping(spec.get("resources"), f"{path}.resources")
    return Pod(
        running=tuple(_containers(spec, path, "containers")),
        starting=tuple(_containers(spec, path, "initContainers")),
        overhead=_amounts(spec.get("overhead"), f"{path}.overhead"),
        requests=_amounts(resources.get("requests"), f"{path}.resources.requests"),
        limits=_amounts(resources.get("limits"), f"{path}.resources.limits"),
    )


def _containers(spec: Mapping[str, Any], path: str, part: str) -> Iterator[Container]:
    for index, given in enumerate(sequence(spec.get(part), f"{path}.{part}")):
        at = f"{path}.{part}[{index}]"
        container = mapping(given, at)
        limits = mapping(container.get("resources"), f"{at}.resources").get("limits")
        yield Container(
            str(container.get("name") or index),
            _requests(container, at),
            _amounts(limits, f"{at}.resources.limits"),
            part == "initContainers" and _is_sidecar(container),
        )


def pod_preferences(spec: Mapping[str, Any], path: str) -> tuple[Preference, ...]:
    """Preferred node affinity, as it is written. NotUnderstood names the field."""
    path = f"{path}.affinity.nodeAffinity"
    affinity = mapping(mapping(spec.get("affinity"), path).get("nodeAffinity"), path)
    path = f"{path}.preferredDuringSchedulingIgnoredDuringExecution"
    given = sequence(affinity.get("preferredDuringSchedulingIgnoredDuringExecution"), path)
    if len(given) > _MOST_TERMS:
        raise NotUnderstood(f"{path}: {len(given)} terms: up to {_MOST_TERMS} are taken")
    read = [_preference(mapping(each, path), f"{path}[{index}]") for index, each in enumerate(given)]
    # Kubernetes takes an empty term, and makes nothing of it.
    return tuple(each for each in read if each.term.requirements)


def _preference(given: Mapping[str, Any], path: str) -> Preference:
    weight = given.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= 100:
        raise NotUnderstood(f"{path}.weight: {weight!r}: a whole number from 1 to 100 is needed")
    wanted = f"{path}.preference"
    return Preference(weight, _term(mapping(given.get("preference"), wanted), wanted))


def pod_requests(spec: Mapping[str, Any], path: str) -> dict[str, int]:
    """Amounts by resource, cpu in millicores. NotUnderstood names the field."""
    resources = mapping(spec.get("resources"), f"{path}.resources")
    limits = _amounts(resources.get("limits"), f"{path}.resources.limits")
    requests = _amounts(resources.get("requests"), f"{path}.resources.requests")
    for name in limits | requests:
        if not is_pod_level(name):
            raise NotUnderstood(f"{path}.resources: {name}: a pod itself takes cpu, memory and hugepages-*")
    _check_limits(requests, limits, f"{path}.resources")
    return count_requests(
        [
            _requests(container, f"{path}.containers[{index}]")
            for index, container in enumerate(sequence(spec.get("containers"), f"{path}.containers"))
        ],
        [
            (_requests(container, f"{path}.initContainers[{index}]"), _is_sidecar(container))
            for index, container in enumerate(sequence(spec.get("initContainers"), f"{path}.initContainers"))
        ],
        requests=requests,
        limits=limits,
        overhead=_amounts(spec.get("overhead"), f"{path}.overhead"),
    )


def _requests(container: Any, path: str) -> dict[str, int]:
    resources = mapping(mapping(container, path).get("resources"), f"{path}.resources")
    limits = _amounts(resources.get("limits"), f"{path}.resources.limits")
    requests = _amounts(resources.get("requests"), f"{path}.resources.requests")
    _check_limits(requests, limits, f"{path}.resources")
    return limits | requests


def _check_limits(requests: Mapping[str, int], limits: Mapping[str, int], path: str) -> None:
    for name, amount in requests.items():
        if name in limits and amount > limits[name]:
            asked, limit = quantity_text(name, amount), quantity_text(name, limits[name])
            raise NotUnderstood(f"{path}.requests.{name}: {asked} is above its limit {limit}")


def _is_sidecar(container: Any) -> bool:
    return mapping(container, "").get("restartPolicy") == "Always"


def _amounts(given: Any, path: str) -> dict[str, int]:
    amounts: dict[str, int] = {}
    for resource, text in mapping(given, path).items():
        if not isinstance(text, str | int | float):
            raise NotUnderstood(f"{path}.{resource}: {text!r}: a quantity is needed")
        try:
            amounts[resource] = quantity_amount(resource, text)
        except ValueError as error:
            raise NotUnderstood(f"{path}.{resource}: {error}") from error
    return amounts


def _required_terms(spec: Mapping[str, Any], path: str) -> list[Term]:
    affinity = mapping(mapping(spec.get("affinity"), path).get("nodeAffinity"), path)
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return []
    path = f"{path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    terms = sequence(mapping(required, path).get("nodeSelectorTerms"), path)
    if not 1 <= len(terms) <= _MOST_TERMS:
        raise NotUnderstood(f"{path}: {len(terms)} terms: 1 to {_MOST_TERMS} are taken")
    return [_term(mapping(each, path), f"{path}[{index}]") for index, each in enumerate(terms)]


def _term(term: Mapping[str, Any], path: str) -> Term:
    return Term(
        tuple(
            _requirement(each, f"{path}.{part}[{index}]", part)
            for part in ("matchExpressions", "matchFields")
            for index, each in enumerate(sequence(term.get(part), f"{path}.{part}"))
        )
    )


def _requirement(given: Any, path: str, part: str) -> Requirement:
    fields = mapping(given, path)
    key = _text(fields.get("key"), f"{path}.key")
    if part == "matchFields" and key != NODE_NAME_FIELD:
        raise NotUnderstood(f"{path}.key: {key!r}: {NODE_NAME_FIELD} is the only field")
    operator = next((each for each in _VALUES if each == fields.get("operator")), None)
    if operator is None:
        raise NotUnderstood(f"{path}.operator: {fields.get('operator')!r}: one of {', '.join(_VALUES)}")
    values = tuple(
        _text(value, f"{path}.values[{index}]")
        for index, value in enumerate(sequence(fields.get("values"), f"{path}.values"))
    )
    right, text = _VALUES[operator]
    if not right(values):
        raise NotUnderstood(f"{path}.values: {operator.value} takes {text}")
    return Requirement(key, operator, values)


def _one_integer(values: tuple[str, ...]) -> bool:
    return len(values) == 1 and values[0].lstrip("-").isascii() and values[0].lstrip("-").isdigit()


_VALUES: dict[Operator, tuple[Callable[[tuple[str, ...]], bool], str]] = {
    Operator.IN: (lambda values: bool(values), "at least one value"),
    Operator.NOT_IN: (lambda values: bool(values), "at least one value"),
    Operator.EXISTS: (lambda values: not values, "no values"),
    Operator.DOES_NOT_EXIST: (lambda values: not values, "no values"),
    Operator.GT: (_one_integer, "one whole number"),
    Operator.LT: (_one_integer, "one whole number"),
}


def _toleration(given: Any, path: str) -> Toleration:
    fields = mapping(given, path)
    operator = fields.get("operator") or "Equal"
    if operator not in ("Equal", "Exists"):
        raise NotUnderstood(f"{path}.operator: {operator!r}: Equal or Exists")
    effect = fields.get("effect") or ""
    if effect not in _EFFECTS:
        raise NotUnderstood(f"{path}.effect: {effect!r}: one of {', '.join(_EFFECTS[1:])}, or left out")
    key = _text(fields.get("key") or "", f"{path}.key")
    if not key and operator != "Exists":
        raise NotUnderstood(f"{path}.operator: without a key it tolerates everything, and must be Exists")
    return Toleration(key, operator, _text(fields.get("value") or "", f"{path}.value"), effect)


def mapping(given: Any, path: str) -> dict[str, Any]:
    """An object, {} where there is none."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise NotUnderstood(f"{path}: a {type(given).__name__}: an object is needed")
    return cast("dict[str, Any]", given)


def sequence(given: Any, path: str) -> Sequence[Any]:
    """A list, [] where there is none."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise NotUnderstood(f"{path}: a {type(given).__name__}: a list is needed")
    return cast(list[Any], given)


def _text(given: Any, path: str) -> str:
    if not isinstance(given, str):
        raise NotUnderstood(f"{path}: {given!r}: a string is needed")
    return given
