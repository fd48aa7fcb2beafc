"""Limits of tenants in the member clusters: raised before an order that needs it, lowered after the pods."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from controlplane.intent import WorkloadDraft
from controlplane.known.known import Heard
from controlplane.known.limiting import set_by
from controlplane.known.records import Lease, OutboxRecord, Request, WorkloadRecord
from controlplane.loops.dispatch import Dispatch
from controlplane.loops.limits import (
    AWAITED_SECONDS,
    LOWER_SECONDS,
    RAISE_SECONDS,
    SWEEP_SECONDS,
    LimitsLoop,
)
from controlplane.loops.ports import StoreUnavailable
from controlplane.quota.tolerated import KEPT_SECONDS
from schemas.wire.beats import Beat
from schemas.wire.limits import limits_key
from schemas.wire.orders import TEMPLATE_LABEL, OrderBody, Verb, Version
from schemas.wire.reports import Foreign, Namespace, Namespaces, Work, WorkState
from tests.conformance.store_worlds import ME
from tests.simulation.ledger import Ledger
from tests.simulation.network import Fate
from tests.simulation.test_admitting import Centre, quota
from tests.simulation.test_reschedule import DYNAMIC, deployment

KEY = limits_key("shop")


def limited(mode: str = "Enforce", *, cpu: int = 50) -> dict[str, Any]:
    spec = quota(cpu=cpu)
    return {"quota": {**spec["quota"], "limits": mode}}


class Member(Centre):
    """The leader of a cluster `a`, with its limits and its dispatch; what the agent says is said here."""

    def __init__(self) -> None:
        super().__init__()
        self.lease: Lease
        self.limits: LimitsLoop
        self.dispatch: Dispatch

    async def start(self, **tenants: Mapping[str, Any]) -> None:
        await self.begin(cores=100, clusters="a", **tenants)
        await self.fleet.around.bus.renew_consumer(self.cluster)
        await self._begin_loops()
        self.tell()

    async def _begin_loops(self) -> None:
        around = self.fleet.around
        self.lease = self.place._lease  # pyright: ignore[reportPrivateUsage]
        self.limits = LimitsLoop(
            *(around.store, around.known, Ledger(1), around.clock, self.lease), orders_committed=lambda: None
        )
        self.dispatch = Dispatch(
            *(around.store, around.bus, around.known, around.clock, self.lease, around.metrics),
            self.limits.waits,
        )

    async def lead_anew(self) -> None:
        await super().lead_anew()
        await self._begin_loops()
        self.tell()

    @property
    def cluster(self) -> str:
        return self.fleet.ids["a"]

    def tell(self, **foreign: int) -> None:
        """What the agent says of namespaces: cpu in cores of pods that are no workload's."""
        listed = [
            Namespace(name.replace("_", "-"), [Foreign(0, 1, [cpu * 1000])]) for name, cpu in foreign.items()
        ]
        self.known.namespaces[self.cluster] = Namespaces(
            incarnation=1, sequence=1, profiles=[""], resources=["cpu"], namespaces=listed
        )

    def hear(self) -> None:
        now = self.fleet.around.clock.now()
        beat = Beat(incarnation=1, sequence=1, clock=now, agent_version="1")
        self.known.heard[self.cluster] = Heard(now, self.lease.epoch, beat)

    async def pass_time(self, seconds: float = 1.0) -> None:
        """Limits and dispatch, once, after so many seconds in which it has gone on leading."""
        await self.fleet.around.store.take_lease(self.lease.role, self.lease.holder, seconds + 60.0)
        self.fleet.around.clock.seconds += seconds
        self.hear()
        await self.limits.run_pass()
        await self.dispatch.run_pass()

    def say(
        self,
        workload: str,
        state: WorkState = WorkState.APPLIED,
        *,
        finished: bool = False,
        living: Mapping[str, int] | None = None,
        leaving: int = 0,
    ) -> None:
        """What the agent says of its order. living: pods by template."""
        order = self.order(workload)
        assert order is not None
        self.known.work.setdefault(order.workload, {})[self.cluster] = Work(
            incarnation=1,
            sequence=1,
            version=order.version,
            carried_out=order.version,
            state=state,
            finished=finished,
            living=dict(living) if living is not None else None,
            leaving=leaving,
        )

    def template(self, workload: str) -> str:
        """As its pods are labelled."""
        order = self.order(workload)
        assert order is not None
        (manifest,) = msgspec.json.decode(order.body, type=OrderBody).objects
        return manifest["spec"]["template"]["metadata"]["labels"][TEMPLATE_LABEL]

    def order(self, workload: str) -> OutboxRecord | None:
        record = self.known.workload(workload)
        return self.known.order(self.cluster, record.uid if record is not None else workload)

    def is_published(self, workload: str) -> bool:
        order = self.order(workload)
        return order is not None and order.published_sequence is not None

    @property
    def cores(self) -> dict[str, int]:
        """What the limits that are ordered let in, by namespace."""
        found = set_by(self.known.order(self.cluster, KEY))
        return {namespace: each.hard["cpu"] // 1000 for namespace, each in found.items()}


async def test_an_order_waits_until_the_agent_has_spoken_of_limits_that_let_its_pods_in() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    assert member.cores == {"shop": 5}, "four, and one while they roll"
    assert (member.is_published(KEY), member.is_published("web")) == (True, False)
    await member.pass_time()
    assert not member.is_published("web")
    member.say(KEY, WorkState.RECORDED)
    await member.pass_time()
    assert not member.is_published("web"), "recorded, and not carried out"
    member.say(KEY)
    await member.pass_time()
    assert member.is_published("web")


async def test_what_asks_for_more_waits_again_and_what_fits_does_not() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    member.say(KEY)
    await member.submit("api", "shop", 4)
    await member.decide()
    await member.pass_time(RAISE_SECONDS)
    assert member.cores == {"shop": 10}
    assert not member.is_published("api")
    assert member.is_published("web"), "it waits for no more than its own needs"
    member.say(KEY)
    await member.pass_time()
    assert member.is_published("api")
    member.say("api")
    await member.submit("api", "shop", 2)
    await member.decide()
    await member.pass_time()
    assert member.is_published("api"), "what is charged is still the more, and lets it in"


@pytest.mark.parametrize("state", [WorkState.REFUSED, WorkState.FAILED])
async def test_limits_that_the_cluster_does_not_take_hold_up_nothing(state: WorkState) -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    member.say(KEY, state)
    await member.pass_time()
    assert member.is_published("web")


async def test_an_agent_that_is_silent_about_limits_is_awaited_for_so_long_only() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    await member.pass_time()
    await member.pass_time(AWAITED_SECONDS - 1)
    assert not member.is_published("web")
    await member.pass_time(2)
    assert member.is_published("web")


async def test_where_limits_are_not_enforced_nothing_is_ordered_and_nothing_waits() -> None:
    member = Member()
    await member.start(shop=limited("Observe"), other=limited("Off"), third=quota(cpu=9))
    for tenant in ("shop", "other", "third"):
        await member.submit(f"{tenant}-web", tenant, 4)
    await member.decide()
    await member.pass_time()
    assert all(member.is_published(f"{tenant}-web") for tenant in ("shop", "other", "third"))
    assert [key for key in member.known.orders if key.startswith("limits-")] == []


async def test_one_tenant_s_limits_hold_up_no_other_and_no_withdrawal() -> None:
    member = Member()
    await member.start(shop=limited(), other=quota(cpu=9))
    await member.submit("web", "shop", 4)
    await member.submit("free", "other", 4)
    await member.decide()
    await member.pass_time()
    assert (member.is_published("web"), member.is_published("free")) == (False, True)
    await member.delete("web")
    await member.decide()
    await member.pass_time()
    orders = member.known.orders_in[member.cluster].values()
    (withdrawn,) = [each for each in orders if each.verb is Verb.WITHDRAW and each.workload != KEY]
    assert withdrawn.published_sequence is not None


@pytest.mark.promise(2)
async def test_a_limit_is_lowered_after_the_pods_are_gone_and_not_when_that_was_decided() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 8)
    await member.submit("api", "shop", 4)
    await member.decide()
    await member.pass_time()
    assert member.cores == {"shop": 15}
    member.say(KEY)
    await member.pass_time()
    await member.delete("web")
    await member.decide()
    await member.pass_time(LOWER_SECONDS)
    assert member.cores == {"shop": 13}, "its eight pods may still run; they are not rolled any more"
    member.say(KEY)
    await member.gone("web")
    await member.pass_time(SWEEP_SECONDS)
    assert member.cores == {"shop": 13}, "not with every pod that goes"
    await member.pass_time(LOWER_SECONDS)
    assert member.cores == {"shop": 5}


async def test_a_rolling_update_has_room_for_the_pods_that_it_replaces_until_they_are_gone() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    member.say(KEY)
    await member.pass_time()
    before = member.template("web")
    member.say("web", living={before: 4})
    await member.pass_time(LOWER_SECONDS)
    assert member.cores == {"shop": 5}
    rolled = deployment(4)
    rolled["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    rolled["metadata"] = {"name": "web", "namespace": "shop"}
    await member.send("web", "shop", [rolled], placement={"replicaScheduling": DYNAMIC})
    await member.decide()
    await member.pass_time()
    after = member.template("web")
    assert after != before
    assert (member.cores, member.is_published("web")) == ({"shop": 8}, False)
    member.say(KEY)
    await member.pass_time()
    assert member.is_published("web")
    member.say("web", living={after: 4}, leaving=2)
    await member.pass_time(LOWER_SECONDS)
    assert member.cores == {"shop": 6}
    member.say(KEY)
    member.say("web", living={after: 4})
    await member.pass_time(LOWER_SECONDS)
    assert member.cores == {"shop": 5}


@pytest.mark.promise(2)
async def test_what_has_run_to_its_end_is_let_in_no_longer_though_it_is_still_ordered() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.submit("sums", "shop", 8)
    await member.decide()
    await member.pass_time()
    member.say(KEY)
    await member.pass_time()
    member.say("sums", finished=True)
    await member.gone("sums")
    await member.pass_time(LOWER_SECONDS)
    assert member.cores == {"shop": 5}


async def test_what_is_there_by_hand_keeps_its_room_and_what_comes_later_gets_none() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.change("shop", limited() | {"namespaces": ["shop", "shop-*"]})
    member.tell(shop=3, shop_by_hand=2, kube_system=7)
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    assert member.cores == {"shop": 8, "shop-by-hand": 2}
    member.say(KEY)
    member.tell(shop=4, shop_by_hand=2, shop_new=1)
    await member.pass_time(LOWER_SECONDS)
    assert member.cores == {"shop": 8, "shop-by-hand": 2, "shop-new": 1}
    member.say(KEY)
    member.tell(shop_by_hand=2)
    await member.pass_time(LOWER_SECONDS)
    assert member.cores["shop"] == 8, "it may be starting anew"
    await member.pass_time(KEPT_SECONDS)
    assert member.cores == {"shop": 5, "shop-by-hand": 2, "shop-new": 0}


async def test_a_namespace_in_which_nothing_is_ordered_is_not_made() -> None:
    member = Member()
    await member.start(shop={"namespaces": ["shop", "shop-*"], **limited()})
    member.tell(shop_by_hand=2)
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    found = set_by(member.order(KEY))
    assert {namespace: each.made for namespace, each in found.items()} == {
        "shop": True,
        "shop-by-hand": False,
    }


async def test_before_the_agent_tells_of_namespaces_nothing_is_limited_and_nothing_waits() -> None:
    member = Member()
    await member.start(shop=limited())
    del member.known.namespaces[member.cluster]
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    assert (member.order(KEY), member.is_published("web")) == (None, True)


@pytest.mark.parametrize("mode", ["Off", "Observe", None])
@pytest.mark.promise(9)
async def test_limits_that_are_not_asked_for_any_more_are_withdrawn(mode: str | None) -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    member.say(KEY)
    await member.pass_time()
    await member.change("shop", limited(mode) if mode is not None else {})
    await member.decide()
    await member.pass_time(SWEEP_SECONDS)
    order = member.order(KEY)
    assert order is not None
    assert order.verb is Verb.WITHDRAW
    body = msgspec.json.decode(order.body, type=OrderBody)
    assert [str(ref) for ref in body.dropped] == ["ResourceQuota shop/muster-shop"]
    version = order.version
    await member.pass_time(LOWER_SECONDS)
    again = member.order(KEY)
    assert again is not None
    assert again.version == version, "once"


@pytest.mark.promise(1)
async def test_the_next_leader_goes_on_with_what_is_ordered() -> None:
    member = Member()
    await member.start(shop=limited())
    member.tell(shop=3)
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    before = member.order(KEY)
    await member.lead_anew()
    member.tell(shop=9)
    await member.decide()
    await member.pass_time()
    after = member.order(KEY)
    assert before is not None
    assert after is not None
    assert after.version == before.version, "what came since is not let in by a new leader either"
    assert not member.is_published("web")
    member.say(KEY)
    await member.pass_time()
    assert member.is_published("web")


async def test_after_a_recovery_limits_are_issued_anew_above_what_the_agent_held() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    member.say(KEY)
    store = member.fleet.around.store
    await store.request("a", Request.RECOVERY, ME)
    floor = Version(member.lease.epoch, member.known.last_generation + 5)
    await store.record_request_done(member.lease, member.cluster, Request.RECOVERY, floor)
    await store.raise_floor(member.lease, floor)
    await member.lead_anew()
    await member.decide()
    await member.pass_time(SWEEP_SECONDS)
    order = member.order(KEY)
    assert order is not None
    assert order.version > floor


async def test_what_the_store_did_not_take_is_ordered_in_the_next_pass() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    member.fleet.around.fates = [Fate.ANSWER_LOST, Fate.DONE]
    with pytest.raises(StoreUnavailable):
        await member.pass_time()
    assert not member.is_published("web")
    await member.pass_time()
    member.say(KEY)
    await member.pass_time()
    assert member.is_published("web")
    stored = {each.workload: each for each in (await member.fleet.around.store.load()).outbox}
    order = member.order(KEY)
    assert order is not None
    assert stored[KEY].version == order.version


async def test_an_agent_is_given_time_to_take_limits_before_it_gets_others() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    await member.submit("api", "shop", 4)
    member.place._retried_at = 0.0  # pyright: ignore[reportPrivateUsage]
    await member.place.run_pass()
    await member.pass_time(RAISE_SECONDS / 2)
    assert member.cores == {"shop": 5}
    await member.pass_time(RAISE_SECONDS)
    assert member.cores == {"shop": 10}


async def test_what_is_no_tenant_s_is_let_into_a_tenant_s_namespace() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.submit("probe", "shop", 2)
    store = member.fleet.around.store
    record = next(each for each in (await store.load()).workloads if each.name == "probe")
    await store.delete_workload("probe", ME)
    await store.submit_workload(the_operator_s_own(record), ME)
    await member.decide()
    await member.pass_time()
    assert member.cores == {"shop": 5 + 3}


def the_operator_s_own(record: WorkloadRecord) -> WorkloadDraft:
    return WorkloadDraft("operators", record.labels, record.annotations, "", record.spec)


async def test_a_removed_cluster_gets_none() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    store = member.fleet.around.store
    await store.remove_cluster("a", ME)
    order = member.order("web")
    assert order is not None
    await store.commit_orders(member.lease, [replace(order, workload=KEY)])
    assert [each.workload for each in (await store.load()).outbox if each.workload == KEY] == []


async def test_what_becomes_of_limits_is_told_of_the_tenant_and_their_removal_leaves_nothing() -> None:
    member = Member()
    await member.start(shop=limited())
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    around = member.fleet.around
    settle = around.settle(member.lease)
    member.say(KEY, WorkState.REFUSED)
    settle.offer(member.cluster, KEY)
    await settle.run_pass()
    await member.change("shop", {})
    await member.decide()
    await member.pass_time(SWEEP_SECONDS)
    member.say(KEY, WorkState.WITHDRAWN)
    settle.offer(member.cluster, KEY)
    await settle.run_pass()
    told = [each for each in await around.store.changes(0, 100) if each.kind == "Limits"]
    assert [(each.name, each.what) for each in told] == [("shop", "Refused"), ("shop", "Withdrawn")]
    assert member.order(KEY) is None
    assert KEY not in {each.workload for each in (await around.store.load()).outbox}
    assert not member.known.unordered.get(member.cluster)


async def test_nothing_is_limited_in_a_cluster_that_the_tenant_may_not_use() -> None:
    """There a namespace of that name is another tenant's."""
    member = Member()
    elsewhere = {"clusters": {"clusterNames": ["other"]}}
    here = {"namespaces": ["shop"], "clusters": {"clusterNames": ["a"]}}
    await member.start(shop=limited() | elsewhere, mine=here)
    member.tell(shop=3)
    await member.decide()
    await member.pass_time(SWEEP_SECONDS)
    assert member.cores == {}


async def test_what_was_limited_before_its_tenant_might_no_longer_use_the_cluster_is_limited_no_more() -> (
    None
):
    member = Member()
    await member.start(shop=limited())
    member.tell(shop=3)
    await member.decide()
    await member.pass_time(SWEEP_SECONDS)
    assert member.cores == {"shop": 3}
    await member.change("shop", limited() | {"clusters": {"clusterNames": ["other"]}})
    await member.decide()
    for _ in range(3):
        member.say(KEY)
        await member.pass_time(LOWER_SECONDS)
    assert member.cores == {}
