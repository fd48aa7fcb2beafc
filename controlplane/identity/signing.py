"""Signatures of orders: Ed25519 over what `schemas.wire.orders.signing_payload` lays out."""

from nacl.signing import SigningKey

from schemas.wire.orders import Verb, Version, signing_payload


class OrderSigner:
    """Signs as the centre. `verifying_key` (32 bytes) is what an agent gets when it joins."""

    def __init__(self, seed: bytes) -> None:
        """ValueError when the seed is not 32 bytes."""
        self._key = SigningKey(seed)

    @property
    def verifying_key(self) -> bytes:
        return bytes(self._key.verify_key)

    def sign(self, cluster: str, workload: str, verb: Verb, version: Version, body: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(signing_payload(cluster, workload, verb, version, body)).signature
