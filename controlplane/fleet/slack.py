"""What clusters really used over a while, so that capacity that stands idle is found."""

import math
from array import array
from dataclasses import dataclass, field

import numpy as np

from controlplane.fleet.reported import Reported
from controlplane.fleet.rows import NOT_KNOWN

WINDOW_SECONDS = 6 * 3600.0
SAMPLE_SECONDS = 60.0
LEAST_SAMPLES = 10
_MOST_SAMPLES = int(WINDOW_SECONDS / SAMPLE_SECONDS)
_PERCENTILE = 0.95


@dataclass(frozen=True)
class UsedShare:
    """Of allocatable, 0 to 1, over the nodes that a cluster's metrics speak of."""

    cpu: float
    memory: float


@dataclass(frozen=True)
class Slack:
    """idle: 0 to 1, what of the scarcer of cpu and memory is left at the 95th percentile of its use.

    None where that is not known; then `lacks` says why.
    """

    idle: float | None
    lacks: str = ""


_NEVER = Slack(None, "its metrics were never read")


def _shares() -> "array[float]":
    return array("f")


@dataclass
class _Ring:
    """16 bytes a sample, since there may be thousands of clusters."""

    at: "array[float]" = field(default_factory=lambda: array("d"))
    cpu: "array[float]" = field(default_factory=_shares)
    memory: "array[float]" = field(default_factory=_shares)
    answer: Slack = _NEVER

    def put(self, share: UsedShare, now: float) -> None:
        for column, value in ((self.at, now), (self.cpu, share.cpu), (self.memory, share.memory)):
            column.append(value)

    def expire(self, now: float) -> None:
        """What is out of the window, and of more than fit it the oldest."""
        old = max(0, len(self.at) - _MOST_SAMPLES)
        while old < len(self.at) and now - self.at[old] > WINDOW_SECONDS:
            old += 1
        for column in (self.at, self.cpu, self.memory):
            del column[:old]


class Slacks:
    """A bounded ring of samples for each cluster. `now`: Unix seconds, never going back."""

    def __init__(self) -> None:
        self._rings: dict[str, _Ring] = {}

    def sample(self, cluster: str, share: UsedShare | None, now: float) -> None:
        """One look; None where the cluster serves no metrics at this moment. What is too old goes."""
        ring = self._rings.setdefault(cluster, _Ring())
        if share is not None:
            ring.put(share, now)
        ring.expire(now)
        ring.answer = _answer(ring, served=share is not None)

    def slack(self, cluster: str) -> Slack:
        ring = self._rings.get(cluster)
        return _NEVER if ring is None else ring.answer

    def keep_only(self, clusters: set[str]) -> None:
        """Clusters that were removed are forgotten."""
        for cluster in self._rings.keys() - clusters:
            del self._rings[cluster]


def _answer(ring: _Ring, *, served: bool) -> Slack:
    count = len(ring.at)
    if count < LEAST_SAMPLES:
        if not count and not served:
            return Slack(None, "it serves no metrics")
        return Slack(None, f"{count} of {LEAST_SAMPLES} samples that are needed, one a minute")
    busy = max(_high(sorted(column)) for column in (ring.cpu, ring.memory))
    return Slack(min(1.0, max(0.0, 1.0 - busy)))


def _high(ordered: list[float]) -> float:
    """By nearest rank."""
    return ordered[math.ceil(_PERCENTILE * len(ordered)) - 1]


def used_share(reported: Reported) -> UsedShare | None:
    """None where no metrics of cpu or memory are here."""
    used = {"cpu": 0.0, "memory": 0.0}
    whole = {"cpu": 0.0, "memory": 0.0}
    for _, slot in reported.shards():
        if slot.nodes is None or slot.usage is None:
            continue
        for resource in used:
            seen, allocatable = slot.usage.used.get(resource), slot.nodes.allocatable.get(resource)
            if seen is None or allocatable is None:
                continue
            known = seen != NOT_KNOWN
            used[resource] += float(np.sum(seen, where=known))
            whole[resource] += float(np.sum(allocatable, where=known))
    if not all(whole.values()):
        return None
    return UsedShare(used["cpu"] / whole["cpu"], used["memory"] / whole["memory"])
