"""Kinds by declaration: what an Interpreter says, compiled."""

from controlplane.interpreters.kinds import Amount, Count, Kind, Kinds, Part
from controlplane.interpreters.table import TABLE
from schemas.manifests.interpreter import (
    HealthCheck,
    InterpreterComponent,
    InterpreterHealth,
    InterpreterSpec,
    ReplicaCount,
)
from schemas.paths import Path, parse_path, parse_product
from schemas.wire import orders


def compiled_kind(spec: InterpreterSpec) -> tuple[str, Kind]:
    """(`group/Kind`, what is understood of it)"""
    parts = tuple(_part(each) for each in spec.components)
    only = parts[0]
    return f"{spec.group}/{spec.kind}", Kind(
        parts=parts,
        scaled=(*only.at, *only.count.alternatives[0][0][1]) if spec.divisible else None,
        minimum=_optional(spec.minimum),
        stopped=tuple((parse_path(each.path), tuple(each.in_)) for each in spec.stopped_when),
        refused=tuple((parse_path(each.path), each.message) for each in spec.refuse),
        selector=_optional(spec.selector),
        as_text=True,
        health=None if spec.health is None else _health(spec.group, spec.kind, spec.health),
    )


def _part(component: InterpreterComponent) -> Part:
    return Part(
        name=component.name,
        names=_optional(component.name_from),
        at=parse_path(component.at),
        count=_count(component.replicas),
        template=_optional(component.template),
        pods=tuple(map(parse_path, component.pod_spec)),
        labels=parse_path(component.labels or ""),
        amounts=tuple(
            Amount(
                resource,
                tuple(map(parse_product, amount.from_)),
                amount.default,
            )
            for resource, amount in component.requests.items()
        ),
        devices=tuple(map(parse_path, component.devices)),
        binary=component.binary_units,
    )


def _count(replicas: ReplicaCount | str | int) -> Count:
    if isinstance(replicas, int):
        return Count(default=replicas)
    if isinstance(replicas, str):
        return Count((parse_product(replicas),))
    return Count(tuple(map(parse_product, replicas.from_)), replicas.default)


def _health(group: str, kind: str, health: InterpreterHealth) -> orders.HealthRule:
    return orders.HealthRule(
        group=group,
        kind=kind,
        healthy=tuple(map(_check, health.healthy_when)),
        failed=tuple(map(_check, health.failed_when)),
        desired=health.desired or "",
        ready=health.ready or "",
        updated=health.updated or "",
        message=health.message or "",
        finished=tuple(map(_check, health.finished_when)),
    )


def _check(check: HealthCheck) -> orders.HealthCheck:
    return orders.HealthCheck(check.path or "", tuple(check.in_), check.condition or "", check.status)


def _optional(path: str | None) -> Path | None:
    return None if path is None else parse_path(path)


DECLARED: Kinds = dict(compiled_kind(InterpreterSpec.model_validate(each)) for each in TABLE)
