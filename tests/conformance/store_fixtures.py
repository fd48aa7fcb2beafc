"""Both stores for the suites that ask them the same."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from controlplane.embedded import EmbeddedPostgres
from controlplane.store.store import PostgresStore
from tests.conformance.store_worlds import AnyStore, MemoryWorld, PostgresWorld, World


@pytest.fixture
def memory_world() -> MemoryWorld:
    return MemoryWorld()


@pytest_asyncio.fixture
async def postgres_world(postgres_server: EmbeddedPostgres, database: str) -> AsyncGenerator[PostgresWorld]:
    real = PostgresWorld(postgres_server, database, PostgresStore(database, connections=4))
    await real.store.open()
    yield real
    await real.close()


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    return request.getfixturevalue(f"{request.param}_world")


@pytest.fixture
def store(world: World) -> AnyStore:
    return world.store
