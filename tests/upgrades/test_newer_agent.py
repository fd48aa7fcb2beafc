"""A centre and an agent of a release that is not made yet: `made_up/agent.jsonl`, as it might be recorded.

It tells of a state, a reason, node conditions, fields and a kind that this release has no word for. What is
understood of a report is taken, what is not is told as what it is, and nothing is asked for again and again.
"""

import json
from pathlib import Path

import msgspec
import pytest

from controlplane.known.records import DecisionRecord, OutboxRecord, PlacementRecord, WorkloadRecord
from controlplane.queries.workloads import placement_rows, workload_row
from schemas.wire.beats import Beat
from schemas.wire.codec import decode, encode
from schemas.wire.orders import Verb
from schemas.wire.reports import Report, Work, WorkState
from tests.upgrades.recordings import Line, recordings
from tests.upgrades.test_centre_hears import Hearing

MADE_UP = Path(__file__).parent / "made_up" / "agent.jsonl"
WEB, RIVAL, THEIRS, LIMITS = (
    "81a21bf7-eb6d-41e6-b1e3-db8a797de7d9",
    "71cddbb3-38bb-4a9e-a09f-798e9b0fe972",
    "512a83d9-6408-4c4b-9c17-a59440336d9a",
    "limits-team",
)


def made_up(cluster: str) -> list[Line]:
    told = [json.loads(line) for line in MADE_UP.read_text().splitlines()]
    return [
        Line(f"muster.state.{cluster}.{each['tail']}", msgspec.json.encode(each["message"])) for each in told
    ]


async def upgraded() -> Hearing:
    """The recorded agent, then the newer one in its place."""
    hearing = await Hearing.begin(next(each for each in recordings() if each.name == "0.1.0"))
    await hearing.hear_all()
    for uid in (WEB, RIVAL, THEIRS):
        ordered(hearing, uid)
    for line in made_up(hearing.recording.cluster):
        await hearing.hear(line)
    return hearing


def ordered(hearing: Hearing, uid: str) -> None:
    """As the centre of then had ordered it."""
    known, cluster = hearing.known, hearing.recording.cluster
    version = known.work[uid][cluster].version
    known.put_workload(WorkloadRecord(uid, uid, {}, {}, "", 1, 1, {"manifests": []}, False, 1.0, 1.0))
    known.decisions[uid] = DecisionRecord(uid, 1, 1, True, "Placed", "", {}, 1.0)
    known.put_order(OutboxRecord(cluster, uid, Verb.APPLY, version, b"", b"", 1, version))
    known.placements[uid] = {cluster: PlacementRecord(uid, cluster, 1, 1, version, "t")}


def work(hearing: Hearing, uid: str) -> Work:
    return hearing.known.work[uid][hearing.recording.cluster]


def state(hearing: Hearing, uid: str) -> tuple[str, str]:
    (row,) = placement_rows(hearing.known, hearing.known.workloads[uid])
    return row.state, row.message


@pytest.mark.promise(7)
async def test_a_state_that_is_not_known_is_told_as_such_and_never_taken_for_well() -> None:
    hearing = await upgraded()
    told = work(hearing, WEB)
    assert (told.state.value, told.state.is_known) == ("Suspended", False)
    assert told.pods == told.ready == 3, "the rest of the report is taken"
    assert not told.finished, "nothing has ended in a state that nobody knows"
    said = "its agent says Suspended, which this centre does not know: upgrade the centre"
    assert state(hearing, WEB) == ("Unknown", said)
    assert workload_row(hearing.known, hearing.known.workloads[WEB]).state == "Progressing"


async def test_a_reason_that_is_not_known_is_told_in_its_own_word() -> None:
    hearing = await upgraded()
    assert state(hearing, RIVAL) == ("Refused", "no licence for Deployment web/web")
    (refusal,) = work(hearing, RIVAL).refusals
    assert (refusal.reason.value, refusal.reason.is_known) == ("LicenceMissing", False)


async def test_its_neighbours_and_the_rest_of_the_cluster_are_taken() -> None:
    hearing = await upgraded()
    cluster = hearing.recording.cluster
    assert state(hearing, THEIRS) == ("Running", "")
    facts = hearing.known.fleet.facts(cluster)
    assert facts is not None
    assert facts.incarnation == 3
    assert "suspend" in facts.capabilities
    assert hearing.known.fleet.totals(cluster).nodes == 12
    assert hearing.known.stamps[cluster]["inventory.1-0"] == (3, 1)


async def test_a_report_that_cannot_be_read_is_told_of_and_what_was_known_before_is_not_taken_for_new() -> (
    None
):
    hearing = await upgraded()
    assert hearing.set_aside() == 2, "a state that is no word, and a kind that there is not"
    assert work(hearing, LIMITS).state is WorkState.APPLIED
    ordered(hearing, LIMITS)
    found, message = state(hearing, LIMITS)
    assert found == "Unknown"
    assert message.startswith("the last report of it is not understood: Work: Expected `str`, got `object`")


async def test_nothing_of_it_is_asked_for_again() -> None:
    """It would come as it is, every time: and be set aside, every time."""
    hearing = await upgraded()
    cluster = hearing.recording.cluster
    ordered(hearing, LIMITS)
    lines = made_up(cluster)
    digests = {
        line.subject.removeprefix(f"muster.state.{cluster}."): (decode(Report, line.body).stamp, "x")
        for line in lines
    }
    for sequence in (100, 101, 102):
        beat = Beat(incarnation=3, sequence=sequence, clock=0.0, agent_version="9.0.0", digests=digests)
        await hearing.hear(Line(f"muster.beat.{cluster}", encode(beat)))
    asked = {tail for reply in hearing.replies[-3:] for tail in reply.resend}
    assert not asked & digests.keys()
