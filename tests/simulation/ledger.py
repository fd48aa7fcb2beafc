"""Everything that was ever signed in a world: what an agent does is judged by it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from controlplane.identity.signing import OrderSigner
from schemas.wire.orders import ObjectRef, OrderBody, Verb, Version


@dataclass(frozen=True)
class SignedOrder:
    cluster: str
    workload: str
    verb: Verb
    version: Version
    body: OrderBody

    def orders(self, ref: ObjectRef, manifest: Mapping[str, Any]) -> bool:
        """Whether this very manifest is ordered, `replicas` left aside where the agent leaves it out."""
        if self.verb is not Verb.APPLY:
            return False
        for each in self.body.objects:
            if ref_of(each) == ref:
                return manifest == each or manifest == without_replicas(each)
        return False

    def removes(self, ref: ObjectRef) -> bool:
        return self.verb is Verb.WITHDRAW or ref in self.body.dropped


class Ledger:
    """`controlplane.loops.orders.Signer` with a key of the seed, that keeps a copy of what it signs."""

    def __init__(self, seed: int) -> None:
        self._signer = OrderSigner(hashlib.sha256(f"order key {seed}".encode()).digest())
        self.orders: dict[tuple[str, str], dict[Version, SignedOrder]] = {}

    @property
    def verifying_key(self) -> bytes:
        return self._signer.verifying_key

    def sign(self, cluster: str, workload: str, verb: Verb, version: Version, body: bytes) -> bytes:
        decoded = msgspec.json.decode(body, type=OrderBody)
        order = SignedOrder(cluster, workload, verb, version, decoded)
        self.orders.setdefault((cluster, workload), {})[version] = order
        return self._signer.sign(cluster, workload, verb, version, body)

    def reseal(self, values: Mapping[str, str], sealing_key: bytes) -> bytes:
        raise NotImplementedError("the seeded world has no secrets")

    def versions_of(
        self, cluster: str, workload: str, ref: ObjectRef, manifest: Mapping[str, Any]
    ) -> set[Version]:
        """Versions of the signed orders that say exactly this of the object."""
        signed = self.orders.get((cluster, workload), {})
        return {version for version, order in signed.items() if order.orders(ref, manifest)}

    def order(self, cluster: str, workload: str, version: Version) -> SignedOrder | None:
        return self.orders.get((cluster, workload), {}).get(version)


def ref_of(manifest: Mapping[str, Any]) -> ObjectRef:
    metadata = manifest["metadata"]
    return ObjectRef(
        manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"]
    )


def without_replicas(manifest: Mapping[str, Any]) -> dict[str, Any]:
    spec = manifest.get("spec")
    if spec is None:
        return dict(manifest)
    return {**manifest, "spec": {key: value for key, value in spec.items() if key != "replicas"}}
