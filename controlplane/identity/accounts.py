"""The accounts on NATS: pure functions from keys and names to signed JWTs.

The centre's account exports its subjects as services in which one token must be the importing account's
public key (`account_token_position`, counted from 1); a cluster's account imports only those that bear its
own. A message that crosses accounts gets a reply subject made by the server, so no cluster can have an answer
sent to another. The centre's JWT does not grow with the fleet.
"""

from dataclasses import dataclass
from typing import Any

from controlplane.identity import jwt
from controlplane.identity.keys import Keys
from controlplane.identity.nkey import KeyKind, NKey, check_public
from schemas.wire.subjects import Subjects

UNLIMITED = -1
AGENT_INBOX = "_INBOX.>"


@dataclass(frozen=True)
class ClusterLimits:
    """What one cluster's account may use. An agent holds one connection, each standby replica another."""

    connections: int = 8
    subscriptions: int = 64
    payload_bytes: int = 1024 * 1024


@dataclass(frozen=True)
class ClusterAccount:
    """A cluster's account: its public key is the cluster's id; `signing` issues its users."""

    id: str
    signing: NKey

    @staticmethod
    def from_random(account_bytes: bytes, signing_bytes: bytes) -> "ClusterAccount":
        """From 32 random bytes each. The account's own seed is dropped: the operator speaks for it."""
        account = NKey.from_random(KeyKind.ACCOUNT, account_bytes)
        return ClusterAccount(account.public, NKey.from_random(KeyKind.ACCOUNT, signing_bytes))


@dataclass(frozen=True)
class Border:
    """A subject that crosses from a cluster into the centre. `pattern` has `{}` where the cluster stands."""

    pattern: str
    tail: str = ""
    answers_many: bool = False

    @property
    def exported(self) -> str:
        return self.pattern.format("*") + self.tail

    @property
    def token_position(self) -> int:
        return self.pattern.split(".").index("{}") + 1

    def imported(self, cluster: str) -> str:
        return self.pattern.format(cluster) + self.tail


def borders(subjects: Subjects) -> tuple[Border, ...]:
    """Everything that a cluster may say to the centre; there is no other way in."""
    prefix, orders = subjects.prefix, subjects.orders_stream
    return (
        Border(f"{prefix}.state.{{}}", ".>"),
        Border(f"{prefix}.usage.{{}}", ".>"),
        Border(f"{prefix}.alert.{{}}"),
        Border(f"{prefix}.meter.{{}}"),
        Border(f"{prefix}.beat.{{}}"),
        Border(f"$JS.API.CONSUMER.MSG.NEXT.{orders}.{{}}", answers_many=True),
        Border(f"$JS.ACK.{orders}.{{}}", ".>"),
    )


def operator_jwt(keys: Keys, issued_at: int) -> str:
    nats = {"type": "operator", "system_account": keys.system_account.public}
    return jwt.encode(keys.operator.public, "muster", nats, keys.operator, issued_at)


def system_account_jwt(keys: Keys, issued_at: int) -> str:
    nats = {"type": "account", "limits": _limits(UNLIMITED, UNLIMITED, UNLIMITED)}
    return jwt.encode(keys.system_account.public, "system", nats, keys.operator, issued_at)


def centre_account_jwt(keys: Keys, subjects: tuple[Subjects, ...], issued_at: int) -> str:
    """The centre's account; one set of exports an installation that shares the server (by prefix)."""
    exports = [
        {
            "name": border.exported,
            "subject": border.exported,
            "type": "service",
            "response_type": "Stream" if border.answers_many else "Singleton",
            "account_token_position": border.token_position,
        }
        for installation in subjects
        for border in borders(installation)
    ]
    storage = {
        "mem_storage": UNLIMITED,
        "disk_storage": UNLIMITED,
        "streams": UNLIMITED,
        "consumer": UNLIMITED,
    }
    nats = {
        "type": "account",
        "exports": exports,
        "limits": _limits(UNLIMITED, UNLIMITED, UNLIMITED) | storage,
    }
    return jwt.encode(keys.centre_account.public, "centre", nats, keys.operator, issued_at)


def cluster_account_jwt(
    keys: Keys,
    account: ClusterAccount,
    subjects: Subjects,
    issued_at: int,
    limits: ClusterLimits | None = None,
) -> str:
    """A cluster's account, without JetStream of its own, that imports what is its own and exports nothing."""
    imports = [
        {
            "name": border.imported(account.id),
            "subject": border.imported(account.id),
            "account": keys.centre_account.public,
            "type": "service",
        }
        for border in borders(subjects)
    ]
    limits = limits or ClusterLimits()
    nats = {
        "type": "account",
        "imports": imports,
        "signing_keys": [account.signing.public],
        "limits": _limits(limits.connections, limits.subscriptions, limits.payload_bytes) | {"exports": 0},
    }
    return jwt.encode(account.id, "cluster", nats, keys.operator, issued_at)


def cut_off_account_jwt(keys: Keys, cluster: str, issued_at: int) -> str:
    """The account of a cluster that may no longer speak: no imports, and every user until now revoked.

    The server closes its connections as soon as this is pushed. Once `cluster_account_jwt` is pushed, which
    carries no revocation, the same users are let in again.
    """
    nats = {
        "type": "account",
        "limits": _limits(0, 0, 0),
        "revocations": {"*": issued_at},
    }
    return jwt.encode(check_public(KeyKind.ACCOUNT, cluster), "cut off", nats, keys.operator, issued_at)


def cluster_user_jwt(account: ClusterAccount, user: str, subjects: Subjects, issued_at: int) -> str:
    """The user of an agent's own key. Raises ValueError when `user` is no public user key."""
    nats = {
        "type": "user",
        "issuer_account": account.id,
        "pub": {"allow": [border.imported(account.id) for border in borders(subjects)]},
        "sub": {"allow": [AGENT_INBOX]},
        **_user_limits(),
    }
    return jwt.encode(check_public(KeyKind.USER, user), "agent", nats, account.signing, issued_at)


def service_user_jwt(account: NKey, user: NKey, name: str, issued_at: int) -> str:
    """A user with every right inside `account`: the centre in its own, and the one that pushes accounts."""
    nats: dict[str, Any] = {"type": "user", "pub": {}, "sub": {}, **_user_limits()}
    return jwt.encode(user.public, name, nats, account, issued_at)


def _limits(connections: int, subscriptions: int, payload_bytes: int) -> dict[str, Any]:
    return {
        "conn": connections,
        "subs": subscriptions,
        "payload": payload_bytes,
        "data": UNLIMITED,
        "imports": UNLIMITED,
        "exports": UNLIMITED,
        "wildcards": True,
        "leaf": 0,
    }


def _user_limits() -> dict[str, int]:
    return {"subs": UNLIMITED, "data": UNLIMITED, "payload": UNLIMITED}
