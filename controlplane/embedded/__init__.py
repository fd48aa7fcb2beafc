"""NATS and Postgres for a machine that has none: real servers, on loopback, that end with their parent."""

from controlplane.embedded.nats import EmbeddedNats
from controlplane.embedded.postgres import EmbeddedPostgres
from controlplane.embedded.processes import ServerDidNotStart

__all__ = ["EmbeddedNats", "EmbeddedPostgres", "ServerDidNotStart"]
