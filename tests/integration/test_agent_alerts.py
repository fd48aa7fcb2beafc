"""The agent's door for alerts, over HTTP: accepted means synced, and what is wrong is named."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from agents.alerts import door as door_module
from agents.alerts.accepting import Accepting
from agents.alerts.door import Door
from agents.alerts.writing import SpoolWriter
from agents.clock import SystemClock
from agents.spool import Spool
from schemas.wire.alerts import Alert

Object = dict[str, Any]


@dataclass
class Shifted:
    """The clock of this machine, moved on by a test."""

    by: float = 0.0
    _clock: SystemClock = field(default_factory=SystemClock)

    def now(self) -> float:
        return self._clock.now() + self.by

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


@dataclass
class Served:
    """A door on a spool of its own."""

    spool: Spool
    clock: Shifted
    http: httpx.AsyncClient
    syncs: list[int]
    syncing: asyncio.Event
    ready: bool = True

    async def post(self, *alerts: Object | str, raw: bytes | None = None) -> httpx.Response:
        body = raw if raw is not None else json.dumps(alerts).encode()
        return await self.http.post("/api/v2/alerts", content=body)

    def spooled(self) -> list[Alert]:
        return [alert for batch in self.spool.after((0, 0), 100_000) for alert in batch.alerts]

    def names(self) -> list[str]:
        return [alert.labels["alertname"] for alert in self.spooled()]


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncGenerator[Served]:
    async for each in serve(tmp_path, 1000):
        yield each


async def serve(folder: Path, most_batches: int, *, disk_seconds: float = 0.0) -> AsyncGenerator[Served]:
    """disk_seconds: how long each sync takes, at least."""
    spool, clock = Spool(folder / "spool.sqlite", most_batches=most_batches), Shifted()
    spool.begin(1, renumber_from=1)
    syncs: list[int] = []
    syncing = asyncio.Event()
    with ThreadPoolExecutor(1) as executor:
        thread = partial(asyncio.get_running_loop().run_in_executor, executor)

        async def counted(work: Any) -> Any:
            syncs.append(1)
            syncing.set()

            def slow() -> Any:
                time.sleep(disk_seconds)
                return work()

            return await thread(slow)

        holder: list[Served] = []
        accepting = Accepting(SpoolWriter(spool, clock, counted), clock)
        door = Door(accepting, clock, version="1.2.3", ready=lambda: holder[0].ready)
        host, port = await door.open("127.0.0.1", 0)
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=30) as http:
            holder.append(Served(spool, clock, http, syncs, syncing))
            yield holder[0]
        await door.close()
    spool.close()


def posted(name: str = "Down", **rest: Any) -> Object:
    """As Prometheus sends one."""
    return {"labels": {"alertname": name, **rest.pop("labels", {})}, "annotations": {}, **rest}


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.promise(1)
async def test_what_is_answered_200_is_on_the_disk_as_it_was_reported(served: Served) -> None:
    now = served.clock.now()
    answer = await served.post(
        posted(
            "Down",
            labels={"instance": "a", "empty": ""},
            annotations={"summary": "it is down"},
            startsAt=at(now - 60),
            endsAt=at(now + 240),
            generatorURL="http://prometheus/graph",
        )
    )
    assert (answer.status_code, answer.content) == (200, b"")
    (alert,) = served.spooled()
    assert alert.labels == {"alertname": "Down", "instance": "a"}
    assert alert.annotations == {"summary": "it is down"}
    assert (alert.starts_at, alert.ends_at) == pytest.approx((now - 60, now + 240), abs=1e-3)
    assert alert.generator_url == "http://prometheus/graph"


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        pytest.param(None, None, (0, None), id="neither: it starts now, and the centre ends it"),
        pytest.param(None, 100, (100, 100), id="no start: its end, where that is said"),
        pytest.param(None, -100, (-100, -100), id="no start, and ended"),
        pytest.param(-10, None, (-10, None), id="no end: none is made up here"),
        pytest.param("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", (0, None), id="Go's zero time is none"),
    ],
)
async def test_times_that_are_not_said(
    served: Served, starts: Any, ends: Any, expected: tuple[float, float | None]
) -> None:
    now = served.clock.now()
    said = {"startsAt": starts, "endsAt": ends}
    times = {name: at(now + value) if isinstance(value, int) else value for name, value in said.items()}
    await served.post(posted(**{name: value for name, value in times.items() if value is not None}))
    (alert,) = served.spooled()
    assert alert.starts_at == pytest.approx(now + expected[0], abs=1.0)
    assert alert.ends_at == pytest.approx(now + expected[1] if expected[1] is not None else 0.0, abs=1.0)


async def test_an_agent_cannot_be_made_to_name_another_cluster(served: Served) -> None:
    answer = await served.post(posted(labels={"cluster": "somebody-elses"}))
    assert answer.status_code == 200
    assert served.spooled()[0].labels == {"alertname": "Down"}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        pytest.param({"labels": {}}, "alert 1: at least one label", id="no labels"),
        pytest.param({"labels": {"a": ""}}, "alert 1: at least one label", id="only empty labels"),
        pytest.param(
            {"labels": {"": "x", "alertname": "Y"}}, "(Y): a label or annotation without a name", id="name"
        ),
        pytest.param({"labels": {"alertname": 3}}, "Expected `str`, got `int` - at `$.labels", id="a number"),
        pytest.param({"annotations": {}}, "missing required field `labels`", id="labels missing"),
        pytest.param("nothing", "alert 1: Expected `object`", id="no object"),
        pytest.param(
            posted("Z", startsAt="2026-01-02T00:00:00Z", endsAt="2026-01-01T00:00:00Z"),
            "alert 1 (Z): endsAt lies before startsAt",
            id="ends before it starts",
        ),
        pytest.param(posted("Z", startsAt="yesterday"), "alert 1 (Z): Invalid RFC3339", id="no time"),
        pytest.param(posted("Z", startsAt="2026-01-02T00:00:00"), "a time with its offset", id="no offset"),
        pytest.param(
            posted("Z", labels={f"l{number}": "x" for number in range(200)}), "up to 128", id="many labels"
        ),
        pytest.param(posted("Z", annotations={"text": "x" * 70_000}), "up to 65536", id="large"),
        pytest.param(posted("Z", annotations={"text": "x" * 33_000}), "'text' is longer", id="a long text"),
        pytest.param(posted("Z", labels={"text": "a\0b"}), "'text' has a NUL character", id="NUL"),
        pytest.param(posted("Z", startsAt="9000-01-01T00:00:00Z"), "before the year 5138", id="far future"),
        pytest.param(posted("Z", startsAt="2099-01-01T00:00:00Z"), "there is no endsAt", id="not begun"),
    ],
)
async def test_what_cannot_be_taken_is_named_and_the_rest_is_kept(
    served: Served, bad: Any, says: str
) -> None:
    answer = await served.post(posted("Before"), bad, posted("After"))
    assert answer.status_code == 400
    assert says in answer.json()
    assert served.names() == ["Before", "After"]


async def test_invalid_utf8_in_one_alert_is_named_and_the_rest_is_kept(served: Served) -> None:
    good = json.dumps(posted("Good")).encode()
    answer = await served.post(raw=b'[{"labels":{"alertname":"B\xff\xfe"}},' + good + b"]")
    assert answer.status_code == 400
    assert "alert 0" in answer.json()
    assert served.names() == ["Good"]


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"null", b'[{"labels":', b"\xff\xfe", b"[" * 100_000], ids=lambda raw: repr(raw[:9])
)
async def test_what_is_no_list_of_alerts_is_refused_whole(served: Served, raw: bytes) -> None:
    answer = await served.post(raw=raw)
    assert answer.status_code == 400
    assert "a JSON list of alerts is expected" in answer.json()
    assert served.spooled() == []


async def test_a_body_too_large_is_refused_however_it_comes(served: Served) -> None:
    async def parts() -> AsyncGenerator[bytes]:
        for _ in range(20):
            yield b" " * 1024 * 1024

    for content in (b" " * (door_module.LARGEST_BODY_BYTES + 1), parts()):
        answer = await served.http.post("/api/v2/alerts", content=content)
        assert answer.status_code == 413, answer.text
    assert (await served.post(posted())).status_code == 200


@pytest.mark.promise(1)
async def test_a_flood_is_kept_whole_in_few_syncs_while_others_are_answered(served: Served) -> None:
    """As one Prometheus sends it: ten thousand alerts, 64 at once, over several connections."""
    alerts = [posted("Flood", labels={"instance": f"i{number}"}) for number in range(10_000)]
    parts = [alerts[start : start + 64] for start in range(0, len(alerts), 64)]
    room = asyncio.Semaphore(16)

    async def send(part: list[Object]) -> int:
        async with room:
            return (await served.post(*part)).status_code

    answered, busy = 0, 0

    async def others() -> None:
        nonlocal answered, busy
        while True:
            await served.http.get("/-/healthy")
            answered += 1
            busy += room.locked()
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(others())
    assert set(await asyncio.gather(*map(send, parts))) == {200}
    watching.cancel()
    assert answered >= 3
    assert busy >= answered // 2, "while all places were taken by the flood"
    seen: list[str] = []
    stamp = (0, 0)
    while batches := served.spool.after(stamp, 100):
        seen += [alert.labels["instance"] for batch in batches for alert in batch.alerts]
        stamp = batches[-1].stamp
    assert sorted(seen) == sorted(each["labels"]["instance"] for each in alerts)
    assert len(served.syncs) < len(parts)


async def test_one_batch_of_ten_thousand_is_split_into_messages(served: Served) -> None:
    alerts = [posted("Many", labels={"instance": f"i{number}"}) for number in range(10_000)]
    assert (await served.post(*alerts)).status_code == 200
    batches = served.spool.after((0, 0), 10_000)
    assert sum(len(batch.alerts) for batch in batches) == 10_000
    assert len(batches) > 10
    assert max(len(batch.body) for batch in batches) <= 256 * 1024


@pytest.mark.promise(1)
async def test_a_full_spool_says_when_to_come_again_and_takes_it_then(tmp_path: Path) -> None:
    async for served in serve(tmp_path, 1):
        assert (await served.post(posted("First"))).status_code == 200
        full = await served.post(posted("Second"))
        assert (full.status_code, full.headers["Retry-After"]) == (503, "5")
        assert "wait for the centre" in full.json()
        served.spool.trim((1, 1))
        assert (await served.post(posted("Second"))).status_code == 200
        assert served.names() == ["Second"]


async def test_who_asks_how_it_stands(served: Served) -> None:
    assert (await served.http.get("/-/healthy")).text == "OK"
    assert (await served.http.get("/-/ready")).status_code == 200
    served.ready = False
    assert (await served.http.get("/-/ready")).status_code == 503
    status = (await served.http.get("/api/v2/status")).json()
    assert status["versionInfo"]["version"] == "1.2.3"
    assert set(status) == {"cluster", "config", "uptime", "versionInfo"}


class TestRepeated:
    """A pair of Prometheus, each telling everything again every minute."""

    async def tell(self, served: Served, ends: float | None, **rest: Any) -> None:
        times = {} if ends is None else {"endsAt": at(served.clock.now() + ends)}
        assert (
            await served.post(posted(startsAt="2026-01-01T00:00:00Z", **times, **rest))
        ).status_code == 200

    async def test_what_fires_is_kept_fresh_and_not_repeated(self, served: Served) -> None:
        for _ in range(20):
            await self.tell(served, 240.0)
            await self.tell(served, 240.0)
            served.spool.sent_until = served.clock.now()
            served.clock.by += 60
        spooled = served.spooled()
        assert len(spooled) == 10, "every other minute, of one of the two"
        for before, after in pairwise(spooled):
            assert after.ends_at - before.ends_at <= 180, "told again before what was said is over"

    async def test_without_an_end_it_is_told_again_before_the_centre_ends_it(self, served: Served) -> None:
        for _ in range(10):
            await self.tell(served, None)
            served.spool.sent_until = served.clock.now()
            served.clock.by += 60
        assert len(served.spooled()) == 4

    async def test_while_its_last_report_cannot_be_sent_another_adds_nothing(self, served: Served) -> None:
        for _ in range(60):
            await self.tell(served, 240.0)
            served.clock.by += 60
        assert len(served.spooled()) == 1
        served.spool.sent_until = served.clock.now()
        await self.tell(served, 240.0)
        assert len(served.spooled()) == 2

    @pytest.mark.promise(1)
    async def test_every_change_and_every_end_passes_and_the_same_end_once(self, served: Served) -> None:
        await self.tell(served, 240.0)
        await self.tell(served, 240.0, annotations={"summary": "worse"})
        await self.tell(served, 120.0, annotations={"summary": "worse"})
        ended = at(served.clock.now() - 1)
        for _ in range(15):
            assert (
                await served.post(posted(startsAt="2026-01-01T00:00:00Z", endsAt=ended))
            ).status_code == 200
            served.clock.by += 60
        assert len(served.spooled()) == 4
        await self.tell(served, 240.0)
        assert len(served.spooled()) == 5, "and it fires again"

    @pytest.mark.promise(1)
    async def test_what_was_not_synced_is_not_taken_for_said(self, tmp_path: Path) -> None:
        async for served in serve(tmp_path, 0):
            assert (await served.post(posted("Down"))).status_code == 503
            assert (await served.post(posted("Down"))).status_code == 503


async def test_a_slow_disk_holds_up_who_waits_for_it_and_nobody_else(tmp_path: Path) -> None:
    async for served in serve(tmp_path, 1000, disk_seconds=2.0):
        posts = [asyncio.create_task(served.post(posted(f"A{number}"))) for number in range(50)]
        async with asyncio.timeout(10):
            await served.syncing.wait()
        assert (await served.http.get("/-/healthy")).status_code == 200
        assert served.spool.after((0, 0), 1) == []
        assert not any(each.done() for each in posts)
        assert {each.status_code for each in await asyncio.gather(*posts)} == {200}
        assert len(served.syncs) <= 4
        assert len(served.names()) == 50


@pytest.mark.promise(1)
async def test_killed_between_the_sync_and_the_answer_it_is_there_and_may_come_again(tmp_path: Path) -> None:
    script = tmp_path / "door.py"
    script.write_text(
        "import asyncio, sys\n"
        "from agents.alerts.accepting import Accepting\n"
        "from agents.alerts.door import Door\n"
        "from agents.alerts.writing import SpoolWriter\n"
        "from agents.clock import SystemClock\n"
        "from agents.spool import Spool\n"
        "async def main():\n"
        "    spool, clock = Spool(sys.argv[1]), SystemClock()\n"
        "    spool.begin(spool.incarnation + 1, renumber_from=spool.incarnation + 1)\n"
        "    accepting = Accepting(SpoolWriter(spool, clock), clock)\n"
        "    door = Door(accepting, clock, version='', ready=lambda: True)\n"
        "    print('AT', *await door.open('127.0.0.1', 0), flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "spool.sqlite"

    async def post(**environment: str) -> int:
        """0 where no answer came."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            str(path),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.getcwd(), **environment},
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(20):
                while not (line := await process.stdout.readline()).startswith(b"AT"):
                    assert line, "the door did not open"
            _, host, port = line.decode().split()
            async with httpx.AsyncClient() as http:
                answer = await http.post(f"http://{host}:{port}/api/v2/alerts", json=[posted("Fire")])
                return answer.status_code
        except httpx.TransportError:
            return 0
        finally:
            if process.returncode is None:
                try:
                    process.kill()
                except ProcessLookupError:
                    pass
            await process.wait()

    assert await post(MUSTER_FAILPOINTS="agent.after_alert_sync=1") == 0
    spool = Spool(path)
    assert [alert.labels["alertname"] for batch in spool.after((0, 0), 10) for alert in batch.alerts] == [
        "Fire"
    ]
    spool.close()
    assert await post() == 200
    spool = Spool(path)
    batches = spool.after((0, 0), 10)
    assert [batch.stamp for batch in batches] == [(1, 1), (2, 1)]
    spool.close()
