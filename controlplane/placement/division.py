"""Dividing replicas among clusters: Webster's method (Sainte-Lague), as Karmada divides."""

import heapq
from collections.abc import Mapping

import numpy as np

_HEAP_ALONE = 64
"""So few replicas are given one by one without a start."""
_COLUMNS_FROM = 64
"""From so many names on, quotients are worked out all at once; floats of both ways are the same."""


def fnv1a_32(text: str) -> int:
    """FNV-1a, 32 bits, of the text's UTF-8."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def divide(
    replicas: int,
    weights: Mapping[str, int],
    uid: str,
    floors: Mapping[str, int] | None = None,
    caps: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Seats by name: each replica goes to the largest weight / (2 * seats + 1).

    A tie goes to fewer seats, then to the name that comes first, or last when FNV-1a of `uid` is odd. Names
    of weight 0 get nothing. floors: seats that a name has before the first is given. caps: a name that has
    so many is given no more. ValueError when there are replicas to give and no name can take them, or when
    the floors are more than the replicas.
    """
    names = sorted([name for name, weight in weights.items() if weight > 0], reverse=fnv1a_32(uid) % 2 == 1)
    if replicas > 0 and not names:
        raise ValueError(f"{replicas} replicas and nobody with a weight to give them to")
    votes = [weights[name] for name in names]
    if floors or caps:
        seats = _bounded(replicas, names, votes, floors or {}, caps or {})
    else:
        seats = _start(replicas, votes) if replicas > _HEAP_ALONE else [0] * len(votes)
        _give(replicas - sum(seats), votes, seats, None)
    return {name: given for name, given in zip(names, seats, strict=True) if given}


def _give(count: int, votes: list[int], seats: list[int], most: list[int] | None) -> None:
    """One by one, in place."""
    if most is None and len(votes) > _COLUMNS_FROM and max(votes) < 2**53:
        queue = _nearest(count, votes, seats)
    else:
        queue = [
            (-vote / (2 * seats[rank] + 1), seats[rank], rank)
            for rank, vote in enumerate(votes)
            if most is None or seats[rank] < most[rank]
        ]
    heapq.heapify(queue)
    for _ in range(count):
        _, had, rank = queue[0]
        seats[rank] = had + 1
        if most is not None and had + 1 >= most[rank]:
            heapq.heappop(queue)
        else:
            heapq.heapreplace(queue, (-votes[rank] / (2 * had + 3), had + 1, rank))


def _nearest(count: int, votes: list[int], seats: list[int]) -> list[tuple[float, int, int]]:
    """Those whose turn may come within `count`: with so many before them, it does not come to the others."""
    keys = np.array(votes) / (-2.0 * np.array(seats) - 1.0)
    if 0 < count < len(votes):
        ranks = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1]).tolist()
    else:
        ranks = list(range(len(votes)))
    return [(key, seats[rank], rank) for key, rank in zip(keys[ranks].tolist(), ranks, strict=True)]


def _bounded(
    replicas: int, names: list[str], votes: list[int], floors: Mapping[str, int], caps: Mapping[str, int]
) -> list[int]:
    least = [floors.get(name, 0) for name in names]
    most = [
        max(floor, min(caps.get(name, replicas), replicas)) for name, floor in zip(names, least, strict=True)
    ]
    if not sum(least) <= replicas <= sum(most):
        raise ValueError(f"{replicas} replicas, and between {sum(least)} and {sum(most)} can be given")
    seats = least
    if replicas - sum(least) > _HEAP_ALONE:
        seats = _bounded_start(replicas, votes, least, most)
    _give(replicas - sum(seats), votes, seats, most)
    return seats


def _bounded_start(replicas: int, votes: list[int], least: list[int], most: list[int]) -> list[int]:
    """As `_start`, each name's seats held between its bounds; there `s` may be anywhere."""
    total = sum(votes)
    column, low_column, high_column = (np.array(each, object) for each in (votes, least, most))

    def seats(s: int) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
        return np.minimum(np.maximum((2 * s * column + total) // (2 * total), low_column), high_column)

    low, high = 0, 1
    while int(seats(high).sum()) < replicas:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high + 1) // 2
        if int(seats(middle).sum()) <= replicas:
            low = middle
        else:
            high = middle - 1
    return seats(low).tolist()


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

    def is_too_many(s: int) -> bool:
        return int(((2 * s * column + total) // (2 * total)).sum()) > replicas

    # Each name is at most half a seat from its share, so s lies this near to the number of replicas; halves
    # even out, and it is much nearer as a rule: from there outwards, then in between.
    low, high = max(0, replicas - len(votes)), replicas + len(votes)
    step = 8
    if is_too_many(replicas):
        high = replicas - 1
        while high - step > low and is_too_many(high - step):
            high, step = high - step - 1, 4 * step
        low = max(low, high - step)
    else:
        low = replicas
        while low + step < high and not is_too_many(low + step):
            low, step = low + step, 4 * step
        high = min(high, low + step)
    while low < high:
        middle = (low + high + 1) // 2
        if is_too_many(middle):
            high = middle - 1
        else:
            low = middle
    return ((2 * low * column + total) // (2 * total)).tolist()
