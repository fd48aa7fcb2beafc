"""What the agent needs of its cluster and of the bus; real and simulated clusters stand behind it alike."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agents.returning import Returns
from schemas.wire.orders import ObjectRef


class KubeError(Exception):
    """The cluster did not do what was asked; the text is for people."""


class AlreadyExists(KubeError):
    """A create met an object of that name."""


class Conflict(KubeError):
    """The uid or resource version given is not the object's any more: read again."""


class Gone(KubeError):
    """410: the resource version is too old to watch from: list again."""


class NotServed(KubeError):
    """The cluster serves no such kind."""


class Forbidden(KubeError):
    """403: RBAC does not let the agent."""


class Rejected(KubeError):
    """The API server or an admission webhook refuses the object (400, 422, other 4xx)."""


class Unreachable(KubeError):
    """No answer, 429 or 5xx: try again later."""


@dataclass(frozen=True)
class Resource:
    """One served resource. `group` is "" for core."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True)
class Rule:
    """As RBAC has it: these verbs on these resources of these groups; "*" for all of them."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]


class Kube(Protocol):
    """The Kubernetes API, raw: bytes go to msgspec decoders of the few fields that count."""

    async def version(self) -> str:
        """`v1.36.3`"""
        ...

    async def cluster_uid(self) -> str:
        """uid of the namespace kube-system: the identity of the cluster."""
        ...

    async def served(self) -> list[Resource]:
        """Every served resource in its preferred version, and all versions that are served beside it."""
        ...

    async def allowed(self, namespace: str) -> tuple[Rule, ...] | None:
        """What this agent may do there, "" for everywhere; None where the API server cannot tell all of it.

        Rules for single objects are left out.
        """
        ...

    def list(
        self, resource: Resource, *, label_selector: str = "", namespace: str = "", field_selector: str = ""
    ) -> AsyncIterator[bytes]:
        """Raw list bodies, page by page (500 items), consistent; each names `metadata.resourceVersion`.

        namespace: "" for all. field_selector: of the few fields that the API server knows for each kind.

        A continue token that expired on the way raises Gone.
        """
        ...

    def watch(
        self, resource: Resource, resource_version: str, *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[bytes]:
        """Raw watch lines `{"type": ..., "object": {...}}` with bookmarks, until the server closes.

        Ends normally when the server closes; raises Gone for 410 (also as an ERROR event).
        """
        ...

    async def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        """The object as it is, None where there is none. NotServed where the kind is unknown."""
        ...

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """POST as field manager `muster`, then move its managed fields to Apply. AlreadyExists on 409."""
        ...

    async def apply(self, manifest: dict[str, Any], *, uid: str, resource_version: str) -> dict[str, Any]:
        """Server-side apply (force) onto exactly the object read. Conflict when it is not that one any more.

        Fields that `muster` applied earlier and that are no longer in `manifest` are removed.
        """
        ...

    async def adopt(self, manifest: dict[str, Any], *, uid: str, resource_version: str) -> dict[str, Any]:
        """As `apply`, onto what others made: where it names `spec.replicas`, only an autoscaler shares them.

        Without that, who made the object would own the number along with us, as if he scaled it.
        """
        ...

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """PUT of the agent's own records; `metadata.resourceVersion` must match, else Conflict."""
        ...

    async def delete(self, ref: ObjectRef, *, uid: str, resource_version: str) -> None:
        """DELETE with both as preconditions, background propagation. Gone already is success."""
        ...

    async def disown(self, ref: ObjectRef, *, uid: str, resource_version: str) -> None:
        """The object stays as it is; Muster's labels on it and its ownership of fields go.

        Conflict when it is not the one that was read. Gone already is success.
        """
        ...


class BusUnavailable(Exception):
    """Nothing was confirmed: try again later."""


class BusAway(BusUnavailable):
    """There is no connection, which the bus itself has said: who meets this need not say it again."""


class PublishRefused(Exception):
    """The stream refused the message (over its bounds); trying the same again at once is useless."""


class Delivery(Protocol):
    """One order as it came. It is acknowledged when it is recorded, not when it is carried out."""

    @property
    def subject(self) -> str: ...

    @property
    def body(self) -> bytes: ...

    @property
    def trace(self) -> str:
        """A traceparent, as its header says; "" for none."""
        ...

    async def acknowledge(self) -> None: ...


class Bus(Protocol):
    """The agent's side of NATS: its own account, its own subjects.

    returns: told whenever the connection is there, or there again. Without one everything raises BusAway.
    """

    @property
    def returns(self) -> Returns: ...

    async def publish(self, messages: Sequence[tuple[str, bytes]], traces: Sequence[str] = ()) -> None:
        """Publish (subject, body) in this order, windowed; returns when all are confirmed by the stream.

        traces: of each message its traceparent, "" for none; () for none at all.
        BusUnavailable when the confirmation did not come in time, PublishRefused when the stream said no.
        """
        ...

    async def next_orders(self, *, limit: int, timeout_seconds: float) -> Sequence[Delivery]:
        """Up to `limit` orders; empty after the timeout, or while the centre has made no consumer."""
        ...

    async def beat(self, body: bytes, *, timeout_seconds: float) -> bytes:
        """Request on the beat subject. BusUnavailable where nobody answers."""
        ...


class Clock(Protocol):
    """Time is given, so that the seeded world can own it."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None: ...
