"""How results look: tables for people, JSON and YAML for programs."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from controlplane.cli.options import Output

Row = Mapping[str, Any]
PIPE_WIDTH = 100
_GOOD = {"Ready", "Running", "Finished", "Chosen", "Acknowledged", "Joined"}
_BAD = {"Refused", "Failed", "Held", "Unplaced", "LeftOut", "CutOff", "ClusterUnknown", "AgentAhead"}


@dataclass(frozen=True)
class Column:
    """read: the cell of a row. right: numbers. wide: takes what room is left, and folds."""

    title: str
    read: Callable[[Row], str | Text]
    right: bool = False
    wide: bool = False


def console(*, errors: bool = False) -> Console:
    """Colours only on a terminal; piped output is as wide as a page."""
    made = Console(stderr=errors, highlight=False, soft_wrap=False)
    if not made.is_terminal:
        made = Console(stderr=errors, highlight=False, width=PIPE_WIDTH)
    return made


def print_table(columns: Sequence[Column], rows: Sequence[Row], empty: str = "nothing there") -> None:
    if not rows:
        console(errors=True).print(empty, style="dim")
        return
    console().print(make_table(columns, rows))


def make_table(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.wide,
            overflow="fold" if column.wide else "ellipsis",
            ratio=None,
        )
    for row in rows:
        table.add_row(*(column.read(row) for column in columns))
    return table


def print_data(data: object, output: Output) -> None:
    """JSON or YAML on stdout, without colour: for programs."""
    sys.stdout.write(to_yaml(data) if output is Output.YAML else json.dumps(data, indent=2) + "\n")


def to_yaml(data: object) -> str:
    import yaml

    return yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100)


def state(text: str) -> Text:
    """Green where all is well, red where somebody has to act, else yellow."""
    style = "green" if text in _GOOD else "red" if text in _BAD else "yellow"
    return Text(text, style=style)


def dim(text: str) -> Text:
    return Text(text, style="dim")


def amount(resource: str, value: float | None) -> str:
    """cpu in cores, memory and storage in the largest binary unit that leaves a digit before the point."""
    if value is None:
        return "-"
    if resource == "cpu":
        cores = value / 1000
        return f"{cores:,.0f}" if cores >= 100 or cores == int(cores) else f"{cores:,.1f}"
    if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-"):
        for unit, size in (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
            if value >= size:
                return f"{value / size:,.1f}{unit}" if value / size < 10 else f"{value / size:,.0f}{unit}"
    return f"{value:,.0f}"


def share(part: Mapping[str, int], whole: Mapping[str, int], resource: str) -> float | None:
    """0 to 1; None where there is no measure of it."""
    return part[resource] / whole[resource] if whole.get(resource) and resource in part else None


def percent(value: float | None) -> Text:
    if value is None:
        return dim("-")
    style = "red" if value >= 0.9 else "yellow" if value >= 0.75 else ""
    return Text(f"{value:.0%}", style=style)


def bar(value: float | None, width: int = 12) -> Text:
    """A share as a bar with its number."""
    if value is None:
        return dim("not measured")
    filled = round(min(value, 1.0) * width)
    style = "red" if value >= 0.9 else "yellow" if value >= 0.75 else "green"
    return Text.assemble(("█" * filled, style), ("░" * (width - filled), "dim"), f" {value:>4.0%}")


def age(at: float, now: float) -> str:
    """`42s`, `5m`, `3h`, `2d`; `-` for never."""
    if at <= 0:
        return "-"
    seconds = max(0.0, now - at)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size * 2:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def moment(at: float) -> str:
    """UTC, to the second; `-` for never."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at > 0 else "-"


def pairs(labels: Mapping[str, Any], most: int = 0) -> str:
    """`a=1, b=2`, and how many more there are."""
    shown = [f"{key}={value}" for key, value in sorted(labels.items())]
    if most and len(shown) > most:
        return ", ".join(shown[:most]) + f" +{len(shown) - most}"
    return ", ".join(shown)
