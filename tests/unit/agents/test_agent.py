"""The agent on a simulated cluster, a centre in memory: what it reports, and what it does when ordered."""

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.ports import Unreachable
from schemas.reasons import Reason
from schemas.wire.codec import unpack_column
from schemas.wire.orders import FIELD_MANAGER, WORKLOAD_LABEL, ObjectRef, OrderBody, Verb, Version
from schemas.wire.reports import Facts, Inventory, Usage, WorkState
from schemas.wire.subjects import RELEASE
from tests.unit.agents import world as agent_world
from tests.unit.agents.world import (
    AgentWorld,
    apply_order,
    config_map,
    deployment,
    deployment_ref,
    sealed,
    signed,
    withdraw_order,
)

WEB = ObjectRef("apps/v1", "Deployment", "shop", "web")
SETTINGS = ObjectRef("v1", "ConfigMap", "shop", "settings")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AgentWorld]:
    world = AgentWorld(tmp_path)
    yield world
    await world.close()


async def test_reports_name_each_other_and_say_what_the_cluster_is(world: AgentWorld) -> None:
    world.start()
    centre = world.centre
    await world.until(lambda: "usage.1-0" in centre.reports and "facts" in centre.reports, "reports")
    facts, inventory = centre.report(Facts, "facts"), centre.report(Inventory, "inventory.1-0")
    usage = centre.report(Usage, "usage.1-0")
    assert facts
    assert inventory
    assert usage
    assert (facts.provider, facts.region, len(facts.zones)) == ("aws", "eu-central-1", 3)
    assert len(inventory.names) == usage.nodes == 4
    assert usage.epoch == inventory.epoch
    assert all(f"profile.{name}" in centre.reports for name in inventory.profile_hashes)
    first = {tail: index for index, tail in reversed(list(enumerate(centre.published)))}
    assert max(first[f"profile.{name}"] for name in inventory.profile_hashes) < first["inventory.1-0"]
    foreign = dict(zip(usage.resources, map(unpack_column, usage.foreign), strict=True))
    assert all(amount >= 275 for amount in foreign["cpu"])
    await world.until(lambda: bool((u := centre.report(Usage, "usage.1-0")) and u.used), "metrics")


async def test_an_edge_site_without_metrics_says_so_and_reports_no_zeros(tmp_path: Path) -> None:
    world = AgentWorld(tmp_path, "edge")
    world.start()
    await world.until(
        lambda: "usage.1-0" in world.centre.reports and "facts" in world.centre.reports, "reports"
    )
    facts, usage = world.centre.report(Facts, "facts"), world.centre.report(Usage, "usage.1-0")
    assert facts
    assert usage
    assert not facts.metrics_served
    assert usage.used == []
    await world.close()


async def test_an_order_is_carried_out_and_its_pods_are_reported_bound(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, config_map("w1", colour="red"), deployment("w1")))

    def is_ready() -> bool:
        work = world.centre.work("w1")
        return bool(work and work.ready == 2 and all(each.healthy for each in work.objects))

    await world.until(is_ready, "ready")
    work = world.centre.work("w1")
    assert work
    assert (work.state, work.version, work.carried_out) == (WorkState.APPLIED, Version(1, 1), Version(1, 1))
    await world.until(
        lambda: bool(
            (usage := world.centre.report(Usage, "usage.1-0"))
            and sum(bound.replicas for bound in usage.bound if bound.template == "t1") == 2
        ),
        "bound",
    )


async def test_withdrawn_means_that_the_pods_are_gone(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, deployment("w1")))
    await world.until(lambda: bool((work := world.centre.work("w1")) and work.ready == 2), "ready")
    world.centre.order(withdraw_order("w1", 2))
    await world.until(
        lambda: bool((work := world.centre.work("w1")) and work.state is WorkState.WITHDRAWN), "withdrawn"
    )
    work = world.centre.work("w1")
    assert work
    assert (work.pods, work.carried_out) == (0, Version(1, 2))
    assert world.cluster.look(WEB) is None
    assert world.cluster.look(ObjectRef("v1", "Namespace", "", "shop")) is not None


@pytest.mark.promise(9)
async def test_what_an_order_no_longer_names_stays_unless_it_is_dropped(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, config_map("w1"), deployment("w1")))
    await world.until(lambda: world.cluster.look(WEB) is not None, "first")
    world.centre.order(apply_order("w1", 2, config_map("w1", colour="blue")))
    await world.until(
        lambda: bool((work := world.centre.work("w1")) and work.carried_out == Version(1, 2)), "second"
    )
    assert world.cluster.look(WEB) is not None
    world.centre.order(apply_order("w1", 3, config_map("w1"), dropped=[deployment_ref()]))
    await world.until(lambda: world.cluster.look(WEB) is None, "dropped")


@pytest.mark.promise(3)
async def test_an_older_order_is_refused_also_after_a_restart(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 5, config_map("w1", colour="new")))
    await world.until(lambda: bool((work := world.centre.work("w1")) and work.carried_out), "newer")
    await world.kill()
    world.centre.order(apply_order("w1", 4, config_map("w1", colour="old")))
    world.start()
    await world.until(
        lambda: bool(
            (work := world.centre.work("w1"))
            and any(each.reason is Reason.ORDER_OLDER for each in work.refusals)
        ),
        "refused",
    )
    settings = world.cluster.look(SETTINGS)
    assert settings
    assert settings["data"] == {"colour": "new"}
    assert Version(1, 4) in world.centre.acknowledged


@pytest.mark.promise(5)
async def test_an_order_signed_for_another_cluster_is_refused(world: AgentWorld) -> None:
    world.start()
    world.centre.order(signed("w1", Verb.APPLY, 1, OrderBody(name="w1"), cluster="COTHER"))
    await world.until(lambda: world.centre.work("w1") is not None, "report")
    work = world.centre.work("w1")
    assert work
    assert (work.state, work.refusals[0].reason) == (WorkState.REFUSED, Reason.SIGNATURE_INVALID)


async def test_what_belongs_to_somebody_else_is_left_alone_and_named(world: AgentWorld) -> None:
    world.cluster.put_as("kubectl", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    theirs = config_map("x", colour="theirs")
    del theirs["metadata"]["labels"]
    world.cluster.put_as("helm", theirs)
    world.start()
    world.centre.order(apply_order("w1", 1, deployment("w1"), config_map("w1", colour="ours")))
    await world.until(
        lambda: bool((work := world.centre.work("w1")) and work.state is WorkState.REFUSED), "refused"
    )
    work = world.centre.work("w1")
    assert work
    assert work.refusals[0].reason is Reason.OWNED_BY_OTHER
    assert "helm" in work.refusals[0].message
    assert world.cluster.look(WEB) is None, "an order that cannot be carried out whole is not begun"
    world.cluster.remove(SETTINGS)
    await world.until(lambda: world.cluster.look(WEB) is not None, "tried again once it is free", 15)


async def test_what_is_nobodys_of_ours_is_taken_over_where_the_order_says_so(world: AgentWorld) -> None:
    world.cluster.put_as("kubectl", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    theirs = deployment("x", replicas=1, image="web:0")
    del theirs["metadata"]["labels"]
    before = world.cluster.put_as("kubectl", theirs)
    world.start()
    world.centre.order(apply_order("w1", 1, deployment("w1", replicas=3), overwrite=True))
    await world.until(lambda: bool((work := world.centre.work("w1")) and work.ready == 3), "taken over")
    world.centre.order(apply_order("w1", 2, deployment("w1", replicas=2), overwrite=True))
    await world.until(lambda: bool((work := world.centre.work("w1")) and work.pods == 2), "and scaled later")
    live = world.cluster.look(WEB)
    assert live
    assert live["metadata"]["uid"] == before["metadata"]["uid"]


async def test_what_another_workload_owns_is_refused_though_the_order_overwrites(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, config_map("w1", colour="first")))
    await world.until(lambda: world.cluster.look(SETTINGS) is not None, "first")
    world.centre.order(apply_order("w2", 2, config_map("w2", colour="second"), overwrite=True))
    await world.until(
        lambda: bool((work := world.centre.work("w2")) and work.state is WorkState.REFUSED), "refused"
    )
    settings = world.cluster.look(SETTINGS)
    assert settings
    assert settings["data"] == {"colour": "first"}


@pytest.mark.promise(9)
async def test_what_a_withdrawal_preserves_runs_on_and_is_nobodys_of_ours(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, config_map("w1"), deployment("w1")))
    await world.until(lambda: bool((work := world.centre.work("w1")) and work.ready == 2), "ready")
    pods = {pod["metadata"]["uid"] for pod in world.cluster.objects("Pod")}
    world.centre.order(withdraw_order("w1", 2, preserve=True))
    await world.until(
        lambda: bool((work := world.centre.work("w1")) and work.state is WorkState.WITHDRAWN), "withdrawn"
    )
    work = world.centre.work("w1")
    assert work
    assert (work.pods, work.objects) == (0, [])
    for ref in (WEB, SETTINGS):
        live = world.cluster.look(ref)
        assert live
        assert WORKLOAD_LABEL not in live["metadata"].get("labels", {})
        assert FIELD_MANAGER not in {entry["manager"] for entry in live["metadata"]["managedFields"]}
    assert pods == {pod["metadata"]["uid"] for pod in world.cluster.objects("Pod")}, "no pod is restarted"


@pytest.mark.promise(9)
async def test_a_recorded_withdrawal_that_preserves_still_does_after_a_restart(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, config_map("w1")))
    await world.until(lambda: bool((work := world.centre.work("w1")) and work.carried_out), "applied")
    world.cluster.faults.fail_next("disown", Unreachable("away"), times=1000)
    world.centre.order(withdraw_order("w1", 2, preserve=True))
    await world.until(lambda: Version(1, 2) in world.centre.acknowledged, "recorded")
    await world.kill()
    world.cluster.faults.heal()
    world.centre.lose_orders()
    world.start()
    await world.until(
        lambda: bool((work := world.centre.work("w1")) and work.state is WorkState.WITHDRAWN), "withdrawn"
    )
    settings = world.cluster.look(SETTINGS)
    assert settings
    assert WORKLOAD_LABEL not in settings["metadata"].get("labels", {})


async def test_replicas_are_the_autoscalers_once_it_has_set_them(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, deployment("w1", replicas=2)))
    await world.until(lambda: world.cluster.look(WEB) is not None, "created")
    world.cluster.scale_as("horizontal-pod-autoscaler", WEB, 3)
    world.centre.order(apply_order("w1", 2, deployment("w1", replicas=2, image="web:2")))
    await world.until(
        lambda: bool((work := world.centre.work("w1")) and work.carried_out == Version(1, 2)), "applied"
    )
    live = world.cluster.look(WEB)
    assert live
    assert live["spec"]["replicas"] == 3
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"


async def test_values_of_secrets_arrive_sealed_and_are_opened_here(world: AgentWorld) -> None:
    secret = config_map("w1", "password") | {"kind": "Secret"}
    del secret["data"]
    world.start()
    world.centre.order(apply_order("w1", 1, secret, sealed=[sealed(0, {"key": "aHVudGVyMg=="})]))
    ref = ObjectRef("v1", "Secret", "shop", "password")
    await world.until(lambda: world.cluster.look(ref) is not None, "secret")
    stored = world.cluster.look(ref)
    assert stored
    assert stored["data"] == {"key": "aHVudGVyMg=="}


async def test_what_somebody_deleted_is_made_again(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, config_map("w1", colour="red")))
    await world.until(lambda: bool((work := world.centre.work("w1")) and work.carried_out), "applied")
    world.cluster.remove(SETTINGS)
    await world.until(lambda: world.cluster.look(SETTINGS) is not None, "made again", 15)


@pytest.mark.promise(9)
async def test_too_many_removals_hold_until_a_signed_release(world: AgentWorld) -> None:
    world.start()
    names = [f"w{index}" for index in range(8)]
    for index, name in enumerate(names):
        world.centre.order(apply_order(name, index + 1, config_map(name, name)))
    await world.until(
        lambda: all((work := world.centre.work(name)) and work.carried_out for name in names), "applied"
    )
    for index, name in enumerate(names):
        world.centre.order(withdraw_order(name, 20 + index))

    def states() -> list[WorkState]:
        return [work.state for name in names if (work := world.centre.work(name))]

    await world.until(lambda: states().count(WorkState.WITHDRAWN) == 5, "five go")
    await world.until(lambda: states().count(WorkState.HELD) == 3, "three wait")
    await world.until(lambda: world.centre.beats[-1].holding, "and it is said")
    await world.kill()
    world.start()
    await world.until(lambda: states().count(WorkState.HELD) == 3, "also after a restart")
    world.centre.order(signed(RELEASE, Verb.RELEASE, 40, OrderBody(name="release")))
    await world.until(lambda: states().count(WorkState.WITHDRAWN) == 8, "released")
    await world.until(lambda: not world.centre.beats[-1].holding, "and it is said")


@pytest.mark.promise(6)
async def test_without_the_centre_it_goes_on_and_catches_up(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, deployment("w1")))
    await world.until(lambda: bool((work := world.centre.work("w1")) and work.ready == 2), "ready")
    world.centre.away = True
    world.cluster.node_down("ip-10-0-001")
    await world.until(lambda: world.spool.depth == 1, "spooled meanwhile")
    world.centre.away = False
    await world.until(lambda: len(world.centre.alerts) == 1, "sent")
    alert = world.centre.alerts[0].alerts[0]
    assert (alert.labels["alertname"], alert.labels["node"]) == ("NodeNotReady", "ip-10-0-001")
    await world.until(lambda: world.spool.depth == 0, "trimmed by the watermark")
    world.cluster.node_up("ip-10-0-001")
    await world.until(lambda: len(world.centre.alerts) == 2, "resolved")
    assert world.centre.alerts[1].alerts[0].ends_at > 0


@pytest.mark.promise(1)
async def test_a_centre_restored_from_before_gets_what_the_spool_still_has(world: AgentWorld) -> None:
    world.start()
    for round_ in range(2):
        world.cluster.node_down("ip-10-0-001")
        await world.until(lambda: len(world.centre.alerts) == 2 * round_ + 1, "fires")  # noqa: B023
        world.cluster.node_up("ip-10-0-001")
        await world.until(lambda: len(world.centre.alerts) == 2 * round_ + 2, "ends")  # noqa: B023
    await world.until(lambda: world.spool.depth == 0, "all committed and trimmed")
    world.centre.watermark = (world.centre.watermark[0], 1)
    world.centre.epoch += 1
    world.cluster.node_down("ip-10-0-002")
    await world.until(lambda: len(world.centre.alerts) == 5, "taken all the same")
    assert world.centre.watermark[1] == 1, "as the first of a new incarnation"


async def test_what_the_centre_asks_for_is_said_again_with_a_newer_stamp(world: AgentWorld) -> None:
    world.start()
    await world.until(lambda: "facts" in world.centre.reports, "facts")
    before = world.centre.reports["facts"].stamp
    world.centre.resend = ["facts", "inventory.1-0", "work.unknown", "versions"]
    await world.until(lambda: world.centre.reports["facts"].stamp > before, "again")
    await world.until(lambda: world.centre.beats[-2].versions is not None, "versions")
    assert world.centre.stale == []


async def test_a_restarted_agent_comes_with_a_higher_incarnation_than_any_seen(world: AgentWorld) -> None:
    world.centre.incarnation = 41
    world.start()
    await world.until(lambda: world.centre.incarnation == 42, "above what the centre names")
    await world.kill()
    world.start()
    await world.until(lambda: world.centre.incarnation == 43, "above its own last")


@pytest.mark.promise(1)
async def test_one_that_lost_its_lease_unawares_takes_no_incarnation_that_another_may_take(
    world: AgentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asleep; what it would send under the number that the next one takes mixed their logs."""
    monkeypatch.setattr(agent_world, "PERIODS", replace(agent_world.PERIODS, lease=10.0))

    def lease() -> dict[str, Any]:
        (found,) = world.cluster.objects("Lease")
        return deepcopy(found)

    world.start()
    await world.until(lambda: world.centre.incarnation > 0, "it acts")
    taken, before = lease(), world.centre.incarnation
    taken["spec"]["holderIdentity"] = "another"
    await world.cluster.replace(taken)
    world.centre.incarnation = before + 5
    said = len(world.centre.beats)
    await asyncio.sleep(10 * agent_world.PERIODS.beat)
    assert {each.incarnation for each in world.centre.beats[said:]} <= {before}

    freed = lease()
    freed["spec"]["holderIdentity"] = ""
    await world.cluster.replace(freed)
    await world.until(lambda: world.centre.incarnation > before + 5, "it acts again", seconds=30.0)


@pytest.mark.promise(1)
async def test_a_waiting_agent_with_alerts_on_its_disk_is_let_in(world: AgentWorld, tmp_path: Path) -> None:
    world.centre.away = True
    world.start()
    world.cluster.node_down("ip-10-0-001")
    await world.until(lambda: world.spool.depth == 1, "spooled")
    await world.kill()
    world.centre.away = False
    other_disk = world.folder = tmp_path / "other"
    other_disk.mkdir()
    world.start()
    await world.until(lambda: len(world.centre.alerts) == 1, "the other agent says what it sees itself")
    world.folder = tmp_path
    world.start_beside()
    await world.until(lambda: len(world.centre.alerts) >= 2, "the first disk is emptied", 15)
    await world.until(lambda: world.spool.depth == 0, "and trimmed")


@pytest.mark.promise(9)
async def test_a_recorded_withdrawal_is_finished_though_its_order_is_lost(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, config_map("w1")))
    await world.until(lambda: bool((work := world.centre.work("w1")) and work.carried_out), "applied")
    world.cluster.faults.fail_next("delete", Unreachable("away"), times=1000)
    world.centre.order(withdraw_order("w1", 2))
    await world.until(lambda: Version(1, 2) in world.centre.acknowledged, "recorded")
    await world.kill()
    world.cluster.faults.heal()
    world.centre.lose_orders()
    world.start()
    await world.until(lambda: world.cluster.look(SETTINGS) is None, "removed")
    await world.until(
        lambda: bool((work := world.centre.work("w1")) and work.state is WorkState.WITHDRAWN), "and said"
    )
