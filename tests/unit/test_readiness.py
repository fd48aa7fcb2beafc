"""Which process is to be asked: one that has read what there is, while no other could answer better."""

from dataclasses import replace

import httpx
import pytest

from controlplane.client import Client, Context
from controlplane.known.replicas import Replica, hearing_beside, leads_unseen
from controlplane.readiness import Standing, judge

WELL = Standing(is_loaded=True, alerts_loaded=True, is_caught_up=True, hears=True, was_ready=True)
STARTS = replace(WELL, was_ready=False)
REFUSED = "no connection to NATS: refused"

# What it waits for, and what it lacks and answers all the same.
CASES: dict[str, tuple[Standing, list[str], list[str]]] = {
    "all is well": (WELL, [], []),
    "Postgres is being read": (replace(STARTS, is_loaded=False), ["records"], []),
    "the log of alerts is being read": (replace(STARTS, alerts_loaded=False), ["alerts"], []),
    "it starts, and the streams are being replayed": (replace(STARTS, is_caught_up=False), ["streams"], []),
    "it starts, and NATS was not tried yet": (
        replace(STARTS, hears=False, nats_tried=False, is_caught_up=False),
        ["bus", "streams"],
        [],
    ),
    "it starts without NATS": (
        replace(STARTS, hears=False, nats_said=REFUSED, is_caught_up=False),
        [],
        ["bus", "streams"],
    ),
    "NATS is away": (replace(WELL, hears=False), [], ["bus"]),
    "NATS is back for who started without it": (replace(WELL, is_caught_up=False), [], ["streams"]),
    "it starts without the NATS that others have": (
        replace(STARTS, hears=False, nats_said=REFUSED, is_caught_up=False, hearing=["b"]),
        ["bus"],
        ["streams"],
    ),
    "NATS answers others only": (replace(WELL, hears=False, hearing=["b"]), ["bus"], []),
    "Postgres hesitates": (replace(WELL, postgres_silent_seconds=4.0), [], []),
    "Postgres is away": (replace(WELL, postgres_silent_seconds=6.0), [], ["postgres"]),
    "both are away": (replace(WELL, postgres_silent_seconds=60.0, hears=False), [], ["postgres", "bus"]),
}


@pytest.mark.parametrize(("standing", "waits", "lacks"), CASES.values(), ids=CASES.keys())
def test_what_it_waits_for_and_what_it_lacks(standing: Standing, waits: list[str], lacks: list[str]) -> None:
    found = judge(standing)
    assert [each.what for each in found if not each.answers] == waits
    assert [each.what for each in found if each.answers] == lacks


OWN = Replica("a", "api", "1", 0, hears=False)
OTHER = Replica("b", "api", "1", 0, hears=True, ready=True)
BESIDE: dict[str, tuple[Replica, bool]] = {
    "it does the same, and hears": (OTHER, True),
    "it does not hear either": (replace(OTHER, hears=False), False),
    "it hears, but is loading": (replace(OTHER, ready=False), False),
    "it does something else": (replace(OTHER, loops="deciding"), False),
    "it has not been seen for long": (replace(OTHER, seen_seconds=60.0), False),
    "it is this one, as it was": (replace(OTHER, name="a"), False),
}


@pytest.mark.parametrize(("other", "counts"), BESIDE.values(), ids=BESIDE.keys())
def test_who_could_answer_better(other: Replica, counts: bool) -> None:
    assert hearing_beside([OWN, other], "a", "api") == (["b"] if counts else [])


UNSEEN: dict[str, tuple[str, bool]] = {
    "a process of a release before, on another host": ("old-host-7-abc", True),
    "one on the host of this one": ("a-7-abc", True),
    "one whose row says how it is": ("b-7-abc", False),
    "one whose row is of long ago": ("gone-7-abc", True),
    "nobody": ("", False),
}


@pytest.mark.parametrize(("holder", "counts"), UNSEEN.values(), ids=UNSEEN.keys())
def test_who_leads_and_writes_no_row(holder: str, counts: bool) -> None:
    rows = [replace(OTHER, name=name) for name in ("a:1", "b:1")]
    rows.append(replace(OTHER, name="gone:1", seen_seconds=60.0))
    assert leads_unseen(rows, "a:1", holder) == counts


def test_who_reads_what_is_of_before_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    warning = {"Warning": '110 muster "Postgres has not answered for 9 s"'}
    answers = httpx.MockTransport(lambda _: httpx.Response(200, json={}, headers=warning))
    with Client(Context("http://muster"), transport=answers) as client:
        client.get("/clusters")
        client.get("/workloads")
    assert capsys.readouterr().err == 'muster: "Postgres has not answered for 9 s"\n'
