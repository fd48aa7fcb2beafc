"""One-time tokens by which a cluster joins. Pure. Only a token's hash is stored; using it consumes it."""

import base64
import hashlib
import re
from dataclasses import dataclass, field

PREFIX = "mj1_"
_TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")


class BadToken(ValueError):
    """Not the shape of a join token: cut off, or something else altogether."""


@dataclass(frozen=True)
class JoinToken:
    """text: shown once, to the person who registers the cluster. hash: what the database keeps."""

    text: str = field(repr=False)
    hash: bytes


def join_token(random_bytes: bytes) -> JoinToken:
    """A token of 32 random bytes; ValueError for another length."""
    if len(random_bytes) != 32:
        raise ValueError(f"a join token is made from 32 random bytes, not {len(random_bytes)}")
    text = PREFIX + base64.urlsafe_b64encode(random_bytes).rstrip(b"=").decode()
    return JoinToken(text=text, hash=token_hash(text))


def token_hash(text: str) -> bytes:
    """What to look a presented token up by. Raises BadToken, without repeating what was presented.

    A plain hash is enough: the token has 256 random bits, so nobody guesses one from its hash; and a look-up
    by hash tells nothing by the time it takes.
    """
    if not _TOKEN.fullmatch(text.strip()):
        raise BadToken(f"not a join token: {PREFIX} and 43 characters; copy it whole")
    return hashlib.sha256(text.strip().encode()).digest()
