"""Promise 4, by seeds: whatever happens, each episode has its account, and nothing is told twice."""

import pytest

from tests.simulation.alerting_world import AlertingWorld, violations
from tests.simulation.virtual_time import VirtualLoop

SEEDS = 12


def played(seed: int) -> AlertingWorld:
    """A seed that failed is played again by its number."""
    worlds: list[AlertingWorld] = []

    async def story() -> None:
        world = AlertingWorld(seed)
        worlds.append(world)
        await world.run()
        found = violations(world)
        assert not found, f"seed {seed}:\n" + "\n".join(found[:20])
        await world.end(world.leader)
        await world.end(world.other)

    loop = VirtualLoop()
    loop.run_to_end(story())
    assert loop.unhandled == []
    return worlds[0]


@pytest.mark.promise(4)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_episode_has_its_account_and_nothing_is_told_twice(seed: int) -> None:
    world = played(seed)
    assert world.accepted
    assert world.messages
