"""Marks of objects: they change when somebody changes what was asked for, and seldom else. Pure."""

import hashlib
from typing import Any

import msgspec

_BY_SPEC = {("v1", "ResourceQuota")}
"""Kinds without a generation of which the cluster writes a status with every pod that comes and goes."""


def is_by_spec(api_version: str, kind: str) -> bool:
    return (api_version, kind) in _BY_SPEC


def by_spec(uid: str, spec: Any) -> str:
    text = msgspec.json.encode(spec, order="deterministic")
    return f"{uid}/{hashlib.sha256(text).hexdigest()[:16]}"


def by_version(uid: str, generation: int, resource_version: str) -> str:
    """Where objects of the kind have no generation, every change counts."""
    return f"{uid}/{generation or f'rv{resource_version}'}"
