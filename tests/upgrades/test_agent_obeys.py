"""This release's agent obeys centres of the release before, of this one, and of one to come.

Recorded orders are carried out to the same end as when they were recorded. What a later centre adds is passed
over; what an agent cannot do is refused by name; nothing of it keeps later orders waiting.
"""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from agents.joining import Membership
from agents.keys import OrderKeys
from agents.plan import ref_of
from schemas.reasons import Reason
from schemas.wire.beats import BeatReply
from schemas.wire.codec import decode, encode
from schemas.wire.orders import OVERWRITE, Order, OrderBody, Verb, Version
from schemas.wire.reports import WorkState
from tests.unit.agents.world import CLUSTER, SUBJECTS, AgentWorld, apply_order, config_map, signed
from tests.upgrades.growing import grown
from tests.upgrades.recordings import Recording, recordings

ALL = pytest.mark.parametrize("recording", recordings(), ids=str)
LIMITS = "limits-team"


@ALL
async def test_recorded_orders_come_to_the_end_that_they_came_to(
    recording: Recording, tmp_path: Path
) -> None:
    keys = OrderKeys(recording.cluster, recording.order_key, recording.sealing_key)
    world = AgentWorld(tmp_path, "datacentre", cluster=recording.cluster, keys=keys)
    ended = {
        line.workload: line.message["state"] for line in recording.of("state") if ".work." in line.subject
    }
    world.start()
    try:
        for line in recording.of("order"):
            world.centre.lay(line.subject, line.body)
            version = decode(Order, line.body).version
            if line.workload == "_release":
                continue

            def is_told(workload: str = line.workload, version: Any = version) -> bool:
                work = world.centre.work(workload)
                return work is not None and work.version >= version and work.state is not WorkState.RECORDED

            await world.until(is_told, f"{line.subject} is told of")
        for workload, state in ended.items():

            def is_so(workload: str = workload, state: str = state) -> bool:
                work = world.centre.work(workload)
                return work is not None and work.state == state

            await world.until(is_so, f"{workload} is {state}")
        refused = [work for work in map(world.centre.work, ended) if work is not None and work.refusals]
        assert [work.refusals[0].reason for work in refused] == [Reason.OWNED_BY_OTHER]
    finally:
        await world.close()


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncGenerator[AgentWorld]:
    made = AgentWorld(tmp_path)
    made.start()
    yield made
    await made.close()


async def until_applied(world: AgentWorld, workload: str) -> None:
    def is_applied() -> bool:
        work = world.centre.work(workload)
        return work is not None and work.state is WorkState.APPLIED

    await world.until(is_applied, f"{workload} is applied")


async def test_what_a_later_centre_adds_to_an_order_is_passed_over(world: AgentWorld) -> None:
    body = OrderBody(name="w1", template="t1", objects=[config_map("w1", colour="red")])
    more = grown(OrderBody, json.loads(msgspec.json.encode(body)))
    order = signed("w1", Verb.APPLY, 1, json.dumps(more).encode())
    outer = grown(Order, json.loads(encode(order)))
    world.centre.lay(SUBJECTS.order(CLUSTER, "w1"), json.dumps(outer).encode())
    await until_applied(world, "w1")


async def test_a_verb_of_a_later_centre_is_refused_by_name_and_holds_nothing_up(world: AgentWorld) -> None:
    raw = json.loads(encode(apply_order("w1", 1, config_map("w1"))))
    world.centre.lay(SUBJECTS.order(CLUSTER, "w1"), json.dumps({**raw, "verb": "hibernate"}).encode())
    world.centre.order(apply_order("w2", 2, config_map("w2", name="other")))
    await until_applied(world, "w2")
    work = world.centre.work("w1")
    assert work is not None
    (refusal,) = work.refusals
    assert refusal.reason is Reason.ORDER_MALFORMED
    assert "hibernate" in refusal.message
    assert refusal.version == Version(1, 1), "which of its orders it was"
    world.centre.order(apply_order("w1", 3, config_map("w1")))
    await until_applied(world, "w1")


@pytest.mark.promise(7, 9)
@pytest.mark.parametrize("verb", [Verb.APPLY, Verb.WITHDRAW])
async def test_what_a_later_centres_order_needs_and_this_agent_cannot_do_is_refused_by_name(
    world: AgentWorld, verb: Verb
) -> None:
    """It changes nothing, is not recorded, and holds nothing up."""
    world.centre.order(apply_order("w1", 1, config_map("w1", colour="red")))
    await until_applied(world, "w1")
    ref = ref_of(config_map("w1"))
    body = OrderBody(name="w1", needs=[OVERWRITE, "hibernate"])
    if verb is Verb.APPLY:
        body = msgspec.structs.replace(body, objects=[config_map("w1", colour="blue")])
    world.centre.order(signed("w1", verb, 2, body))

    def is_refused() -> bool:
        work = world.centre.work("w1")
        return work is not None and bool(work.refusals)

    await world.until(is_refused, "it is refused")
    work = world.centre.work("w1")
    assert work is not None
    assert [(each.reason, each.message, each.version) for each in work.refusals] == [
        (Reason.CAPABILITY_MISSING, "its agent cannot do: hibernate", Version(1, 2))
    ]
    assert (work.state, work.version.generation) == (WorkState.APPLIED, 1), "as it was"
    live = await world.cluster.get(ref)
    assert live is not None
    assert live["data"] == {"colour": "red"}
    world.centre.order(apply_order("w1", 3, config_map("w1", colour="green")))
    await until_version(world, "w1", 3)


async def until_version(world: AgentWorld, workload: str, generation: int) -> None:
    def is_applied() -> bool:
        work = world.centre.work(workload)
        return work is not None and work.carried_out is not None and work.carried_out.generation == generation

    await world.until(is_applied, f"{workload} is carried out")


async def test_a_later_centres_answers_to_beats_are_understood(
    world: AgentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for a report that this agent does not make, and says more than it knows."""
    answer = world.centre.beat

    async def later(body: bytes, *, timeout_seconds: float) -> bytes:
        told = json.loads(await answer(body, timeout_seconds=timeout_seconds))
        told["resend"] = [*told["resend"], "weather.1", "facts"]
        return json.dumps(grown(BeatReply, told)).encode()

    monkeypatch.setattr(world.centre, "beat", later)
    beats = len(world.centre.beats)
    world.centre.order(apply_order("w1", 1, config_map("w1")))
    await until_applied(world, "w1")
    await world.until(lambda: len(world.centre.beats) > beats + 3, "it goes on beating")


@ALL
def test_recorded_answers_are_read(recording: Recording) -> None:
    for line in recording.of("beat-reply"):
        assert decode(BeatReply, line.body).epoch > 0
    for joined in recording.joins:
        answered = json.dumps({**joined["answered"], "later": {"more": 1}}).encode()
        membership = msgspec.json.decode(answered, type=Membership)
        assert (membership.cluster_id, membership.prefix) == (recording.cluster, "muster")
