"""The fingerprint of an alert: FNV-1a 64 over sorted name, 0xff, value, 0xff, as Prometheus' model has it."""

from collections.abc import Sequence

import numpy as np

from controlplane.alerts.alert import Labels

_OFFSET = 14695981039346656037
_PRIME = 1099511628211
_ALL = 0xFFFFFFFFFFFFFFFF
_MOST_REMEMBERED = 65_536
_FEW = 12
_LONG = 1_024
_begun: dict[tuple[int, str, str], int] = {}


def fingerprint(labels: Labels) -> str:
    """16 hex digits. Labels in any order; a value that is empty counts, so drop it before.

    A byte costs Python some 60 ns, and alerts of one rule begin alike: what labels of theirs come to after
    each name and value is remembered. Whoever sees the same alert again and again keeps its fingerprint.
    """
    state = _OFFSET
    begun = _begun
    for name in sorted(labels):
        value = labels[name]
        step = (state, name, value)
        after = begun.get(step)
        if after is None:
            after = _hashed(state, name.encode() + b"\xff" + value.encode() + b"\xff")
            if len(begun) >= _MOST_REMEMBERED:
                begun.clear()
            begun[step] = after
        state = after
    return f"{state:016x}"


def fingerprints(sets: Sequence[Labels]) -> list[str]:
    """The same of many at once, a byte of each at a time: a fifth of the work where none was seen before."""
    if len(sets) < _FEW:
        return [fingerprint(labels) for labels in sets]
    texts = [_text(labels) for labels in sets]
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]), reverse=True)
    # What is much longer than the others would have them all wait for its end.
    long = [index for index in order if len(texts[index]) > _LONG]
    rest = order[len(long) :]
    found = dict(zip(rest, _together([texts[index] for index in rest]), strict=True))
    found.update((index, _hashed(_OFFSET, texts[index])) for index in long)
    return [f"{found[index]:016x}" for index in range(len(texts))]


def _text(labels: Labels) -> bytes:
    parts = [part for name in sorted(labels) for part in (name, labels[name])]
    return b"\xff".join([*(part.encode() for part in parts), b""])


def _together(texts: Sequence[bytes]) -> list[int]:
    """texts: the longest first."""
    if not texts:
        return []
    longest = len(texts[0])
    padded = b"".join(text.ljust(longest, b"\0") for text in texts)
    columns = np.frombuffer(padded, np.uint8).reshape(len(texts), longest).T.astype(np.uint64)
    states = np.full(len(texts), _OFFSET, np.uint64)
    prime = np.uint64(_PRIME)
    going = len(texts)
    for place in range(longest):
        while len(texts[going - 1]) <= place:
            going -= 1
        active = states[:going]
        np.bitwise_xor(active, columns[place, :going], active)
        np.multiply(active, prime, active)
    return states.tolist()


def _hashed(state: int, data: bytes) -> int:
    for byte in data:
        state = ((state ^ byte) * _PRIME) & _ALL
    return state
