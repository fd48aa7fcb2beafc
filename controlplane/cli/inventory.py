"""muster inventory: what the fleet has below its clusters' sums."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.connection import connect, path
from controlplane.cli.inventories import Inventory
from controlplane.cli.options import FilterOption, LimitOption, Output, OutputOption, SortOption

if TYPE_CHECKING:
    from controlplane.client import Client

PAGE = 500


def inventory(
    what: Annotated[Inventory, typer.Argument(help="Over the whole fleet.", show_default=False)],
    cluster: Annotated[str, typer.Option("--cluster", help="Only what this one has.")] = "",
    output: OutputOption = Output.TABLE,
    filter: FilterOption = "",
    sort: SortOption = "",
    limit: LimitOption = 500,
) -> None:
    """What all clusters have below their sums: runtime classes, networks, GPUs, features."""
    from controlplane.cli.inventory_columns import COLUMNS
    from controlplane.cli.output import console, print_data, print_table

    with connect() as client:
        rows = _rows(client, what, cluster, filter, sort, limit)
    more, rows = len(rows) > limit, rows[:limit]
    if output is not Output.TABLE:
        print_data({"items": rows}, output)
    else:
        print_table(COLUMNS[what], rows, _nothing(what, cluster, filter))
    if more:
        console(errors=True).print(f"more than {len(rows)}: --limit shows more", style="dim")


def _rows(
    client: "Client", what: Inventory, cluster: str, filter: str, sort: str, limit: int
) -> list[dict[str, Any]]:
    parameters: dict[str, str | int] = {"limit": min(limit + 1, PAGE)}
    given = (("filter", filter), ("sort", sort), ("cluster", cluster))
    parameters |= {key: value for key, value in given if value}
    return list(islice(client.pages(path("inventory", what.value), **parameters), limit + 1))


def _nothing(what: Inventory, cluster: str, filter: str) -> str:
    where = cluster or "any cluster"
    return f"no {what.value} in {where}" + (f" with {filter}" if filter else "")
