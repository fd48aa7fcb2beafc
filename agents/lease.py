"""One agent acts: a Lease of coordination.k8s.io, and the incarnation that goes with holding it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from random import Random
from typing import Any

import structlog

from agents.namespace import NAMESPACE, ensure_namespace
from agents.ports import AlreadyExists, Clock, Conflict, Kube, KubeError
from schemas.wire.orders import ObjectRef

NAME = "muster-agent"
INCARNATION = "muster.dev/incarnation"
WANTED = "muster.dev/wanted-by"
"""On the lease: a waiting agent whose disk still holds alerts that the centre has not committed."""
PATIENCE_DURATIONS = 2
"""Of the lease: so long an agent that goes on taking alerts keeps another one, which has some, waiting."""
_REF = ObjectRef("coordination.k8s.io/v1", "Lease", NAMESPACE, NAME)
_log = structlog.get_logger()


class LeaseLost(Exception):
    """Another agent acts, or nobody could be asked for too long: stop acting."""


@dataclass(frozen=True)
class Held:
    """`transitions`: how often the lease has changed hands. `stored`: the incarnation written beside it."""

    transitions: int
    stored: int


class Lease:
    """`holder` is this process's own id. An agent that sees the same renewal for a whole duration takes over:
    its own clock measures, so that two clocks that disagree do no harm."""

    def __init__(
        self, kube: Kube, clock: Clock, random: Random, holder: str, *, duration_seconds: float = 15.0
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._random = random
        self._holder = holder
        self._duration = duration_seconds
        self._renewed_at = 0.0
        self._yielded = False

    async def acquire(self, wants: Callable[[], bool]) -> Held:
        """Wait until this agent acts. `wants`: whether it has what only an acting agent can bring."""
        if self._yielded:
            # Whoever asked for it comes first.
            self._yielded = False
            await self._clock.sleep(self._duration)
        seen: tuple[str, float] = ("", 0.0)
        while True:
            try:
                found = await self._kube.get(_REF)
                now = self._clock.now()
                mark = "" if found is None else str(found["metadata"]["resourceVersion"])
                if mark != seen[0]:
                    seen = mark, now
                if found is None or _is_free(found, self._holder) or now - seen[1] >= self._duration:
                    return await self._take(found)
                if wants() and WANTED not in _annotations(found):
                    found["metadata"]["annotations"] = {**_annotations(found), WANTED: self._holder}
                    await self._kube.replace(found)
            except (Conflict, AlreadyExists):
                pass
            except KubeError as error:
                _log.warning("lease_not_taken", detail=str(error))
            await self._pause()

    async def keep(self, may_yield: Callable[[], bool]) -> None:
        """Renew until cancelled. Raises LeaseLost, also where another wants it and this agent can let go: at
        once where `may_yield`, and else, since it may have something to bring for ever, after a while."""
        wanted_since = inf
        while True:
            await self._pause()
            try:
                found = await self._renew(None)
                now = self._clock.now()
                wanted_since = min(wanted_since, now) if WANTED in _annotations(found) else inf
                is_patient = now - wanted_since < PATIENCE_DURATIONS * self._duration
                if wanted_since < inf and (may_yield() or not is_patient):
                    self._yielded = True
                    await self.release()
                    raise LeaseLost(f"{_annotations(found)[WANTED]} has something to bring")
            except Conflict:
                continue
            except KubeError as error:
                _log.warning("lease_not_renewed", detail=str(error))
                if self._clock.now() - self._renewed_at >= self._duration * 2 / 3:
                    raise LeaseLost(f"not renewed for {self._duration * 2 / 3:g} s: {error}") from error

    async def store(self, incarnation: int) -> None:
        """Write the incarnation beside the lease. Raises LeaseLost and KubeError."""
        try:
            await self._renew(incarnation)
        except Conflict:
            # As by our own renewal, or by one who waits: or else by one who acts instead, which is found now.
            await self._renew(incarnation)

    async def release(self) -> None:
        """Let the next agent in at once; best effort."""
        try:
            found = await self._kube.get(_REF)
            if found is not None and found["spec"].get("holderIdentity") == self._holder:
                found["spec"]["holderIdentity"] = ""
                await self._kube.replace(found)
        except KubeError as error:
            _log.info("lease_not_released", detail=str(error))

    async def _take(self, found: dict[str, Any] | None) -> Held:
        at = self._clock.now()
        if found is None:
            await ensure_namespace(self._kube)
            body: dict[str, Any] = {
                "apiVersion": _REF.api_version,
                "kind": _REF.kind,
                "metadata": {"name": NAME, "namespace": NAMESPACE},
                "spec": self._spec(0, at, at),
            }
            await self._kube.create(body)
            self._renewed_at = at
            return Held(0, 0)
        spec: dict[str, Any] = found.get("spec") or {}
        transitions = int(spec.get("leaseTransitions") or 0) + 1
        found["spec"] = self._spec(transitions, at, at)
        kept = {key: value for key, value in _annotations(found).items() if key != WANTED}
        found["metadata"]["annotations"] = kept
        await self._kube.replace(found)
        self._renewed_at = at
        return Held(transitions, _stored(found))

    async def _renew(self, incarnation: int | None) -> dict[str, Any]:
        at = self._clock.now()
        found = await self._kube.get(_REF)
        if found is None or found["spec"].get("holderIdentity") != self._holder:
            raise LeaseLost("another agent acts" if found else "the lease was deleted")
        found["spec"]["renewTime"] = _micro_time(at)
        if incarnation is not None:
            found["metadata"]["annotations"] = {**_annotations(found), INCARNATION: str(incarnation)}
        await self._kube.replace(found)
        self._renewed_at = at
        return found

    def _spec(self, transitions: int, acquired: float, renewed: float) -> dict[str, Any]:
        return {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": int(self._duration),
            "acquireTime": _micro_time(acquired),
            "renewTime": _micro_time(renewed),
            "leaseTransitions": transitions,
        }

    async def _pause(self) -> None:
        await self._clock.sleep(self._duration / 5 * (0.8 + 0.4 * self._random.random()))


def next_incarnation(held: Held, stored: int, named: int) -> int:
    """Above everything that anybody knows of: the lease, this agent's disk, the centre."""
    return max(held.transitions, held.stored, stored, named) + 1


def _is_free(found: dict[str, Any], holder: str) -> bool:
    spec: dict[str, Any] = found.get("spec") or {}
    return spec.get("holderIdentity") in (None, "", holder)


def _stored(found: dict[str, Any]) -> int:
    text = _annotations(found).get(INCARNATION, "0")
    return int(text) if text.isdigit() else 0


def _annotations(found: dict[str, Any]) -> dict[str, str]:
    annotations: dict[str, str] | None = found["metadata"].get("annotations")
    return annotations or {}


def _micro_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
