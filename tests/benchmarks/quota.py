"""Quota on paper: one judgement in a tree of 1,000 cohorts, and who is next of 50,000."""

import random
import statistics
import time
from collections.abc import Callable

from controlplane.quota.admission import Fits, Preempts, Verdict, judge
from controlplane.quota.pending import Pending
from controlplane.quota.quota import Admitted, Candidate, CohortQuota, FlavorResource, Limits, TenantQuota
from controlplane.quota.tree import Tree
from controlplane.quota.usage import Usage

COHORTS = 1_000
TENANTS = 1_000
CANDIDATES = 50_000
JUDGED = 20_000
PREEMPTING = 300
PICKED = 10_000
BATCH = 50
FLAVORS = ("on-demand", "spot", "a100")
RESOURCES = ("cpu", "memory", "nvidia.com/gpu")
KEYS: tuple[FlavorResource, ...] = tuple((flavor, each) for flavor in FLAVORS for each in RESOURCES)
WANTED = {("on-demand", "cpu"): 4, ("on-demand", "memory"): 16}
MEANINGS = {
    "admission_1000_cohorts_us": "1,000 cohorts five deep, 1,000 tenants, half in use: whether one more fits",
    "preemption_1000_cohorts_us": "the same, all used: who gives way for it",
    "pending_pick_us": "50,000 candidates of 1,000 tenants, each admitted before the next is picked",
    "pending_put_us": "one more candidate",
}


def figures() -> dict[str, float]:
    for figure, meaning in MEANINGS.items():
        print(f"  {figure}: {meaning}")
    return {**_judged(), **_picked()}


def tree() -> Tree:
    """A root, 37 below it, and so on: every cohort with quota of its own, every tenant borrows and lends."""
    limits = {key: Limits(100, 400, 80) for key in KEYS}
    cohorts = [CohortQuota("cohort-0000", limits=limits)]
    for number in range(1, COHORTS):
        parent = (number - 1) // 5 if number < 200 else number % 200
        cohorts.append(CohortQuota(f"cohort-{number:04}", f"cohort-{parent:04}", limits=limits))
    return Tree.of(
        [TenantQuota(f"tenant-{n:04}", f"cohort-{n:04}", limits=limits) for n in range(TENANTS)], cohorts
    )


def _judged() -> dict[str, float]:
    usage = Usage(tree())
    names = sorted(usage.tree.tenants)
    running: dict[str, list[Admitted]] = {name: [] for name in names}
    randomly = random.Random(1)
    fits = [_candidate(number, randomly.choice(names)) for number in range(JUDGED)]
    for name in names:
        _run(usage, running, name, 12)
    took = _took(usage, running, fits, Fits)
    for name in names[: TENANTS // 2]:
        while not usage.lacking(name, WANTED):
            _run(usage, running, name, 1)
    late = [_candidate(number, randomly.choice(names[TENANTS // 2 :])) for number in range(PREEMPTING)]
    late = [each for each in late if usage.lacking(each.tenant, each.needs)]
    return {
        "admission_1000_cohorts_us": took,
        "preemption_1000_cohorts_us": _took(usage, running, late, Preempts),
    }


def _run(usage: Usage, running: dict[str, list[Admitted]], name: str, count: int) -> None:
    for _ in range(count):
        number = len(running[name])
        running[name].append(Admitted(f"{name}-{number}", name, 0, float(number), WANTED))
        usage.add(name, WANTED)


def _took(
    usage: Usage, running: dict[str, list[Admitted]], candidates: list[Candidate], expected: type[Verdict]
) -> float:
    verdicts: list[Verdict] = []
    took = _median(candidates, lambda each: verdicts.append(judge(usage, each, running.__getitem__, {}, {})))
    assert {type(each) for each in verdicts} == {expected}
    return took


def _picked() -> dict[str, float]:
    usage, pending = Usage(tree()), Pending()
    randomly = random.Random(2)
    names = sorted(usage.tree.tenants)
    candidates = [
        _candidate(number, randomly.choice(names), randomly.randrange(3)) for number in range(CANDIDATES)
    ]
    put = _median(candidates, pending.put)
    tenants = {each.uid: each.tenant for each in candidates}

    def admit(_: Candidate) -> None:
        uid = pending.pick(usage)
        assert uid is not None
        usage.add(tenants[uid], WANTED)

    return {"pending_pick_us": _median(candidates[:PICKED], admit), "pending_put_us": put}


def _median(candidates: list[Candidate], run: Callable[[Candidate], None]) -> float:
    """Of batches, what one took."""
    took: list[float] = []
    for first in range(0, len(candidates), BATCH):
        batch = candidates[first : first + BATCH]
        started = time.perf_counter()
        for each in batch:
            run(each)
        took.append((time.perf_counter() - started) / len(batch) * 1e6)
    return round(statistics.median(took), 1)


def _candidate(number: int, tenant: str, priority: int = 0) -> Candidate:
    return Candidate(f"workload-{number:05}", tenant, priority, float(number), WANTED)


if __name__ == "__main__":
    for figure, value in figures().items():
        print(f"{figure} {value:,}")
