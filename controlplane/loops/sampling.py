"""What clusters really use, looked at once a minute, for the part `slack` of scores.

1. Take each cluster; what one said last that has fallen silent is no news.
2. Put what share of its cpu and memory is used into its ring. In slices: of thousands it takes a while.
3. Forget clusters that are gone.

Every replica looks for itself and keeps what it sees in memory: after a start, scores have no slack for a
few minutes, and say so.
"""

import asyncio

from controlplane.known.known import Known
from controlplane.loops.ports import Clock


class Sampling:
    """One look is one pass."""

    def __init__(self, known: Known, clock: Clock) -> None:
        self._known = known
        self._clock = clock

    async def run_pass(self) -> None:
        known, now = self._known, self._clock.now()
        for cluster in known.fleet.clusters:
            heard = known.heard.get(cluster)
            if heard is None or now - heard.at <= self._known.loss_rules.lost_seconds:
                known.slacks.sample(cluster, known.fleet.used_share(cluster), now)
            await asyncio.sleep(0)
        known.slacks.keep_only(set(known.fleet.clusters))
