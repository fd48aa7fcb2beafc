"""The live table of the demo."""

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from controlplane.cli.demo.outcome import Seen
from controlplane.cli.demo.story import Line
from controlplane.cli.options import Kind
from controlplane.cli.output import console, make_table
from controlplane.cli.tables import COLUMNS, TOP_CLUSTERS

_TRY = ("explain inference", "inventory gpus", "get nodes --filter 'gpu>0'", "events --follow")
_TOP_FROM_LINES = 44
_MOST_TOLD, _LEAST_TOLD = 12, 3
_LINES_AROUND = 14
"""What is drawn beside the rows of clusters and workloads, and the story."""


class Screen:
    """Draws what was seen. url: of the API; began: on the monotonic clock; command: how `muster` is typed."""

    def __init__(self, url: str, began: float, command: str) -> None:
        self._url = url
        self._began = began
        self._hint = f"In another terminal, in this folder: {command} " + " | ".join(_TRY)

    def draw(self, seen: Seen, first_placement: float | None, lines: Sequence[Line]) -> RenderableType:
        elapsed = time.monotonic() - self._began
        orders = sum(row["orders_carried_out"] for row in seen.streams)
        reports = sum(row["reports_received"] for row in seen.streams)
        numbers = f"{elapsed:.0f} s   {reports:,} reports   {orders:,} orders carried out"
        if first_placement is not None:
            numbers += f"   first placement at {first_placement:.1f} s"
        # What is below the end of a terminal is not seen at all: on a low one the story goes first.
        height = console().height
        top = [Text(), make_table(TOP_CLUSTERS, seen.clusters)] if height >= _TOP_FROM_LINES else []
        room = height - _LINES_AROUND - len(seen.clusters) - len(seen.workloads)
        told = lines[-min(_MOST_TOLD, max(_LEAST_TOLD, room)) :]
        story = [Text(), *(_told(line) for line in told)] if told else []
        return Group(
            Text.assemble(("Muster", "bold"), "  every cluster streams in; one place decides"),
            Text.assemble(("API ", "dim"), (self._url, "bold cyan"), ("   " + numbers, "dim")),
            Text(),
            make_table(COLUMNS[Kind.CLUSTERS], seen.clusters),
            *top,
            Text(),
            make_table(COLUMNS[Kind.WORKLOADS], seen.workloads),
            *story,
            Text(),
            Text(self._hint, style="dim"),
            Text("Ctrl-C ends everything.", style="dim"),
        )


def _told(line: Line) -> Text:
    at = (f"{line.at:5.1f} s  ", "dim")
    if line.lead:
        return Text.assemble(at, (line.text, "bold"), no_wrap=True, overflow="ellipsis")
    return Text.assemble(at, "  ", line.text, no_wrap=True, overflow="ellipsis")
