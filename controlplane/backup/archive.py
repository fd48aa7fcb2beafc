"""The file of a backup: a zip of tables and files, and a manifest with the checksum of each."""

import hashlib
import os
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from controlplane.store.contents import Contents

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK_BYTES = 1024 * 1024


class BadBackup(Exception):
    """No backup, or not as it was written; the text says where."""


class KeptFile(msgspec.Struct, frozen=True):
    """role: keys, tokens or alerts. name: within the folder of its role."""

    role: str
    name: str
    mode: int

    @property
    def member(self) -> str:
        return f"files/{self.role}/{self.name}"


class Manifest(msgspec.Struct, frozen=True):
    """version: of the program that made it. made_at: Unix seconds. checksums: SHA-256 by member.

    left_out: files that the configuration of alerts names outside of its folder.
    """

    format: int
    version: str
    made_at: float
    namespace: str
    prefix: str
    contents: Contents
    files: list[KeptFile]
    checksums: dict[str, str]
    left_out: list[str] = []


class BackupWriter:
    """Private from its first byte on; there under its name once it is whole and synced, or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}")
        self.checksums: dict[str, str] = {}

    def __enter__(self) -> "BackupWriter":
        descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=4)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink(missing_ok=True)

    @contextmanager
    def member(self, name: str) -> Generator["_Summed"]:
        with self._zip.open(name, "w", force_zip64=True) as inner:
            summed = _Summed(inner)
            yield summed
        self.checksums[name] = summed.hexdigest()

    def add(self, name: str, content: bytes) -> None:
        with self.member(name) as member:
            member.write(content)

    def finish(self, manifest: Manifest) -> None:
        """What stands last: a file without it is none of ours."""
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))


class _Summed:
    def __init__(self, inner: IO[bytes]) -> None:
        self._inner, self._sum = inner, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._sum.update(data)
        self._inner.write(data)

    def hexdigest(self) -> str:
        return self._sum.hexdigest()


class BackupReader:
    """Opens and checks every byte of it. Raises BadBackup."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
            self.manifest = msgspec.json.decode(self._zip.read(MANIFEST), type=Manifest)
        except (zipfile.BadZipFile, KeyError, msgspec.MsgspecError) as error:
            raise BadBackup(f"{path} is no whole backup: {error}") from error
        except OSError as error:
            raise BadBackup(f"{path}: {error.strerror}") from error
        if self.manifest.format != FORMAT:
            raise BadBackup(f"{path} has format {self.manifest.format}, this release reads {FORMAT}")
        self._check(path)

    def close(self) -> None:
        self._zip.close()

    def read(self, name: str) -> Iterator[bytes]:
        with self._zip.open(name) as member:
            while chunk := member.read(CHUNK_BYTES):
                yield chunk

    def _check(self, path: Path) -> None:
        names = self._zip.namelist()
        if sorted(names) != sorted([*self.manifest.checksums, MANIFEST]):
            raise BadBackup(f"{path}: what is in it is not what its manifest lists")
        for name, checksum in self.manifest.checksums.items():
            summed = hashlib.sha256()
            try:
                for chunk in self.read(name):
                    summed.update(chunk)
            except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
                raise BadBackup(f"{path}: {name} is damaged: {error}") from error
            if summed.hexdigest() != checksum:
                raise BadBackup(f"{path}: {name} is damaged: its checksum is another")
