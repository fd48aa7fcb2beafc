"""Usage by shard, told at a pace: in a large cluster pods of others come and go on every shard, each second.

1. What changed where Muster's own pods stand is told with the next report: the centre counts on it.
2. Of the other shards that changed, those that have waited longest: each is told after MOST_ROUNDS reports at
   the latest, and a cluster of up to FEWEST_SHARDS shards has them all in every report.
3. A node is summed anew only when something changed on it.
"""

from collections.abc import Callable, Iterable, Mapping

from agents.observe.cache import Cache
from agents.observe.usage import NodeSum, node_sum, usage_of
from schemas.wire.reports import Usage

FEWEST_SHARDS = 8
MOST_ROUNDS = 8
_NONE: Mapping[str, int] = {}


class UsageReports:
    """Which shards are to be told, and what there is to tell."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._sums: dict[str, NodeSum] = {}
        self._waiting: dict[int, None] = {}

    @property
    def owes(self) -> bool:
        """Whether shards wait for one of the next reports."""
        return bool(self._waiting)

    def forget(self) -> None:
        """There are other shards from now on."""
        self._waiting.clear()

    def due(
        self,
        changed: Iterable[str],
        own: Iterable[str],
        at_once: Iterable[int],
        shard: Callable[[str], int],
        layout: int,
    ) -> list[int]:
        """The shards to tell of now.

        changed: names of nodes; own: those on which pods of Muster's changed; at_once: shards.
        """
        for name in changed:
            self._sums.pop(name, None)
            self._waiting[shard(name)] = None
        now = {*at_once, *(shard(name) for name in own)}
        room = max(FEWEST_SHARDS, -(-layout // MOST_ROUNDS))
        now.update([index for index in self._waiting if index not in now][:room])
        for index in now:
            self._waiting.pop(index, None)
        return sorted(now)

    def report(self, names: list[str]) -> Usage:
        """Unstamped. names: the nodes of one shard, sorted."""
        return usage_of(names, [self._sum(name) for name in names], self._cache.used)

    def _sum(self, name: str) -> NodeSum:
        found = self._sums.get(name)
        if found is None:
            devices = self._cache.below.devices
            pods = self._cache.pods_on.get(name, {})
            found = self._sums[name] = node_sum(pods, devices.held, devices.unowned.get(name, _NONE))
        return found
