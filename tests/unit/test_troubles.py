"""What goes wrong for a while, as the log of the centre tells of it."""

import asyncio

from structlog.testing import capture_logs

from controlplane.troubles import Trouble
from tests.simulation.virtual_time import VirtualLoop


def test_a_trouble_is_said_when_it_begins_once_a_minute_and_when_it_is_over_by_the_loops_own_clock() -> None:
    """By another clock a seeded world would never be told again, and tell another story each time."""

    async def troubled() -> None:
        trouble = Trouble("it_fails", "it_works", loop="place")
        trouble.over()
        for _ in range(13):
            trouble.met(detail="away")
            await asyncio.sleep(10)
        trouble.over()
        trouble.over()

    with capture_logs() as said:
        VirtualLoop().run_to_end(troubled())
    assert [(each["event"], each.get("since_seconds"), each.get("after_seconds")) for each in said] == [
        ("it_fails", None, None),
        ("it_fails", 60, None),
        ("it_fails", 120, None),
        ("it_works", None, 130.0),
    ]
