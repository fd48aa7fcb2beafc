"""A tenant's limits in the agent's hands: where namespaces are made for them, and that none is a removal."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agents.fence import Entry
from agents.observe.marks import by_spec, by_version
from agents.removals import may_remove
from controlplane.quota.limit_objects import objects
from controlplane.quota.limits import Limit
from schemas.wire.limits import is_limits, limits_key
from schemas.wire.orders import ObjectRef, Verb, Version
from schemas.wire.reports import WorkState
from tests.unit.agents.world import AgentWorld, apply_order, deployment, withdraw_order

KEY = limits_key("shop")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AgentWorld]:
    world = AgentWorld(tmp_path)
    yield world
    await world.close()


def quota_in(world: AgentWorld, namespace: str) -> Mapping[str, Any] | None:
    return world.cluster.look(ObjectRef("v1", "ResourceQuota", namespace, "muster-shop"))


def limited(*namespaces: str, made: tuple[str, ...], cpu: int = 500) -> list[dict[str, Any]]:
    return objects("shop", {each: {"cpu": Limit(cpu)} for each in namespaces}, made)


async def test_a_namespace_is_made_for_what_is_ordered_in_it_and_for_nothing_else(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order(KEY, 1, *limited("shop", "shop-gone", made=("shop",))))
    await world.until(lambda: bool((work := world.centre.work(KEY)) and work.carried_out), "carried out")
    found = quota_in(world, "shop")
    assert found is not None
    assert found["spec"] == {"hard": {"requests.cpu": "500m"}}
    assert quota_in(world, "shop-gone") is None
    assert world.cluster.look(ObjectRef("v1", "Namespace", "", "shop-gone")) is None
    work = world.centre.work(KEY)
    assert work is not None
    assert (work.state, work.refusals) == (WorkState.APPLIED, [])
    assert [status.namespace for status in work.objects] == ["shop"], "what is left out is not missed"


async def test_what_is_lowered_or_dropped_is_and_a_withdrawal_takes_the_rest(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order(KEY, 1, *limited("shop", "shop-b", made=("shop", "shop-b"))))
    await world.until(lambda: quota_in(world, "shop-b") is not None, "both")
    left = ObjectRef("v1", "ResourceQuota", "shop-b", "muster-shop")
    world.centre.order(apply_order(KEY, 2, *limited("shop", made=("shop",), cpu=250), dropped=[left]))
    await world.until(lambda: quota_in(world, "shop-b") is None, "dropped")
    found = quota_in(world, "shop")
    assert found is not None
    assert found["spec"]["hard"] == {"requests.cpu": "250m"}
    world.centre.order(withdraw_order(KEY, 3))
    await world.until(
        lambda: bool((work := world.centre.work(KEY)) and work.state is WorkState.WITHDRAWN), "withdrawn"
    )
    assert quota_in(world, "shop") is None


@pytest.mark.promise(9)
async def test_limits_of_many_tenants_go_at_once_and_hold_no_agent(world: AgentWorld) -> None:
    world.start()
    tenants = [f"t{number}" for number in range(9)]
    for number, tenant in enumerate(tenants):
        made = objects(tenant, {"shop": {"cpu": Limit(100)}}, ("shop",))
        world.centre.order(apply_order(limits_key(tenant), number + 1, *made))
    works = [limits_key(each) for each in tenants]
    await world.until(
        lambda: all((work := world.centre.work(each)) and work.carried_out for each in works), "applied"
    )
    for number, each in enumerate(works):
        world.centre.order(withdraw_order(each, 100 + number))
    await world.until(
        lambda: all(
            (work := world.centre.work(each)) and work.state is WorkState.WITHDRAWN for each in works
        ),
        "withdrawn",
    )


async def test_an_order_for_a_workload_is_nothing_of_the_limits(world: AgentWorld) -> None:
    world.start()
    world.centre.order(apply_order("w1", 1, deployment("w1")))
    world.centre.order(apply_order(KEY, 2, *limited("shop", made=("shop",))))
    await world.until(lambda: bool((work := world.centre.work(KEY)) and work.carried_out), "limits")
    world.centre.order(withdraw_order(KEY, 3))
    await world.until(lambda: quota_in(world, "shop") is None, "withdrawn")
    assert world.cluster.look(ObjectRef("apps/v1", "Deployment", "shop", "web")) is not None


@pytest.mark.promise(9)
def test_limits_that_run_nothing_let_no_more_be_removed() -> None:
    def entry(workload: str, verb: Verb, number: int, *, removes: bool = False) -> Entry:
        return Entry(workload, Version(1, number), verb, "", removes=removes, decided_at=990.0)

    gone = [entry(f"g{number}", Verb.WITHDRAW, number, removes=True) for number in range(5)]
    limits = [entry(limits_key(f"t{number}"), Verb.APPLY, number) for number in range(60)]
    assert not may_remove(Version(1, 900), [*gone, *limits], released=None, workload="this", now=1000.0)


def test_a_status_that_is_written_is_no_change_of_what_was_asked_for() -> None:
    assert by_spec("u", {"hard": {"a": "1", "b": "2"}}) == by_spec("u", {"hard": {"b": "2", "a": "1"}})
    assert by_spec("u", {"hard": {"a": "1"}}) != by_spec("u", {"hard": {"a": "2"}})
    assert by_version("u", 0, "7") != by_version("u", 0, "8")
    assert by_version("u", 3, "7") == by_version("u", 3, "8")


@pytest.mark.parametrize(
    ("tenant", "key"),
    [
        ("shop", "limits-shop"),
        ("a" * 47, f"limits-{'a' * 47}"),
        pytest.param("a.b", None, id="a dot is none of a token's"),
        pytest.param("a" * 48, None, id="too long for a label"),
    ],
)
def test_a_key_is_a_token_and_a_label(tenant: str, key: str | None) -> None:
    found = limits_key(tenant)
    assert is_limits(found)
    assert len(found) <= 63
    assert found == key if key is not None else len(found) == 55
