"""Kubernetes quantities, exactly. Both sides read them, so that they count the same."""

import re
from functools import lru_cache

_FORM = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?\d{1,3}))?", re.ASCII)
_TENS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_TWOS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_LIMIT = 2**63 - 1
_MEASURED = frozenset({"cpu", "memory", "storage", "ephemeral-storage"})
_RIGHT = (
    'a number with a suffix of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent, as "1500m"'
)


@lru_cache(maxsize=16_384, typed=True)
def quantity_amount(resource: str, text: str | int | float) -> int:
    """An amount as Muster counts: cpu in millicores, everything else in units, rounded up, at most 2^63 - 1.

    ValueError for a negative one, or what is no quantity. Remembered: a fleet writes few different amounts.
    In integers: cpu used differs from node to node, and is read of all of them at every look.
    Source of the form: k8s.io/apimachinery/pkg/api/resource.
    """
    digits, tens = _read(resource, text)
    tens += 3 if resource == "cpu" else 0
    amount = digits * 10**tens if tens >= 0 else -(-digits // 10**-tens)
    return min(amount, _LIMIT)


def limit_amount(resource: str, text: str | int | float) -> int:
    """As `quantity_amount`, of what people grant or bound: of what is counted, half a one is refused."""
    digits, tens = _read(resource, text)
    if tens < 0 and digits % 10**-tens and not _is_measured(resource):
        raise ValueError(f"{text!r}: {resource} is counted, so a whole number is needed")
    return quantity_amount(resource, text)


def _is_measured(resource: str) -> bool:
    """Source: IsIntegerResourceName (k8s.io/kubernetes/pkg/apis/core/helper): all else is whole."""
    return resource in _MEASURED or resource.startswith("hugepages-")


def _read(resource: str, text: str | int | float) -> tuple[int, int]:
    """(digits, by which power of ten). ValueError."""
    written = repr(text) if isinstance(text, float) else str(text)
    found = _FORM.fullmatch(written) if len(written) <= 64 and not isinstance(text, bool) else None
    if found is None:
        raise ValueError(f"{written[:64]!r} is no quantity: {_RIGHT}")
    sign, number, suffix, exponent = found.groups()
    whole, _, fraction = number.partition(".")
    digits = int(whole + fraction) << _TWOS.get(suffix, 0)
    if sign == "-" and digits:
        raise ValueError(f"{written!r} is negative: an amount of {resource} is 0 or more")
    return digits, (int(exponent) if exponent else _TENS.get(suffix, 0)) - len(fraction)


def quantity_text(resource: str, amount: int) -> str:
    """An amount as Kubernetes writes it: `1500m`, `64Gi`."""
    if resource == "cpu":
        return str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"
    if amount:
        for power, suffix in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
            if amount % 1024**power == 0:
                return f"{amount // 1024**power}{suffix}"
    return str(amount)
