"""Kubernetes quantities as integers: cpu in millicores, everything else in units.

Source: apimachinery/pkg/api/resource. Fractions round up, as the scheduler counts them.
"""

import re
from functools import lru_cache

_FORM = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?\d{1,3}))?")
_TENS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_TWOS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_LARGEST = 2**63 - 1


class BadQuantity(ValueError):
    """No quantity of Kubernetes; the text says which."""


@lru_cache(maxsize=4096)
def amount(resource: str, quantity: str | int | float) -> int:
    """`quantity` of `resource` in the unit of the wire. Raises BadQuantity."""
    text = str(quantity)
    matched = _FORM.fullmatch(text)
    if matched is None or len(text) > 64:
        raise BadQuantity(f"{resource}: {text[:64]!r} is no quantity such as 500m, 2, 1.5Gi")
    sign, number, suffix, exponent = matched.groups()
    whole, _, fraction = number.partition(".")
    digits = int((whole + fraction) or "0")
    tens = -len(fraction) + (int(exponent) if exponent else _TENS.get(suffix or "", 0))
    tens += 3 if resource == "cpu" else 0
    digits <<= _TWOS.get(suffix or "", 0)
    value = digits * 10**tens if tens >= 0 else -(-digits // 10**-tens)
    return min(value, _LARGEST) * (-1 if sign == "-" else 1)


def amounts(quantities: dict[str, str | int | float]) -> dict[str, int]:
    """A resource list; what is no quantity is left out, for one bad name must not hide a node."""
    counted: dict[str, int] = {}
    for resource, quantity in quantities.items():
        try:
            counted[resource] = amount(resource, quantity)
        except BadQuantity:
            continue
    return counted
