"""Dividing replicas among clusters: Webster's method (Sainte-Lague), as Karmada divides."""

import heapq
from collections.abc import Mapping

import numpy as np

_HEAP_ALONE = 64
"""So few replicas are given one by one without a start."""


def fnv1a_32(text: str) -> int:
    """FNV-1a, 32 bits, of the text's UTF-8."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def divide(replicas: int, weights: Mapping[str, int], uid: str) -> dict[str, int]:
    """Seats by name: each replica goes to the largest weight / (2 * seats + 1).

    A tie goes to fewer seats, then to the name that comes first, or last when FNV-1a of `uid` is odd. Names
    of weight 0 get nothing. ValueError when there are replicas to give and no name has a weight.
    """
    names = sorted((name for name, weight in weights.items() if weight > 0), reverse=fnv1a_32(uid) % 2 == 1)
    if replicas > 0 and not names:
        raise ValueError(f"{replicas} replicas and nobody with a weight to give them to")
    votes = [weights[name] for name in names]
    seats = _start(replicas, votes) if replicas > _HEAP_ALONE else [0] * len(votes)
    queue = [(-vote / (2 * seats[rank] + 1), seats[rank], rank) for rank, vote in enumerate(votes)]
    heapq.heapify(queue)
    for _ in range(replicas - sum(seats)):
        _, had, rank = queue[0]
        seats[rank] = had + 1
        heapq.heapreplace(queue, (-votes[rank] / (2 * had + 3), had + 1, rank))
    return {name: given for name, given in zip(names, seats, strict=True) if given}


def _start(replicas: int, votes: list[int]) -> list[int]:
    """Seats that everybody gets in any case, as many as one threshold gives without giving too many.

    All seats whose quotient reaches a threshold come before all others; with the threshold sum / (2 * s)
    they are floor(vote * s / sum + 1/2), in whole numbers, for the largest s that gives no more than
    `replicas`.
    """
    total = sum(votes)
    column = np.array(
        votes, object if 2 * max(votes) * (replicas + len(votes)) + total >= 2**63 else np.int64
    )
    # Each name is at most half a seat from its share, so s lies this near to the number of replicas.
    low, high = max(0, replicas - len(votes)), replicas + len(votes)
    while low < high:
        middle = (low + high + 1) // 2
        if int(((2 * middle * column + total) // (2 * total)).sum()) <= replicas:
            low = middle
        else:
            high = middle - 1
    return ((2 * low * column + total) // (2 * total)).tolist()
