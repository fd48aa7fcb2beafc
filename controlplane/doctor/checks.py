"""One line of what a doctor says."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controlplane.doctor.advice import ADVICE
from controlplane.doctor.findings import Finding, Level


@dataclass(frozen=True)
class Check:
    """One line. check: its name, stable. about: a cluster, a stream, a receiver; "" for all of it."""

    check: str
    message: str
    finding: Finding | None = None
    about: str = ""
    severe: bool = False

    @property
    def level(self) -> Level:
        if self.finding is None:
            return Level.OK
        return Level.FAIL if self.severe else ADVICE[self.finding].level

    def as_data(self) -> dict[str, Any]:
        """The shape of `-o json` and of the API, which stays."""
        advice = ADVICE[self.finding] if self.finding is not None else None
        return {
            "check": self.check,
            "about": self.about,
            "level": self.level.value,
            "finding": self.finding.value if self.finding is not None else "",
            "message": self.message,
            "means": advice.means if advice else "",
            "do": advice.do.replace("ABOUT", self.about or "NAME") if advice else "",
        }


def worst(levels: Iterable[str]) -> Level:
    """ok for none."""
    found = set(levels)
    return next((level for level in (Level.FAIL, Level.WARN) if level.value in found), Level.OK)


MOST_ABOUT = 10
"""Lines of one finding; the rest are counted."""


def bounded(checks: Iterable[Check]) -> list[Check]:
    """As they came, each finding of a check at most MOST_ABOUT times, and then once for the rest."""
    kept: list[Check] = []
    left: dict[tuple[str, Finding | None], int] = {}
    counts: dict[tuple[str, Finding | None], int] = {}
    for check in checks:
        key = check.check, check.finding
        counts[key] = counts.get(key, 0) + 1
        if check.finding is None or counts[key] <= MOST_ABOUT:
            kept.append(check)
        else:
            left[key] = left.get(key, 0) + 1
    return kept + [Check(name, f"{count:,} more", finding) for (name, finding), count in left.items()]
