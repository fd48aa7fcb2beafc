"""Addresses of a cluster's pools: what is free once everything that is promised has taken its own."""

from collections import Counter
from collections.abc import Mapping

from controlplane.fleet.demand import Demand
from controlplane.fleet.views import Promise
from schemas.wire.hardware import Hardware


class Addresses:
    """Of one cluster. An attachment that no pool counts gives as many addresses as are asked for."""

    def __init__(self) -> None:
        self._pool_of: dict[str, str] = {}
        self._free: dict[str, int] = {}
        self._held: dict[str, Mapping[str, int]] = {}
        self._promised: dict[str, Counter[str]] = {}

    def replace_hardware(self, hardware: Hardware) -> None:
        self._free = {each.name: each.free for each in hardware.pools}
        self._held = {each.name: each.held for each in hardware.pools}
        self._pool_of = {each.key: each.pool for each in hardware.attachments if each.pool in self._free}

    def promise(self, workload: str, promise: Promise | None) -> None:
        """What a workload has of all attachments together; None for one that is promised nothing more."""
        asked: Counter[str] = Counter()
        for part in promise.parts if promise is not None else ():
            for attachment, each in part.demand.pools:
                asked[attachment] += each * part.replicas
        if asked:
            self._promised[workload] = asked
        else:
            self._promised.pop(workload, None)

    def free(self, pool: str) -> int:
        """Free by the last report, less what is promised and not held yet."""
        owed = 0
        for workload, asked in self._promised.items():
            promised = sum(count for name, count in asked.items() if self._pool_of.get(name) == pool)
            owed += max(0, promised - self._held[pool].get(workload, 0))
        return max(0, self._free[pool] - owed)

    def asked(self, demand: Demand) -> dict[str, int]:
        """By pool, what one replica takes of those that are counted."""
        asked: Counter[str] = Counter()
        for attachment, count in demand.pools:
            pool = self._pool_of.get(attachment)
            if pool is not None and count:
                asked[pool] += count
        return asked

    def room(self, demand: Demand) -> int | None:
        """Replicas for which there are addresses; None where no pool bounds them."""
        asked = self.asked(demand)
        return min((self.free(pool) // count for pool, count in asked.items()), default=None)
