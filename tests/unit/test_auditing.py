"""What is decided on is what the ledger says: who leads compares the two, again and again."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from controlplane.known.known import Known
from controlplane.known.records import Cause, Lease, LedgerLine
from controlplane.loops import auditing
from controlplane.loops.auditing import Auditing
from controlplane.loops.ports import LeaseLost
from controlplane.loops.running import LoopMetrics
from tests.conformance.store_worlds import MemoryWorld, lead
from tests.simulation.memory_store import MemoryStore

DIFFERENCES = "muster_ledger_differences_total"


def drifted(workload: str, amount: int, cluster: str = "a", resource: str = "cpu") -> LedgerLine:
    return LedgerLine("shop", workload, cluster, "amd", resource, amount, Cause.DRIFTED)


def charged(workload: str, amount: int, cluster: str = "a") -> LedgerLine:
    return LedgerLine("shop", workload, cluster, "amd", "cpu", amount, Cause.PLACED)


class Leader:
    """What it remembers, and the store that it led on."""

    def __init__(self, store: MemoryStore, lease: Lease) -> None:
        self.store, self.lease, self.known = store, lease, Known()
        self.registry, self.ledger = CollectorRegistry(), asyncio.Lock()
        self.auditing = Auditing(store, self.known, self.ledger, LoopMetrics(self.registry))

    async def enter(self, *lines: LedgerLine) -> None:
        await self.store.commit_lines(self.lease, lines)
        self.known.quotas.enter(lines)

    @property
    def differences(self) -> float | None:
        return self.registry.get_sample_value(DIFFERENCES)


@pytest.fixture
async def leader() -> Leader:
    store = MemoryWorld().store
    return Leader(store, await lead(store))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "PLACES_AT_ONCE", 2)
    monkeypatch.setattr(auditing, "PAGES_A_PASS", 3)


async def audit(leader: Leader, passes: int) -> None:
    for _ in range(passes):
        await leader.auditing.run_pass()


NOTES: dict[str, tuple[Sequence[LedgerLine], Sequence[LedgerLine]]] = {
    "memory holds more": ([], [charged("w1", 5)]),
    "memory holds more of one": ([], [charged("w03", 5)]),
    "memory holds another resource too": ([], [drifted("w03", 5, resource="memory")]),
    "memory holds drift of no workload": ([], [drifted("", 5)]),
    "memory holds it as a charge": ([drifted("w1", 5)], [charged("w1", 5)]),
    "memory lacks it": ([drifted("w1", 5)], []),
    "memory lacks the last": ([drifted("w99", 5)], []),
    "memory lacks some of it": ([drifted("w03", 1)], []),
    "memory has it elsewhere": ([drifted("w1", 5)], [drifted("w1", 5, "b")]),
}


class TestAuditing:
    @pytest.mark.parametrize("places", [0, 1, 2, 3, 11])
    async def test_nothing_is_said_where_they_agree(self, leader: Leader, places: int) -> None:
        for number in range(places):
            await leader.enter(drifted(f"w{number:02}", number + 1), drifted("", 3, f"c{number}"))
        await audit(leader, 30)
        assert leader.differences == 0

    @pytest.mark.parametrize("case", NOTES)
    async def test_a_difference_is_counted_and_ends_the_lease(self, leader: Leader, case: str) -> None:
        stored, remembered = NOTES[case]
        for number in range(7):
            await leader.enter(drifted(f"w{number:02}", 4))
        await leader.store.commit_lines(leader.lease, stored)
        leader.known.quotas.enter(remembered)
        with pytest.raises(LeaseLost, match="memory is not what the ledger says"):
            await audit(leader, 8)
        assert leader.differences

    async def test_nothing_is_decided_while_it_compares(self, leader: Leader) -> None:
        """What was committed, and is not in memory yet, is no difference: whoever commits holds the lock."""
        for number in range(5):
            await leader.enter(drifted(f"w{number:02}", 4))

        async def decide() -> None:
            for number in range(50):
                async with leader.ledger:
                    lines = [drifted(f"w{number % 9:02}", 1), drifted(f"x{number}", 1)]
                    await leader.store.commit_lines(leader.lease, lines)
                    await asyncio.sleep(0)
                    leader.known.quotas.enter(lines)
                await asyncio.sleep(0)

        deciding = asyncio.create_task(decide())
        while not deciding.done():
            await audit(leader, 1)
        await deciding
        await audit(leader, 60)
        assert leader.differences == 0

    async def test_a_pass_is_bounded(self, leader: Leader) -> None:
        for number in range(40):
            await leader.enter(drifted(f"w{number:02}", 4))
        leader.known.quotas.enter([drifted("w39", 1)])
        await audit(leader, 6)
        with pytest.raises(LeaseLost):
            await audit(leader, 2)
