"""Server-sent events over a real socket: in order, each once, resumed, and never held up by a slow reader."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from controlplane.api import create_api, feed
from controlplane.known.records import Change
from tests.installation import NatsInstallation
from tests.integration.api_world import ADMIN, World, api_world, deployment, workload

BOUND_SECONDS = 20.0


@pytest_asyncio.fixture
async def world(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    async with api_world(database, nats_installation) as made:
        yield made


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[uvicorn.Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started)
    yield server
    server.should_exit = True
    await serving


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while not holds():  # noqa: ASYNC110 - uvicorn tells it by a flag only
            await asyncio.sleep(0.01)


def address_of(server: uvicorn.Server) -> tuple[str, int]:
    return server.servers[0].sockets[0].getsockname()[:2]


@pytest_asyncio.fixture
async def address(world: World) -> AsyncGenerator[tuple[str, int], None]:
    async with served(world.app) as server:
        yield address_of(server)


@asynccontextmanager
async def reading(
    address: tuple[str, int], **headers: str
) -> AsyncIterator[AsyncIterator[dict[str, object]]]:
    url = f"http://{address[0]}:{address[1]}"
    given = {"Authorization": f"Bearer {ADMIN}", **headers}
    async with (
        httpx.AsyncClient(base_url=url, headers=given, timeout=BOUND_SECONDS) as client,
        client.stream("GET", "/api/v1/events") as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _changes(response)


async def _changes(response: httpx.Response) -> AsyncIterator[dict[str, object]]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def next_of(changes: AsyncIterator[dict[str, object]]) -> dict[str, object]:
    return await asyncio.wait_for(anext(changes), BOUND_SECONDS)


async def test_what_is_written_is_told_and_a_reader_resumes_where_it_was(
    world: World, address: tuple[str, int]
) -> None:
    async with reading(address) as changes:
        await world.client.put("/api/v1/workloads/web", json=workload("web"))
        first = await next_of(changes)
        assert (first["kind"], first["name"], first["what"], first["by"]) == (
            "Workload",
            "web",
            "Created",
            "ada",
        )
    for replicas in (3, 4, 5):
        await world.client.put(
            "/api/v1/workloads/web", json=workload("web", deployment("web", replicas=replicas))
        )
    async with reading(address, **{"Last-Event-ID": str(first["id"])}) as changes:
        missed = [await next_of(changes) for _ in range(3)]
        await world.client.delete("/api/v1/workloads/web")
        last = await next_of(changes)
    ids = [int(str(each["id"])) for each in [first, *missed, last]]
    assert ids == sorted(set(ids))
    assert last["what"] == "Deleted"


async def test_readers_are_let_go_when_they_leave(world: World, address: tuple[str, int]) -> None:
    async with reading(address) as one, reading(address) as two:
        await world.client.put("/api/v1/workloads/web", json=workload("web"))
        assert (await next_of(one))["id"] == (await next_of(two))["id"]
    answers = [
        await world.client.get("/api/v1/changes", params={"after": 0}),
        await world.client.get("/api/v1/changes", params={"after": 10**9}),
    ]
    assert [len(answer.json()["items"]) for answer in answers] == [1, 0]


class Endless:
    """As many changes as anybody asks for: what no database of a test has."""

    def __init__(self, name: str = "web") -> None:
        self._name = name

    async def changes(self, after: int, limit: int) -> list[Change]:
        await asyncio.sleep(0)
        return [
            Change(each, 0.0, "Workload", self._name, "u", "Changed", "ada")
            for each in range(after + 1, after + limit + 1)
        ]

    async def wait_for_change(self, timeout_seconds: float) -> None:
        raise AssertionError("there is always another")


async def test_a_reader_who_does_not_read_is_dropped_at_its_bound_and_others_go_on() -> None:
    many = feed.ChangeFeed(Endless())
    slow = many.open(0)
    await asyncio.wait_for(slow.dropped.wait(), BOUND_SECONDS)
    assert slow.buffer.qsize() == feed.BUFFER_CHANGES
    await many.close(slow)
    quick = many.open(0)
    got = [change.id async for change in _first(many, quick, 3)]
    assert got == [1, 2, 3]
    await many.close(quick)
    assert many.readers == 0


async def _first(many: feed.ChangeFeed, reader: feed.Reader, count: int) -> AsyncIterator[Change]:
    changes = many.follow(reader, 0)
    for _ in range(count):
        yield await anext(changes)
    await changes.aclose()


async def test_a_reader_whose_pipe_is_full_is_cut_off_and_holds_nothing(world: World) -> None:
    # Larger than what the kernel takes off our hands, so that sending does come to a stand.
    endless = Endless("w" * 50_000)
    async with served(
        create_api(replace(world.deps, changes=endless, metrics=CollectorRegistry()))
    ) as server:
        _, writer = await asyncio.open_connection(*address_of(server), limit=1024)
        request = f"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
        writer.write(request.encode())
        await until(lambda: len(server.server_state.tasks) == 1)
        await until(lambda: not server.server_state.tasks)
        writer.close()


async def test_there_are_not_more_readers_than_the_bound() -> None:
    many = feed.ChangeFeed(Endless())
    readers = [many.open(0) for _ in range(feed.MAX_READERS)]
    with pytest.raises(feed.TooManyReaders, match=str(feed.MAX_READERS)):
        many.open(0)
    for reader in readers:
        await many.close(reader)
