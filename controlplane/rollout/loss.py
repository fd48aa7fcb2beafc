"""Which clusters are lost: from when each was heard last, and from nothing else.

A cluster that is silent for `lost_seconds` is unreachable; that is a taint, and what does not tolerate it for
ever is placed again later. Silence may be the centre's own fault, so it does not count:
- before the centre began to watch (a new leader, a restart), nor while it was itself away;
- while more than `suspect_share` of the fleet is silent: then the network is suspected, as Kubernetes' node
  lifecycle does, and every cluster has `lost_seconds` to be heard once that is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.wire.reports import Taint

UNREACHABLE = Taint("muster.dev/unreachable", "NoExecute")
"""The taint of a cluster that is lost; Muster sets and lifts it."""
AWAY_SECONDS = 5.0
"""A centre that has not looked for so long (and half of `lost_seconds`) was away itself."""


@dataclass(frozen=True)
class LossRules:
    """lost_seconds: silence that makes a cluster unreachable. toleration_seconds: how long a workload stays
    there that says nothing of it, Karmada's 300. suspect_share: of joined clusters, more is suspect.
    """

    lost_seconds: float = 45.0
    toleration_seconds: float = 300.0
    suspect_share: float = 0.55


@dataclass(frozen=True)
class Losses:
    """One look at the fleet, at `at`; times are Unix seconds. began: silence before it counts for nothing.

    unreachable: lost clusters and since when each is. counted_from: no toleration runs before it. silent:
    how many of the `joined` clusters are overdue. suspected: too many at once, nothing moves.
    """

    at: float
    began: float
    counted_from: float
    unreachable: Mapping[str, float] = field(default_factory=dict[str, float])
    silent: int = 0
    joined: int = 0
    suspected: bool = False


def begin(now: float) -> Losses:
    """The centre begins to watch: nobody is lost."""
    return Losses(at=now, began=now, counted_from=now)


def look(before: Losses, heard: Mapping[str, float], now: float, rules: LossRules) -> Losses:
    """heard: when each joined cluster was heard last, or when it joined where it never was."""
    away = now - before.at > max(AWAY_SECONDS, rules.lost_seconds / 2)
    began = now if away else before.began
    last = {cluster: max(at, began) for cluster, at in heard.items()}
    # Beats come at different moments: who was cut off together is missed together only before the loss.
    silent = sum(now - at > rules.lost_seconds / 2 for at in last.values())
    suspected = silent > rules.suspect_share * len(heard)
    return Losses(
        at=now,
        began=began,
        counted_from=now + rules.lost_seconds if suspected else before.counted_from,
        unreachable={
            cluster: at + rules.lost_seconds for cluster, at in last.items() if now - at > rules.lost_seconds
        },
        silent=silent,
        joined=len(heard),
        suspected=suspected,
    )
