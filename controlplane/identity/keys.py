"""The folder of keys, 0700, each file 0600: an installation is what they are. Back them up."""

import fcntl
import os
import secrets
import stat
from dataclasses import dataclass, fields
from pathlib import Path

from nacl.signing import SigningKey

from controlplane.identity.nkey import KeyKind, NKey


class BadKeys(ValueError):
    """The folder of keys is missing, open to others, or damaged; the message names the file."""


@dataclass(frozen=True, repr=False)
class Keys:
    """operator signs accounts; system pushes them; centre is the account that streams and orders live in.

    order_signing: Ed25519 seed. master: seals what lies in Postgres, the clusters' signing keys among it.
    Both 32 bytes.
    """

    operator: NKey
    system_account: NKey
    system_user: NKey
    centre_account: NKey
    centre_user: NKey
    order_signing: bytes
    master: bytes

    @property
    def order_verifying(self) -> bytes:
        """What agents verify orders with, 32 bytes."""
        return bytes(SigningKey(self.order_signing).verify_key)


_KINDS = {
    "operator": KeyKind.OPERATOR,
    "system_account": KeyKind.ACCOUNT,
    "system_user": KeyKind.USER,
    "centre_account": KeyKind.ACCOUNT,
    "centre_user": KeyKind.USER,
}


def generate() -> Keys:
    """Fresh keys from the operating system's randomness."""
    pairs = {name: NKey.from_random(kind, secrets.token_bytes(32)) for name, kind in _KINDS.items()}
    return Keys(**pairs, order_signing=secrets.token_bytes(32), master=secrets.token_bytes(32))


def init(folder: Path) -> Keys:
    """Make the folder and its keys. Raises BadKeys when any of them is there: keys are never overwritten."""
    if present := [path for path in _paths(folder).values() if path.exists()]:
        raise BadKeys(f"{present[0]} exists already; keys are never overwritten, name an empty folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    keys = generate()
    for name, path in _paths(folder).items():
        value: NKey | bytes = getattr(keys, name)
        write_private(path, value.seed if isinstance(value, NKey) else value.hex())
    return keys


def load(folder: Path) -> Keys:
    """Read and check. Raises BadKeys naming the file that is missing, readable by others, or damaged."""
    pairs: dict[str, NKey] = {}
    raw: dict[str, bytes] = {}
    for name, path in _paths(folder).items():
        text = _read_private(path)
        try:
            if name in _KINDS:
                pairs[name] = NKey.from_seed(text)
            else:
                raw[name] = bytes.fromhex(text)
        except ValueError as error:
            raise BadKeys(f"{path} is damaged: {error}") from error
        if name in raw and len(raw[name]) != 32:
            raise BadKeys(f"{path} is damaged: {len(raw[name])} bytes instead of 32")
    return Keys(**pairs, order_signing=raw["order_signing"], master=raw["master"])


def load_or_init(folder: Path) -> Keys:
    """The folder's keys, made when there are none at all. Raises BadKeys when some are missing.

    Several processes may begin at once: one makes them, the others wait and read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return load(folder) if any(path.exists() for path in _paths(folder).values()) else init(folder)
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """A file that only its owner may read, from its first byte on, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _paths(folder: Path) -> dict[str, Path]:
    names = (field.name for field in fields(Keys))
    return {name: folder / f"{name.replace('_', '-')}.{'nk' if name in _KINDS else 'key'}" for name in names}


def _read_private(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise BadKeys(f"{path} may be read by others (mode {stat.S_IMODE(mode):o}); chmod 600 it")
        return path.read_text().strip()
    except OSError as error:
        raise BadKeys(f"{path}: {error.strerror}") from error
