"""Limits of one tenant in one cluster as an order: written and signed."""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from controlplane.known.records import OutboxRecord
from controlplane.loops.orders import MAX_ORDER_BYTES, Signer, dropped
from controlplane.quota.limit_objects import objects
from controlplane.quota.limits import Limits
from schemas.wire.limits import limits_key
from schemas.wire.orders import OrderBody, Verb, Version


@dataclass(frozen=True)
class Draft:
    """An order of limits without its version. key: what stands where a workload's uid does."""

    cluster: str
    key: str
    verb: Verb
    body: bytes


def draft(
    cluster: str, tenant: str, limits: Limits, ordered_in: Collection[str], before: OutboxRecord | None
) -> Draft:
    """Without any limits, a withdrawal. ValueError where they are too large for one order."""
    if not limits:
        return withdrawal(cluster, limits_key(tenant), before)
    wanted = objects(tenant, limits, ordered_in)
    body = OrderBody(name=f"limits of tenant {tenant}", objects=wanted, dropped=dropped(before, wanted))
    encoded = msgspec.json.encode(body)
    if len(encoded) > MAX_ORDER_BYTES:
        raise ValueError(
            f"limits of tenant {tenant} have {len(encoded)} bytes: {MAX_ORDER_BYTES} fit in one order"
        )
    return Draft(cluster, limits_key(tenant), Verb.APPLY, encoded)


def withdrawal(cluster: str, key: str, before: OutboxRecord | None) -> Draft:
    body = OrderBody(name=key, dropped=dropped(before, []))
    return Draft(cluster, key, Verb.WITHDRAW, msgspec.json.encode(body))


def signed(draft: Draft, version: Version, signer: Signer, before: OutboxRecord | None) -> OutboxRecord:
    """To be published. before: the order that it replaces; what was acknowledged stays known."""
    return OutboxRecord(
        draft.cluster,
        draft.key,
        draft.verb,
        version,
        draft.body,
        signer.sign(draft.cluster, draft.key, draft.verb, version, draft.body),
        acknowledged=before.acknowledged if before is not None else None,
    )
