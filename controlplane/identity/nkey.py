"""NATS keys: Ed25519 with a prefix that says what the key is for. A typed face of `nkeys`."""

import base64
import binascii
import re
from dataclasses import dataclass
from enum import Enum

import nkeys

_PUBLIC = re.compile(r"[OAU][A-Z2-7]{55}")


class KeyKind(Enum):
    OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
    ACCOUNT = nkeys.PREFIX_BYTE_ACCOUNT
    USER = nkeys.PREFIX_BYTE_USER


@dataclass(frozen=True)
class NKey:
    """A private key. `public` names it everywhere; `seed` never leaves a sealed place."""

    seed: str
    public: str

    def __repr__(self) -> str:
        return f"NKey({self.public})"

    @staticmethod
    def from_random(kind: KeyKind, random_bytes: bytes) -> "NKey":
        """A key from 32 random bytes; ValueError for another length."""
        if len(random_bytes) != 32:
            raise ValueError(f"an nkey is made from 32 random bytes, not {len(random_bytes)}")
        seed: bytes = nkeys.encode_seed(random_bytes, kind.value)
        return NKey.from_seed(seed.decode())

    @staticmethod
    def from_seed(seed: str) -> "NKey":
        """Raises ValueError when it is no seed."""
        try:
            pair = nkeys.from_seed(bytearray(seed.strip().encode()))
            return NKey(seed=seed.strip(), public=bytes(pair.public_key).decode())
        except Exception as error:  # nkeys raises its own, binascii's and nacl's
            raise ValueError("not the seed of an nkey") from error

    def sign(self, message: bytes) -> bytes:
        return bytes(nkeys.from_seed(bytearray(self.seed.encode())).sign(message))


def check_public(kind: KeyKind, key: str) -> str:
    """`key` when it is a public key of `kind`, with a right checksum; ValueError where it is not."""
    expected = {KeyKind.OPERATOR: "O", KeyKind.ACCOUNT: "A", KeyKind.USER: "U"}[kind]
    if not _PUBLIC.fullmatch(key) or key[0] != expected or not _checksum_holds(key):
        raise ValueError(f"{key[:60]!r} is no public {kind.name.lower()} nkey: {expected} and 55 of A-Z 2-7")
    return key


def _checksum_holds(key: str) -> bool:
    # 56 characters of base32 are 35 bytes: prefix, 32 of key, CRC-16 little endian.
    raw = base64.b32decode(key)
    return binascii.crc_hqx(raw[:-2], 0) == int.from_bytes(raw[-2:], "little")
