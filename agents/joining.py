"""Joining: once, with a one-time token; what came of it lies in the agent's folder, or in a Secret.

The keys are made here and never leave: the centre gets their public halves. They are written before the token
is spent, so that a crash in between loses nothing but the token.
"""

import base64
import binascii
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import httpx
import msgspec
import nkeys
import structlog
from nacl.public import PrivateKey

ATTEMPT_TIMEOUT_SECONDS = 15.0
KEYS, MEMBERSHIP = "keys.json", "membership.json"
_log = structlog.get_logger()
S = TypeVar("S", bound=msgspec.Struct)


class CannotJoin(Exception):
    """The centre said no, or the folder does not fit this cluster; the text says what to do."""


class CentreAway(Exception):
    """Nobody answered: try again later."""


class AgentKeys(msgspec.Struct, frozen=True):
    """user_seed: of the NKey. sealing_key: X25519 private key, base64."""

    user_seed: str
    sealing_key: str

    @property
    def sealing_private(self) -> PrivateKey:
        return PrivateKey(base64.b64decode(self.sealing_key))

    @property
    def user_public(self) -> str:
        return bytes(nkeys.from_seed(bytearray(self.user_seed.encode())).public_key).decode()


class Membership(msgspec.Struct, frozen=True):
    """What the centre answered, and the cluster it is for."""

    cluster_id: str
    user_jwt: str
    nats_urls: list[str]
    order_key: str
    prefix: str
    cluster_uid: str = ""

    @property
    def order_key_bytes(self) -> bytes:
        return base64.b64decode(self.order_key)


@dataclass(frozen=True)
class Joined:
    keys: AgentKeys = field(repr=False)
    membership: Membership


class Keeping(Protocol):
    """Where keys and membership are kept: of this process alone, or of all that act for this cluster."""

    async def read(self, name: str) -> bytes | None:
        """None where there is none. Raises CannotJoin, and KubeError where it lies in the cluster."""
        ...

    async def keep(self, name: str, content: bytes) -> bytes:
        """Whole or not at all; returns what is kept from now on: another may have been first. As `read`."""
        ...

    def where(self, name: str) -> str:
        """For people."""
        ...


class StateFolder:
    """The agent's folder, 0700, its files 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        return self._path / name

    def where(self, name: str) -> str:
        return str(self.path(name))

    async def read(self, name: str) -> bytes | None:
        """None where there is none. Raises CannotJoin when others may read it."""
        path = self.path(name)
        if not path.exists():
            return None
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise CannotJoin(f"{path} may be read by others (mode {mode:o}); chmod 600 it")
        return path.read_bytes()

    async def keep(self, name: str, content: bytes) -> bytes:
        """Synced, readable by its owner only."""
        path = self.path(name)
        partial = path.with_name(f".{name}.{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return content


async def own_keys(keeping: Keeping) -> AgentKeys:
    """The agent's keys, made when first needed. As `Keeping.read`."""
    stored = await keeping.read(KEYS)
    if stored is None:
        seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        keys = AgentKeys(seed.decode(), base64.b64encode(bytes(PrivateKey.generate())).decode())
        stored = await keeping.keep(KEYS, msgspec.json.encode(keys))
    return _decoded(AgentKeys, stored, keeping.where(KEYS))


async def known_membership(keeping: Keeping, cluster_uid: str) -> Membership | None:
    """What an earlier join left. Raises CannotJoin when it was for another cluster; as `Keeping.read`."""
    stored = await keeping.read(MEMBERSHIP)
    if stored is None:
        return None
    membership = _decoded(Membership, stored, keeping.where(MEMBERSHIP))
    if membership.cluster_uid != cluster_uid:
        raise CannotJoin(
            f"{keeping.where(MEMBERSHIP)}: joined the cluster whose kube-system has uid"
            f" {membership.cluster_uid}, this one has {cluster_uid}: give each cluster's agent keys, and a"
            " token, of its own"
        )
    return membership


async def join(keeping: Keeping, url: str, token: str, cluster_uid: str) -> Membership:
    """Spend the token. Raises CannotJoin and CentreAway; as `Keeping.read`.

    Another agent of this cluster may do the same at the same time: the centre gives both the same answer.
    """
    if not url or not token:
        raise CannotJoin("this agent has not joined yet: --join-url and --join-token are needed")
    keys = await own_keys(keeping)
    asked = {
        "token": token,
        "agent_key": keys.user_public,
        "sealing_key": base64.b64encode(bytes(keys.sealing_private.public_key)).decode(),
        "cluster_uid": cluster_uid,
    }
    try:
        async with httpx.AsyncClient(timeout=ATTEMPT_TIMEOUT_SECONDS) as client:
            answer = await client.post(f"{url.rstrip('/')}/api/v1/join", json=asked)
    except httpx.InvalidURL as error:
        raise CannotJoin(f"--join-url {url}: {error}") from error
    except httpx.HTTPError as error:
        raise CentreAway(f"{url}: {error or type(error).__name__}") from error
    if answer.status_code >= 500 or answer.status_code == 429:
        raise CentreAway(f"{url}: HTTP {answer.status_code}")
    if not answer.is_success:
        raise CannotJoin(f"the centre refuses (HTTP {answer.status_code}): {answer.text[:500]}")
    membership = _decoded(Membership, answer.content, url)
    try:
        if len(membership.order_key_bytes) != 32:
            raise ValueError(f"{len(membership.order_key_bytes)} bytes instead of 32")
    except (binascii.Error, ValueError) as error:
        raise CannotJoin(f"the centre's answer: order_key: {error}") from error
    membership = msgspec.structs.replace(membership, cluster_uid=cluster_uid)
    kept = await keeping.keep(MEMBERSHIP, msgspec.json.encode(membership))
    _log.info("joined", cluster=membership.cluster_id)
    return _decoded(Membership, kept, keeping.where(MEMBERSHIP))


def _decoded(kind: type[S], content: bytes, where: str) -> S:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise CannotJoin(f"{where}: {error}") from error
