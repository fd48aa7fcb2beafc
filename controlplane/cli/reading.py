"""get, describe, explain, history, top, events: what people look at."""

import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.connection import connect, path
from controlplane.cli.options import (
    DOCUMENTS,
    FilterOption,
    Kind,
    KindArgument,
    LimitOption,
    Output,
    OutputOption,
    SortOption,
    kind_of,
)

if TYPE_CHECKING:
    from controlplane.client import Client

PAGE = 500
RECONNECT_SECONDS = 2.0


def get(
    kind: KindArgument,
    name: Annotated[str, typer.Argument(help="One of them; CLUSTER/NODE for a node.")] = "",
    output: OutputOption = Output.TABLE,
    filter: FilterOption = "",
    sort: SortOption = "",
    limit: LimitOption = 500,
    workload: Annotated[
        str, typer.Option("--workload", help="Of the fleet: with what runs of it, to plan a change.")
    ] = "",
) -> None:
    """List what is known, or show one as it was written."""
    wanted = kind_of(kind)
    if workload and wanted is not Kind.FLEET:
        raise typer.BadParameter("--workload is for `get fleet`; else: --filter workload=NAME")
    with connect() as client:
        if wanted is Kind.FLEET:
            _show_fleet(client, name, workload, output)
        elif name and output is not Output.TABLE:
            _show_one(client, wanted, name, output)
        elif name:
            row = _row_of(client, wanted, name)
            _show_rows(wanted, [row], output)
            if wanted is Kind.CLUSTERS:
                _show_rights(row)
        else:
            rows = _rows(client, wanted, filter, sort, limit)
            _show_rows(wanted, rows[:limit], output, more=len(rows) > limit, empty=_nothing(wanted, filter))


def _rows(client: "Client", kind: Kind, filter: str, sort: str, limit: int) -> list[dict[str, Any]]:
    if kind is Kind.CHANGES:
        if filter or sort:
            raise typer.BadParameter("changes come in the order of commits, without filter and sort")
        return client.get("/changes", last=min(limit, PAGE), limit=min(limit, PAGE)).body["items"]
    parameters: dict[str, str | int] = {"limit": min(limit + 1, PAGE)}
    parameters |= {key: value for key, value in (("filter", filter), ("sort", sort)) if value}
    return list(islice(client.pages(path(kind.value), **parameters), limit + 1))


def _row_of(client: "Client", kind: Kind, name: str) -> dict[str, Any]:
    body = client.get(_address(kind, name)).body
    return body["status"] if kind is Kind.WORKLOADS else body


def _address(kind: Kind, name: str) -> str:
    if kind is Kind.NODES:
        cluster, slash, node = name.partition("/")
        if not slash:
            raise typer.BadParameter(f"{name!r}: a node is named CLUSTER/NODE")
        return path("clusters", cluster, "nodes", node)
    if kind not in (Kind.CLUSTERS, Kind.WORKLOADS, *DOCUMENTS):
        raise typer.BadParameter(f"{kind} are listed, not named: --filter workload={name}")
    return path(kind.value, name)


_HOW_TO_BEGIN = {
    Kind.CLUSTERS: "muster clusters invite NAME",
    **dict.fromkeys((Kind.WORKLOADS, *DOCUMENTS), "muster apply -f FILE"),
    Kind.INTERPRETERS: "muster apply -f FILE; docs/operations/kinds.md lists what is understood without",
}


def _nothing(kind: Kind, filter: str) -> str:
    if filter:
        return f"no {kind} with {filter}"
    return f"no {kind} yet" + (f": {_HOW_TO_BEGIN[kind]}" if kind in _HOW_TO_BEGIN else "")


def _show_rows(
    kind: Kind, rows: list[dict[str, Any]], output: Output, *, more: bool = False, empty: str = ""
) -> None:
    from controlplane.cli.output import console, print_data, print_table
    from controlplane.cli.tables import COLUMNS, PLAIN

    if output is not Output.TABLE:
        print_data({"items": rows}, output)
    else:
        print_table(COLUMNS.get(kind, PLAIN), rows, empty)
    if more:
        console(errors=True).print(f"more than {len(rows)}: --limit shows more", style="dim")


def _show_rights(row: dict[str, Any]) -> None:
    from controlplane.cli.describing import rights_lines
    from controlplane.cli.output import console

    for title, text in rights_lines(row):
        console().print(f"{'its agent may' if title else '         also'} {text}", soft_wrap=True)


def _show_one(client: "Client", kind: Kind, name: str, output: Output) -> None:
    from controlplane.cli.output import print_data

    body = client.get(_address(kind, name)).body
    print_data(body.get("manifest", body), output)


def _show_fleet(client: "Client", cluster: str, workload: str, output: Output) -> None:
    from controlplane.cli.output import print_data

    given = {"cluster": cluster, "workload": workload}
    parameters = {name: value for name, value in given.items() if value}
    print_data(client.get("/fleet", **parameters).body, Output.YAML if output is Output.TABLE else output)


def describe(kind: KindArgument, name: str, output: OutputOption = Output.TABLE) -> None:
    """All that is known of one."""
    from controlplane.cli.describing import describe_one
    from controlplane.cli.output import print_data

    wanted = kind_of(kind)
    with connect() as client:
        body = client.get(_address(wanted, name)).body
    if output is not Output.TABLE:
        print_data(body, output)
    else:
        describe_one(wanted, body)


def explain(name: str, output: OutputOption = Output.TABLE) -> None:
    """Why a workload runs where it does: an answer for every cluster."""
    from controlplane.cli.explaining import show_explanation
    from controlplane.cli.output import print_data

    with connect() as client:
        body = client.get(path("workloads", name, "explain")).body
    if output is not Output.TABLE:
        print_data(body, output)
    else:
        show_explanation(body)


def history(name: str, output: OutputOption = Output.TABLE) -> None:
    """Every revision of a workload."""
    from controlplane.cli.output import print_data, print_table
    from controlplane.cli.tables import REVISIONS

    with connect() as client:
        body = client.get(path("workloads", name, "revisions")).body
    if output is not Output.TABLE:
        print_data({"items": body["items"]}, output)
    else:
        print_table(REVISIONS, body["items"])


def top(
    kind: KindArgument,
    filter: FilterOption = "",
    sort: SortOption = "",
    limit: LimitOption = 20,
    watch: Annotated[float, typer.Option("--watch", "-w", min=0, help="Again every so many seconds.")] = 0.0,
) -> None:
    """What is asked for and really used, of clusters or nodes; the busiest first."""
    from controlplane.cli.output import console, make_table
    from controlplane.cli.tables import TOP_CLUSTERS, TOP_NODES

    wanted = kind_of(kind)
    if wanted not in (Kind.CLUSTERS, Kind.NODES):
        raise typer.BadParameter("top clusters, or top nodes")
    columns = TOP_CLUSTERS if wanted is Kind.CLUSTERS else TOP_NODES
    order = sort or "-cpu_used,-cpu_requested"
    with connect() as client:
        if not watch:
            console().print(make_table(columns, _rows(client, wanted, filter, order, limit)[:limit]))
            return
        from rich.live import Live

        with Live(console=console(), auto_refresh=False) as live:
            while True:
                rows = _rows(client, wanted, filter, order, limit)[:limit]
                live.update(make_table(columns, rows), refresh=True)
                time.sleep(max(watch, 0.5))


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
    last: Annotated[int, typer.Option("--last", min=0, max=500, help="How many to begin with.")] = 20,
    output: OutputOption = Output.TABLE,
) -> None:
    """What changed, in the order of commits."""
    from controlplane.client import Unreachable

    with connect() as client:
        rows = _rows(client, Kind.CHANGES, "", "", last) if last else list[dict[str, Any]]()
        for row in rows:
            _print_change(row, output)
        if not follow:
            return
        at: int | None = int(rows[-1]["id"]) if rows else None
        failures = 0
        while True:
            try:
                for row in client.events(at):
                    at, failures = int(row["id"]), 0
                    _print_change(row, output)
            except Unreachable:
                failures += 1
                if failures > 10:
                    raise
            time.sleep(RECONNECT_SECONDS)


def _print_change(row: dict[str, Any], output: Output) -> None:
    import json

    from rich.text import Text

    from controlplane.cli.output import console, moment
    from controlplane.cli.tables import change_detail

    if output is not Output.TABLE:
        # One line an event, so that a stream of them can be read as it comes.
        print(json.dumps(row), flush=True)
        return
    line = Text.assemble(
        (moment(row["at"])[11:], "dim"),
        f"  {row['kind'].lower()}/{row['name']}  ",
        (row["what"], "bold"),
        (f"  by {row['by']}", "dim"),
        (f"  {change_detail(row)}", "dim"),
    )
    # An event is a line, whatever the width: it is searched and counted by line.
    console().print(line, soft_wrap=True)
