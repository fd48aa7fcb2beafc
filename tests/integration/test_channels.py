"""The ways out, against servers that listen: what is sent, what an answer means, and who is not called."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from email import message_from_string, policy
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from controlplane.alerts.alert import Alert
from controlplane.alerts.compile import read_configuration
from controlplane.alerts.flushing import OWNERS_EMAIL
from controlplane.alerts.notice import Answer, Notice, Why
from controlplane.channels import guard, http
from controlplane.channels.sending import AsyncChannels
from controlplane.template_files import load_templates
from tests.integration.receivers import HttpReceiver, SmtpReceiver, certificate, says, says_json

NOW = 1_700_000_100.0
KEY = "c0ffee00" * 8


def alert(number: int, annotations: dict[str, str] | None = None, **more: str) -> Alert:
    labels = {"alertname": "DiskFull", "cluster": "eu-1", "instance": f"node-{number}", **more}
    said = {"summary": f"disk of node-{number} is full", **(annotations or {})}
    return Alert(
        f"{number:016x}",
        dict(sorted(labels.items())),
        said,
        NOW - 60,
        NOW + 60,
        NOW,
        generator_url="http://p/g",
    )


def notice(*alerts: Alert, kind: str = "webhook", resolved: bool = False, receiver: str = "team") -> Notice:
    chosen = alerts or (alert(1),)
    prints = frozenset(each.fingerprint for each in chosen)
    none = frozenset[str]()
    return Notice(
        key=KEY,
        group_key='{}:{alertname="DiskFull"}',
        receiver=receiver,
        integration=f"{kind}[0]",
        why=Why.FIRST,
        at=NOW,
        deadline=NOW + 300,
        group_labels={"alertname": "DiskFull"},
        alerts=chosen,
        firing=none if resolved else prints,
        resolved=prints if resolved else none,
    )


Start = Callable[..., AsyncChannels]


@pytest.fixture
async def starting() -> AsyncGenerator[Start, None]:
    """AsyncChannels of one receiver `team` with one integration."""
    started = list[AsyncChannels]()

    def start(
        kind: str, now: Callable[[], float] = lambda: NOW, globals_: Any = None, **settings: Any
    ) -> AsyncChannels:
        file = {
            "global": globals_ or {},
            "route": {"receiver": "team"},
            "receivers": [{"name": "team", f"{kind}_configs": [settings]}],
        }
        configuration = read_configuration(yaml.safe_dump(file))
        channels = AsyncChannels(configuration, load_templates(configuration), "http://muster", now)
        started.append(channels)
        return channels

    yield start
    for channels in started:
        await channels.close()


@pytest.fixture
async def receiver() -> AsyncGenerator[HttpReceiver, None]:
    server = HttpReceiver(says())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def mailing() -> AsyncGenerator[Callable[..., Awaitable[SmtpReceiver]], None]:
    started = list[SmtpReceiver]()

    async def start(**options: Any) -> SmtpReceiver:
        server = SmtpReceiver(**options)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()


@pytest.fixture(scope="module")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> Generator[Any, None, None]:
    return certificate(tmp_path_factory.mktemp("tls"))


# The webhook


async def test_a_webhook_gets_version_4_with_its_keys_in_order_and_an_idempotency_key(
    starting: Start, receiver: HttpReceiver
) -> None:
    answer = await starting("webhook", url=receiver.url("/hook")).send(notice(alert(1), alert(2)))
    assert answer == Answer(delivered=True, code="HTTP 200", detail="ok")
    [sent] = receiver.got
    assert (sent.method, sent.path) == ("POST", "/hook")
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.headers["Idempotency-Key"] == KEY
    assert ",".join(sent.json) == (
        "receiver,status,alerts,groupLabels,commonLabels,commonAnnotations,externalURL,version,groupKey,"
        "truncatedAlerts"
    )
    assert ",".join(sent.json["alerts"][0]) == (
        "status,labels,annotations,startsAt,endsAt,generatorURL,fingerprint"
    )
    assert sent.json["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert sent.json["alerts"][0]["startsAt"] == "2023-11-14T22:14:00Z"


async def test_max_alerts_says_how_many_it_left_out(starting: Start, receiver: HttpReceiver) -> None:
    channels = starting("webhook", url=receiver.url(), max_alerts=2)
    await channels.send(notice(*(alert(number) for number in range(5))))
    body = receiver.got[0].json
    assert (len(body["alerts"]), body["truncatedAlerts"]) == (2, 3)


async def test_ten_thousand_alerts_go_out_while_others_are_served(
    starting: Start, receiver: HttpReceiver
) -> None:
    storm = starting("webhook", url=receiver.url()).send(notice(*(alert(number) for number in range(10_000))))
    # Of this thread's own work: what others on the machine do meanwhile holds up nobody here.
    task, longest, before = asyncio.create_task(storm), 0.0, time.thread_time()
    while not task.done():
        await asyncio.sleep(0.005)
        longest, before = max(longest, time.thread_time() - before), time.thread_time()
    assert task.result().delivered
    assert len(receiver.got[0].json["alerts"]) == 10_000
    assert longest < 1.0


@pytest.mark.parametrize(
    ("status", "headers", "delivered", "retry", "after"),
    [
        pytest.param(200, {}, True, False, None, id="200"),
        pytest.param(204, {}, True, False, None, id="204"),
        pytest.param(400, {}, False, False, None, id="400 is in vain"),
        pytest.param(404, {"Retry_After": "5"}, False, False, None, id="404 is in vain, whatever it says"),
        pytest.param(429, {}, False, True, None, id="429"),
        pytest.param(429, {"Retry_After": "7"}, False, True, 7.0, id="429 in seconds"),
        pytest.param(
            429, {"Retry_After": "Tue, 14 Nov 2023 22:16:00 GMT"}, False, True, 60.0, id="429 by date"
        ),
        pytest.param(
            429, {"Retry_After": "Tue, 14 Nov 2017 22:16:00 GMT"}, False, True, 0.0, id="a date gone by"
        ),
        pytest.param(429, {"Retry_After": "soon"}, False, True, None, id="429 with nonsense"),
        pytest.param(429, {"Retry_After": "9999999"}, False, True, 3600.0, id="429 for ever is an hour"),
        pytest.param(503, {"Retry_After": "3"}, False, True, 3.0, id="503"),
        pytest.param(500, {}, False, True, None, id="500"),
        pytest.param(304, {}, False, False, None, id="304 is no redirect and no success"),
    ],
)
async def test_what_a_status_means(
    starting: Start,
    receiver: HttpReceiver,
    status: int,
    headers: dict[str, str],
    delivered: bool,
    retry: bool,
    after: float | None,
) -> None:
    receiver.answer = says(status, "" if status in {204, 304} else "no", **headers)
    answer = await starting("webhook", url=receiver.url()).send(notice())
    assert (answer.delivered, answer.retry, answer.retry_after_seconds) == (delivered, retry, after)


async def test_credentials_and_headers_come_from_http_config_and_files(
    starting: Start, receiver: HttpReceiver, tmp_path: Path
) -> None:
    (tmp_path / "word").write_text("open-sesame\n")
    (tmp_path / "url").write_text(receiver.url("/by-file") + "\n")
    basic = {"username": "muster", "password_file": str(tmp_path / "word")}
    config = {"basic_auth": basic, "http_headers": {"X-Team": {"values": ["a"], "secrets": ["b"]}}}
    await starting("webhook", url_file=str(tmp_path / "url"), http_config=config).send(notice())
    [sent] = receiver.got
    assert sent.path == "/by-file"
    assert sent.headers["Authorization"] == f"Basic {base64.b64encode(b'muster:open-sesame').decode()}"
    assert sent.headers["X-Team"] == "a, b"
    bearer = {"authorization": {"credentials": "tok-1234567"}}
    await starting("webhook", url=receiver.url(), http_config=bearer).send(notice())
    assert receiver.got[1].headers["Authorization"] == "Bearer tok-1234567"


async def test_a_secret_file_that_is_gone_is_worth_another_attempt(starting: Start, tmp_path: Path) -> None:
    answer = await starting("webhook", url_file=str(tmp_path / "gone")).send(notice())
    assert (answer.delivered, answer.retry) == (False, True)
    assert "gone cannot be read" in answer.detail


async def test_secrets_are_in_no_answer(starting: Start, receiver: HttpReceiver) -> None:
    async def echoes(request: web.Request, _: bytes) -> web.Response:
        said = f"{request.url} {request.headers['Authorization']} bad\x1b[31m\nkey"
        return web.Response(status=403, text=said)

    receiver.answer = echoes
    config = {"authorization": {"credentials": "tok-1234567"}}
    url = receiver.url("/hook/T0ken-in-a-path?access_token=s3cret-s3cret")
    answer = await starting("webhook", url=url, http_config=config).send(notice())
    assert answer.code == "HTTP 403"
    for secret in ("T0ken-in-a-path", "s3cret-s3cret", "tok-1234567", "\x1b", "\n"):
        assert secret not in answer.detail
    assert "bad" in answer.detail


async def test_tls_is_checked_unless_the_settings_say_otherwise(
    starting: Start, own_certificate: Any
) -> None:
    cert, context = own_certificate
    server = HttpReceiver(says())
    await server.start(context)
    url = server.url(host="localhost")
    unknown = await starting("webhook", url=url).send(notice())
    assert (unknown.delivered, unknown.retry) == (False, True)
    assert "certificate" in unknown.detail.lower()
    for tls in ({"ca_file": str(cert)}, {"ca": cert.read_text()}, {"insecure_skip_verify": True}):
        assert (await starting("webhook", url=url, http_config={"tls_config": tls}).send(notice())).delivered
    await server.stop()


# Receivers that misbehave


async def test_a_receiver_that_hangs_ends_at_its_timeout_and_slows_no_other(
    starting: Start, receiver: HttpReceiver
) -> None:
    released = asyncio.Event()

    async def hangs(_: web.Request, __: bytes) -> web.Response:
        await released.wait()
        return web.Response()

    receiver.answer = hangs
    slow = starting("webhook", url=receiver.url(), timeout="2s")
    waiting = [asyncio.create_task(slow.send(notice())) for _ in range(8)]
    good = HttpReceiver(says())
    await good.start()
    assert (await starting("webhook", url=good.url()).send(notice())).delivered
    assert not any(task.done() for task in waiting)
    answers = await asyncio.gather(*waiting)
    assert {(answer.delivered, answer.retry) for answer in answers} == {(False, True)}
    assert answers[0].detail == "no answer within 2 s"
    released.set()
    await good.stop()


async def test_a_body_without_end_is_cut_and_its_status_counts(
    starting: Start, receiver: HttpReceiver
) -> None:
    async def floods(request: web.Request, _: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(10_000):
                await response.write(b"x" * 65_536)
        except OSError:
            pass
        return response

    receiver.answer = floods
    answer = await starting("webhook", url=receiver.url()).send(notice())
    assert answer.delivered
    assert len(answer.detail) < 600


async def test_a_body_that_drips_does_not_hold_the_status_up(
    starting: Start, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_BODY_SECONDS", 0.2)

    async def drips(request: web.Request, _: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"taken")
        await asyncio.sleep(30)
        return response

    receiver.answer = drips
    assert await starting("webhook", url=receiver.url()).send(notice()) == Answer(
        True, code="HTTP 200", detail="taken"
    )


async def test_garbage_instead_of_http_is_worth_another_attempt(starting: Start) -> None:
    async def babbles(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xff\xfe garbage \r\n\r\n" * 100)
        writer.close()

    server = await asyncio.start_server(babbles, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answer = await starting("webhook", url=f"http://127.0.0.1:{port}/").send(notice())
    assert (answer.delivered, answer.retry, answer.code) == (False, True, "")
    server.close()


async def test_nobody_there_is_worth_another_attempt(starting: Start, receiver: HttpReceiver) -> None:
    url = receiver.url()
    await receiver.stop()
    answer = await starting("webhook", url=url).send(notice())
    assert (answer.delivered, answer.retry) == (False, True)
    assert answer.detail.startswith(f"127.0.0.1:{receiver.port}: ")


# Redirects


async def test_a_redirect_keeps_the_message_and_leaves_credentials_behind(
    starting: Start, receiver: HttpReceiver
) -> None:
    other = HttpReceiver(says())
    await other.start()
    receiver.answer = says(307, Location=other.url("/moved"))
    config = {"authorization": {"credentials": "tok-1234567"}}
    answer = await starting("webhook", url=receiver.url(), http_config=config).send(notice())
    assert answer.delivered
    assert other.got[0].json == receiver.got[0].json
    assert "Authorization" not in other.got[0].headers
    await other.stop()


async def test_redirects_end(starting: Start, receiver: HttpReceiver) -> None:
    receiver.answer = says(308, Location="/again")
    answer = await starting("webhook", url=receiver.url()).send(notice())
    assert (answer.delivered, answer.retry, len(receiver.got)) == (False, False, 4)


@pytest.mark.parametrize(
    ("status", "location"),
    [(303, "/by-get"), (302, "file:///etc/passwd"), (301, "gopher://x/"), (302, ""), (302, "http://[bad/")],
)
async def test_redirects_that_would_lose_the_message_are_not_followed(
    starting: Start, receiver: HttpReceiver, status: int, location: str
) -> None:
    receiver.answer = says(status, Location=location)
    answer = await starting("webhook", url=receiver.url()).send(notice())
    assert (answer.delivered, answer.retry, len(receiver.got)) == (False, False, 1)


async def test_follow_redirects_false_takes_the_redirect_for_the_answer(
    starting: Start, receiver: HttpReceiver
) -> None:
    receiver.answer = says(307, Location="/moved")
    config = {"follow_redirects": False}
    answer = await starting("webhook", url=receiver.url(), http_config=config).send(notice())
    assert (answer.delivered, answer.code, len(receiver.got)) == (False, "HTTP 307", 1)


PUBLIC = "127.0.0.77"
"""Stands in for an address outside: the machine of a test has loopback only."""


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:7f00:1]:{port}/"]
)
async def test_a_receiver_outside_cannot_send_us_inside(
    starting: Start, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    real = guard.is_internal
    monkeypatch.setattr(guard, "is_internal", lambda address: address != PUBLIC and real(address))
    outside = HttpReceiver(says(302, Location=target.format(port=receiver.port)), host=PUBLIC)
    await outside.start()
    answer = await starting("webhook", url=outside.url()).send(notice())
    assert not answer.delivered
    assert not answer.retry
    assert "internal address" in answer.detail
    assert receiver.got == []
    await outside.stop()


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
    ],
)
async def test_a_receiver_inside_cannot_send_us_to_what_tells_credentials(
    starting: Start, receiver: HttpReceiver, target: str
) -> None:
    receiver.answer = says(307, Location=target)
    answer = await starting("webhook", url=receiver.url()).send(notice())
    assert (answer.delivered, answer.retry) == (False, False)
    assert "internal address" in answer.detail


@pytest.mark.parametrize(
    ("host", "told"),
    [
        pytest.param("127.0.0.1", True, id="named in the file"),
        pytest.param("{{ '127.0.0.1' }}", False, id="filled in: an address"),
        pytest.param("{{ 'localhost' }}", False, id="filled in: a name"),
    ],
)
async def test_whoever_sends_an_alert_cannot_choose_an_address_inside(
    starting: Start, receiver: HttpReceiver, host: str, told: bool
) -> None:
    url = f"http://{host}:{receiver.port}/{{{{ 'path' }}}}"
    answer = await starting("webhook", url=url).send(notice())
    assert (answer.delivered, bool(receiver.got)) == (told, told), answer
    assert told or "internal address" in answer.detail


async def test_a_name_that_changes_its_mind_is_checked_where_it_is_connected(
    receiver: HttpReceiver,
) -> None:
    """What the guarded resolver gives is what the connection takes: no second look-up in between."""

    class Rebinding(guard.AbstractResolver):
        asked = 0

        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
            self.asked += 1
            return [
                {"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}
            ]

        async def close(self) -> None: ...

    rebinding = Rebinding()
    with pytest.raises(guard.InternalAddress):
        await guard.GuardedResolver(rebinding).resolve("rebound.example", receiver.port)
    assert rebinding.asked == 1


# Robots


async def test_dingtalk_is_signed_and_success_is_errcode_0(starting: Start, receiver: HttpReceiver) -> None:
    receiver.answer = says_json({"errcode": 0, "errmsg": "ok"})
    channels = starting(
        "dingtalk",
        url=receiver.url("/robot/send?access_token=abcdefgh"),
        secret="SEC1",
        at={"mobiles": ["138"]},
    )
    assert await channels.send(notice(kind="dingtalk")) == Answer(True, code="errcode 0", detail="ok")
    [sent] = receiver.got
    said = f"{sent.query['timestamp']}\nSEC1".encode()
    assert sent.query["timestamp"] == str(int(NOW * 1000))
    assert sent.query["sign"] == base64.b64encode(hmac.new(b"SEC1", said, sha256).digest()).decode()
    assert sent.json["msgtype"] == "markdown"
    assert sent.json["markdown"]["title"] == "[FIRING:1] DiskFull (eu-1 node-1)"
    assert "disk of node-1 is full" in sent.json["markdown"]["text"]
    assert sent.json["markdown"]["text"].endswith("@138")
    assert sent.json["at"] == {"atMobiles": ["138"], "atUserIds": [], "isAtAll": False}


async def test_feishu_is_signed_in_its_body(starting: Start, receiver: HttpReceiver) -> None:
    receiver.answer = says_json({"code": 0, "msg": "success"})
    channels = starting("feishu", url=receiver.url(), secret="s")
    assert (await channels.send(notice(kind="feishu"))).delivered
    body = receiver.got[0].json
    key = f"{int(NOW)}\ns".encode()
    assert body["timestamp"] == str(int(NOW))
    assert body["sign"] == base64.b64encode(hmac.new(key, b"", sha256).digest()).decode()
    assert body["msg_type"] == "interactive"
    assert body["card"]["header"]["template"] == "red"


async def test_wecom_calls_people_in_a_text(starting: Start, receiver: HttpReceiver) -> None:
    receiver.answer = says_json({"errcode": 0, "errmsg": "ok"})
    channels = starting("wecom", url=receiver.url("/?key=k"), message_type="text", mentioned=["@all"])
    assert (await channels.send(notice(kind="wecom", resolved=True))).delivered
    assert receiver.got[0].json["text"]["mentioned_list"] == ["@all"]
    assert receiver.got[0].json["text"]["content"].startswith("[RESOLVED] DiskFull")


@pytest.mark.parametrize(
    ("kind", "body", "code", "retry", "after"),
    [
        ("dingtalk", {"errcode": 310000, "errmsg": "sign not match"}, "errcode 310000", False, None),
        ("dingtalk", {"errcode": 130101, "errmsg": "send too fast"}, "errcode 130101", True, 60.0),
        ("dingtalk", {"errcode": 999, "errmsg": "send too fast, exceed 20"}, "errcode 999", True, 60.0),
        ("dingtalk", {"errcode": -1, "errmsg": "busy"}, "errcode -1", True, None),
        ("feishu", {"code": 9499, "msg": "too many request"}, "code 9499", True, 30.0),
        ("feishu", {"code": 11232, "msg": "frequency limited"}, "code 11232", True, 30.0),
        ("feishu", {"code": 19021, "msg": "sign match fail"}, "code 19021", False, None),
        ("wecom", {"errcode": 45009, "errmsg": "api freq out of limit"}, "errcode 45009", True, 60.0),
        ("wecom", {"errcode": 93000, "errmsg": "invalid webhook url"}, "errcode 93000", False, None),
        ("wecom", {"hello": 1}, "HTTP 200", True, None),
        ("wecom", "captive portal", "HTTP 200", True, None),
    ],
)
async def test_http_200_of_a_robot_is_no_success(
    starting: Start,
    receiver: HttpReceiver,
    kind: str,
    body: Any,
    code: str,
    retry: bool,
    after: float | None,
) -> None:
    receiver.answer = says_json(body)
    answer = await starting(kind, url=receiver.url()).send(notice(kind=kind))
    assert (answer.delivered, answer.code, answer.retry) == (False, code, retry)
    assert answer.retry_after_seconds == after


@pytest.mark.parametrize(
    ("kind", "most", "content"),
    [
        ("dingtalk", 20_000, lambda body: body["markdown"]["text"]),
        ("feishu", 30 * 1024, lambda body: body["card"]["elements"][0]["content"]),
        ("wecom", 4_096, lambda body: body["markdown"]["content"]),
    ],
)
async def test_a_message_is_cut_between_alerts_and_says_how_many_more(
    starting: Start, receiver: HttpReceiver, kind: str, most: int, content: Callable[[Any], str]
) -> None:
    receiver.answer = says_json({"errcode": 0, "code": 0})
    alerts = [alert(number, {"summary": f'磁盘已满 "{number}" 💾 end'}) for number in range(400)]
    assert (await starting(kind, url=receiver.url()).send(notice(*alerts, kind=kind))).delivered
    body = receiver.got[0].body
    text = content(json.loads(body))
    told = text.count("💾 end")
    assert len(text.encode() if kind == "wecom" else body) <= most
    assert 5 < told < 400
    assert text.endswith(f"… {400 - told} more")
    assert "[FIRING:400]" in body.decode()


async def test_one_alert_that_is_too_long_is_cut_inside_of_no_character(
    starting: Start, receiver: HttpReceiver
) -> None:
    receiver.answer = says_json({"errcode": 0})
    await starting("wecom", url=receiver.url()).send(
        notice(alert(1, {"summary": "磁" * 5_000}), kind="wecom")
    )
    text = receiver.got[0].json["markdown"]["content"]
    assert 4_000 < len(text.encode()) <= 4_096
    assert text.endswith("磁…")


# Slack, PagerDuty, and the others


async def test_slack_gets_one_attachment(starting: Start, receiver: HttpReceiver) -> None:
    channels = starting(
        "slack",
        api_url=receiver.url("/services/T/B/abcdefghijkl"),
        channel="#ops",
        fields=[{"title": "a", "value": "{{ .Status }}"}],
    )
    assert await channels.send(notice(kind="slack")) == Answer(delivered=True, code="ok")
    body = receiver.got[0].json
    [attachment] = body["attachments"]
    assert (body["channel"], body["username"]) == ("#ops", "Alertmanager")
    assert attachment["title"] == "[FIRING:1] DiskFull (eu-1 node-1)"
    assert attachment["title_link"] == "http://muster/#/alerts?receiver=team"
    assert attachment["color"] == "danger"
    assert attachment["fields"] == [{"title": "a", "value": "firing", "short": False}]


@pytest.mark.parametrize(
    ("answers", "code", "retry"),
    [
        (says_json({"ok": False, "error": "channel_not_found"}), "channel_not_found", False),
        (says_json({"ok": False, "error": "ratelimited"}), "ratelimited", True),
        (says(200, "invalid_payload"), "HTTP 200", False),
        (says(404, "no_team"), "HTTP 404", False),
    ],
)
async def test_slack_says_no_in_many_ways(
    starting: Start, receiver: HttpReceiver, answers: Any, code: str, retry: bool
) -> None:
    receiver.answer = answers
    answer = await starting("slack", api_url=receiver.url(), channel="#x").send(notice(kind="slack"))
    assert (answer.delivered, answer.code, answer.retry) == (False, code, retry)


async def test_pagerduty_opens_and_resolves_one_incident_a_group(
    starting: Start, receiver: HttpReceiver
) -> None:
    receiver.answer = says_json({"status": "success"}, 202)
    channels = starting(
        "pagerduty",
        routing_key="R0UT1NG",
        url=receiver.url("/v2/enqueue"),
        details={"team": "{{ .CommonLabels.cluster }}"},
    )
    for resolved in (False, True):
        assert (await channels.send(notice(kind="pagerduty", resolved=resolved))).code == "HTTP 202"
    opened, closed = (each.json for each in receiver.got)
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"] == sha256(b'{}:{alertname="DiskFull"}').hexdigest()
    assert opened["payload"]["severity"] == "error"
    assert opened["payload"]["custom_details"]["team"] == "eu-1"
    assert opened["payload"]["custom_details"]["num_firing"] == "1"


async def test_pagerduty_says_what_was_wrong(starting: Start, receiver: HttpReceiver) -> None:
    receiver.answer = says_json({"message": "Event object is invalid", "errors": ["bad key"]}, 400)
    channels = starting("pagerduty", routing_key="R0UT1NG", url=receiver.url())
    answer = await channels.send(notice(kind="pagerduty"))
    assert (answer.code, answer.retry, answer.detail) == (
        "HTTP 400",
        False,
        "Event object is invalid: bad key",
    )


@pytest.mark.parametrize(
    ("kind", "settings", "reply", "path", "part"),
    [
        (
            "opsgenie",
            {"api_key": "kkkkkkkk", "api_url": "{url}"},
            says_json({}, 202),
            "/v2/alerts",
            {
                "message": "[FIRING:1] DiskFull (eu-1 node-1)",
                "source": "http://muster/#/alerts?receiver=team",
            },
        ),
        (
            "victorops",
            {"api_key": "kkkkkkkk", "api_url": "{url}", "routing_key": "ops"},
            says(),
            "/kkkkkkkk/ops",
            {"message_type": "CRITICAL", "monitoring_tool": "Alertmanager"},
        ),
        (
            "telegram",
            {"bot_token": "1:abcdefgh", "api_url": "{url}", "chat_id": -5},
            says_json({"ok": True}),
            "/bot1:abcdefgh/sendMessage",
            {"chat_id": -5, "parse_mode": "HTML", "disable_web_page_preview": True},
        ),
        ("discord", {"webhook_url": "{url}hook"}, says(204, ""), "/hook", {"content": ""}),
        ("msteams", {"webhook_url": "{url}hook"}, says(200, "1"), "/hook", {"type": "MessageCard"}),
        ("msteamsv2", {"webhook_url": "{url}hook"}, says(202, ""), "/hook", {"type": "message"}),
        (
            "webex",
            {"api_url": "{url}", "room_id": "r", "http_config": {"authorization": {"credentials": "t"}}},
            says(),
            "/",
            {"roomId": "r"},
        ),
        (
            "rocketchat",
            {"api_url": "{url}", "token": "t", "token_id": "u", "channel": "#x"},
            says_json({"success": True}),
            "/api/v1/chat.postMessage",
            {"channel": "#x"},
        ),
    ],
)
async def test_services_of_alertmanager_get_their_messages(
    starting: Start,
    receiver: HttpReceiver,
    kind: str,
    settings: dict[str, Any],
    reply: Any,
    path: str,
    part: dict[str, Any],
) -> None:
    receiver.answer = reply
    filled = {k: v.format(url=receiver.url()) if isinstance(v, str) else v for k, v in settings.items()}
    answer = await starting(kind, **filled).send(notice(kind=kind))
    assert answer.delivered, answer
    [sent] = receiver.got
    assert sent.path == path
    assert sent.json.items() >= part.items()


async def test_telegram_says_how_long_to_wait(starting: Start, receiver: HttpReceiver) -> None:
    body = {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests",
        "parameters": {"retry_after": 35},
    }
    receiver.answer = says_json(body, 429)
    channels = starting("telegram", bot_token="1:abcdefgh", api_url=receiver.url(), chat_id=1)
    answer = await channels.send(notice(kind="telegram"))
    assert (answer.retry, answer.retry_after_seconds) == (True, 35.0)


async def test_an_application_of_wecom_fetches_a_token_once_and_anew_when_it_is_refused(
    starting: Start, receiver: HttpReceiver
) -> None:
    taken = ["t1"]

    async def answers(request: web.Request, _: bytes) -> web.Response:
        if request.path.endswith("gettoken"):
            return web.json_response({"errcode": 0, "access_token": taken[0], "expires_in": 7200})
        good = request.query["access_token"] == taken[0]
        return web.json_response({"errcode": 0 if good else 42001, "errmsg": "" if good else "expired"})

    receiver.answer = answers
    channels = starting("wechat", api_url=receiver.url("/cgi-bin/"), api_secret="abcdefgh", corp_id="corp")
    message = notice(kind="wechat")
    assert (await channels.send(message)).delivered
    assert (await channels.send(message)).delivered
    taken[0] = "t2"
    refused = await channels.send(message)
    assert (refused.delivered, refused.retry, refused.code) == (False, True, "errcode 42001")
    assert (await channels.send(message)).delivered
    assert [sent.path for sent in receiver.got].count("/cgi-bin/gettoken") == 2


async def test_the_long_tail_goes_by_apprise(starting: Start, receiver: HttpReceiver) -> None:
    url = f"jsons://127.0.0.1:{receiver.port}/hook".replace("jsons", "json")
    channels = starting("apprise", url=url, body="{{ .CommonLabels.instance }}")
    answer = await channels.send(notice(kind="apprise"))
    assert answer.delivered, answer
    assert receiver.got[0].json["title"] == "[FIRING:1] DiskFull (eu-1 node-1)"
    assert receiver.got[0].json["message"] == "node-1"
    receiver.answer = says(503, "later")
    answer = await channels.send(notice(kind="apprise"))
    assert (answer.delivered, answer.retry, answer.code) == (False, True, "HTTP 503")


# Templates that fail


async def test_a_template_that_fails_keeps_nobody_from_hearing(
    starting: Start, receiver: HttpReceiver
) -> None:
    channels = starting("slack", api_url=receiver.url(), channel="#x", title="{{ Alerts[7].Labels.x }}")
    answer = await channels.send(notice(kind="slack"))
    assert answer.delivered
    assert answer.detail.startswith("title cannot be filled in: ")
    assert receiver.got[0].json["attachments"][0]["title"] == "[FIRING:1] DiskFull (eu-1 node-1)"


async def test_an_address_that_cannot_be_filled_in_is_not_guessed(
    starting: Start, receiver: HttpReceiver
) -> None:
    url = receiver.url("/{{ Alerts[7].Labels.x }}")
    answer = await starting("webhook", url=url).send(notice())
    assert (answer.delivered, answer.retry, receiver.got) == (False, False, [])
    assert "url cannot be filled in" in answer.detail


# E-mail

SMTP = {"from": "muster@example.org", "to": "ops@example.org, Ann <ann@example.org>"}


async def test_mail_has_text_and_page_and_says_who_it_is_from(starting: Start, mailing: Any) -> None:
    server = await mailing()
    channels = starting(
        "email",
        smarthost=f"127.0.0.1:{server.port}",
        require_tls=False,
        text="{{ .CommonAnnotations.summary }}",
        headers={
            "subject": "⚠ {{ .Status }}\nBcc: evil@example.org",
            "X-Cluster": "{{ .CommonLabels.cluster }}",
        },
        **SMTP,
    )
    answer = await channels.send(notice(alert(1, {"summary": "<b>full</b>"}), kind="email"))
    assert (answer.delivered, answer.code) == (True, "SMTP 250"), answer
    assert "queued as 42" in answer.detail
    [mail] = server.got
    assert (mail.sender, mail.to) == ("muster@example.org", ["ops@example.org", "ann@example.org"])
    message = message_from_string(mail.content, policy=policy.default)
    assert message["Subject"] == "⚠ firing Bcc: evil@example.org"
    assert message["Bcc"] is None
    assert (message["X-Cluster"], message["From"]) == ("eu-1", "muster@example.org")
    assert message["Message-Id"] == f"<{KEY}@example.org>"
    assert f"Message-Id: <{KEY}@example.org>" in mail.content
    text, page = message.iter_parts()  # pyright: ignore
    assert text.get_content().strip() == "<b>full</b>"
    assert "&lt;b&gt;full&lt;/b&gt;" in page.get_content()


async def test_mail_goes_over_starttls_and_not_without_it(
    starting: Start, mailing: Any, own_certificate: Any
) -> None:
    cert, context = own_certificate
    server = await mailing(tls=context, ways="PLAIN LOGIN", users={"muster": "open-sesame"})
    settings: dict[str, Any] = {"smarthost": f"localhost:{server.port}", "hello": "me", **SMTP}
    config = {"tls_config": {"ca_file": str(cert)}}
    login = {"auth_username": "muster", "auth_password": "open-sesame"}
    answer = await starting("email", **settings, **config, **login).send(notice(kind="email"))
    assert answer.delivered, answer
    assert (server.got[0].encrypted, server.got[0].user) == (True, "muster")
    unknown = await starting("email", **settings, **login).send(notice(kind="email"))
    assert (unknown.delivered, unknown.retry) == (False, True)
    plain = await mailing()
    settings["smarthost"] = f"localhost:{plain.port}"
    refused = await starting("email", **settings).send(notice(kind="email"))
    assert "no STARTTLS" in refused.detail
    assert plain.got == []


@pytest.mark.parametrize(
    ("ways", "login"),
    [
        ("PLAIN", {"auth_password": "open-sesame"}),
        ("LOGIN", {"auth_password": "open-sesame"}),
        ("CRAM-MD5", {"auth_secret": "open-sesame"}),
    ],
)
async def test_mail_servers_are_logged_into_as_they_offer(
    starting: Start, mailing: Any, ways: str, login: dict[str, str]
) -> None:
    server = await mailing(ways=ways, users={"muster": "open-sesame"})
    settings = {
        "smarthost": f"127.0.0.1:{server.port}",
        "require_tls": False,
        **SMTP,
        "auth_username": "muster",
    }
    answer = await starting("email", **settings, **login).send(notice(kind="email"))
    assert answer.delivered, answer
    wrong = await starting("email", **settings, **dict.fromkeys(login, "wr0ng-word")).send(
        notice(kind="email")
    )
    assert (wrong.delivered, wrong.retry, wrong.code) == (False, False, "SMTP 535")
    assert "wr0ng-word" not in wrong.detail


@pytest.mark.parametrize(
    ("options", "delivered", "retry", "code", "detail"),
    [
        (
            {"refused": {"ann@example.org": "550 no such user"}},
            True,
            False,
            "SMTP 250",
            "not to ann@example.org: 550 no such user",
        ),
        (
            {"refused": {"ann@example.org": "550 gone", "ops@example.org": "450 later"}},
            False,
            True,
            "SMTP 450",
            "ops@example.org: 450 later",
        ),
        ({"at_data": "554 spam"}, False, False, "SMTP 554", "spam"),
        ({"at_data": "451 later"}, False, True, "SMTP 451", "later"),
    ],
)
async def test_what_a_mail_server_refuses_is_told_by_recipient(
    starting: Start, mailing: Any, options: Any, delivered: bool, retry: bool, code: str, detail: str
) -> None:
    server = await mailing(**options)
    channels = starting("email", smarthost=f"127.0.0.1:{server.port}", require_tls=False, **SMTP)
    answer = await channels.send(notice(kind="email"))
    assert (answer.delivered, answer.retry, answer.code) == (delivered, retry, code)
    assert detail in answer.detail


async def test_owners_without_a_receiver_are_written_to_by_the_global_settings(
    starting: Start, mailing: Any
) -> None:
    server = await mailing()
    shared = {
        "smtp_smarthost": f"127.0.0.1:{server.port}",
        "smtp_from": "muster@example.org",
        "smtp_require_tls": False,
    }
    channels = starting("webhook", globals_=shared, url="http://127.0.0.1:1/")
    to_owners = notice(kind="email", receiver=f"{OWNERS_EMAIL}a@example.org,b@example.org")
    assert (await channels.send(to_owners)).delivered
    assert server.got[0].to == ["a@example.org", "b@example.org"]
    odd = await channels.send(notice(kind="email", receiver=f"{OWNERS_EMAIL}{{{{ Status }}}}@example.org"))
    assert (odd.delivered, odd.retry, len(server.got)) == (False, False, 1)
    without = await starting("webhook", url="http://127.0.0.1:1/").send(to_owners)
    assert (without.delivered, without.retry) == (False, False)
    assert "smtp_smarthost" in without.detail


# A reload


async def test_a_reload_lets_what_is_under_way_end_and_sends_the_next_by_the_new_file(
    starting: Start, receiver: HttpReceiver
) -> None:
    released, asked = asyncio.Event(), asyncio.Event()

    async def waits(_: web.Request, __: bytes) -> web.Response:
        asked.set()
        await released.wait()
        return web.Response(text="old")

    receiver.answer = waits
    channels = starting("webhook", url=receiver.url("/old"))
    under_way = asyncio.create_task(channels.send(notice()))
    await asyncio.wait_for(asked.wait(), 5)
    fresh = HttpReceiver(says(200, "new"))
    await fresh.start()
    file = {
        "route": {"receiver": "team"},
        "receivers": [{"name": "team", "webhook_configs": [{"url": fresh.url()}]}],
    }
    configuration = read_configuration(yaml.safe_dump(file))
    channels.reconfigure(configuration, load_templates(configuration))
    assert (await channels.send(notice())).detail == "new"
    released.set()
    assert (await under_way).detail == "old"
    gone = await channels.send(notice(kind="slack"))
    assert (gone.delivered, gone.retry, gone.detail) == (False, False, "team has no slack[0] any more")
    await fresh.stop()
