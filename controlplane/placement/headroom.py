"""Declared headroom, from what people write to what is counted, and back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controlplane.fleet.headroom import MOST_NODES, Make
from schemas.manifests.fleet import FleetHeadroom, FleetTaint
from schemas.quantities import quantity_amount, quantity_text
from schemas.wire.reports import Taint

DEFAULT_PODS = 110
"""The kubelet's own, for makes that leave `pods` out."""


def makes_of(
    given: Sequence[FleetHeadroom], path: str, present: Callable[[Mapping[str, str]], int] = lambda _: 0
) -> tuple[Make, ...]:
    """present: how many nodes have these labels now. ValueError begins with the field."""
    total = sum(each.count for each in given)
    if total > MOST_NODES:
        raise ValueError(f"{path}: {total:,} nodes: up to {MOST_NODES:,} may be declared of one cluster")
    return tuple(_make(each, f"{path}[{index}]", present) for index, each in enumerate(given))


def _make(given: FleetHeadroom, path: str, present: Callable[[Mapping[str, str]], int]) -> Make:
    allocatable = {"pods": DEFAULT_PODS}
    for resource, text in given.allocatable.items():
        try:
            allocatable[resource] = quantity_amount(resource, text)
        except ValueError as error:
            raise ValueError(f"{path}.allocatable.{resource}: {error}") from error
    return Make(
        count=given.count,
        allocatable=dict(sorted(allocatable.items())),
        labels=given.labels,
        taints=tuple(Taint(each.key, each.effect, each.value) for each in given.taints),
        features=given.features,
        handlers=tuple(given.runtime_handlers),
        present=present(given.labels),
    )


def written(make: Make, left: int) -> FleetHeadroom:
    """As a manifest has it, with what of it may still come."""
    return FleetHeadroom.model_construct(
        count=left,
        labels=dict(make.labels),
        allocatable={name: quantity_text(name, amount) for name, amount in make.allocatable.items()},
        taints=[
            FleetTaint.model_construct(key=each.key, value=each.value, effect=each.effect)
            for each in make.taints
        ],
        features=dict(make.features),
        runtime_handlers=list(make.handlers),
    )


def as_data(make: Make, left: int) -> dict[str, Any]:
    """As the API shows it. count: as declared; left: what of it may still come."""
    shown = written(make, make.count).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"count": make.count, "left": left, **shown}
