"""What specs say, understood by the API when they are taken, and at hand for who decides on them next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.interpreters import Interpretation, Kinds, interpret
from controlplane.placement.needs import Needs, needs_of
from controlplane.placement.overriding import Variants
from schemas.manifests import WorkloadSpec

MOST_WAITING = 1_024


@dataclass(frozen=True)
class Meaning:
    """Of one spec. kinds: by which its objects were understood."""

    spec: WorkloadSpec
    interpretation: Interpretation
    needs: tuple[Needs, ...]
    variants: Variants
    kinds: Kinds

    @classmethod
    def of(cls, spec: WorkloadSpec, kinds: Kinds) -> "Meaning":
        """NotUnderstood where a field is not what Kubernetes takes."""
        interpretation = interpret(spec.manifests, kinds)
        needs = needs_of(spec, interpretation.components)
        return cls(spec, interpretation, needs, Variants.of(spec, interpretation, needs, kinds), kinds)


class Meanings:
    """By the very object that was stored, which nobody changes; the oldest of many give way."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Mapping[str, Any], Meaning]] = {}

    def put(self, spec: Mapping[str, Any], meaning: Meaning) -> None:
        self._waiting[id(spec)] = spec, meaning
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def take(self, spec: Mapping[str, Any], kinds: Kinds) -> Meaning | None:
        """Given out once; None where it has to be worked out."""
        waiting = self._waiting.pop(id(spec), None)
        return waiting[1] if waiting is not None and waiting[1].kinds is kinds else None
