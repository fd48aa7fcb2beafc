"""Kubernetes quantities, exactly. Both sides read them, so that they count the same."""

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil

_NUMBER = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(.*)", re.ASCII)
_EXPONENT = re.compile(r"[eE][+-]?\d{1,3}", re.ASCII)
_SCALES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{suffix: Fraction(1024**power) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}
_NANO = 10**9
_LIMIT = 2**63 - 1
_RIGHT = (
    'a number with a suffix of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent, as "1500m"'
)


def parse_quantity(text: str | int | float) -> Fraction:
    """Exact, rounded up at nano and held at 2^63 - 1 as Kubernetes does. ValueError names the text."""
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is no quantity: {_RIGHT}")
    written = repr(text) if isinstance(text, float) else str(text)
    found = _NUMBER.fullmatch(written) if len(written) <= 64 else None
    if found is None:
        raise ValueError(f"{written[:64]!r} is no quantity: {_RIGHT}")
    sign, digits, suffix = found.groups()
    if suffix in _SCALES:
        value = Fraction(digits) * _SCALES[suffix]
    elif _EXPONENT.fullmatch(suffix):
        value = Fraction(Decimal(digits + suffix))
    else:
        raise ValueError(f"{written!r} is no quantity, {suffix!r} is no suffix: {_RIGHT}")
    value = min(Fraction(ceil(value * _NANO), _NANO), Fraction(_LIMIT))
    return -value if sign == "-" else value


@lru_cache(maxsize=16_384, typed=True)
def quantity_amount(resource: str, text: str | int | float) -> int:
    """An amount as Muster counts: cpu in millicores, everything else in units, rounded up.

    ValueError for a negative one, or what is no quantity. Remembered: a fleet writes few different amounts.
    """
    value = parse_quantity(text)
    if value < 0:
        raise ValueError(f"{str(text)!r} is negative: an amount of {resource} is 0 or more")
    return min(ceil(value * 1000 if resource == "cpu" else value), _LIMIT)


def quantity_text(resource: str, amount: int) -> str:
    """An amount as Kubernetes writes it: `1500m`, `64Gi`."""
    if resource == "cpu":
        return str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"
    if amount:
        for power, suffix in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
            if amount % 1024**power == 0:
                return f"{amount // 1024**power}{suffix}"
    return str(amount)
