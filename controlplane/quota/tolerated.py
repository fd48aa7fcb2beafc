"""What was in a namespace when its limit was set keeps its room; what comes later has to find room in it.

Else a limit would bound nothing: it would grow with every pod that takes what a rolling update leaves.
"""

from collections.abc import Mapping

from controlplane.quota.limits import Resources

KEPT_SECONDS = 3600.0
"""What was gone for so long is not given back: a restart of everything at once takes less."""
Place = tuple[str, str, str]
"""(tenant, cluster, namespace)"""


class Tolerated:
    """Remembers since when less is seen than is tolerated, and the most that was seen meanwhile."""

    def __init__(self) -> None:
        self._less: dict[Place, dict[str, tuple[float, int]]] = {}

    def of(self, place: Place, before: Resources | None, seen: Resources, now: float) -> Mapping[str, int]:
        """before: what the limit that stands there tolerates, None where none stands. seen: at this moment.

        A resource that is limited for the first time tolerates what is there.
        """
        less = self._less.pop(place, {})
        if before is None:
            return seen
        kept: dict[str, tuple[float, int]] = {}
        found: dict[str, int] = {}
        for resource, amount in before.items():
            there = seen.get(resource, 0)
            if there >= amount:
                found[resource] = amount
                continue
            since, most = less.get(resource, (now, 0))
            most = max(most, there)
            if now - since >= KEPT_SECONDS:
                found[resource] = most
            else:
                found[resource], kept[resource] = amount, (since, most)
        if kept:
            self._less[place] = kept
        return {**seen, **found}

    def forget(self, tenant: str, cluster: str) -> None:
        for place in [each for each in self._less if each[:2] == (tenant, cluster)]:
            del self._less[place]
