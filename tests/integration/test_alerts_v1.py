"""What /api/v1 adds to Alertmanager's API, and the commands over it: a real Postgres, a real webhook."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from controlplane.cli.main import run
from tests.circle import eventually
from tests.integration.alert_world import AlertWorld, alert_world
from tests.integration.api_world import ADMIN, VIEWER

FILE = """\
route:
  receiver: team
  group_wait: 50ms
  group_interval: 300ms
  group_by: [alertname]
  routes:
  - {{receiver: broken, matchers: ['to=broken']}}
receivers:
- {{name: team, webhook_configs: [{{url: '{url}/team'}}]}}
- {{name: broken, webhook_configs: [{{url: '{url}/broken'}}]}}
- {{name: nowhere}}
muster:
  silence_guard: {{max_share: 0.5, from_alerts: 4}}
"""


@dataclass
class Hook:
    """bodies: what /team was sent. /broken answers 400."""

    url: str
    bodies: list[dict[str, Any]]


async def served(app: Any) -> tuple[str, uvicorn.Server, "asyncio.Task[None]"]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by a flag only
        await asyncio.sleep(0.01)
    return f"http://127.0.0.1:{listener.getsockname()[1]}", server, serving


@pytest_asyncio.fixture
async def hook() -> AsyncGenerator[Hook, None]:
    bodies = list[dict[str, Any]]()

    async def take(request: Request) -> Response:
        if request.path_params["to"] == "broken":
            return Response("no such channel", 400)
        bodies.append(await request.json())
        return Response("ok")

    url, server, serving = await served(Starlette(routes=[Route("/{to}", take, methods=["POST"])]))
    yield Hook(url, bodies)
    server.should_exit = True
    await serving


@pytest_asyncio.fixture
async def world(database: str, tmp_path: Path, hook: Hook) -> AsyncGenerator[AlertWorld, None]:
    async with alert_world(database, tmp_path, FILE.format(url=hook.url)) as made:
        yield made


def alert(name: str, **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": name, **labels}}


async def read(world: AlertWorld, path: str, **query: Any) -> Any:
    answer = await world.client.get(f"/api/v1{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestAlerts:
    async def test_they_are_filtered_sorted_and_paged(self, world: AlertWorld) -> None:
        severities = ("critical", "warning")
        alerts = [alert("Disk", n=f"{number:02}", severity=severities[number % 2]) for number in range(30)]
        await world.post(*alerts)
        first = await read(world, "/alerts", filter="severity=critical", sort="-starts_at,name", limit=10)
        assert len(first["items"]) == 10
        asked = {"filter": "severity=critical", "sort": "-starts_at,name", "continue": first["next"]}
        rest = await read(world, "/alerts", limit=10, **asked)
        assert len(rest["items"]) == 5
        assert rest["next"] == ""
        (one,) = (await read(world, "/alerts", filter="n=07"))["items"]
        assert (one["state"], one["receivers"], one["name"]) == ("Firing", ["team"], "Disk")
        detail = await read(world, f"/alerts/{one['fingerprint']}")
        assert [group["key"] for group in detail["groups"]] == ['{}:{alertname="Disk"}']

    async def test_one_that_is_not_there_is_404(self, world: AlertWorld) -> None:
        assert (await world.client.get("/api/v1/alerts/0123456789abcdef")).status_code == 404

    @pytest.mark.promise(4)
    async def test_who_was_told_is_in_the_history_and_among_the_deliveries(
        self, world: AlertWorld, hook: Hook
    ) -> None:
        await world.post(alert("Told", host="h1"))
        page = await eventually(
            "it is told of",
            lambda: read(world, "/alert-history", what="Notified"),
            lambda page: page["items"],
        )
        (row,) = page["items"]
        assert (row["receiver"].partition("/")[0], row["labels"]["host"]) == ("team", "h1")
        assert hook.bodies[0]["alerts"][0]["fingerprint"] == row["fingerprint"]
        (delivery,) = (await read(world, "/alert-deliveries", receiver="team"))["items"]
        assert (delivery["delivered"], delivery["last"], delivery["number"]) == (True, True, 1)
        assert (await read(world, "/alert-deliveries", key=delivery["key"]))["items"] == [delivery]

    async def test_what_a_receiver_refused_is_in_the_history(self, world: AlertWorld) -> None:
        await world.post(alert("Refused", to="broken"))
        page = await eventually(
            "it failed",
            lambda: read(world, "/alert-history", what="DeliveryFailed"),
            lambda page: page["items"],
        )
        assert "400" in page["items"][0]["detail"]

    async def test_questions_that_cannot_be_answered_name_the_parameter(self, world: AlertWorld) -> None:
        for query, parameter in (
            ({"what": "Nothing"}, "what"),
            ({"label": "x"}, "label"),
            ({"continue": "x"}, "continue"),
        ):
            answer = await world.client.get("/api/v1/alert-history", params=query)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, parameter)

    async def test_somebody_takes_it_on(self, world: AlertWorld) -> None:
        await world.post(alert("Mine"), {**alert("Over"), "endsAt": "2024-01-01T00:00:00Z"})
        (one,) = (await read(world, "/alerts", filter="name=Mine"))["items"]
        where = f"/api/v1/alerts/{one['fingerprint']}/acknowledge"
        taken = await world.client.post(where, json={"comment": "on it"})
        assert (taken.status_code, taken.json()["alert"]["acknowledged_by"]) == (200, "ada")
        assert (await world.client.post(where, json={"comment": 7})).status_code == 422
        async with world.as_(VIEWER) as viewer:
            assert (await viewer.post(where, json={})).status_code == 403
        over = (await read(world, "/alerts", filter="name=Over"))["items"]
        if over:
            gone = await world.client.post(f"/api/v1/alerts/{over[0]['fingerprint']}/acknowledge", json={})
            assert gone.status_code == 409


class TestReceivers:
    async def test_a_trial_tells_what_was_answered(self, world: AlertWorld, hook: Hook) -> None:
        listed = (await read(world, "/alert-receivers"))["items"]
        assert [(each["name"], each["integrations"]) for each in listed] == [
            ("team", ["webhook[0]"]),
            ("broken", ["webhook[0]"]),
            ("nowhere", []),
        ]
        good = (await world.client.post("/api/v1/alert-receivers/team/test")).json()
        assert [(each["integration"], each["delivered"]) for each in good["results"]] == [
            ("webhook[0]", True)
        ]
        assert "Nothing is wrong" in hook.bodies[0]["commonAnnotations"]["description"]
        bad = (await world.client.post("/api/v1/alert-receivers/broken/test")).json()["results"][0]
        assert not bad["delivered"]
        assert "400" in bad["code"]
        assert "no such channel" in bad["detail"]
        assert (await world.client.post("/api/v1/alert-receivers/nowhere/test")).json()["results"] == []
        missing = await world.client.post("/api/v1/alert-receivers/none/test")
        assert (missing.status_code, "team, broken" in missing.json()["detail"]) == (404, True)


class TestSilences:
    async def make(self, world: AlertWorld, path: str = "/silences", **body: Any) -> Any:
        return await world.client.post(f"/api/v1{path}", json={"comment": "why", "for_seconds": 60, **body})

    async def test_they_are_made_listed_changed_and_expired(self, world: AlertWorld) -> None:
        made = await self.make(world, matchers=["alertname=Disk", 'host=~"a|b"'])
        assert made.status_code == 201, made.text
        row = made.json()
        assert (row["matchers"], row["created_by"], row["silencing"]) == (
            ['alertname="Disk"', 'host=~"a|b"'],
            "ada",
            True,
        )
        changed = await self.make(
            world, id=row["id"], matchers=row["matchers"], starts_at=row["starts_at"], for_seconds=600
        )
        assert (changed.status_code, changed.json()["id"]) == (200, row["id"])
        ended = await world.client.delete(f"/api/v1/silences/{row['id']}")
        assert ended.json()["state"] == "expired"
        assert (await world.client.delete(f"/api/v1/silences/{row['id']}")).status_code == 200
        assert (await read(world, "/silences", filter="state!=expired"))["items"] == []
        assert len((await read(world, "/silences"))["items"]) == 1

    async def test_one_that_returns(self, world: AlertWorld) -> None:
        made = await self.make(
            world,
            matchers=["a=b"],
            cron="0 3 * * *",
            duration_seconds=60,
            timezone="Europe/Berlin",
            for_seconds=86_400 * 30,
        )
        assert made.status_code == 201, made.text
        assert (made.json()["cron"], made.json()["state"]) == ("0 3 * * *", "active")

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"matchers": []}, "matchers"),
            ({"matchers": ["a"]}, "matchers[0]"),
            ({"matchers": ["a=~("]}, "matchers[0]"),
            ({"matchers": ['a=~".*"']}, "empty string"),
            ({"matchers": ["a=b"], "comment": ""}, "comment"),
            ({"matchers": ["a=b"], "ends_at": 5}, "either ends_at"),
            ({"matchers": ["a=b"], "for_seconds": -1}, "for_seconds"),
            ({"matchers": ["a=b"], "for_seconds": 0}, "before end time"),
            ({"matchers": ["a=b"], "for_seconds": 1e10}, "ten years"),
            ({"matchers": ["a=b"], "cron": "soon", "duration_seconds": 60}, "cron"),
            ({"matchers": ["a=b"], "cron": "0 3 * * *", "duration_seconds": 1}, "duration"),
            ({"matchers": ["a=b"], "duration_seconds": 60}, "cron"),
            ({"matchers": ["a=b"], "comment": "x\0"}, "NUL"),
            ({"matchers": ["a=b"], "more": 1}, "unknown field"),
        ],
    )
    async def test_what_is_none_is_refused_by_its_field(
        self, world: AlertWorld, body: dict[str, Any], said: str
    ) -> None:
        answer = await self.make(world, **body)
        assert answer.status_code == 422
        assert said in answer.text

    async def test_clients_of_alertmanager_see_when_one_that_returns_is_active(
        self, world: AlertWorld
    ) -> None:
        every = await self.make(world, matchers=["a=b"], cron="* * * * *", duration_seconds=60)
        year = {"cron": "0 0 1 1 *", "duration_seconds": 60, "for_seconds": 400 * 86_400}
        never = await self.make(world, matchers=["c=d"], **year)
        ids = {each.json()["id"]: each.json() for each in (every, never)}
        pending, active = {"expired": "false", "active": "false"}, {"expired": "false", "pending": "false"}
        for flags, made in ((active, every), (pending, never)):
            listed = (await world.client.get("/api/v2/silences", params=flags)).json()
            assert [each["id"] for each in listed if each["id"] in ids] == [made.json()["id"]]
        read = (await world.client.get(f"/api/v2/silence/{every.json()['id']}")).json()
        assert read["annotations"] == {"cron": "* * * * *", "duration": "60s", "timezone": "UTC"}
        changed = await world.client.post("/api/v2/silences", json={**read, "comment": "longer"})
        assert changed.json()["silenceID"] == read["id"]
        kept = (await world.client.get(f"/api/v1/silences/{read['id']}")).json()
        assert (kept["cron"], kept["comment"]) == ("* * * * *", "longer"), "it returns still"

    async def test_one_that_would_swallow_too_much_must_be_forced(self, world: AlertWorld) -> None:
        await world.post(*(alert("Any", n=str(number)) for number in range(6)))
        refused = await self.make(world, matchers=["alertname=Any"])
        assert refused.status_code == 409
        assert "6 of 6" in refused.json()["detail"]
        matcher = {"name": "alertname", "value": "Any", "isRegex": False}
        times = {"startsAt": "2020-01-01T00:00:00Z", "endsAt": "2035-01-01T00:00:00Z"}
        body = {"matchers": [matcher], **times, "createdBy": "ada", "comment": "c"}
        v2 = await world.client.post("/api/v2/silences", json=body)
        assert (v2.status_code, "6 of 6" in v2.json()) == (400, True)
        forced = await world.client.post("/api/v2/silences?force=true", json=body)
        assert forced.status_code == 200
        read = (await world.client.get(f"/api/v2/silence/{forced.json()['silenceID']}")).json()
        longer = await world.client.post("/api/v2/silences", json={**read, "endsAt": "2036-01-01T00:00:00Z"})
        assert (longer.status_code, longer.json()["silenceID"]) == (200, read["id"]), "it was forced once"
        await world.client.delete(f"/api/v2/silence/{read['id']}")
        assert (await self.make(world, matchers=["alertname=Any"], force=True)).status_code == 201
        assert {each["status"]["state"] for each in await world.listed("alertname=Any")} == {"suppressed"}

    async def test_maintenance_of_a_cluster_is_recorded_as_that(self, world: AlertWorld) -> None:
        made = await self.make(world, "/maintenance-windows", cluster="eu-1")
        assert (made.status_code, made.json()["maintenance"]) == (201, True)
        await world.post(alert("Planned", cluster="eu-1"))
        page = await eventually(
            "its reason is recorded",
            lambda: read(world, "/alert-history", what="Maintenance"),
            lambda page: page["items"],
        )
        assert page["items"][0]["labels"]["cluster"] == "eu-1"


Say = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture
async def muster(
    world: AlertWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncGenerator[Say, None]:
    url, server, serving = await served(world.app)
    # The loops run in this process, and log to where a command prints.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    monkeypatch.setenv("MUSTER_URL", url)
    monkeypatch.setenv("MUSTER_TOKEN", ADMIN)
    monkeypatch.setenv("MUSTER_CONTEXT", str(tmp_path / "context.json"))

    async def say(*arguments: str, expect: int = 0) -> str:
        capsys.readouterr()
        code = await asyncio.to_thread(run, arguments)
        said = capsys.readouterr()
        assert code == expect, (arguments, said.out, said.err)
        return said.out + (said.err if expect else "")

    yield say
    structlog.reset_defaults()
    server.should_exit = True
    await serving


class TestCommands:
    async def test_alerts_are_listed_shown_taken_on_and_told_of(self, world: AlertWorld, muster: Say) -> None:
        await world.post(alert("Disk", host="h1", severity="critical"), alert("Net", host="h2"))
        said = await muster("alerts")
        assert said.index("Disk") < said.index("Net")
        assert "host=h1" in said
        (fingerprint,) = (await muster("alerts", "-l", "host=h1", "-o", "name")).split()
        listed = json.loads(await muster("alerts", "list", "-o", "json"))
        assert [each["name"] for each in listed] == ["Disk", "Net"]
        assert "acknowledged by ada" in await muster("alerts", "ack", fingerprint, "--comment", "on it")
        assert "acknowledged_by: ada" in await muster("alerts", "show", fingerprint)
        await eventually(
            "it is told of",
            lambda: read(world, "/alert-history", fingerprint=fingerprint, what="Notified"),
            lambda page: page["items"],
        )
        assert "Notified" in await muster("alerts", "history", fingerprint)
        assert "delivered" in await muster("alerts", "deliveries", "team")
        await muster("alerts", "ack", "0" * 16, expect=1)
        await muster("alerts", "history", "what?", expect=2)

    async def test_a_receiver_is_tried(self, muster: Say) -> None:
        assert "delivered" in await muster("alerts", "test", "team")
        assert "no such channel" in await muster("alerts", "test", "broken", expect=1)
        assert "goes nowhere" in await muster("alerts", "test", "nowhere", expect=1)

    async def test_silences_are_added_listed_and_expired(self, world: AlertWorld, muster: Say) -> None:
        made = (await muster("silence", "add", "alertname=Disk", "--for", "1h", "-m", "why")).strip()
        every = ["--cron", "0 3 * * *", "--duration", "30m", "-m", "nightly"]
        nightly = (await muster("silence", "add", "job=backup", *every)).strip()
        planned = ["--cluster", "eu-1", "--for", "2h", "-m", "upgrade"]
        window = (await muster("silence", "add", *planned)).strip()
        said = await muster("silence", "list")
        assert [each for each in (made, nightly, window, "maintenance", "each") if each not in said] == []
        await muster("silence", "expire", made)
        assert made not in (await muster("silence", "list", "-o", "name")).split()
        assert made in (await muster("silence", "list", "--expired", "-o", "name")).split()
        assert "comment: why" in await muster("silence", "show", made)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["alertname=x"],
            ["--for", "1h"],
            ["a=b", "--cluster", "c", "--for", "1h"],
            ["a=b", "--for", "soon"],
            ["a=b", "--for", "1h", "--until", "2035-01-01T00:00:00Z"],
            ["a=b", "--cron", "0 3 * * *"],
            ["a=b", "--for", "1h", "--duration", "1h"],
        ],
    )
    async def test_what_is_not_understood_is_2(self, muster: Say, arguments: list[str]) -> None:
        await muster("silence", "add", *arguments, "-m", "c", expect=2)
