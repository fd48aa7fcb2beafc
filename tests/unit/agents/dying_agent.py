"""A process that may be killed at a seam: `python -m tests.unit.agents.dying_agent FOLDER VERB GENERATION`.

Lays one order for one workload before an agent whose cluster lies in FOLDER, and prints how it stands once it
is carried out.
"""

import asyncio
import sys
from pathlib import Path

from tests.unit.agents.world import AgentWorld, apply_order, config_map, deployment, withdraw_order


async def main(folder: Path, verb: str, generation: int) -> None:
    world = AgentWorld(folder, state=str(folder / "cluster.sqlite"))
    if verb == "apply":
        colour = f"number-{generation}"
        order = apply_order("w1", generation, config_map("w1", colour=colour), deployment("w1"))
    else:
        order = withdraw_order("w1", generation)
    world.centre.order(order)
    world.start()
    await world.until(
        lambda: bool((work := world.centre.work("w1")) and work.carried_out == order.version),
        "carried out",
        20,
    )
    work = world.centre.work("w1")
    assert work is not None
    print(work.state.value, work.version.generation, [refusal.reason.value for refusal in work.refusals])
    await world.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
