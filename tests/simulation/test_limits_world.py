"""The seeded world where all that runs is one tenant's, whose limits are enforced: with faults, and without.

Without faults limits are never below what is ordered: they are there before any order that needs them.
"""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.intent import WorkloadDraft
from schemas.quantities import quantity_amount
from schemas.wire.orders import WORKLOAD_LABEL
from tests.simulation.drafts import NAMESPACE, Wish
from tests.simulation.running import run_seed
from tests.simulation.world import WRITE, MemberCluster, World

TENANT = "team"
SEEDS = 12
AMOUNTS = {"cpu": 1000, "memory": "1Ti", "pods": 1000}
RESOURCES = [{"name": name, "nominalQuota": amount} for name, amount in AMOUNTS.items()]

pytestmark = [pytest.mark.promise(1), pytest.mark.promise(3), pytest.mark.promise(9)]


@pytest.fixture(autouse=True)
def one_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes a workload writes it for the tenant, which is there from the beginning."""
    begin, draft = World.begin, Wish.draft

    async def begin_with_tenant(world: World) -> None:
        quota = {"flavors": [{"name": "default", "resources": RESOURCES}], "limits": "Enforce"}
        spec: dict[str, Any] = {"namespaces": [NAMESPACE], "quota": quota}
        await world.store.submit_document("Flavor", "default", {}, WRITE)
        await world.store.submit_document("Tenant", TENANT, spec, WRITE)
        await begin(world)

    def for_tenant(wish: Wish) -> WorkloadDraft:
        return replace(draft(wish), tenant=TENANT)

    monkeypatch.setattr(World, "begin", begin_with_tenant)
    monkeypatch.setattr(Wish, "draft", for_tenant)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_all_comes_together_after_faults(seed: int) -> None:
    run_seed(seed)


@pytest.mark.parametrize("seed", range(3))
def test_limits_let_in_all_that_is_ordered_at_every_step(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    look, looked = World.look, set[str]()

    def look_at_limits(world: World) -> None:
        look(world)
        for member in world.members:
            ordered = cpu_ordered(member)
            if ordered:
                assert ordered <= cpu_let_in(member), member.name
                looked.add(member.name)

    monkeypatch.setattr(World, "look", look_at_limits)
    run_seed(seed, faults=False)
    assert looked


def cpu_ordered(member: MemberCluster) -> int:
    """What the Deployments there ask for, as they stand."""
    total = 0
    for made in member.cluster.objects("Deployment"):
        if WORKLOAD_LABEL in (made["metadata"].get("labels") or {}):
            (container,) = made["spec"]["template"]["spec"]["containers"]
            cpu = quantity_amount("cpu", container["resources"]["requests"]["cpu"])
            total += made["spec"]["replicas"] * cpu
    return total


def cpu_let_in(member: MemberCluster) -> int:
    """-1 where nothing is limited."""
    found = [each["spec"]["hard"] for each in member.cluster.objects("ResourceQuota")]
    return sum(quantity_amount("cpu", each["requests.cpu"]) for each in found) if found else -1
