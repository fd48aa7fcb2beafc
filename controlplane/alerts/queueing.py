"""Groups in the order in which they are due; whoever asks touches those alone."""

from heapq import heapify, heappop, heappush
from math import inf

from controlplane.alerts.groups import Group

_SPARE = 1_000


class Queue:
    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []

    def put(self, group: Group) -> None:
        """Again when it is due earlier than it was; later is found out when its turn comes."""
        due_at = group.due_at
        if due_at < group.queued_at:
            group.queued_at = due_at
            heappush(self._heap, (due_at, group.key))

    def next_due(self, groups: dict[str, Group]) -> float | None:
        """When the first is due; None where nothing is planned."""
        while self._heap:
            queued_at, key = self._heap[0]
            group = groups.get(key)
            current = group is not None and group.queued_at == queued_at
            if group is not None and current and group.due_at == queued_at:
                return queued_at
            heappop(self._heap)
            if group is not None and current:
                group.queued_at = inf
                self.put(group)
        return None

    def take_due(self, groups: dict[str, Group], now: float) -> Group | None:
        """The one that is due first, off the queue; put it back."""
        due_at = self.next_due(groups)
        if due_at is None or due_at > now:
            return None
        _, key = heappop(self._heap)
        group = groups[key]
        group.queued_at = inf
        return group

    def trim(self, groups: dict[str, Group]) -> None:
        """Those whose group is gone, or was put in again, take room until then."""
        if len(self._heap) > 2 * len(groups) + _SPARE:
            self._heap = [(group.queued_at, group.key) for group in groups.values() if group.queued_at < inf]
            heapify(self._heap)
