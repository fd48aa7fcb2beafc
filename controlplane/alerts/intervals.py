"""Time intervals as Alertmanager has them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """One entry of `time_intervals`; its fields AND, the ranges of a field OR."""

    location: str = "UTC"
