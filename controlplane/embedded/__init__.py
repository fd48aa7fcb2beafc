"""NATS, Postgres and API servers for a machine that has none: real, on loopback, ending with their parent."""

from controlplane.embedded.nats import EmbeddedNats
from controlplane.embedded.postgres import EmbeddedPostgres
from controlplane.embedded.processes import ServerDidNotStart

__all__ = ["EmbeddedNats", "EmbeddedPostgres", "ServerDidNotStart"]
