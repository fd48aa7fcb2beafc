"""The one installation under fire."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from tests.crash.fire import UnderFire, under_fire


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fire() -> AsyncGenerator[UnderFire]:
    async with under_fire() as made:
        yield made
