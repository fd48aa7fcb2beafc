"""Several services on one database: each in a schema of its own, with channels and a lock of its own."""

import zlib

from controlplane.settings import NAMESPACE

ALERTS, CHANGES = "muster_alert", "muster_change"
"""Channels of NOTIFY."""
DEFAULT_SCHEMA = "public"
LOCK = 0x6D757374


def schema_of(namespace: str) -> str:
    """Of a service without a namespace it is `public`. Raises ValueError for what is no namespace."""
    if not namespace:
        return DEFAULT_SCHEMA
    if not NAMESPACE.fullmatch(namespace):
        raise ValueError(
            f"namespace {namespace!r}: 1 to 40 of A-Z a-z 0-9 _ . -, a letter or digit at its ends"
        )
    return f"muster_{namespace}"


def search_path(namespace: str) -> str:
    return quoted(schema_of(namespace))


def quoted(schema: str) -> str:
    return '"' + schema.replace('"', '""') + '"'


def migration_lock(namespace: str) -> int:
    """Of an advisory lock, which is one for the whole database."""
    return (zlib.crc32(namespace.encode()) << 31 if namespace else 0) | LOCK


def channel(name: str) -> str:
    """SQL for the channel `name` of the schema in which it is evaluated."""
    return f"'{name}' || coalesce(nullif('.' || current_schema(), '.{DEFAULT_SCHEMA}'), '')"


def notify(name: str) -> str:
    """SQL that wakes, at the commit, whoever listens."""
    return f"pg_notify({channel(name)}, '')"
