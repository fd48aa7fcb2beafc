"""Sealed values: to an agent's key for the wire, by the master key for the database."""

from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox
from nacl.secret import SecretBox


class CannotOpen(ValueError):
    """Sealed by another key, for another purpose, or changed since."""


def seal_to_agent(agent_key: bytes, value: bytes) -> bytes:
    """Only the holder of the X25519 key's private half reads it. ValueError when it is not 32 bytes."""
    if len(agent_key) != 32:
        raise ValueError(f"an agent's sealing key has 32 bytes, not {len(agent_key)}")
    return SealedBox(PublicKey(agent_key)).encrypt(value)


class MasterKey:
    """Seals what lies in Postgres. A value opens only for the purpose that it was sealed for.

    Without the purpose, whoever can write the database could move one cluster's key into another's row.
    """

    def __init__(self, key: bytes) -> None:
        """ValueError when it is not 32 bytes."""
        self._box = SecretBox(key)

    def seal(self, purpose: str, value: bytes, nonce: bytes | None = None) -> bytes:
        """nonce: 24 bytes, never given twice for different values; random when left out."""
        return bytes(self._box.encrypt(_bound(purpose) + value, nonce))

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """Raises CannotOpen."""
        try:
            opened = self._box.decrypt(sealed)
        except (CryptoError, ValueError) as error:
            raise CannotOpen("not sealed by this master key, or changed since") from error
        if not opened.startswith(_bound(purpose)):
            raise CannotOpen(f"not sealed for {purpose}")
        return opened[len(_bound(purpose)) :]


def _bound(purpose: str) -> bytes:
    raw = purpose.encode()
    return len(raw).to_bytes(2, "big") + raw
