"""Alerts in the order in which they can be forgotten."""

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from math import inf

from controlplane.alerts.groups import Record

KEPT_SECONDS = 16 * 60.0
"""For how long an alert is remembered after its end: Prometheus repeats it for 15 minutes."""
_MOST_AT_ONCE = 500
_LOOK_AGAIN_SECONDS = 60.0


class Forgetting:
    """Each alert stands here for the earliest end that it had; whether that still holds is found out then."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []

    def put(self, record: Record, not_before: float = 0.0) -> None:
        """Again whenever it ends earlier than it was to."""
        at = max(record.alert.ends_at + KEPT_SECONDS, not_before)
        if at < record.forget_at:
            record.forget_at = at
            heappush(self._heap, (at, record.alert.fingerprint))

    def put_off(self, record: Record, now: float) -> None:
        """Its end is still to be told."""
        self.put(record, now + _LOOK_AGAIN_SECONDS)

    def take_ended(self, records: Mapping[str, Record], now: float) -> Iterator[Record]:
        """Those that ended long enough ago, some hundreds at most; they stand here no more."""
        for _ in range(_MOST_AT_ONCE):
            if not self._heap or self._heap[0][0] > now:
                return
            at, fingerprint = heappop(self._heap)
            record = records.get(fingerprint)
            if record is None or record.forget_at != at:
                continue
            record.forget_at = inf
            if record.alert.ends_at + KEPT_SECONDS > now:
                self.put(record)
            else:
                yield record
