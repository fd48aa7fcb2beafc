"""What each cluster has in the streams and sends: so that one that floods is found before others feel it."""

from collections import defaultdict
from dataclasses import dataclass

MIB = 1024 * 1024
MINUTE_SECONDS = 60.0


@dataclass(frozen=True)
class ClusterBounds:
    """Of one cluster. 5,000 nodes and 10,000 workloads are about 10,200 subjects and 20 MiB."""

    subjects: int = 100_000
    stored_bytes: int = 128 * MIB
    bytes_a_minute: int = 256 * MIB


class Footprint:
    """Counts by cluster; what is replayed counts as stored, not as sent."""

    def __init__(self, bounds: ClusterBounds) -> None:
        self._bounds = bounds
        self._sizes: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._stored: defaultdict[str, int] = defaultdict(int)
        self._sent: defaultdict[str, int] = defaultdict(int)
        self._minute_began = 0.0

    def take(self, cluster: str, subject: str, size: int, *, sent_at: float | None) -> str | None:
        """Why the cluster is over its bounds with this message; None while it is not.

        sent_at: on any clock that only goes on; None for what was replayed.
        """
        sizes = self._sizes[cluster]
        self._stored[cluster] += size - sizes.get(subject, 0)
        sizes[subject] = size
        if sent_at is not None:
            if sent_at - self._minute_began > MINUTE_SECONDS:
                self._sent.clear()
                self._minute_began = sent_at
            self._sent[cluster] += size
        bounds = self._bounds
        if len(sizes) > bounds.subjects:
            return f"it has more than {bounds.subjects:,} subjects in the streams"
        if self._stored[cluster] > bounds.stored_bytes:
            return f"it has more than {bounds.stored_bytes // MIB} MiB in the streams"
        if self._sent[cluster] > bounds.bytes_a_minute:
            return f"it sent more than {bounds.bytes_a_minute // MIB} MiB within a minute"
        return None

    def gone(self, cluster: str, subject: str) -> None:
        """The subject was purged."""
        self._stored[cluster] -= self._sizes[cluster].pop(subject, 0)

    def forget(self, cluster: str) -> None:
        """All of it was purged."""
        for memory in (self._sizes, self._stored, self._sent):
            memory.pop(cluster, None)
