"""What is granted, asked for and taken back in a world, beside all that happens anyway."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from controlplane.intent import NotFound, QuotaDraft, QuotaGrant, Taken, Unfit, WorkloadDraft, Write
from controlplane.known.records import RequestState
from controlplane.loops.ports import StoreUnavailable
from tests.simulation.drafts import Wish
from tests.simulation.quota_watch import forest
from tests.simulation.script import Script, Weighted
from tests.simulation.world import SLOW_SECONDS, WRITE, World

COHORTS = {"all": "", "north": "all", "south": "all", "coast": "south"}
TENANTS = {"books": "north", "cards": "north", "dyes": "south", "eggs": "coast", "figs": "all", "gems": ""}
UNBOUNDED = "herbs"
"""A tenant without a quota: charged, and not bounded."""
FLAVORS = ("plain", "spare")
MILLIS = (0, 500, 1000, 2000, 4000)
MOST_WORKLOADS = 8
APPROVER = Write("approver")
GRANTING: tuple[Weighted, ...] = (
    (6, "submit"),
    (5, "change_quota"),
    (4, "rush"),
    (2, "change_cohort"),
    (3, "ask"),
    (4, "answer"),
    (2, "give_back"),
)


def flavors(random: Random, now: float) -> list[dict[str, Any]]:
    names = FLAVORS if random.random() < 0.3 else FLAVORS[:1]
    memory = [{"name": "memory", "nominalQuota": "256Mi"}] if random.random() < 0.2 else []
    return [{"name": name, "resources": [_cpu(random, now), *memory]} for name in names]


def _cpu(random: Random, now: float) -> dict[str, Any]:
    amount: dict[str, Any] = {"name": "cpu", **_amount(random)}
    if random.random() < 0.25:
        opens = datetime.fromtimestamp(now, UTC) + timedelta(minutes=random.randint(0, 2))
        closes = opens + timedelta(minutes=1)
        amount["windows"] = [
            {"name": "soon", "opens": f"{opens:%H:%M}", "closes": f"{closes:%H:%M}", **_amount(random)}
        ]
    return amount


def _amount(random: Random) -> dict[str, Any]:
    nominal = random.choice(MILLIS)
    found: dict[str, Any] = {"nominalQuota": f"{nominal}m"}
    if random.random() < 0.3:
        found["borrowingLimit"] = f"{random.choice(MILLIS)}m"
    if random.random() < 0.3:
        found["lendingLimit"] = f"{random.randint(0, nominal)}m"
    return found


def quota(random: Random, cohort: str, now: float) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "flavors": flavors(random, now),
        "uncovered": "Allow",
        "weight": random.choice((1, 1, 2, "0.5", 0)),
        "queueing": "StrictFIFO" if random.random() < 0.15 else "BestEffortFIFO",
        "preemption": {
            "reclaimWithinCohort": random.choice(("Any", "Any", "LowerPriority", "Never")),
            "borrowWithinCohort": {"policy": random.choice(("Never", "LowerPriority"))},
            "withinTenant": random.choice(("Never", "LowerPriority", "LowerOrNewerEqualPriority")),
        },
    }
    if cohort:
        spec["cohort"] = cohort
    else:
        for each in (one for flavor in spec["flavors"] for one in flavor["resources"]):
            for amount in (each, *each.get("windows", ())):
                amount.pop("borrowingLimit", None)
                amount.pop("lendingLimit", None)
    return spec


def cohort(random: Random, parent: str, now: float) -> dict[str, Any]:
    spec: dict[str, Any] = {"parent": parent} if parent else {}
    if random.random() < 0.5:
        found = flavors(random, now)
        for each in (one for flavor in found for one in flavor["resources"]):
            for amount in () if parent else (each, *each.get("windows", ())):
                amount.pop("borrowingLimit", None)
                amount.pop("lendingLimit", None)
        spec["flavors"] = found
    return spec


@dataclass
class QuotaScript(Script):
    """tenants: of workloads, by name: whose it is, how urgent, whether it may be preempted."""

    tenants: dict[str, tuple[str, int, bool | None]] = field(
        default_factory=dict[str, tuple[str, int, bool | None]]
    )
    most: int = MOST_WORKLOADS

    async def begin(self) -> None:
        """What is declared when the world begins."""
        store, random, now = self.world.store, self.world.random, self.world.clock.now()
        for name in FLAVORS:
            await store.submit_document("Flavor", name, {}, WRITE)
        for name, parent in COHORTS.items():
            await store.submit_document("Cohort", name, cohort(random, parent, now), WRITE)
        for name, above in TENANTS.items():
            await store.submit_document("Tenant", name, self._tenant(name, quota(random, above, now)), WRITE)
        await store.submit_document("Tenant", UNBOUNDED, {"namespaces": [UNBOUNDED]}, WRITE)

    def events(self) -> tuple[Weighted, ...]:
        return super().events() + GRANTING

    async def play(self, name: str) -> None:
        self.world.quota.somebody_acts()
        await super().play(name)

    def draft(self, wanted: Wish) -> WorkloadDraft:
        random = self.world.random
        if wanted.name not in self.tenants:
            tenant = random.choice((*TENANTS, *TENANTS, UNBOUNDED, ""))
            self.tenants[wanted.name] = (
                tenant,
                random.choice((0, 0, 5, 10)),
                False if random.random() < 0.1 else None,
            )
        tenant, priority, preemptible = self.tenants[wanted.name]
        draft = wanted.draft()
        return replace(
            draft,
            tenant=tenant,
            spec={
                **draft.spec,
                "priority": priority,
                **({} if preemptible is None else {"preemptible": preemptible}),
            },
        )

    async def _change_quota(self, name: str = "") -> None:
        random = self.world.random
        name = name or random.choice(list(TENANTS))
        above = TENANTS[name] if random.random() < 0.7 else random.choice(("", *COHORTS))
        spec = self._tenant(name, quota(random, above, self.world.clock.now()))
        await self._declare("Tenant", name, spec)

    async def _rush(self) -> None:
        """While somebody's workload is being decided on, the quota is changed."""
        random = self.world.random
        await self._submit()
        await asyncio.sleep(random.uniform(0.0, 2 * SLOW_SECONDS))
        owner = self.tenants[list(self.wishes)[-1]][0] if self.wishes else ""
        await self._change_quota(owner if owner in TENANTS else "")

    async def _change_cohort(self) -> None:
        random = self.world.random
        name = random.choice(list(COHORTS))
        parent = COHORTS[name] if random.random() < 0.6 else random.choice(("", *COHORTS))
        await self._declare("Cohort", name, cohort(random, parent, self.world.clock.now()))

    async def _declare(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        what = f"{kind} {name}: {spec}"
        await self._moved(what, lambda: self.world.store.submit_document(kind, name, spec, WRITE))

    async def _moved(self, what: str, write: Callable[[], Awaitable[object]]) -> None:
        """What is taken leaves nobody with less than is used; what is not changes nothing."""
        world, now = self.world, self.world.clock.now()
        before = forest(world.store.tables, now)
        version = world.store.tables.quota_version
        try:
            await write()
            said = "is declared"
        except (Taken, Unfit) as error:
            said = f"is refused: {error}"
            if world.store.tables.quota_version != version:
                world.promises.accuse(2, f"{what} was refused, and moved the quota")
        except (StoreUnavailable, NotFound) as error:
            said = f"has no answer: {error}"
        world.trace.say(f"{what} {said}")
        after = forest(world.store.tables, now)
        # What was charged meanwhile is no matter of the write.
        world.quota.declared(replace(before, used=after.used), after, what)

    async def _ask(self) -> None:
        random = self.world.random
        tenant = random.choice(list(TENANTS))
        amounts = {random.choice(FLAVORS): {"cpu": f"{random.choice(MILLIS[1:])}m"}}
        until = random.choice((0.0, self.world.clock.now() + random.uniform(5.0, 60.0)))
        draft = QuotaDraft(tenant, amounts, until, "it grows")
        await self._moved(
            f"{tenant} asks for {amounts} until {until}", lambda: self.world.store.request_quota(draft, WRITE)
        )

    async def _answer(self) -> None:
        store, random = self.world.store, self.world.random
        waiting = [
            each for each in store.tables.quota_requests.values() if each.state is RequestState.PENDING
        ]
        if not waiting:
            return
        asked = random.choice(waiting)
        donors = [None, ("Cohort", "all"), ("Tenant", random.choice(list(TENANTS)))]
        grant = QuotaGrant(taken_from=random.choice(donors))
        if random.random() < 0.2:
            await self._moved(
                f"{asked.id} is refused", lambda: store.refuse_quota_request(asked.id, "no", APPROVER)
            )
            return
        await self._moved(
            f"{asked.id} is granted from {grant.taken_from}",
            lambda: store.approve_quota_request(asked.id, grant, APPROVER),
        )

    async def _give_back(self) -> None:
        store = self.world.store
        held = [each for each in store.tables.quota_requests.values() if each.state is RequestState.GRANTED]
        if held:
            given = self.world.random.choice(held)
            await self._moved(
                f"{given.id} is given back", lambda: store.give_back_quota(given.id, None, WRITE)
            )

    @staticmethod
    def _tenant(name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {"namespaces": [name], "quota": spec}


def script_of(world: World, *, faults: bool) -> Script:
    return QuotaScript(world, faults) if world.with_quota else Script(world, faults)
