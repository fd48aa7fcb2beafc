"""Promise 4, by seeds: whatever happens, each episode has its account, and nothing is told twice."""

import pytest

from controlplane.alerts.notice import What, Why
from tests.simulation.alerting_world import AlertingWorld, violations
from tests.simulation.virtual_time import VirtualLoop

SEEDS = range(8)


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
@pytest.mark.parametrize("seed", SEEDS)
def test_each_episode_has_its_account_and_nothing_is_told_twice(seed: int) -> None:
    world = played(seed)
    assert world.accepted
    assert world.messages


def test_the_seeds_reach_what_they_are_for() -> None:
    """Else they would show nothing."""
    worlds = [played(seed) for seed in (0, 1, 2, 3)]
    happened = {line.what for world in worlds for line in world.store.tables.history.values()}
    assert happened >= set(What) - {What.MAINTENANCE, What.INACTIVE, What.NO_RECEIVER, What.SENT_LOCALLY}
    why = {message.notice.why for world in worlds for message in world.messages}
    assert why == set(Why)
    assert any(world.reloads for world in worlds)
    assert sum(len(world.begun_at) for world in worlds) > len(worlds)
