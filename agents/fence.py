"""What the agent has recorded of an order before it acts on it: the fence against older ones. Pure.

One ConfigMap per workload in the agent's namespace, withdrawals included. It names the objects that were ever
ordered and not seen gone, so that a withdrawal finds them all.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from sys import intern
from typing import Any

import msgspec

from agents.namespace import LABELS, NAMESPACE
from schemas.wire.orders import ObjectRef, Order, Verb, Version
from schemas.wire.subjects import RELEASE

RECORD_LABEL = "muster.dev/record"
SELECTOR = f"{RECORD_LABEL}=order"


class Verdict(Enum):
    """What a delivered order is beside what is recorded."""

    NEW = "new"
    SAME = "same"
    OLDER = "older"
    DIFFERS = "differs"


class BadRecord(ValueError):
    """A record that somebody has changed into something else; the text names the field."""


@dataclass(frozen=True, slots=True)
class Entry:
    """digest: over verb and body. objects: everything of the workload's that may exist.

    held: it removes too much at once and waits for a release. decided_at: Unix seconds.
    preserve: what a withdrawal names stays there.
    """

    workload: str
    version: Version
    verb: Verb
    digest: str
    objects: tuple[ObjectRef, ...] = ()
    removes: bool = False
    held: bool = False
    decided_at: float = 0.0
    carried_out: Version | None = None
    preserve: bool = False

    @property
    def is_carried_out(self) -> bool:
        return self.carried_out == self.version


def order_digest(order: Order) -> str:
    return hashlib.sha256(order.verb.value.encode() + b"\n" + order.body).hexdigest()


def judge(entry: Entry | None, order: Order) -> Verdict:
    """Higher versions pass, equal ones only when they say the same."""
    if entry is None or order.version > entry.version:
        return Verdict.NEW
    if order.version < entry.version:
        return Verdict.OLDER
    return Verdict.SAME if order_digest(order) == entry.digest else Verdict.DIFFERS


def joined(*refs: Iterable[ObjectRef]) -> tuple[ObjectRef, ...]:
    """All of them once, in order."""
    return tuple(dict.fromkeys(ref for some in refs for ref in some))


def record_ref(workload: str) -> ObjectRef:
    """The ConfigMap of one workload. ValueError where the uid cannot be part of a name."""
    if workload != RELEASE and not (
        workload == workload.lower() and workload.replace("-", "").isalnum() and workload[-1] != "-"
    ):
        raise ValueError(f"workload {workload!r}: lower-case letters, digits and - are expected")
    name = "release" if workload == RELEASE else f"order-{workload}"
    return ObjectRef("v1", "ConfigMap", NAMESPACE, name)


def to_manifest(entry: Entry, resource_version: str = "", uid: str = "") -> dict[str, Any]:
    """The ConfigMap; resource version and uid are preconditions where they are given."""
    metadata: dict[str, Any] = {
        "name": record_ref(entry.workload).name,
        "namespace": NAMESPACE,
        "labels": {**LABELS, RECORD_LABEL: "order"},
    }
    if resource_version:
        metadata |= {"resourceVersion": resource_version, "uid": uid}
    data = {
        "workload": entry.workload,
        "version": _version_text(entry.version),
        "verb": entry.verb.value,
        "digest": entry.digest,
        # An agent that does not know `preserved` finds nothing to remove, rather than everything.
        "objects": "[]" if entry.preserve else msgspec.json.encode(entry.objects).decode(),
        "removes": str(entry.removes).lower(),
        "held": str(entry.held).lower(),
        "decidedAt": repr(entry.decided_at),
        "carriedOut": _version_text(entry.carried_out) if entry.carried_out else "",
    }
    if entry.preserve:
        data["preserved"] = msgspec.json.encode(entry.objects).decode()
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def from_manifest(manifest: dict[str, Any]) -> Entry:
    """Raises BadRecord."""
    try:
        data: dict[str, str] = manifest["data"]
        return Entry(
            workload=data["workload"],
            version=_version(data["version"]),
            verb=Verb(data["verb"]),
            digest=data["digest"],
            objects=_objects(data.get("preserved", data["objects"])),
            removes=data["removes"] == "true",
            held=data["held"] == "true",
            preserve="preserved" in data,
            decided_at=float(data["decidedAt"]),
            carried_out=_version(data["carriedOut"]) if data["carriedOut"] else None,
        )
    except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise BadRecord(f"{manifest.get('metadata', {}).get('name')}: {error}") from error


def _objects(text: str) -> tuple[ObjectRef, ...]:
    """Kept for good, and mostly of the same few kinds and namespaces: those are one string each."""
    found = msgspec.json.decode(text, type=tuple[ObjectRef, ...])
    return tuple(
        ObjectRef(intern(ref.api_version), intern(ref.kind), intern(ref.namespace), ref.name) for ref in found
    )


def _version_text(version: Version) -> str:
    return f"{version.epoch}.{version.generation}"


def _version(text: str) -> Version:
    epoch, _, generation = text.partition(".")
    return Version(int(epoch), int(generation))
