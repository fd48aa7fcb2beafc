"""The same requests to Debian's Alertmanager (0.25) and to Muster; what they answer, field by field."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.peers.conftest import Service

JSON = {"Content-Type": "application/json"}
TIMES = {"startsAt", "endsAt", "updatedAt"}
SETTLE_SECONDS = 10.0
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NOBODYS = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@dataclass(frozen=True)
class Ask:
    """One request. `{id}` in path or body is the id of the silence that this case made last."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


def post(path: str, body: object) -> Ask:
    return Ask("POST", f"/api/v2{path}", body if isinstance(body, bytes) else json.dumps(body).encode())


def get(path: str) -> Ask:
    return Ask("GET", f"/api/v2{path}", headers={})


def alert(case: str, **more: Any) -> dict[str, Any]:
    labels = {"alertname": case, "case": case, **more.pop("labels", {})}
    return {"labels": labels, **more}


def matcher(name: str, value: str, is_regex: bool = False, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "isRegex": is_regex, **more}


def silence(*matchers: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = {"matchers": list(matchers), "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2035-01-01T00:00:00Z"}
    return {**made, "createdBy": "ada", "comment": "why", **more}


def listed(case: str, more: str = "", groups: bool = False) -> Ask:
    return get(f"/alerts{'/groups' if groups else ''}?filter=case%3D%22{case}%22{more}")


SAME: dict[str, list[Ask]] = {
    "an empty list": [post("/alerts", [])],
    "null instead of a list": [post("/alerts", None)],
    "no body": [Ask("POST", "/api/v2/alerts")],
    "an object instead of a list": [post("/alerts", {})],
    "cut off": [post("/alerts", b'[{"labels":{"a":"b"}}')],
    "another media type": [Ask("POST", "/api/v2/alerts", b"[]", {"Content-Type": "text/plain"})],
    "a media type with a charset": [
        Ask("POST", "/api/v2/alerts", b"[]", {"Content-Type": "application/json; charset=utf-8"})
    ],
    "one alert": [
        post("/alerts", [alert("one", annotations={"a": "b", "e": ""}, generatorURL="http://g/x?y=1")]),
        listed("one"),
        listed("one", groups=True),
    ],
    "an alert with times": [
        post(
            "/alerts", [alert("t", startsAt="2024-02-03T04:05:06.789Z", endsAt="2035-01-01T00:00:00+02:00")]
        ),
        listed("t"),
    ],
    "an end in the past is no alert that is listed": [
        post("/alerts", [alert("past", endsAt="2024-02-03T04:05:06Z")]),
        listed("past"),
    ],
    "merged with what was there": [
        post("/alerts", [alert("merge", startsAt="2024-01-02T00:00:00Z", endsAt="2034-01-01T00:00:00Z")]),
        post("/alerts", [alert("merge", startsAt="2024-01-01T00:00:00Z", annotations={"new": "1"})]),
        listed("merge"),
    ],
    "zero and null times are no times": [
        post("/alerts", [alert("zero", startsAt="0001-01-01T00:00:00Z", generatorURL=None)]),
        post("/alerts", [alert("null", startsAt=None, endsAt=None, annotations=None)]),
        listed("zero"),
        listed("null"),
    ],
    "labels with an empty value are dropped": [
        post("/alerts", [alert("empty", labels={"gone": "", "kept": "1"})]),
        listed("empty"),
    ],
    "a field that is not known": [
        post("/alerts", [{**alert("unknown"), "more": {"x": [1]}}]),
        listed("unknown"),
    ],
    "no labels at all": [post("/alerts", [{"labels": {}}])],
    "labels missing": [post("/alerts", [{}])],
    "only empty labels": [post("/alerts", [{"labels": {"a": ""}}])],
    "a label without a name, the rest of the batch kept": [
        post("/alerts", [{"labels": {"": "x"}}, alert("kept")]),
        listed("kept"),
    ],
    "a label that is a number": [post("/alerts", [{"labels": {"a": 1}}])],
    "an annotation without a name": [post("/alerts", [alert("ann", annotations={"": "x"})]), listed("ann")],
    "endsAt before startsAt": [
        post("/alerts", [alert("b", startsAt="2024-01-02T00:00:00Z", endsAt="2024-01-01T00:00:00Z")]),
        listed("b"),
    ],
    "startsAt beyond the timeout, without endsAt": [
        post("/alerts", [alert("f", startsAt="2034-01-01T00:00:00Z")])
    ],
    "a time that is none": [post("/alerts", [alert("x", startsAt="yesterday")])],
    "a date without a time": [post("/alerts", [alert("x", startsAt="2024-01-01")])],
    "a link that is none": [post("/alerts", [alert("link", generatorURL="::: not")])],
    "several receivers": [
        post("/alerts", [alert("db", labels={"team": "db"})]),
        listed("db"),
        listed("db", "&receiver=te.m"),
        listed("db", "&receiver=te"),
        listed("db", groups=True),
        listed("db", "&receiver=other", groups=True),
    ],
    "inhibited": [
        post(
            "/alerts",
            [
                alert("inh", labels={"severity": "critical", "host": "h"}),
                alert("inh", labels={"severity": "warning", "host": "h"}),
                alert("inh", labels={"severity": "warning", "host": "i"}),
            ],
        ),
        listed("inh"),
        listed("inh", "&inhibited=false"),
        listed("inh", "&active=false"),
        listed("inh", "&active=false", groups=True),
        listed("inh", "&unprocessed=false"),
    ],
    "silenced": [
        post("/alerts", [alert("sil", labels={"n": "1"}), alert("sil", labels={"n": "2"})]),
        post("/silences", silence(matcher("case", "sil"), matcher("n", "1"))),
        listed("sil"),
        listed("sil", "&silenced=false"),
        listed("sil", "&active=false"),
        Ask("DELETE", "/api/v2/silence/{id}", headers={}),
        listed("sil", "&active=false"),
        get("/silence/{id}"),
        Ask("DELETE", "/api/v2/silence/{id}", headers={}),
    ],
    "filters of every kind": [
        post("/alerts", [alert("filter", labels={"a": "1"}), alert("filter", labels={"b": "2"})]),
        *(
            listed("filter", f"&filter={each}")
            for each in ("a%3D1", "a!%3D1", "a%3D~%221|2%22", "a!~.%2B", "b%3D%22%22", "c%3D", "a!%3D")
        ),
    ],
    "a filter that is none": [get("/alerts?filter=alertname"), get("/alerts/groups?filter=alertname")],
    "a filter that is no pattern": [get("/alerts?filter=a%3D~%22(%22")],
    "a receiver that is no pattern": [get("/alerts?receiver=("), get("/alerts/groups?receiver=(")],
    "words for true": [
        post("/alerts", [alert("words")]),
        *(listed("words", f"&active={each}") for each in ("1", "t", "yes", "on", "maybe", "0", "", "FALSE")),
    ],
    "receivers": [get("/receivers")],
    "no such path": [get("/nosuch"), get("/")],
    "no such method": [
        Ask(method, f"/api/v2{path}")
        for method, path in (("PUT", "/alerts"), ("DELETE", "/silences"), ("POST", "/status"))
    ],
    "a silence, read": [
        post("/silences", silence(matcher("a", "b"), matcher("c", "d|e", True, isEqual=False))),
        get("/silence/{id}"),
        get("/silences?filter=a%3Db"),
        get("/silences?filter=a%3D~b"),
    ],
    "a silence that begins later": [
        post("/silences", silence(matcher("later", "b"), startsAt="2034-01-01T00:00:00Z")),
        get("/silence/{id}"),
        post(
            "/silences",
            silence(matcher("later", "b"), startsAt="2034-06-01T00:00:00Z", id="{id}", comment="x"),
        ),
        get("/silences?filter=later%3Db"),
        post("/silences", silence(matcher("later", "c"), startsAt="2034-06-01T00:00:00Z", id="{id}")),
        get("/silences?filter=later%3Db"),
        get("/silences?filter=later%3Dc"),
    ],
    "other matchers: the old one expires": [
        post("/silences", silence(matcher("old", "b"))),
        post("/silences", silence(matcher("old", "c"), id="{id}")),
        get("/silences?filter=old%3Db"),
        get("/silences?filter=old%3Dc"),
    ],
    "a silence of nobody's": [
        get(f"/silence/{NOBODYS}"),
        post("/silences", silence(matcher("a", "b"), id=NOBODYS)),
        post("/silences", silence(matcher("a", "b"), id="junk")),
    ],
    "an id that is none": [get("/silence/abc"), Ask("DELETE", "/api/v2/silence/abc")],
    "a silence without": [
        post("/silences", {}),
        post("/silences", b""),
        post("/silences", []),
        post("/silences", b"{"),
        post("/silences", silence()),
        *(
            post("/silences", {k: v for k, v in silence(matcher("a", "b")).items() if k != left})
            for left in ("matchers", "startsAt", "endsAt", "createdBy", "comment")
        ),
        post("/silences", silence({"name": "a", "isRegex": False})),
        post("/silences", silence({"name": "a", "value": "b"})),
    ],
    "a silence that is none": [
        post("/silences", silence(matcher("a", ""))),
        post("/silences", silence(matcher("a", ".*", True))),
        post("/silences", silence(matcher("", "b"))),
        post("/silences", silence(matcher("a", "(", True))),
        post("/silences", silence(matcher("a", "b"), endsAt="2019-01-01T00:00:00Z")),
        post("/silences", silence(matcher("a", "b"), endsAt="2021-01-01T00:00:00Z")),
        post("/silences", silence(matcher("a", "b"), startsAt="never")),
    ],
    "a silence without a comment": [
        post("/silences", silence(matcher("mute", "b"), comment="", createdBy=""))
    ],
    "healthy, ready": [Ask("GET", "/-/healthy"), Ask("GET", "/-/ready"), Ask("HEAD", "/-/healthy")],
    "reload": [Ask("POST", "/-/reload")],
}


@pytest.mark.parametrize("case", SAME)
def test_answers_are_alertmanagers(case: str, alertmanager: Service, muster_service: Service) -> None:
    with alertmanager.client() as theirs, muster_service.client() as ours:
        known: list[dict[str, str]] = [{}, {}]
        for ask in SAME[case]:
            deadline = time.monotonic() + SETTLE_SECONDS
            while True:
                expected = _answer(theirs, ask, known[0])
                found = _answer(ours, ask, known[1])
                settles = ask.method == "GET" and time.monotonic() < deadline
                if not settles or _within(expected, found):
                    break
                time.sleep(0.1)
            assert _within(expected, found), f"{ask}\nAlertmanager: {expected}\nMuster:       {found}"


class TestOnPurposeNotAsAlertmanager:
    """Where Debian's release is older than what we follow, or loses what need not be lost."""

    def test_names_may_be_any_utf8_as_since_0_27(self, muster_service: Service) -> None:
        with muster_service.client() as ours:
            assert ours.post("/api/v2/alerts", json=[{"labels": {"a-b.ü": "x"}}]).status_code == 200
            found = ours.get("/api/v2/alerts", params={"filter": '"a-b.ü"=x'}).json()
            assert [each["labels"] for each in found] == [{"a-b.ü": "x"}]

    def test_an_empty_end_is_none_and_not_1970(self, muster_service: Service) -> None:
        with muster_service.client() as ours:
            ours.post("/api/v2/alerts", json=[alert("never", startsAt="", endsAt="")])
            assert len(ours.get("/api/v2/alerts", params={"filter": "case=never"}).json()) == 1

    def test_what_openapi_refuses_does_not_refuse_the_batch(self, muster_service: Service) -> None:
        bad = [None, {"labels": {"a": 1}}, {}, {"labels": {"x": "1"}, "startsAt": "x"}]
        with muster_service.client() as ours:
            answer = ours.post("/api/v2/alerts", json=[*bad, {"labels": {"stays": "1"}}])
            assert answer.status_code == 400
            assert [f"alert {index}: " in answer.json()["message"] for index in range(5)] == [True] * 4 + [
                False
            ]
            assert len(ours.get("/api/v2/alerts", params={"filter": "stays=1"}).json()) == 1

    def test_a_silence_read_and_sent_back_changed_stays_the_same_silence(
        self, muster_service: Service
    ) -> None:
        with muster_service.client() as ours:
            made = ours.post("/api/v2/silences", json=silence(matcher("back", "b"))).json()["silenceID"]
            read = ours.get(f"/api/v2/silence/{made}").json()
            again = ours.post("/api/v2/silences", json={**read, "endsAt": "2036-01-01T00:00:00Z"})
            assert again.json() == {"silenceID": made}

    def test_expiring_what_is_not_there_is_404_and_not_500(self, muster_service: Service) -> None:
        with muster_service.client() as ours:
            assert ours.delete(f"/api/v2/silence/{NOBODYS}").status_code == 404

    def test_no_answer_is_kept_by_anyone_on_the_way(self, muster_service: Service) -> None:
        with muster_service.client() as ours:
            for path in ("/alerts", "/alerts/groups", "/silences", "/status", "/receivers", "/nosuch"):
                assert ours.get(f"/api/v2{path}").headers["cache-control"] == "no-store"


def _answer(client: httpx.Client, ask: Ask, known: dict[str, str]) -> tuple[int, str, Any]:
    """Status, media type, and the body with ids and times that depend on the moment put aside."""
    last = known.get("last", "")
    body = ask.body.replace(b"{id}", last.encode()) if ask.body is not None else None
    path = ask.path.replace("{id}", last)
    answer = client.request(ask.method, path, content=body, headers=dict(ask.headers))
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind != "application/json" or not answer.content:
        return answer.status_code, kind if answer.content else "", answer.text
    found = answer.json()
    if isinstance(found, dict) and "silenceID" in found:
        known["last"] = found["silenceID"]
    if answer.status_code >= 400:
        # The words are ours; what a program looks at is the same.
        return answer.status_code, kind, found["code"] if isinstance(found, dict) else type(found).__name__
    if path.startswith("/api/v2/alerts/groups"):
        for group in found:
            group["alerts"].sort(key=lambda each: each["fingerprint"])
    return answer.status_code, kind, _plain(found, known, "")


def _plain(value: Any, known: dict[str, str], name: str) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each, known, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, known, name) for each in value]
    if isinstance(value, str) and name in TIMES:
        at = datetime.fromisoformat(value).timestamp()
        for offset in (0, 300):
            if abs(at - time.time() - offset) < 60:
                return f"now + {offset}"
        return round(at, 3)
    if isinstance(value, str):
        return _UUID.sub(lambda found: known.setdefault(found[0], f"id {len(known)}"), value)
    return value


def _within(expected: Any, found: Any) -> bool:
    """Whether all that Alertmanager says is said; newer releases, and we, say more."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return all(key in found and _within(each, found[key]) for key, each in expected.items())
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        return len(expected) == len(found) and all(map(_within, expected, found))
    return expected == found
