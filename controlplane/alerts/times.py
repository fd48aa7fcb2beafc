"""Unix seconds as people and clients write them."""

from datetime import UTC, datetime


def rfc3339(at: float) -> str:
    """`2026-11-23T00:41:10.5Z`: UTC, no fraction where there is none; out of range: the nearest end."""
    bounded = min(max(at, -62_135_596_800.0), 253_402_300_799.0)
    text = datetime.fromtimestamp(bounded, UTC).isoformat().removesuffix("+00:00")
    whole, dot, fraction = text.partition(".")
    return f"{whole}{dot}{fraction.rstrip('0')}Z"
