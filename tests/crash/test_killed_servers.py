"""NATS and Postgres are killed under a centre that runs on: they are started again, and all comes back.

Holds up promise 1 (what was accepted before, and what is accepted after, is carried out) and promise 6 (what
runs goes on meanwhile).
"""

import os
import signal
from pathlib import Path

import pytest

from tests.circle import Circle, deployment, eventually, only, workload

SERVERS = {"nats": "nats-server", "postgres": "postgres"}


def child(circle: Circle, program: str) -> int:
    """The process id of an embedded server: the centre's own child of that name. 0 for none."""
    for thread in Path(f"/proc/{circle.programs['centre'].pid}/task").iterdir():
        for pid in (thread / "children").read_text().split():
            if Path(f"/proc/{pid}/comm").read_text().strip() == program:
                return int(pid)
    return 0


@pytest.mark.promise(1, 6)
@pytest.mark.parametrize("killed", SERVERS)
async def test_a_server_that_is_killed_under_the_centre_comes_back_and_nothing_is_lost(
    crash_circle: Circle, killed: str
) -> None:
    circle, before, after = crash_circle, f"before-{killed}", f"after-{killed}"
    circle.apply(workload(before, deployment(before, before, 2), **only("east")))
    first = await circle.until_running(before)
    uids = circle.pods("east", before)
    centre, server = circle.programs["centre"].pid, child(circle, SERVERS[killed])
    os.kill(server, signal.SIGKILL)

    await eventually(
        f"{killed} runs again", lambda: child(circle, SERVERS[killed]), lambda pid: pid not in (0, server)
    )
    # What is refused meanwhile is refused; what is accepted is accepted for good.
    await eventually(
        "a workload is accepted",
        lambda: circle.apply(workload(after, deployment(after, after, 2), **only("east"))),
    )
    await circle.until_running(after)
    again = await circle.until_running(before)
    assert again["placements"][0]["version"] == first["placements"][0]["version"]
    assert circle.pods("east", before) == uids
    assert circle.programs["centre"].pid == centre
    assert circle.programs["centre"].running
    await circle.until_ready("east", "west")
