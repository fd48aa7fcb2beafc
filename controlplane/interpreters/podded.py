"""The one object of a workload that has pods, and who scales it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.interpreters.autoscaling import Autoscaler, autoscaler_of
from controlplane.interpreters.declared import DECLARED
from controlplane.interpreters.kinds import KUBERNETES, Kind, Kinds, kind_of
from controlplane.interpreters.located import Located, locate
from controlplane.interpreters.pods import NotUnderstood
from schemas.wire.orders import ObjectRef

KINDS: Kinds = {**DECLARED, **KUBERNETES}
"""What is understood without any Interpreter of the user's."""


@dataclass(frozen=True)
class Podded:
    """The one object with pods."""

    index: int
    manifest: Mapping[str, Any]
    kind: Kind
    located: list[Located]
    autoscaler: Autoscaler | None


def podded_of(objects: Sequence[Mapping[str, Any]], refs: Sequence[ObjectRef], kinds: Kinds) -> Podded | None:
    having = [index for index, each in enumerate(objects) if kind_of(each) in kinds]
    if len(having) > 1:
        one, second = having[:2]
        raise NotUnderstood(
            f"spec.manifests[{second}]: {refs[second]} has pods, and so has {refs[one]} at {one}: "
            "one object with pods is taken per workload: make the other a workload of its own"
        )
    if not having:
        return None
    index = having[0]
    kind = kinds[kind_of(objects[index])]
    located = locate(objects[index], kind, f"spec.manifests[{index}]")
    if not located:
        return None
    autoscaler = None if kind.scaled is None else autoscaler_of(objects, index)
    return Podded(index, objects[index], kind, located, autoscaler)


def joint_hash(hashes: Sequence[str]) -> str:
    """The hash of the one; one over all of them where there are several; "" without any."""
    if len(hashes) < 2:
        return "".join(hashes)
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:16]


def ref_of(manifest: Mapping[str, Any]) -> ObjectRef:
    metadata = manifest["metadata"]
    return ObjectRef(
        manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"]
    )
