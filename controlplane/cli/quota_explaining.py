"""One tenant's quota in a terminal: what it has, what waits and why, what would help, what is charged."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from controlplane.cli.explaining import flavors_text
from controlplane.cli.output import Column, Row, age, console, dim, moment, print_table
from controlplane.cli.quota_tree import budget_text, headline_parts, legend, show_quotas
from schemas.quantities import quantity_text

_GAP = "  "
_LABEL_WIDTH = 7


def show_tenant(body: Mapping[str, Any], now: float) -> None:
    tenant = body["tenant"]
    head = Text.assemble((str(tenant["name"]), "bold"))
    if tenant["parent"]:
        head.append(f"  in {' > '.join(tenant['path'][:-1])}", style="dim")
    for part in headline_parts({**tenant, "budget": None, "waiting": 0}):
        head.append_text(Text(_GAP) + part)
    console().print(head)
    show_quotas(tenant)
    if tenant["quotas"]:
        console().print(Text(_GAP) + legend(tenant["quotas"]))
    facts = [_budget(tenant["budget"])] if tenant["budget"] else []
    facts += [_window(each, str(tenant["name"])) for each in body["windows"]]
    facts += [_grant(each) for each in body["grants"]]
    facts += [_unlimited(each) for each in body["unlimited"]]
    _print_below(("", each) for each in facts)
    _show_waiting(body["waiting"], int(tenant["waiting"]), now)
    _show_charged(body["charged"])


def _budget(budget: Mapping[str, Any]) -> Text:
    text = Text("budget: ") + budget_text(budget)
    text.append(f" this {budget['period'].lower()}, {budget['per_hour']} an hour now", style="dim")
    if budget["exhausted_at"]:
        text.append(f": gone by {moment(budget['exhausted_at'])[:16]}Z", style="yellow")
    return text


def _window(window: Mapping[str, Any], tenant: str) -> Text:
    whose = "" if window["name"] == tenant else f" of cohort {window['name']}"
    what = f"{window['flavor']} {window['resource']} {quantity_text(window['resource'], window['nominal'])}"
    text = Text(f"window {window['window']}{whose}: {what}", style="magenta" if window["open"] else "")
    does = "open, closes" if window["open"] else "opens"
    when = f"{does} {moment(window['changes_at'])[:16]}Z" if window["changes_at"] else "never opens again"
    return text + dim(f", {when}")


def _grant(grant: Mapping[str, Any]) -> Text:
    amounts = ", ".join(
        f"{flavor} {resource} {amount}"
        for flavor, held in grant["amounts"].items()
        for resource, amount in held.items()
    )
    until = f" until {moment(grant['until'])[:16]}Z" if grant["until"] else ""
    style = "yellow" if grant["state"] == "Pending" else ""
    return Text(f"request {grant['id']} {grant['state'].lower()}{until}: {amounts}", style=style) + dim(
        f", {grant['why']}"
    )


def _unlimited(row: Mapping[str, Any]) -> Text:
    return Text(
        f"limits in {row['cluster']} are not as ordered: {row['reason']}: {row['message']}", style="red"
    )


def _show_waiting(rows: list[Mapping[str, Any]], count: int, now: float) -> None:
    console().print()
    if not rows:
        console().print(Text("nothing waits for quota", style="green"))
        return
    of = f"{len(rows)} of {count:,}" if count > len(rows) else str(count)
    console().print(Text(f"{of} waiting for quota, the next first", style="bold"))
    for row in rows:
        _show_one(row, now)


def _show_one(row: Mapping[str, Any], now: float) -> None:
    head = Text.assemble((row["workload"], "bold"), (f"  priority {row['priority']}", "dim"))
    head.append(f"  for {age(row['since'], now)}", style="dim")
    console().print(head)
    lines = [("why", Text(f"{row['reason']}: {row['message']}", style="red"))]
    lines += [("asks", Text(flavors_text(row["asked"])))] if row["asked"] else []
    lines += [("lacks", Text(flavors_text(row["missing"]), style="yellow"))] if row["missing"] else []
    lines += [("held", each) for each in _borrowers(row["borrowers"])]
    lines += [("helps", Text(each["text"], style="cyan")) for each in row["helps"]]
    _print_below(lines, _LABEL_WIDTH)
    for each in row["helps"]:
        if each["command"]:
            # In one piece, whatever the width: it is there to be copied.
            console().print(Text(" " * (_LABEL_WIDTH + 2) + each["command"], style="bold"), soft_wrap=True)


def _print_below(lines: Iterable[tuple[str, Text]], width: int = 0) -> None:
    """Indented, with a label each; a long one goes on below its own beginning."""
    table = Table.grid()
    table.add_column(width=width + 2, no_wrap=True)
    table.add_column(overflow="fold")
    last = ""
    for label, text in lines:
        table.add_row(f"  {label if label != last else ''}", text)
        last = label
    if table.row_count:
        console().print(table)


def _borrowers(rows: Iterable[Mapping[str, Any]]) -> Iterable[Text]:
    by_key: dict[tuple[str, str], list[str]] = {}
    for each in rows:
        said = f"{each['name']} borrows {quantity_text(each['resource'], each['borrowed'])}"
        by_key.setdefault((each["flavor"], each["resource"]), []).append(said)
    for (flavor, resource), said in by_key.items():
        yield Text(f"{flavor} {resource}: {', '.join(said)}")


def _show_charged(rows: list[Row]) -> None:
    if not rows:
        return
    console().print()
    columns = (
        Column("CHARGED FOR", lambda row: str(row["workload"]) or "(foreign)"),
        Column("IN", lambda row: str(row["cluster"]) + (" (lost)" if row["lost_since"] else "")),
        Column("PRIORITY", lambda row: str(row["priority"]), right=True),
        Column("AMOUNTS", _amounts, wide=True),
    )
    print_table(columns, rows)
    for cluster, since in {row["cluster"]: row["lost_since"] for row in rows if row["lost_since"]}.items():
        _show_lost(str(cluster), float(since))


def _show_lost(cluster: str, since: float) -> None:
    said = (
        f"{cluster} is lost since {moment(since)[:16]}Z: what is charged there stays so until it is back and"
        f" its pods are reported gone. Where it is gone for good: muster clusters remove {cluster}"
    )
    console().print(Text(said, style="yellow"))


def _amounts(row: Row) -> Text:
    text = Text(flavors_text(row["charged"]))
    for name, style in (("leaving", "dim"), ("drift", "red")):
        if row[name]:
            text.append(f"{'; ' if text else ''}{name} {flavors_text(row[name])}", style=style)
    return text
