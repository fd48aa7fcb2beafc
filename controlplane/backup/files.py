"""What lies beside the database: keys, tokens, the configuration of alerts. Found, put back, undone."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from controlplane.backup.archive import BackupReader, KeptFile
from controlplane.settings import Settings
from controlplane.store.contents import CannotRestore

KEYS, TOKENS = "keys", "tokens"
CONFIG, ALERTS = "alerts-config", "alerts"
"""The configuration of alerts, and the files that it names."""
ASIDE = ".before-restore-"
MOST_BYTES = 16 * 1024 * 1024
MOST_FILES = 1000


@dataclass(frozen=True)
class Found:
    """files: with where each is. left_out: named by the configuration of alerts, and not below its folder."""

    files: tuple[tuple[KeptFile, Path], ...]
    left_out: tuple[str, ...] = ()


def find(settings: Settings) -> Found:
    """Raises OSError for what cannot be read."""
    paths = [(KEYS, path, path.name) for path in _keys(settings.keys_folder)]
    if settings.tokens_path.exists():
        paths.append((TOKENS, settings.tokens_path, settings.tokens_path.name))
    left_out: list[str] = []
    if settings.alerts_config is not None:
        config = settings.alerts_config.resolve()
        folder = config.parent
        paths.append((CONFIG, config, config.name))
        for path in _named_by(config):
            if path.is_relative_to(folder):
                paths.append((ALERTS, path, path.relative_to(folder).as_posix()))
            else:
                left_out.append(str(path))
    files = tuple(
        (KeptFile(role, name, stat.S_IMODE(path.stat().st_mode)), path) for role, path, name in paths
    )
    return Found(files, tuple(left_out))


def read(path: Path) -> bytes:
    """Raises OSError, also for what is too large to be one of these files."""
    if path.stat().st_size > MOST_BYTES:
        raise OSError(27, f"larger than {MOST_BYTES:,} bytes", str(path))
    return path.read_bytes()


def _keys(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and ASIDE not in path.name
    )


def _named_by(configuration: Path) -> list[Path]:
    """Templates, and files of secrets: the keys that end with `_file`."""
    found: dict[Path, None] = {}
    with suppress(yaml.YAMLError, UnicodeDecodeError):
        for named in _named(yaml.safe_load(configuration.read_text())):
            pattern = named if os.path.isabs(named) else str(configuration.parent / named)
            for path in sorted(Path(pattern).parent.glob(Path(pattern).name)):
                if path.is_file():
                    found[path.resolve()] = None
    return list(found)[:MOST_FILES]


def _named(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in cast("dict[Any, Any]", value).items():
            yield from _named(each, str(name))
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _named(each, key)
    elif isinstance(value, str) and value and (key == "templates" or key.endswith("_file")):
        yield value


@dataclass
class Putting:
    """Files written beside their places, then renamed into them; taken back when something fails after that.

    What was there is moved aside, not deleted: `moved` says where to.
    """

    pending: list[tuple[Path, Path]] = field(default_factory=list[tuple[Path, Path]])
    moved: list[tuple[Path, Path]] = field(default_factory=list[tuple[Path, Path]])
    put: list[Path] = field(default_factory=list[Path])
    alerts_config: Path | None = None

    def into_place(self) -> None:
        suffix = ASIDE + time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        for written, target in self.pending:
            if target.exists():
                aside = target.with_name(f"{target.name}{suffix}")
                target.rename(aside)
                self.moved.append((target, aside))
            written.rename(target)
            self.put.append(target)

    def back(self) -> None:
        for target in reversed(self.put):
            target.unlink(missing_ok=True)
        for target, aside in reversed(self.moved):
            aside.rename(target)
        for written, _ in self.pending:
            written.unlink(missing_ok=True)


def prepare(settings: Settings, backup: BackupReader, *, replace: bool) -> Putting:
    """Write what differs beside its place. Raises CannotRestore where something else is there, OSError."""
    putting = Putting()
    try:
        for file in backup.manifest.files:
            target = _place(settings, file)
            content = b"".join(backup.read(file.member))
            if file.role == CONFIG:
                putting.alerts_config = target
            if target.exists() and target.read_bytes() == content:
                continue
            if target.exists() and not replace:
                raise CannotRestore(f"{target} is there, and another: --replace moves it aside")
            _write_beside(target, content, file.mode, putting)
    except BaseException:
        putting.back()
        raise
    return putting


def _write_beside(target: Path, content: bytes, mode: int, putting: Putting) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = target.with_name(f".{target.name}.restoring.{os.getpid()}")
    putting.pending.append((written, target))
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode & 0o755)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _place(settings: Settings, file: KeptFile) -> Path:
    if ".." in Path(file.name).parts or Path(file.name).is_absolute():
        raise CannotRestore(f"{file.member} is no file of a backup")
    config = settings.alerts_config or settings.data_dir / ALERTS / file.name
    match file.role:
        case "keys":
            return settings.keys_folder / file.name
        case "tokens":
            return settings.tokens_path
        case "alerts-config":
            return config.resolve()
        case "alerts":
            return config if settings.alerts_config is None else config.resolve().parent / file.name
        case _:
            raise CannotRestore(f"{file.member} is no file of a backup")
