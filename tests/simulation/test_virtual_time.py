"""The loop that the seeded world stands on."""

import asyncio
import time

import pytest

from tests.simulation.virtual_time import EPOCH0_SECONDS, Deadlock, VirtualLoop, WorldClock


def test_a_year_passes_at_once_and_in_order() -> None:
    seen: list[tuple[float, str]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((asyncio.get_running_loop().time(), name))

    async def main() -> None:
        await asyncio.gather(sleeper("year", 365 * 86400.0), sleeper("second", 1.0), sleeper("now", 0.0))

    began = time.monotonic()
    VirtualLoop().run_to_end(main())
    assert seen == [(0.0, "now"), (1.0, "second"), (365 * 86400.0, "year")]
    assert time.monotonic() - began < 5


def test_waiting_for_what_nobody_does_is_an_error_not_a_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        VirtualLoop().run_to_end(main())


def test_timeouts_are_virtual() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.sleep(7200)
        return asyncio.get_running_loop().time()

    assert VirtualLoop().run_to_end(main()) == 3600


def test_a_set_of_tasks_is_walked_in_the_same_order_every_time() -> None:
    async def main() -> list[int]:
        tasks = [asyncio.create_task(asyncio.sleep(1)) for _ in range(50)]
        return [tasks.index(task) for task in set(tasks)]

    assert len({tuple(VirtualLoop().run_to_end(main())) for _ in range(5)}) == 1


def test_clocks_differ_by_their_skew() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        await WorldClock(loop).sleep(5)
        return WorldClock(loop).now(), WorldClock(loop, skew_seconds=-2.0).now()

    assert VirtualLoop().run_to_end(main()) == (EPOCH0_SECONDS + 5, EPOCH0_SECONDS + 3)


def test_no_thread_is_started() -> None:
    async def main() -> None:
        await asyncio.to_thread(time.sleep, 0)

    with pytest.raises(RuntimeError, match="no threads"):
        VirtualLoop().run_to_end(main())
