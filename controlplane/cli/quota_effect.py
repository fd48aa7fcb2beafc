"""A request for quota as an approver looks at it: what was asked, and what granting it would do."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from controlplane.cli.output import Column, Row, amount, console, make_table, moment


def show_request(row: Row, amounts: str) -> None:
    to = console()
    head = Text(f"request {row['id']}", style="bold")
    to.print(head + Text(f"  {row['state']}  tenant {row['tenant']}: {amounts}"))
    asked = f"asked by {row['requested_by']} at {moment(row['requested_at'])}: {row['why']}"
    to.print(Text(f"  {asked}"))
    until = f"until {moment(row['until'])}" if row["until"] else "without an end"
    donor = f", out of {row['taken_from']}" if row["taken_from"] else ""
    to.print(Text(f"  {until}{donor}"))
    if row["decided_by"]:
        said = f": {row['decision']}" if row["decision"] else ""
        to.print(Text(f"  decided by {row['decided_by']} at {moment(row['decided_at'])}{said}"))


def show_effect(effect: Mapping[str, Any]) -> None:
    """Before and after of each tenant and cohort that has more or less of it."""
    to = console()
    source = f"out of {effect['taken_from']}" if effect["taken_from"] else "out of nobody's quota"
    to.print(Text(f"\ngranted {source}:", style="bold"))
    columns = (
        Column("WHO", lambda row: f"{row['kind'].lower()}/{row['name']}"),
        Column("RESOURCE", lambda row: f"{row['resource']} of {row['flavor']}"),
        Column("USED", lambda row: amount(row["resource"], row["used"]), right=True),
        Column("NOMINAL", lambda row: _both(row, "nominal"), right=True),
        Column("AVAILABLE", lambda row: _both(row, "available"), right=True),
        Column("POTENTIAL", lambda row: _both(row, "potential"), right=True),
        Column("BORROWED", lambda row: _both(row, "borrowed"), right=True),
    )
    to.print(make_table(columns, effect["shifts"]))
    for name in effect["borrowing"]:
        to.print(Text(f"{name} would come to borrow: others can reclaim that", style="yellow"))
    _show_admissible(effect)
    for problem in effect["problems"]:
        to.print(Text("would be refused: ", style="bold red") + Text(problem))


def _show_admissible(effect: Mapping[str, Any]) -> None:
    to = console()
    if not effect["waiting"]:
        to.print(Text("nothing waits for quota there", style="dim"))
        return
    looked, count = effect["judged"], len(effect["admissible"])
    of = f"the first {looked} of {effect['waiting']}" if looked < effect["waiting"] else str(looked)
    to.print(f"of {of} that wait for quota, {count or 'none'} would become admissible")
    if not count:
        return
    columns = (
        Column("WORKLOAD", lambda row: row["workload"]),
        Column("TENANT", lambda row: row["tenant"]),
        Column("BORROWS", lambda row: "yes" if row["borrows"] else "no"),
        Column("GIVES WAY", lambda row: ", ".join(row["victims"]) or "-", wide=True),
    )
    to.print(make_table(columns, effect["admissible"]))


def _both(row: Row, field: str) -> Text:
    before, after = (_text(row["resource"], row[when][field]) for when in ("before", "after"))
    if before == after:
        return Text(before)
    return Text(f"{before} → ", style="dim") + Text(after, style="bold")


def _text(resource: str, value: int | None) -> str:
    return amount(resource, value) if value is not None else "unbounded"
