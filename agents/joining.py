"""Joining: once, with a one-time token; afterwards what came of it lies in the agent's folder.

The keys are made here and never leave: the centre gets their public halves. They are written before the token
is spent, so that a crash in between loses nothing but the token.
"""

import base64
import binascii
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import nkeys
import structlog
from nacl.public import PrivateKey

ATTEMPT_TIMEOUT_SECONDS = 15.0
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


class StateFolder:
    """The agent's folder, 0700, its files 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        return self._path / name

    def read(self, name: str) -> bytes | None:
        """None where there is none. Raises CannotJoin when others may read it."""
        path = self.path(name)
        if not path.exists():
            return None
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise CannotJoin(f"{path} may be read by others (mode {mode:o}); chmod 600 it")
        return path.read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all, synced, readable by its owner only."""
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


def own_keys(folder: StateFolder) -> AgentKeys:
    """The agent's keys, made when first needed."""
    stored = folder.read("keys.json")
    if stored is not None:
        return _decoded(AgentKeys, stored, folder.path("keys.json"))
    seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    keys = AgentKeys(seed.decode(), base64.b64encode(bytes(PrivateKey.generate())).decode())
    folder.write("keys.json", msgspec.json.encode(keys))
    return keys


def known_membership(folder: StateFolder, cluster_uid: str) -> Membership | None:
    """What an earlier join left. Raises CannotJoin when it was for another cluster."""
    stored = folder.read("membership.json")
    if stored is None:
        return None
    membership = _decoded(Membership, stored, folder.path("membership.json"))
    if membership.cluster_uid != cluster_uid:
        raise CannotJoin(
            f"this folder joined the cluster whose kube-system has uid {membership.cluster_uid}, this one has"
            f" {cluster_uid}: give each cluster's agent a folder, and a token, of its own"
        )
    return membership


async def join(folder: StateFolder, url: str, token: str, cluster_uid: str) -> Membership:
    """Spend the token. Raises CannotJoin and CentreAway."""
    if not url or not token:
        raise CannotJoin("this agent has not joined yet: --join-url and --join-token are needed")
    keys = own_keys(folder)
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
    membership = _decoded(Membership, answer.content, Path(url))
    try:
        if len(membership.order_key_bytes) != 32:
            raise ValueError(f"{len(membership.order_key_bytes)} bytes instead of 32")
    except (binascii.Error, ValueError) as error:
        raise CannotJoin(f"the centre's answer: order_key: {error}") from error
    membership = msgspec.structs.replace(membership, cluster_uid=cluster_uid)
    folder.write("membership.json", msgspec.json.encode(membership))
    _log.info("joined", cluster=membership.cluster_id)
    return membership


def _decoded(kind: type[S], content: bytes, where: Path) -> S:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise CannotJoin(f"{where}: {error}") from error
