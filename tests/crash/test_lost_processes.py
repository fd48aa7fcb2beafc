"""The centre, and an agent, die at one seam after the other, under load, and are started again.

Holds up promise 1 (what was accepted in any of these lives is carried out), promise 3, promise 4 (told of
under one key) and promise 6. What is so in the moment of each death: test_killed_{centre,agent}.py.
"""

import pytest

from tests.crash.fire import CLUSTERS, UnderFire
from tests.crash.test_lost_nats import versions

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

CENTRE_SEAMS = (
    "centre.before_commit=3",
    "centre.after_commit=3",
    "centre.after_publish=3",
    "centre.after_alert_commit=3",
    "centre.after_flush_commit=3",
    "centre.after_send=3",
)
AGENT_SEAMS = (
    "agent.after_record=2",
    "agent.after_acknowledge=2",
    "agent.after_apply=2",
    "agent.after_mark=2",
    "agent.after_alert_sync=5",
)


@pytest.mark.promise(1, 3, 4, 6)
async def test_the_centre_dies_at_one_seam_after_the_other(fire: UnderFire) -> None:
    before = versions(fire)
    async with fire.fault():
        fire.circle.programs["centre"].kill()
        for seam in CENTRE_SEAMS:
            await fire.circle.start_centre(seam)
            await fire.circle.killed_itself("centre")
        await fire.circle.start_centre()
    assert all(version >= before[key] for key, version in versions(fire).items() if key in before)


@pytest.mark.promise(1, 3, 4, 6)
async def test_an_agent_dies_at_one_seam_after_the_other(fire: UnderFire) -> None:
    before, agent = versions(fire), CLUSTERS[0]
    async with fire.fault():
        fire.circle.programs[agent].kill()
        for seam in AGENT_SEAMS:
            await fire.circle.start_agent(agent, failpoints=seam)
            await fire.circle.killed_itself(agent)
        await fire.circle.start_agent(agent)
    assert all(version >= before[key] for key, version in versions(fire).items() if key in before)
