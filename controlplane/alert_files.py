"""Alertmanager's configuration file on a disk, and the files of templates that it names."""

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path

from controlplane.alerts.compile import ConfigurationError, Problem, read_configuration
from controlplane.alerts.configuration import Configuration
from schemas.manifests.alertmanager_yaml import MAX_BYTES

MOST_TEMPLATE_FILES = 200
MOST_TEMPLATE_BYTES = 4 * 1024 * 1024


def load_configuration(path: Path) -> Configuration:
    """The file, with its templates looked into. ConfigurationError with everything that is wrong in it."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError([Problem(1, "", f"cannot be read: {reason}")]) from error
    return load_text(content, path.parent)


def load_text(content: bytes, folder: Path) -> Configuration:
    """As load_configuration; folder: where its templates and secrets are found from."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError([Problem(line, "", "not UTF-8")]) from error
    return read_configuration(text, str(folder.absolute()), read_template_files)


def read_template_files(patterns: Sequence[str]) -> Mapping[str, str]:
    """Text by path, in the order of the patterns. ValueError names what cannot be read, or is too much.

    A pattern that matches no file is none of our business: Alertmanager takes it too.
    """
    found: dict[str, str] = {}
    left = MOST_TEMPLATE_BYTES
    for pattern in patterns:
        for name in sorted(glob.glob(pattern)):
            if name in found or Path(name).is_dir():
                continue
            if len(found) >= MOST_TEMPLATE_FILES:
                raise ValueError(f"more than {MOST_TEMPLATE_FILES} files")
            found[name] = _read(name, left)
            left -= len(found[name])
    return found


def _read(name: str, most: int) -> str:
    try:
        with open(name, "rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise ValueError(f"{name}: more than {MOST_TEMPLATE_BYTES:,} bytes of templates in all")
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-8") from error
    except OSError as error:
        raise ValueError(f"{name}: cannot be read: {error.strerror}") from error
