"""The live table of the demo."""

import time

from rich.console import Group, RenderableType
from rich.text import Text

from controlplane.cli.demo.outcome import Seen
from controlplane.cli.options import Kind
from controlplane.cli.output import make_table
from controlplane.cli.tables import COLUMNS, TOP_CLUSTERS

_TRY = ("explain inference", "get nodes --filter 'gpu>0'", "events --follow")


class Screen:
    """Draws what was seen. url: of the API; began: on the monotonic clock; command: how `muster` is typed."""

    def __init__(self, url: str, began: float, command: str) -> None:
        self._url = url
        self._began = began
        self._hints = [f"  {command} {each}" for each in _TRY]

    def draw(self, seen: Seen, first_placement: float | None) -> RenderableType:
        elapsed = time.monotonic() - self._began
        orders = sum(row["orders_carried_out"] for row in seen.streams)
        reports = sum(row["reports_received"] for row in seen.streams)
        numbers = f"{elapsed:.0f} s   {reports:,} reports in   {orders:,} orders carried out"
        if first_placement is not None:
            numbers += f"   first placement after {first_placement:.1f} s"
        return Group(
            Text.assemble(("Muster", "bold"), "  every cluster streams in; one place decides"),
            Text.assemble(("API ", "dim"), (self._url, "bold cyan"), ("   " + numbers, "dim")),
            Text(),
            make_table(COLUMNS[Kind.CLUSTERS], seen.clusters),
            Text(),
            make_table(TOP_CLUSTERS, seen.clusters),
            Text(),
            make_table(COLUMNS[Kind.WORKLOADS], seen.workloads),
            Text(),
            Text("In another terminal, in this folder:", style="dim"),
            *(Text(hint) for hint in self._hints),
            Text("Ctrl-C ends everything.", style="dim"),
        )
