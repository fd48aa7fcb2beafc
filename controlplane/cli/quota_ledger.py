"""The ledger in a terminal: an entry a line, with the balance that it left."""

from collections.abc import Sequence

from rich.text import Text

from controlplane.cli.output import Column, Row, dim, moment, print_table
from schemas.quantities import quantity_text

_STYLES = {"Placed": "green", "Released": "blue", "Drifted": "red"}


def show_ledger(rows: Sequence[Row], *, with_tenant: bool) -> None:
    columns = (
        Column("AT (UTC)", lambda row: moment(row["at"])[5:-1]),
        Column("WHY", lambda row: Text(row["cause"], style=_STYLES.get(row["cause"], "yellow"))),
        Column("AMOUNT", _amount, right=True),
        Column("BALANCE", lambda row: quantity_text(row["resource"], row["balance"]), right=True),
        Column("OF", lambda row: f"{row['flavor'] or '-'} {row['resource']}"),
        Column("WHERE", lambda row: _where(row, with_tenant=with_tenant), wide=True),
        Column("ORDER", _order, right=True),
    )
    print_table(columns, rows, "no entry of that")


def _amount(row: Row) -> Text:
    amount = int(row["amount"])
    return Text(f"{'+' if amount > 0 else '-'}{quantity_text(row['resource'], abs(amount))}")


def _where(row: Row, *, with_tenant: bool) -> Text:
    whose = f"{row['tenant']}: " if with_tenant else ""
    # Of no workload: pods that others made in the tenant's namespaces.
    return Text(f"{whose}{row['workload'] or '(foreign)'}") + dim(f" in {row['cluster']}")


def _order(row: Row) -> Text:
    """Its generation, which is given once: the epoch is in JSON."""
    return dim(str(row["generation"] or "-"))
