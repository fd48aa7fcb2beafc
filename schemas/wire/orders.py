"""What the centre orders. Signed over cluster, workload, verb, version and body; values of Secrets sealed."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number that fits a column of the database: a larger one in a report would stop whoever stores it."""


class Version(msgspec.Struct, frozen=True, order=True, array_like=True):
    """(epoch of the leader, generation from one database sequence): later is larger, on every restore."""

    epoch: Count
    generation: Count


class Verb(StrEnum):
    APPLY = "apply"
    WITHDRAW = "withdraw"
    RELEASE = "release"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`order.<cluster>.<workload>`. `body` is the JSON of an `OrderBody`, the very bytes that were signed."""

    workload: str
    verb: Verb
    version: Version
    body: bytes
    signature: bytes


class ObjectRef(msgspec.Struct, frozen=True, order=True):
    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}"


class SealedValues(msgspec.Struct, frozen=True):
    """The `data` of the Secret at `index` of the objects, sealed to the agent's X25519 key."""

    index: int
    box: bytes


class HealthCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """Holds when one of `values` stands at `path`, or when the condition has this status."""

    path: str = ""
    values: tuple[str | int | bool, ...] = ()
    condition: str = ""
    status: str = "True"


class HealthRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When objects of one kind in this order are well; paths as `schemas.paths` reads them.

    Not when one of `failed` holds; else when one of `healthy` does, or as many are ready as desired.
    enough: of a kind that the agent knows itself, under an autoscaler: so many ready pods will do.
    finished: once one of these holds, well or not, it makes no pods any more.
    """

    group: str
    kind: str
    healthy: tuple[HealthCheck, ...] = ()
    failed: tuple[HealthCheck, ...] = ()
    desired: str = ""
    ready: str = ""
    updated: str = ""
    message: str = ""
    enough: int | None = None
    finished: tuple[HealthCheck, ...] = ()


class OrderBody(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a signed order.

    name: the workload's name, for people. template: hash of the pod template, as the pods carry it.
    objects: manifests in the order of application, namespaces made by the agent.
    dropped: objects of an earlier revision that this one no longer has; nothing else is pruned.
    overwrite: objects that are there and bear no workload's label are taken over, not refused.
    preserve: what a withdrawal names stays there, without Muster's labels and field ownership.
    An agent that knows these two says so by the capabilities of the same names.
    needs: capabilities without which it must not be carried out: an agent that lacks one refuses it by name.
    What is not among them may be passed over by who does not know it.
    health: how kinds are judged that agents do not know by themselves; an agent that does not know the
    field judges them by a condition Ready.
    """

    name: str
    revision: int = 0
    template: str = ""
    objects: list[dict[str, Any]] = []
    dropped: list[ObjectRef] = []
    sealed: list[SealedValues] = []
    overwrite: bool = False
    preserve: bool = False
    health: list[HealthRule] = []
    needs: list[str] = []


def signing_payload(cluster: str, workload: str, verb: Verb, version: Version, body: bytes) -> bytes:
    """The bytes that are signed. Lengths stand before the parts, so that no part can run into the next."""
    parts = (
        b"muster-order-v1",
        cluster.encode(),
        workload.encode(),
        verb.value.encode(),
        b"%d" % version.epoch,
        b"%d" % version.generation,
        body,
    )
    return b"".join(b"%d:%s" % (len(part), part) for part in parts)


WORKLOAD_LABEL = "muster.dev/workload"
"""On every object and pod of Muster's: the workload's uid."""
TEMPLATE_LABEL = "muster.dev/template"
"""On pods only: hash of the pod template as ordered, so that scaling rolls nothing."""
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
"""On every object of Muster's: `muster`."""
FIELD_MANAGER = "muster"
OVERWRITE, PRESERVE = "overwrite", "preserve"
"""Capabilities of agents that know the fields of these names in an `OrderBody`."""
REMOVALS_TOLD = "removal-rights"
"""Capability of agents that tell their rights also of kinds that they may delete and not create."""
OUR_LABELS = {WORKLOAD_LABEL: "", MANAGED_BY_LABEL: FIELD_MANAGER}
"""Labels on an object itself, with the value that makes them ours; "" for any."""
