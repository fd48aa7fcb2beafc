"""What an agent may not carry out is not sent: workloads and limits, applied and withdrawn, by one rule.

It waits whole in the outbox, is told of in the same words wherever somebody looks, and goes out as soon as
the agent reports that it may.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import pytest
from structlog.testing import capture_logs

from controlplane.doctor import clusters
from controlplane.doctor.findings import Finding
from controlplane.known.records import OutboxRecord
from controlplane.loops.dispatch import REFUSED_OVERDUE_SECONDS, Dispatch
from controlplane.loops.limits import SWEEP_SECONDS
from controlplane.loops.withheld import MOST_SAID, Withheld
from controlplane.placement.rights import VERBS
from controlplane.queries.explain import explain
from controlplane.queries.quota_explained import ExplainingQuota
from controlplane.queries.workloads import placement_rows, workload_row
from schemas.reasons import Reason
from schemas.wire.orders import REMOVALS_TOLD, ObjectRef, OrderBody, Verb, Version
from schemas.wire.reports import MOST_SERVED, Facts, Refusal, Right, Work, WorkState
from tests.simulation.test_centre_loops import Around
from tests.simulation.test_limits import KEY, Member, limited
from tests.simulation.test_limits_shown import shown
from tests.simulation.test_reschedule import deployment
from tests.unit import reports

SERVED = ("apps/v1/Deployment", "v1/ResourceQuota")
SEEING = Right(["*"], ["*"], ["get", "list", "watch"])
DEPLOYMENTS = Right(["*"], ["Deployment.apps"], list(VERBS))
QUOTAS = Right(["*"], ["ResourceQuota"], list(VERBS))
NO_QUOTAS = "its agent may not create, delete, patch ResourceQuota in namespace shop"
NO_REMOVAL = "its agent may not delete Deployment.apps in namespace shop"


class Bounded(Member):
    """An agent that tells what it may."""

    told = 1

    def may(self, *rights: Right, removals: bool = True, served: Sequence[str] = SERVED) -> None:
        self.told += 1
        facts = Facts(
            incarnation=1,
            sequence=self.told,
            layout=1,
            kubernetes_version="v1.34.1",
            served=list(served),
            capabilities=[REMOVALS_TOLD] if removals else [],
            rights=list(rights),
        )
        reports.apply(self.known.fleet, self.cluster, "facts", facts)

    async def put(self, name: str = "web") -> None:
        await self.submit(name, "shop", 4)
        await self.decide()
        await self.pass_time()

    def uid(self, name: str) -> str:
        """Also of one that was deleted."""
        return next(uid for uid, each in self.known.workloads.items() if each.name == name)

    async def remove(self, name: str = "web") -> None:
        await self.delete(name)
        await self.decide()
        await self.pass_time()

    def state(self, name: str = "web") -> tuple[str, str, str]:
        """Of its one placement: state, order, message."""
        record = self.known.workloads[self.uid(name)]
        (row,) = placement_rows(self.known, record)
        return row.state, row.order, row.message

    def held_charges(self, uid: str) -> Mapping[tuple[str, str], int]:
        return dict(self.known.quotas.charges.of(uid, self.cluster, "shop"))

    def doctor(self) -> list[str]:
        now = self.fleet.around.clock.now()
        checks = clusters.judge(self.known, now, "1", leads=True)
        return [each.message for each in checks if each is not None and each.finding is Finding.AGENT_MAY_NOT]

    def explained(self, name: str) -> list[tuple[str, str]]:
        record = self.known.workload(name)
        assert record is not None
        (verdict,) = explain(self.known, record, self.fleet.around.clock.now()).clusters
        return [(each.reason, each.message) for each in verdict.reasons]


async def begun(tenant: Mapping[str, object] = limited("Off")) -> Bounded:
    member = Bounded()
    await member.start(shop=tenant)
    return member


@pytest.mark.promise(7)
async def test_limits_that_the_agent_may_not_set_are_held_back_said_and_sent_once_it_may() -> None:
    member = await begun(limited())
    member.may(SEEING, DEPLOYMENTS)
    await member.put()
    await member.pass_time()
    assert (member.is_published(KEY), member.is_published("web")) == (False, True), "as with a refusal"
    (cluster,) = shown(member).clusters
    assert (cluster.state, cluster.refusals) == ("Refused", (f"{Reason.AGENT_MAY_NOT}: {NO_QUOTAS}",))
    explaining = ExplainingQuota(member.known, "shop", member.fleet.around.clock.now())
    told = explaining.explained().unlimited
    assert [(each.cluster, each.reason, each.message) for each in told] == [
        ("a", Reason.AGENT_MAY_NOT, NO_QUOTAS)
    ]
    assert member.doctor() == [f"1 order held back: {NO_QUOTAS}"]
    held = member.order(KEY)
    member.may(SEEING, DEPLOYMENTS, QUOTAS)
    await member.pass_time()
    assert member.is_published(KEY)
    sent = member.order(KEY)
    assert held is not None
    assert sent is not None
    assert (sent.version, sent.body) == (held.version, held.body), "the very order that waited"
    assert member.doctor() == []
    assert ExplainingQuota(member.known, "shop", 0.0).explained().unlimited == ()


@pytest.mark.promise(7, 9)
async def test_a_withdrawal_that_the_agent_may_not_carry_out_waits_whole_and_goes_once_it_may() -> None:
    member = await begun()
    await member.put()
    member.say("web")
    member.may(SEEING, Right(["*"], ["Deployment.apps"], ["create", "get", "patch"]))
    uid = member.uid("web")
    before = member.held_charges(uid)
    await member.remove()
    order = member.order(uid)
    assert order is not None
    assert order.verb is Verb.WITHDRAW
    assert member.state() == ("Refused", "Queued", f"{Reason.AGENT_MAY_NOT}: {NO_REMOVAL}")
    assert member.doctor() == [f"1 order held back: {NO_REMOVAL}"]
    assert member.held_charges(uid) == before != {}, "what still runs is charged"
    member.may(SEEING, DEPLOYMENTS)
    await member.pass_time()
    assert member.is_published(uid)
    assert member.state()[0] == "Withdrawing"


async def test_of_an_agent_that_does_not_tell_of_removals_none_is_held_back() -> None:
    member = await begun()
    await member.put()
    member.say("web")
    member.may(SEEING, removals=False)
    await member.remove()
    assert member.is_published(member.uid("web"))


UNINSTALLED: dict[str, tuple[list[str], bool]] = {
    "its kind is served no more, and its objects went with it": (["v1/Pod"], True),
    "another of that name is": (["batch/v1/Deployment"], True),
    "it is served still": (["apps/v2/Deployment"], False),
    "not all that is served is told": ([f"g/v1/Kind{n}" for n in range(MOST_SERVED)], False),
    "nothing of what is served is told": ([], False),
}


@pytest.mark.promise(7)
@pytest.mark.parametrize(("served", "is_sent"), UNINSTALLED.values(), ids=UNINSTALLED.keys())
async def test_of_a_kind_that_is_not_served_no_agent_tells_that_it_may_and_its_removal_goes_out(
    served: Sequence[str], is_sent: bool
) -> None:
    member = await begun()
    await member.put()
    member.say("web")
    member.may(SEEING)
    await member.remove()
    assert not member.is_published(member.uid("web"))
    member.may(SEEING, served=served)
    await member.pass_time()
    assert member.is_published(member.uid("web")) is is_sent


async def test_an_apply_does_not_wait_for_a_right_to_remove_what_it_drops() -> None:
    """A new image is not held back by an old Service: that it cannot be deleted is what the agent tells."""
    member = await begun()
    member.may(SEEING, Right(["*"], ["Deployment.apps"], list(VERBS)))
    await member.submit("web", "shop", 4)
    await member.decide()
    order = member.order("web")
    assert order is not None
    body = msgspec.json.decode(order.body, type=OrderBody)
    dropping = msgspec.structs.replace(body, dropped=[ObjectRef("v1", "Service", "shop", "web")])
    member.known.put_order(replace(order, body=msgspec.json.encode(dropping)))
    await member.pass_time()
    assert member.is_published("web")


async def test_an_order_that_waited_for_its_cluster_is_held_back_by_what_that_says_when_it_is_back() -> None:
    """Placed while the agent might, and not sent before it might no longer."""
    member = await begun()
    await member.submit("web", "shop", 4)
    await member.decide()
    member.may(SEEING)
    await member.pass_time()
    said = "its agent may not create, delete, patch Deployment.apps in namespace shop"
    assert member.state() == ("Refused", "Queued", f"{Reason.AGENT_MAY_NOT}: {said}")
    assert (Reason.AGENT_MAY_NOT, said) in member.explained("web")
    record = member.known.workload("web")
    assert record is not None
    assert workload_row(member.known, record).state == "Refused"
    member.may(SEEING, DEPLOYMENTS)
    await member.pass_time()
    assert member.is_published("web")


async def test_a_newer_order_takes_the_place_of_one_that_is_held_back() -> None:
    member = await begun(limited())
    member.may(SEEING, DEPLOYMENTS)
    await member.put()
    await member.put("api")
    await member.pass_time(SWEEP_SECONDS)
    assert not member.is_published(KEY)
    assert member.cores == {"shop": 10}, "what is to stand by now, not what was held back first"
    member.may(SEEING, DEPLOYMENTS, QUOTAS)
    await member.pass_time()
    order = member.order(KEY)
    assert order is not None
    stored = await member.fleet.around.bus.last_order(member.cluster, KEY)
    assert stored is not None, "one order was sent, and it is the newest"
    assert order.published_sequence == stored.sequence


REFUSALS = {
    "a verb that it does not know": (
        Reason.ORDER_MALFORMED,
        "Order: Invalid enum value 'hibernate' - at `$.verb`",
    ),
    "something that it cannot do": (Reason.CAPABILITY_MISSING, "its agent cannot do: hibernate"),
}


@pytest.mark.promise(7)
@pytest.mark.parametrize(("reason", "message"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_what_an_older_agent_did_not_even_record_is_told_and_not_sent_for_ever(
    reason: Reason, message: str
) -> None:
    member = await begun()
    await member.put()
    order = member.order("web")
    assert order is not None
    refused = Work(
        incarnation=1,
        sequence=1,
        version=Version(0, 0),
        state=WorkState.REFUSED,
        refusals=[Refusal(reason=reason, message=message)],
    )
    member.known.work[order.workload] = {member.cluster: refused}
    assert member.state() == ("Refused", "Published", f"{reason}: {message}")
    assert await renewals(member) == 0
    assert await renewals(member, 3 * REFUSED_OVERDUE_SECONDS) > 0, "which of its orders is not told"


async def test_others_have_their_turn_however_long_orders_take_to_be_judged() -> None:
    member = await begun()
    for n in range(40):
        member.known.put_order(OutboxRecord(member.cluster, f"w{n}", Verb.APPLY, Version(1, n), b"{}", b""))
    member.hear()

    def judged(_order: OutboxRecord) -> bool:
        time.sleep(0.002)
        at.append(turns)
        return True

    around, turns, at = member.fleet.around, 0, list[int]()
    dispatch = Dispatch(
        *(around.store, around.bus, around.known, around.clock, member.lease, around.metrics), judged
    )
    passing = asyncio.ensure_future(dispatch.run_pass())
    while not passing.done():
        await asyncio.sleep(0)
        turns += 1
    await passing
    assert len(at) == 40
    assert max(Counter(at).values()) <= 3, "at once"


SAID = {
    "of this very order": (Reason.CAPABILITY_MISSING, 0, 0),
    "of the one before it": (Reason.CAPABILITY_MISSING, -1, 3),
    "of one that is older than what is recorded": (Reason.ORDER_OLDER, None, 3),
}


@pytest.mark.promise(7)
@pytest.mark.parametrize(("reason", "before", "renewed"), SAID.values(), ids=SAID.keys())
async def test_a_refusal_counts_for_the_order_that_it_names_and_for_no_later_one(
    reason: Reason, before: int | None, renewed: int
) -> None:
    member = await begun()
    await member.put()
    order = member.order("web")
    assert order is not None
    epoch, generation = order.version.epoch, order.version.generation
    version = None if before is None else Version(epoch, generation + before)
    refused = Work(
        incarnation=1,
        sequence=1,
        version=Version(0, 0),
        state=WorkState.REFUSED,
        refusals=[Refusal(reason=reason, message="no", version=version)],
    )
    member.known.work[order.workload] = {member.cluster: refused}
    assert (member.state()[2] == f"{reason}: no") is (renewed == 0)
    assert await renewals(member) == renewed


async def test_what_is_held_back_is_said_in_one_line_for_its_cluster() -> None:
    member = await begun()
    for name in ("web", "api", "db"):
        await member.submit(name, "shop", 4)
    await member.decide()
    member.may(SEEING)
    with capture_logs() as said:
        await member.pass_time()
        await member.pass_time()
    (line,) = [each for each in said if each["event"] == "orders_withheld"]
    assert (line["cluster"], line["orders"]) == (member.cluster, 3)
    assert line["detail"].startswith("its agent may not create")


def test_of_many_clusters_a_few_are_named_and_the_rest_counted() -> None:
    around = Around()
    withheld = Withheld(around.known, around.metrics)
    body = msgspec.json.encode(OrderBody(name="w", objects=[deployment(1)]))
    for n in range(MOST_SAID + 5):
        facts = Facts(incarnation=1, sequence=1, layout=1, kubernetes_version="v1.34.1", rights=[SEEING])
        reports.apply(around.known.fleet, f"C{n}", "facts", facts)
        assert withheld.is_held(OutboxRecord(f"C{n}", "w", Verb.APPLY, Version(1, n), body, b"", None, None))
    with capture_logs() as said:
        withheld.looked()
    assert len(said) == MOST_SAID + 1
    assert (said[-1]["clusters"], said[-1]["orders"]) == (5, 5)


async def renewals(member: Bounded, seconds: float = 93.0) -> int:
    """Of its consumer, in three passes over so long: each brings it all of its orders again."""
    bus, count = member.fleet.around.bus, 0
    renew = bus.renew_consumer

    async def counted(cluster: str) -> None:
        nonlocal count
        count += 1
        await renew(cluster)

    await renew(member.cluster)
    bus.renew_consumer = counted
    for _ in range(3):
        await member.pass_time(seconds / 3)
    return count
