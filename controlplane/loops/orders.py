"""From a decision to signed orders: what goes to which cluster, and what an older revision leaves behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from controlplane.interpreters import render
from controlplane.interpreters.adaption import Adaption
from controlplane.interpreters.podded import ref_of
from controlplane.known.compiling import Compiled
from controlplane.known.records import ClusterRecord, OutboxRecord
from controlplane.loops.ports import NewOrder
from controlplane.placement.overriding import Variant
from schemas.reasons import Reason
from schemas.wire.orders import (
    OVERWRITE,
    PRESERVE,
    HealthRule,
    ObjectRef,
    OrderBody,
    SealedValues,
    Verb,
    Version,
)

MAX_ORDER_BYTES = 512 * 1024


class OrderTooLarge(ValueError):
    """The order would not go through the stream."""

    reason = Reason.ORDER_TOO_LARGE


class Signer(Protocol):
    """Holds the order-signing key and the master key."""

    def sign(self, cluster: str, workload: str, verb: Verb, version: Version, body: bytes) -> bytes:
        """Ed25519 over `schemas.wire.orders.signing_payload`, 64 bytes."""
        ...

    def reseal(self, values: Mapping[str, str], sealing_key: bytes) -> bytes:
        """Values of one Secret as they are stored, unsealed and sealed to an agent's X25519 key, as JSON."""
        ...


@dataclass(frozen=True)
class Rendered:
    """One workload's objects at some number of replicas; Secrets are without their values.

    templates: hash by component.
    """

    objects: list[dict[str, Any]]
    template: str
    templates: Mapping[str, str]
    health: list[HealthRule]
    secrets: tuple[tuple[int, Mapping[str, str]], ...]


class OrderWriter:
    """Writes orders for the clusters of one decision; what is equal in two of them is rendered once."""

    def __init__(self, signer: Signer, compiled: Compiled) -> None:
        self._signer = signer
        self._compiled = compiled
        self._rendered: dict[tuple[int, tuple[Adaption, ...], tuple[int, ...]], Rendered] = {}

    def rendered(
        self, replicas: int, adaptions: tuple[Adaption, ...] = (), variant: Variant | None = None
    ) -> Rendered:
        """Objects in the order of application. adaptions: of each component, to one cluster.

        variant: what the workload is there; left out: what it is without any override.
        """
        variant = variant or self._compiled.variants.plain
        key = replicas, adaptions, variant.rules
        if key not in self._rendered:
            self._rendered[key] = self._render(replicas, adaptions, variant)
        return self._rendered[key]

    def _render(self, replicas: int, adaptions: tuple[Adaption, ...], variant: Variant) -> Rendered:
        compiled = self._compiled
        rendered = render(variant.objects, compiled.record.uid, replicas, compiled.kinds, adaptions)
        secrets: list[tuple[int, Mapping[str, str]]] = []
        for index, each in enumerate(rendered.objects):
            if each.get("kind") == "Secret" and each.get("apiVersion") == "v1":
                secrets.append((index, each.pop("data", None) or {}))
        return Rendered(
            rendered.objects, rendered.template, rendered.templates, rendered.health, tuple(secrets)
        )

    def apply(
        self,
        cluster: ClusterRecord,
        rendered: Rendered,
        replicas: int,
        version: Version,
        before: OutboxRecord | None,
    ) -> NewOrder:
        """OrderTooLarge above 512 KB."""
        record = self._compiled.record
        overwrite = self._compiled.spec.conflict_resolution == "Overwrite"
        body = msgspec.json.encode(
            OrderBody(
                name=record.name,
                revision=record.revision,
                template=rendered.template,
                objects=rendered.objects,
                dropped=dropped(before, rendered.objects),
                sealed=[
                    SealedValues(index, self._signer.reseal(values, cluster.sealing_key))
                    for index, values in rendered.secrets
                ],
                health=rendered.health,
                overwrite=overwrite,
                needs=[OVERWRITE] if overwrite else [],
            )
        )
        if len(body) > MAX_ORDER_BYTES:
            raise OrderTooLarge(
                f"the order for {cluster.name} has {len(body)} bytes; {MAX_ORDER_BYTES} fit in one order"
            )
        return self._signed(cluster.id, Verb.APPLY, version, body, replicas, rendered.template)

    def withdraw(self, cluster: str, version: Version, before: OutboxRecord | None) -> NewOrder:
        """It lists what it removes: an apply that replaces it unread has to know what it leaves behind.

        Only what is deleted is preserved: what moves would else run in both places.
        """
        record = self._compiled.record
        preserve = record.deleted and self._compiled.spec.preserve_resources_on_deletion
        body = msgspec.json.encode(
            OrderBody(
                name=record.name,
                revision=record.revision,
                dropped=dropped(before, []),
                preserve=preserve,
                needs=[PRESERVE] if preserve else [],
            )
        )
        return self._signed(cluster, Verb.WITHDRAW, version, body, 0, "")

    def _signed(
        self, cluster: str, verb: Verb, version: Version, body: bytes, replicas: int, template: str
    ) -> NewOrder:
        signature = self._signer.sign(cluster, self._compiled.record.uid, verb, version, body)
        revision = self._compiled.record.revision
        return NewOrder(cluster, verb, version, body, signature, replicas, template, revision)


def understood_anew(before: OutboxRecord, rendered: Rendered) -> bool:
    """Whether the last order says something else of the same revision: its kind was declared since."""
    body = msgspec.json.decode(before.body, type=OrderBody)
    return (body.template, body.health) != (rendered.template, rendered.health)


def dropped(before: OutboxRecord | None, objects: Sequence[Mapping[str, Any]]) -> list[ObjectRef]:
    """Objects that the last order had, or had dropped, and that this one has not.

    What the last one had dropped stays in the list, since that order may have been replaced unread; so with
    what a withdrawal removes, that has not been reported done (then it would not be here any more).
    """
    if before is None:
        return []
    body = msgspec.json.decode(before.body, type=OrderBody)
    ours = {ref_of(each) for each in objects}
    earlier = dict.fromkeys([*(ref_of(each) for each in body.objects), *body.dropped])
    return [ref for ref in earlier if ref not in ours]
