"""API v2 at its bounds: what is too much, what is no JSON, who may, and what is answered meanwhile.

That its answers are Alertmanager's is shown in tests/peers.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from controlplane.alerts import crowding
from controlplane.alerts.posted import MOST_ALERTS, MOST_BODY_BYTES
from controlplane.api import NotReady
from controlplane.api.routes import alertmanager_alerts
from controlplane.loops.ports import StoreUnavailable
from tests.integration.alert_world import AlertWorld, alert_world
from tests.integration.api_world import VIEWER

JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture
async def world(database: str, tmp_path: Path) -> AsyncGenerator[AlertWorld, None]:
    async with alert_world(database, tmp_path) as made:
        yield made


def alert(name: str, **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": name, **labels}}


class TestBodies:
    async def test_more_alerts_than_are_taken_at_once_name_the_bound_and_none_is_stored(
        self, world: AlertWorld
    ) -> None:
        answer = await world.post(*(alert("Many", n=str(number)) for number in range(MOST_ALERTS + 1)))
        assert answer.status_code == 413
        assert f"{MOST_ALERTS:,}" in answer.json()["message"]
        assert await world.listed() == []

    async def test_beyond_what_is_held_at_once_new_ones_are_429_and_others_go_on(
        self, world: AlertWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(crowding, "MOST_HELD", 3)
        monkeypatch.setattr(crowding, "MOST_OF_ONE_CLUSTER", 2)
        assert (await world.post(*(alert("Held", n=str(number)) for number in range(3)))).status_code == 200
        answer = await world.post(alert("Held", n="1"), alert("Flood", n="4"))
        assert answer.status_code == 429
        assert "Retry-After" in answer.headers
        assert "1 alerts are not taken" in answer.json()
        assert len(await world.listed()) == 3
        assert (await world.post(alert("Held", n="2"))).status_code == 200

    async def test_a_body_over_the_bound_is_refused_by_its_announced_length(self, world: AlertWorld) -> None:
        answer = await world.client.post("/api/v2/alerts", content=b" " * (MOST_BODY_BYTES + 1), headers=JSON)
        assert answer.status_code == 413
        assert f"{MOST_BODY_BYTES:,}" in answer.json()["message"]

    async def test_a_body_without_a_length_is_cut_off_at_the_bound(self, world: AlertWorld) -> None:
        async def endless() -> AsyncGenerator[bytes, None]:
            while True:
                yield b"[" * 1_000_000

        answer = await world.client.post("/api/v2/alerts", content=endless(), headers=JSON)
        assert answer.status_code == 413

    async def test_bodies_that_do_not_come_keep_nobody_out_for_long(
        self, world: AlertWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(alertmanager_alerts, "READ_SECONDS", 0.1)
        slow = {**JSON, "Content-Length": str(MOST_BODY_BYTES)}

        async def never() -> AsyncGenerator[bytes, None]:
            yield b"["
            await asyncio.sleep(20)

        posts = [world.client.post("/api/v2/alerts", content=never(), headers=slow) for _ in range(4)]
        assert {answer.status_code for answer in await asyncio.gather(*posts)} == {408}
        assert (await world.post(alert("Quick"))).status_code == 200

    async def test_gzip_is_taken_and_a_bomb_is_not_unpacked(self, world: AlertWorld) -> None:
        packed = {**JSON, "Content-Encoding": "gzip"}
        body = gzip.compress(json.dumps([alert("Packed")]).encode())
        assert (await world.client.post("/api/v2/alerts", content=body, headers=packed)).status_code == 200
        assert len(await world.listed("alertname=Packed")) == 1
        bomb = gzip.compress(b" " * (MOST_BODY_BYTES + 1))
        assert (await world.client.post("/api/v2/alerts", content=bomb, headers=packed)).status_code == 413
        no_gzip = await world.client.post("/api/v2/alerts", content=b"[]", headers=packed)
        assert no_gzip.status_code == 400
        other = {**JSON, "Content-Encoding": "br"}
        assert (await world.client.post("/api/v2/alerts", content=b"", headers=other)).status_code == 415

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"[" * 200_000, 400),
            (b'[{"labels":{"alertname":"x"},"more":' + b"[" * 200_000, 400),
            (b"\xff\xfe", 400),
            (b"[] []", 400),
            (b'[{"labels":{"alertname":"x"},"labels":{}}]', 400),
            (b'[{"labels":{"alertname":"x"}},{"labels":' + b"[" * 5_000 + b"]" * 5_000 + b"}]", 400),
        ],
    )
    async def test_what_is_no_list_of_alerts_is_refused_whole(
        self, world: AlertWorld, body: bytes, status: int
    ) -> None:
        answer = await world.client.post("/api/v2/alerts", content=body, headers=JSON)
        assert answer.status_code == status, answer.text
        assert await world.listed() == []

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            (b'{"labels":{"a":"\xff"}}', "not UTF-8"),
            (b'{"labels":{"a":"b"},"annotations":{"x":"\xc3("}}', "not UTF-8"),
            (b'{"labels":{"a":"x\\u0000y"}}', "NUL"),
            (b'{"labels":{"":"x"}}', "labels have a name"),
            (b'{"labels":{"a":"' + b"x" * 40_000 + b'"}}', "of value"),
            (b'{"labels":{"a":"' + b"x" * 70_000 + b'"}}', "65,536"),
            (json.dumps({"labels": {f"l{n}": "x" for n in range(300)}}).encode(), "up to 256"),
            (b'{"labels":{"a":"b"},"generatorURL":"' + b"/" * 20_000 + b'"}', "16,384"),
            (b'{"labels":' + b"[" * 500 + b"]" * 500 + b"}", "labels: "),
        ],
    )
    async def test_one_bad_alert_is_named_and_keeps_no_other_out(
        self, world: AlertWorld, bad: bytes, said: str
    ) -> None:
        body = b'[{"labels":{"alertname":"before"}},' + bad + b',{"labels":{"alertname":"after"}}]'
        answer = await world.client.post("/api/v2/alerts", content=body, headers=JSON)
        assert answer.status_code in (400, 422)
        assert "alert 1: " in answer.text
        assert said in answer.text
        assert {each["labels"]["alertname"] for each in await world.listed()} == {"before", "after"}


class TestWhoMay:
    async def test_a_token_is_asked_for_reading_and_writing(self, world: AlertWorld) -> None:
        async with world.as_("") as nobody, world.as_(VIEWER) as viewer:
            refused = await nobody.get("/api/v2/alerts")
            assert (refused.status_code, refused.json()["code"]) == (401, 401)
            assert "www-authenticate" in refused.headers
            assert (await viewer.get("/api/v2/alerts")).status_code == 200
            assert (await viewer.post("/api/v2/alerts", json=[])).status_code == 403
            assert (await viewer.post("/-/reload")).status_code == 403
            assert (await nobody.get("/-/healthy")).text == "OK"
            assert (await nobody.get("/-/ready")).text == "OK"

    async def test_where_it_is_open_nobody_is_asked_but_v1_still_asks(
        self, database: str, tmp_path: Path
    ) -> None:
        async with alert_world(database, tmp_path, open_api=True) as world, world.as_("") as nobody:
            assert (await nobody.post("/api/v2/alerts", json=[alert("Open")])).status_code == 200
            assert len((await nobody.get("/api/v2/alerts")).json()) == 1
            assert (await nobody.get("/api/v1/alerts")).status_code == 401

    async def test_a_page_of_another_origin_may_use_it_as_karma_does(self, world: AlertWorld) -> None:
        origin = {"Origin": "http://karma"}
        answer = await world.client.get("/api/v2/status", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "*"
        asked = await world.client.options("/api/v2/silences", headers=origin)
        assert "POST" in asked.headers["access-control-allow-methods"]


async def test_it_is_ready_when_the_log_is_read_whatever_else_is_waited_for(world: AlertWorld) -> None:
    world.waits.append(NotReady("streams", "replayed"))
    assert (await world.client.get("/-/ready")).status_code == 200
    world.waits.append(NotReady("alerts", "the log is being read"))
    answer = await world.client.get("/-/ready")
    assert (answer.status_code, answer.text) == (503, "alerts: the log is being read")


@pytest.mark.promise(1)
async def test_what_cannot_be_committed_is_503_with_a_time_to_come_back(
    world: AlertWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> list[int]:
        raise StoreUnavailable("away")

    monkeypatch.setattr(world.service.follower._store, "append_entries", away)
    answer = await world.post(alert("Lost"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert await world.listed() == []


@pytest.mark.promise(1)
async def test_what_was_answered_200_is_there_after_a_restart(database: str, tmp_path: Path) -> None:
    async with alert_world(database, tmp_path) as world:
        assert (await world.post(alert("Kept"))).status_code == 200
        made = await world.client.post(
            "/api/v2/silences",
            json={
                "matchers": [{"name": "alertname", "value": "Kept", "isRegex": False}],
                "startsAt": "2020-01-01T00:00:00Z",
                "endsAt": "2035-01-01T00:00:00Z",
                "createdBy": "ada",
                "comment": "c",
            },
        )
        # At once: what begins now has begun, also by a clock that counts milliseconds.
        (found,) = await world.listed("alertname=Kept")
        assert found["status"]["state"] == "suppressed"
    async with alert_world(database, tmp_path) as world:
        (found,) = await world.listed("alertname=Kept")
        assert found["status"]["silencedBy"] == [made.json()["silenceID"]]


async def test_a_long_list_is_sorted_whole_and_lets_others_have_their_turn(world: AlertWorld) -> None:
    for first in range(0, 10_000, 1_000):
        await world.post(*(alert("Storm", pod=str(number)) for number in range(first, first + 1_000)))
    parts, turns = list[bytes](), 0

    async def send(message: Any) -> None:
        parts.append(message.get("body", b""))

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    token = f"Bearer {VIEWER}".encode()
    scope = {"type": "http", "method": "GET", "path": "/api/v2/alerts", "query_string": b""}
    others = asyncio.create_task(take_turns())
    await world.app({**scope, "headers": [(b"authorization", token)]}, _nothing_more, send)
    others.cancel()
    found = [each["fingerprint"] for each in json.loads(b"".join(parts))]
    assert len(found) == 10_000
    assert found == sorted(found)
    assert turns > 10


async def _nothing_more() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
