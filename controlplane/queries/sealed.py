"""Values of Secrets in manifests: sealed where they are stored, hidden where they are shown."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, cast

HIDDEN = "***sealed***"
Manifest = Mapping[str, Any]


class BadSecret(ValueError):
    """A value of a Secret that cannot be stored; `field` is its path under the workload's `spec`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def hide(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with every value of a Secret replaced by `***sealed***`."""
    return _each_secret(spec, lambda _, secret: _hide_secret(secret))


def seal(
    spec: Mapping[str, Any], stored: Mapping[str, Any] | None, seal_value: Callable[[bytes], str]
) -> dict[str, Any]:
    """The spec as it is stored: `data` and `stringData` become one `data` of sealed values.

    `***sealed***` keeps the value that `stored` has for the same key of the same Secret. Raises BadSecret
    where there is none, or where `data` is not base64.
    """
    kept = {_identity(each): each for each in _secrets(stored)} if stored is not None else {}

    def seal_secret(path: str, secret: Manifest) -> dict[str, Any]:
        old = cast(Mapping[str, str], kept.get(_identity(secret), {}).get("data") or {})
        values: dict[str, str] = {}
        for part in ("data", "stringData"):
            given: Any = secret.get(part) or {}
            if not isinstance(given, Mapping):
                raise BadSecret(f"{path}.{part}", "an object of strings is expected")
            for key, value in cast(Mapping[str, Any], given).items():
                values[key] = _sealed(f"{path}.{part}.{key}", part, value, old.get(key), seal_value)
        rest = {key: value for key, value in secret.items() if key not in ("data", "stringData")}
        return {**rest, "data": values} if values else rest

    return _each_secret(spec, seal_secret)


def _sealed(field: str, part: str, value: Any, old: str | None, seal_value: Callable[[bytes], str]) -> str:
    if not isinstance(value, str):
        raise BadSecret(field, "a string is expected")
    if value == HIDDEN:
        if old is None:
            raise BadSecret(field, f"{HIDDEN} keeps a stored value, and none is stored under this key")
        return old
    return seal_value(value.encode() if part == "stringData" else _decoded(field, value))


def _decoded(field: str, value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except binascii.Error:
        raise BadSecret(field, "no base64; plain text goes into stringData") from None


def _hide_secret(secret: Manifest) -> dict[str, Any]:
    return {
        key: dict.fromkeys(cast(Mapping[str, Any], value), HIDDEN)
        if key in ("data", "stringData") and isinstance(value, Mapping)
        else value
        for key, value in secret.items()
    }


def _is_secret(manifest: Manifest) -> bool:
    return manifest.get("kind") == "Secret" and manifest.get("apiVersion") == "v1"


def _secrets(spec: Mapping[str, Any]) -> list[Manifest]:
    return [each for each in cast(list[Manifest], spec.get("manifests", [])) if _is_secret(each)]


def _identity(manifest: Manifest) -> tuple[str, str]:
    metadata = cast(Manifest, manifest.get("metadata") or {})
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))


def _each_secret(
    spec: Mapping[str, Any], change: Callable[[str, Manifest], dict[str, Any]]
) -> dict[str, Any]:
    manifests = cast(list[Manifest], spec.get("manifests", []))
    changed = [
        change(f"manifests[{index}]", each) if _is_secret(each) else each
        for index, each in enumerate(manifests)
    ]
    return {**spec, "manifests": changed} if "manifests" in spec else dict(spec)
