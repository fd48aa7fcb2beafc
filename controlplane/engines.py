"""Postgres and NATS: those that were given, or embedded ones where there are none."""

from collections.abc import Callable

from controlplane.bus.adapter import NatsBus
from controlplane.bus.streams import StreamBounds
from controlplane.embedded.nats import EmbeddedNats
from controlplane.embedded.postgres import EmbeddedPostgres
from controlplane.embedded.supervising import keep_up
from controlplane.identity.keys import Keys
from controlplane.identity.server_configuration import Trust
from controlplane.parts import Parts
from controlplane.settings import Settings
from controlplane.store.store import PostgresStore
from schemas.wire.subjects import Subjects


async def open_store(settings: Settings, parts: Parts) -> PostgresStore:
    """Raises StoreUnavailable, DatabaseNewer."""
    dsn = settings.postgres_dsn
    if not dsn:
        postgres = EmbeddedPostgres(settings.data_dir / "postgres", durable=settings.postgres_durable)
        await parts.stack.enter_async_context(postgres)
        parts.start("postgres", keep_up("postgres", postgres))
        dsn = await postgres.ensure_database("muster")
    return await parts.stack.enter_async_context(PostgresStore(dsn, namespace=settings.namespace))


async def make_bus(
    settings: Settings, parts: Parts, keys: Keys, subjects: Subjects, now: Callable[[], float]
) -> tuple[NatsBus, str]:
    """Not yet open; the address by which it is reached."""
    url = settings.nats_url
    if not url:
        trust = Trust.of(keys, (subjects,), int(now()))
        nats = await parts.stack.enter_async_context(EmbeddedNats(settings.data_dir / "nats", trust))
        parts.start("nats", keep_up("nats", nats))
        url = nats.url
    bus = NatsBus(url.split(","), keys, subjects, now, StreamBounds(replicas=settings.nats_replicas))
    parts.stack.push_async_callback(bus.close)
    return bus, url
