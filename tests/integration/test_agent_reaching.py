"""What stands beside the agent in its cluster may answer anything, or nothing: receivers, and exporters."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from agents.alerts import reaching as reaching_module
from agents.alerts.fallback_file import FallbackReceiver
from agents.alerts.reaching import Reaching
from agents.observe.gpus import ScrapeFailed
from controlplane.embedded.processes import free_port


class Beside:
    """A server of the cluster, and what it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.headers), await request.read()))
        match request.path:
            case "/busy":
                return web.Response(status=503, text="later")
            case "/limited":
                return web.Response(status=429)
            case "/hangs":
                await asyncio.Event().wait()
                raise AssertionError
            case "/refuses":
                return web.Response(status=400, text="no such siren")
            case "/elsewhere":
                raise web.HTTPFound("/ok")
            case "/endless":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(200):
                    await response.write(b"x" * 65_536)
                return response
            case "/cut":
                response = web.StreamResponse(headers={"Content-Length": "100"})
                await response.prepare(request)
                await response.write(b"x")
                assert request.transport is not None
                request.transport.abort()
                return response
            case _:
                return web.Response(text="metric 1\n")


@pytest_asyncio.fixture
async def beside() -> AsyncGenerator[Beside]:
    made = Beside()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def reaching() -> AsyncGenerator[Reaching]:
    made = Reaching()
    yield made
    await made.close()


def receiver(url: str, token: Path | None = None) -> FallbackReceiver:
    return FallbackReceiver(receiver="r", matchers=["a=b"], url=url, bearer_token_file=token)


@pytest.mark.parametrize(
    ("path", "delivered", "retry", "detail"),
    [
        pytest.param("/ok", True, False, "HTTP 200", id="taken"),
        pytest.param("/busy", False, True, "HTTP 503: later", id="busy"),
        pytest.param("/limited", False, True, "HTTP 429", id="too much"),
        pytest.param("/refuses", False, False, "HTTP 400: no such siren", id="refused"),
        pytest.param("/elsewhere", False, False, "HTTP 302", id="sent elsewhere: not followed"),
        pytest.param("/cut", True, False, "HTTP 200", id="taken, and cut off afterwards"),
        pytest.param("/hangs", False, True, "", id="no answer at all"),
    ],
)
async def test_what_a_receiver_may_answer(
    beside: Beside,
    reaching: Reaching,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    delivered: bool,
    retry: bool,
    detail: str,
) -> None:
    monkeypatch.setattr(reaching_module, "POST_SECONDS", 1.0)
    answer = await reaching.post(receiver(beside.url + path), "key-1", b"{}")
    assert (answer.delivered, answer.retry) == (delivered, retry), answer
    assert answer.detail.startswith(detail)
    ((asked, headers, body),) = beside.requests
    assert (asked, headers["Idempotency-Key"], body) == (path, "key-1", b"{}")


async def test_nobody_there_and_a_name_that_is_none_are_tried_again(reaching: Reaching) -> None:
    for url in (f"http://127.0.0.1:{free_port()}/", "http://nobody.invalid/"):
        answer = await reaching.post(receiver(url), "k", b"{}")
        assert (answer.delivered, answer.retry) == (False, True)
        assert answer.detail


async def test_a_token_is_read_at_each_attempt(beside: Beside, reaching: Reaching, tmp_path: Path) -> None:
    token = tmp_path / "token"
    missing = await reaching.post(receiver(beside.url + "/ok", token), "k", b"{}")
    assert (missing.delivered, missing.retry) == (False, True)
    for value in ("one", "two"):
        token.write_text(f"{value}\n")
        assert (await reaching.post(receiver(beside.url + "/ok", token), "k", b"{}")).delivered
    assert [headers["Authorization"] for _, headers, _ in beside.requests] == ["Bearer one", "Bearer two"]


async def test_an_exporter_is_read_in_bounds(
    beside: Beside, reaching: Reaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await reaching.scrape(f"{beside.url}/metrics") == "metric 1\n"
    for path, says in (
        ("/busy", "HTTP 503"),
        ("/endless", "more than"),
        ("/cut", "/cut: ."),
        ("/elsewhere", "302"),
    ):
        with pytest.raises(ScrapeFailed, match=says):
            await reaching.scrape(beside.url + path)
    with pytest.raises(ScrapeFailed):
        await reaching.scrape(f"http://127.0.0.1:{free_port()}/metrics")
    monkeypatch.setattr(reaching_module, "SCRAPE_SECONDS", 0.0001)
    with pytest.raises(ScrapeFailed):
        await reaching.scrape(f"{beside.url}/endless")
