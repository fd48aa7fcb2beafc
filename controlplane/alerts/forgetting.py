"""Alerts in the order in which they can be forgotten."""

from collections.abc import Iterator
from heapq import heappop, heappush

from controlplane.alerts.groups import Record

KEPT_SECONDS = 16 * 60.0
"""For how long an alert is remembered after its end: Prometheus repeats it for 15 minutes."""
_MOST_AT_ONCE = 500
_LOOK_AGAIN_SECONDS = 60.0


class Forgetting:
    """Each alert stands here once, for the end that it had when it was looked at last."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._there: dict[str, Record] = {}

    def put(self, record: Record) -> None:
        fingerprint = record.alert.fingerprint
        if fingerprint not in self._there:
            heappush(self._heap, (record.alert.ends_at + KEPT_SECONDS, fingerprint))
        self._there[fingerprint] = record

    def put_off(self, record: Record, now: float) -> None:
        """Its end is still to be told."""
        self._there[record.alert.fingerprint] = record
        heappush(self._heap, (now + _LOOK_AGAIN_SECONDS, record.alert.fingerprint))

    def take_ended(self, now: float) -> Iterator[Record]:
        """Those that ended long enough ago, some hundreds at most; they stand here no more."""
        for _ in range(_MOST_AT_ONCE):
            if not self._heap or self._heap[0][0] > now:
                return
            _, fingerprint = heappop(self._heap)
            record = self._there.pop(fingerprint)
            if record.alert.ends_at + KEPT_SECONDS > now:
                self.put(record)
            else:
                yield record
