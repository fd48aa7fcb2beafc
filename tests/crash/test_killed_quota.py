"""The centre is killed around the commits that charge and release quota, and while somebody gives way.

Holds up promise 2, looked at from outside: the ledger comes to the balances, nobody is charged beyond what
the cohort has, and what runs in the clusters is charged.
"""

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from itertools import count

import pytest
import pytest_asyncio

from tests.circle import UNEQUAL, Circle, Object, deployment, eventually, only, workload

LENDER, BORROWER = "lender", "borrower"
_numbers = count(1)
COHORT_MILLIS, POD_MILLIS = 400, 100
CHARGED = "select workload, amount::int from balance where resource = 'cpu' and cluster = $1 and amount > 0"

OTHERS = "select 1 from balance where cluster <> $1 and amount > 0"
RELEASED = "centre.after_release"


def tenant(name: str, cohort: str, millis: int) -> Object:
    cpu = {"name": "cpu", "nominalQuota": f"{millis}m"}
    quota = {
        "cohort": cohort,
        "uncovered": "Allow",
        "flavors": [{"name": "crashing", "resources": [cpu]}],
    }
    spec = {"namespaces": [f"{name}-*"], "quota": quota}
    return {"apiVersion": "muster.dev/v1", "kind": "Tenant", "metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True)
class Lent:
    """All of a cohort's four pods are the lender's by right.

    cluster: of the test's own, for an agent that had to remove much holds; cohort and tenants bear its name.
    """

    circle: Circle
    cluster: str

    def declare(self) -> None:
        for kind, name in (("Flavor", "crashing"), ("Cohort", self.cluster)):
            metadata = {"name": name}
            self.circle.apply({"apiVersion": "muster.dev/v1", "kind": kind, "metadata": metadata, "spec": {}})
        for owner, millis in ((LENDER, COHORT_MILLIS), (BORROWER, 0)):
            self.circle.apply(tenant(f"{owner}-{self.cluster}", self.cluster, millis))

    def apply(self, name: str, owner: str) -> None:
        """Four pods, in one cluster."""
        made = workload(name, deployment(name, self.namespace(owner), 4), **only(self.cluster))
        made["spec"]["tenant"] = f"{owner}-{self.cluster}"
        self.circle.apply(made)

    def namespace(self, owner: str) -> str:
        return f"{owner}-{self.cluster}-apps"

    async def charges(self) -> Counter[str]:
        """cpu by workload; never more than the cohort has."""
        names = {row["uid"]: row["name"] for row in await self.circle.rows("select uid, name from workload")}
        rows = await self.circle.rows(CHARGED, self.circle.cluster_id(self.cluster))
        found = Counter({names[row["workload"]]: row["amount"] for row in rows})
        assert found.total() <= COHORT_MILLIS
        return found

    async def promise_holds(self) -> dict[str, int]:
        """cpu by workload, as it is charged."""
        before = await self.charges()
        running = {
            name: POD_MILLIS * len(self.circle.objects(self.cluster, "pods", self.namespace(owner)))
            for owner, name in ((BORROWER, "batch"), (LENDER, "shop"))
        }
        after = await self.charges()
        for name, millis in running.items():
            # Charged before they were made, or released since they were counted.
            assert millis <= max(before[name], after[name]), name
        assert await self.circle.rows(UNEQUAL) == []
        return dict(after)

    async def until_it_runs(self, name: str) -> None:
        """The promise holds all the while."""

        async def status() -> Object:
            await self.promise_holds()
            return self.circle.workload(name)["status"]

        await eventually(f"{name} runs", status, lambda seen: seen["state"] == "Running")

    async def begin_to_die(self, failpoint: str) -> None:
        """What clusters of other tests held is released first: it is not that which it dies of."""
        mine = self.circle.cluster_id(self.cluster)
        if failpoint == RELEASED:
            await eventually(
                "others hold nothing", lambda: self.circle.rows(OTHERS, mine), lambda rows: not rows
            )
        await self.circle.restart_centre(failpoint)
        await self.circle.until_ready(self.cluster)


@pytest_asyncio.fixture
async def lent(crash_circle: Circle) -> AsyncGenerator[Lent]:
    circle, cluster = crash_circle, f"lent-{next(_numbers)}"
    lent = Lent(circle, cluster)
    lent.declare()
    await circle.join(cluster, ["--simulate", "edge", "--seed", "7"])
    yield lent
    await circle.restore_programs()
    await circle.leave(cluster)
    for each in ("batch", "shop"):
        if circle.client.find(f"/workloads/{each}"):
            circle.client.delete(f"/workloads/{each}")


@pytest.mark.promise(2)
@pytest.mark.parametrize("failpoint", [RELEASED, "centre.after_commit"])
async def test_who_gives_way_is_charged_until_its_pods_are_gone_whoever_leads(
    lent: Lent, failpoint: str
) -> None:
    lent.apply("batch", BORROWER)
    await lent.until_it_runs("batch")
    await lent.begin_to_die(failpoint)
    lent.apply("shop", LENDER)
    await lent.circle.killed_itself("centre")

    await lent.circle.start_centre()
    await lent.until_it_runs("shop")
    assert await lent.promise_holds() == {"shop": 400}
    await eventually(
        "batch is told why it waits",
        lambda: lent.circle.workload("batch")["status"]["reason"],
        lambda reason: reason in ("Preempted", "QuotaExceeded"),
    )
    assert lent.circle.pods(lent.cluster, lent.namespace(BORROWER)) == {}


@pytest.mark.promise(2)
@pytest.mark.parametrize("failpoint", ["centre.before_commit", "centre.after_commit"])
async def test_a_decision_that_was_cut_off_is_charged_once(lent: Lent, failpoint: str) -> None:
    await lent.begin_to_die(failpoint)
    lent.apply("shop", LENDER)
    await lent.circle.killed_itself("centre")

    await lent.circle.start_centre()
    found = await lent.promise_holds()
    assert found in ([{"shop": 400}] if failpoint == "centre.after_commit" else [{}, {"shop": 400}])
    await lent.until_it_runs("shop")
    assert await lent.promise_holds() == {"shop": 400}
