"""Events of a simulated cluster, as kubelets and controllers record them: one object, and a growing count."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from agents.simulation import catalogue
from agents.simulation.store import Kind, Name, Objects

EVENTS = Kind(catalogue.EVENTS.group, catalogue.EVENTS.plural)
MOST_EVENTS = 500
"""An API server forgets them after an hour."""


class Telling:
    """Writes them."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def warn(self, about: dict[str, Any], reason: str, message: str, count: int, now: float) -> None:
        """`count` times so far; nothing is written where that is not more than before."""
        metadata = about["metadata"]
        namespace = metadata.get("namespace", "default")
        digest = hashlib.sha256(f"{metadata['uid']}/{reason}".encode()).hexdigest()
        name = f"{metadata['name'][:200]}.{digest[:16]}"
        found = self._objects.peek(EVENTS, Name(namespace, name))
        if count < 1 or (found is not None and found["count"] >= count):
            return
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        event: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace, "uid": digest[:32]},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "count": count,
            "firstTimestamp": found["firstTimestamp"] if found is not None else at,
            "lastTimestamp": at,
            "involvedObject": {
                "kind": about["kind"],
                "namespace": metadata.get("namespace", ""),
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "source": {"component": "kubelet"},
        }
        if found is None:
            self._forget_oldest()
        self._objects.put(EVENTS, event)

    def _forget_oldest(self) -> None:
        events = self._objects.of(EVENTS)
        if len(events) >= MOST_EVENTS:
            oldest = min(events, key=lambda each: each.body["lastTimestamp"]).body["metadata"]
            self._objects.delete(EVENTS, Name(oldest["namespace"], oldest["name"]))
