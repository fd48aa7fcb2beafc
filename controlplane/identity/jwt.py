"""NATS JWTs, version 2: pure; `issued_at` is an argument (Unix seconds).

Shape after github.com/nats-io/jwt/v2: header, claims and signature, base64url without padding; `jti` is the
base32 SHA-256 of the claims without it.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from controlplane.identity.nkey import NKey

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}

Claims = Mapping[str, Any]


class BadJwt(ValueError):
    """Not a NATS JWT, or not signed by the issuer that it names."""


def encode(subject: str, name: str, nats: Claims, issuer: NKey, issued_at: int) -> str:
    """A signed JWT. nats: the `nats` claim, with its `type`. subject: the public key it speaks of."""
    claims: dict[str, Any] = {
        "iat": issued_at,
        "iss": issuer.public,
        "name": name,
        "sub": subject,
        "nats": {**nats, "version": 2},
    }
    digest = hashlib.sha256(_json({**claims, "jti": ""})).digest()
    claims["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    signed = f"{_base64url(_json(_HEADER))}.{_base64url(_json(claims))}"
    return f"{signed}.{_base64url(issuer.sign(signed.encode()))}"


def decode(token: str) -> dict[str, Any]:
    """The claims of a JWT whose signature holds for the issuer that it names. Raises BadJwt.

    Whether that issuer is the right one is for the caller to compare.
    """
    try:
        header, body, signature = token.strip().split(".")
        claims = cast("dict[str, Any]", json.loads(_unbase64url(body)))
        issuer = base64.b32decode(str(claims["iss"]))[1:33]
        VerifyKey(issuer).verify(f"{header}.{body}".encode(), _unbase64url(signature))
    except (BadSignatureError, ValueError, KeyError, TypeError) as error:
        raise BadJwt(f"not a NATS JWT with a good signature: {type(error).__name__}") from error
    return claims


def credentials(user_jwt: str, user: NKey) -> str:
    """The text of a `.creds` file, as every NATS client reads it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


def _json(value: Claims) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
