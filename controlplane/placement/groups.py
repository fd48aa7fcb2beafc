"""Which groups of clusters (regions, say) to spread over: Karmada's answer, without walking all combinations.

Karmada walks combinations depth first, in order of discovery, and records one as soon as it has enough groups
and enough clusters; it goes no further from there. Of what it recorded, the best counts. Here the same is a
table over (groups taken, clusters so far): polynomial in the number of groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_NEVER = -1
_INT64_ROOM = 2**62


@dataclass(frozen=True)
class Group:
    """score: 0 or more. clusters: 1 or more."""

    name: str
    score: int
    clusters: int


def choose_groups(
    groups: Sequence[Group], min_groups: int, max_groups: int, min_clusters: int
) -> list[Group]:
    """From `min_groups` to `max_groups` of them with `min_clusters` clusters, by score down, then name.

    The largest summed score; then more clusters; then what is discovered first. Where a shorter beginning of
    the answer will do, only that. Empty when no combination will do.
    """
    order = sorted(groups, key=lambda group: (group.clusters, -group.score, group.name))
    # Each group has a cluster: with so many there is one too many, or enough clusters.
    most = min(max_groups, len(order), max(min_groups, min_clusters))
    if most < min_groups or not order:
        return []
    if min_clusters <= min_groups:
        best = sorted(order, key=lambda group: (-group.score, -group.clusters, group.name))[:min_groups]
    else:
        best = _best(order, min_groups, most, min_clusters)
    best.sort(key=lambda group: (-group.score, group.name))
    return _shortest_beginning(best, min_groups, min_clusters)


def _shortest_beginning(best: list[Group], min_groups: int, min_clusters: int) -> list[Group]:
    clusters = 0
    for count, group in enumerate(best, 1):
        clusters += group.clusters
        if count >= min_groups and clusters >= min_clusters:
            return best[:count]
    return best


def _best(order: list[Group], least: int, most: int, target: int) -> list[Group]:
    """From the last group back: what the groups from here on add at best, for each (taken, clusters so far).

    Clusters over the target count as the target. Score and clusters are one number, the score above.
    """
    unit = sum(group.clusters for group in order) + 1
    worths = [group.score * unit + group.clusters for group in order]
    kind = np.int64 if sum(worths) < _INT64_ROOM else np.object_
    value: np.ndarray[Any, Any] = np.full((most + 1, target + 1), _NEVER, kind)
    takes: list[np.ndarray[tuple[int, int], np.dtype[np.bool_]]] = []
    for group, worth in zip(reversed(order), reversed(worths), strict=True):
        step = min(group.clusters, target)
        # after[k, s]: what is to come once this group is taken as well, at k taken and s clusters before it.
        after: np.ndarray[Any, Any] = np.full((most, target + 1), _NEVER, kind)
        after[:, : target + 1 - step] = value[1:, step:]
        after[:, target + 1 - step :] = value[1:, target:]
        # A combination that has enough of both is recorded, and goes no further.
        after[max(0, least - 1) :, target - step :] = 0
        taken = np.where(after == _NEVER, _NEVER, after + worth)
        take = (taken >= value[:most]) & (taken != _NEVER)
        value[:most] = np.where(take, taken, value[:most])
        takes.append(take)
    if value[0, 0] == _NEVER:
        return []
    return _walked(order, takes[::-1], least, target)


def _walked(
    order: list[Group],
    takes: "list[np.ndarray[tuple[int, int], np.dtype[np.bool_]]]",
    least: int,
    target: int,
) -> list[Group]:
    """What is taken as early as the best allows was discovered first."""
    chosen: list[Group] = []
    clusters = 0
    for group, take in zip(order, takes, strict=True):
        if take[len(chosen), clusters]:
            chosen.append(group)
            clusters = min(target, clusters + group.clusters)
            if len(chosen) >= least and clusters >= target:
                break
    return chosen
