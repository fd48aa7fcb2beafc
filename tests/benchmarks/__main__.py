"""`make bench`: every figure; one JSON object on the last line. `soak` is by hand: it takes an hour."""

import json
import sys
import time
from collections.abc import Callable

from tests.benchmarks import (
    admissions,
    agent_size,
    alerting,
    decisions,
    fleet,
    leader_change,
    ledger,
    placements,
    quota,
    reconnecting,
    soak,
    spreading,
)

FIGURES: dict[str, Callable[[], dict[str, float]]] = {
    "decisions": decisions.figures,
    "quota": quota.figures,
    "admissions": admissions.figures,
    "fleet": fleet.figures,
    "ledger": ledger.figures,
    "placements": placements.figures,
    "agent": agent_size.figures,
    "reconnecting": reconnecting.figures,
    "spreading": spreading.figures,
    "alerting": alerting.figures,
    "leader_change": leader_change.figures,
}
"""By name, so that `python -m tests.benchmarks fleet` runs one alone."""


def main(names: list[str]) -> int:
    if names[:1] == ["soak"]:
        return soak.main(names[1:])
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        print(f"no figures named {', '.join(unknown)}: {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    measured: dict[str, float] = {}
    for name in names or FIGURES:
        started = time.monotonic()
        found = FIGURES[name]()
        print(f"{name}: {time.monotonic() - started:.1f} s")
        for figure, value in found.items():
            print(f"  {figure} {value:,}")
        measured |= found
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
