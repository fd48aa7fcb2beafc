"""`muster alerts` against a service: what fires, what became of it, who was told; trying a receiver."""

import re
import time
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.alerts import app
from controlplane.cli.connection import connect, path
from controlplane.cli.options import LimitOption, Output, OutputOption, SortOption

if TYPE_CHECKING:
    from rich.text import Text

    from controlplane.cli.output import Row

PAGE = 500
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_SHOWN_BESIDE = frozenset({"alertname", "severity", "tenant", "cluster"})
_STYLES = {"Firing": "red", "Silenced": "blue", "Inhibited": "dim", "Resolved": "green"}


class Listed(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


ListedOption = Annotated[Listed, typer.Option("--output", "-o", help="How to print; name: fingerprints.")]
FilterOption = Annotated[
    str, typer.Option("--filter", "-l", help="e.g. severity=critical,cluster in (fra,ams),!team")
]
StateOption = Annotated[
    str, typer.Option("--state", help="Firing, Silenced, Inhibited, Resolved; several by commas.")
]


@app.callback(invoke_without_command=True)
def alerts(
    context: typer.Context,
    output: ListedOption = Listed.TABLE,
    filter: FilterOption = "",
    state: StateOption = "Firing,Silenced,Inhibited",
    sort: SortOption = "name,cluster,starts_at",
    limit: LimitOption = 1_000,
) -> None:
    """Alerts: who hears, and why. Without a command: what fires now."""
    if context.invoked_subcommand is None:
        _list(output, filter, state, sort, limit)


@app.command("list")
def list_(
    output: ListedOption = Listed.TABLE,
    filter: FilterOption = "",
    state: StateOption = "Firing,Silenced,Inhibited",
    sort: SortOption = "name,cluster,starts_at",
    limit: LimitOption = 1_000,
) -> None:
    """As `muster alerts`."""
    _list(output, filter, state, sort, limit)


def _list(output: Listed, filter: str, state: str, sort: str, limit: int) -> None:
    terms = ",".join(part for part in (f"state in ({state})" if state else "", filter) if part)
    with connect() as client:
        pages = client.pages("/alerts", filter=terms, sort=sort, limit=min(limit, PAGE))
        rows = list(islice(pages, limit))
    if output is Listed.NAME:
        for row in rows:
            typer.echo(row["fingerprint"])
        return
    if output is not Listed.TABLE:
        from controlplane.cli.output import print_data

        print_data(rows, Output(output.value))
        return
    _print_alerts(rows)


def _print_alerts(rows: "list[dict[str, Any]]") -> None:
    from collections import Counter

    from controlplane.cli.output import Column, age, console, make_table, pairs

    now = time.time()

    def where(row: "Row") -> str:
        rest = {name: value for name, value in row["labels"].items() if name not in _SHOWN_BESIDE}
        return pairs(rest, 6)

    columns = (
        Column("STATE", _state),
        Column("SEVERITY", lambda row: row["severity"] or "-"),
        Column("CLUSTER", lambda row: row["cluster"] or "-"),
        Column("TENANT", lambda row: row["tenant"] or "-"),
        Column("LABELS", where, wide=True),
        Column("FOR", lambda row: age(row["starts_at"], now), right=True),
        Column("RECEIVERS", lambda row: ", ".join(dict.fromkeys(row["receivers"])) or "-"),
        Column("FINGERPRINT", lambda row: row["fingerprint"]),
    )
    to = console()
    if not rows:
        console(errors=True).print("no alerts", style="dim")
        return
    for name in dict.fromkeys(row["name"] for row in rows):
        group = [row for row in rows if row["name"] == name]
        counts = ", ".join(f"{count} {state}" for state, count in Counter(r["state"] for r in group).items())
        to.print(f"{name or '(no alertname)'}  [dim]{counts.lower()}[/dim]", style="bold", highlight=False)
        to.print(make_table(columns, group))


def _result(row: "Row") -> str:
    return "delivered" if row["delivered"] else "failed" if row["last"] else "to retry"


def _state(row: "Row") -> "Text":
    from rich.text import Text

    text = Text(row["state"], style=_STYLES.get(row["state"], ""))
    return text + Text(f" ({row['acknowledged_by']})", style="dim") if row["acknowledged_by"] else text


@app.command()
def show(fingerprint: str, output: OutputOption = Output.YAML) -> None:
    """One alert, and the groups that it is in."""
    from controlplane.cli.output import print_data

    with connect() as client:
        body = client.get(path("alerts", fingerprint)).body
    print_data(body, Output.YAML if output is Output.TABLE else output)


@app.command()
def history(
    which: Annotated[
        list[str] | None, typer.Argument(metavar="FINGERPRINT|LABEL=VALUE...", help="All labels must match.")
    ] = None,
    receiver: Annotated[str, typer.Option("--receiver", help="Told to this one.")] = "",
    what: Annotated[str, typer.Option("--what", help="As Notified, Silenced, DeliveryFailed.")] = "",
    since: Annotated[str, typer.Option("--since", help="Not older than this, as 2h.")] = "",
    limit: LimitOption = 100,
    output: OutputOption = Output.TABLE,
) -> None:
    """What became of alerts, the newest first: who was told, or why nobody was."""
    from controlplane.cli.output import Column, moment, pairs, print_data, print_table

    asked: dict[str, Any] = {"receiver": receiver, "what": what, "limit": min(limit, PAGE)}
    labels = list[str]()
    for each in which or []:
        if _FINGERPRINT.fullmatch(each):
            asked["fingerprint"] = each
        elif "=" in each:
            name, _, value = each.partition("=")
            labels.append(f"{name}={value.strip(chr(34))}")
        else:
            raise typer.BadParameter(f"{each!r}: a fingerprint (16 hex digits) or LABEL=VALUE")
    if since:
        asked["since"] = time.time() - seconds_of(since, "--since")
    if labels:
        asked["label"] = labels
    with connect() as client:
        rows = list(islice(client.pages("/alert-history", **asked), limit))
    if output is not Output.TABLE:
        print_data(rows, output)
        return

    def detail(row: "Row") -> str:
        """Of a cluster's own alert the detail is its agent's account, which tells a person nothing."""
        return (row["what"] != "Received" and row["detail"]) or pairs(row["labels"], 6)

    columns = (
        Column("AT", lambda row: moment(row["at"])),
        Column("WHAT", lambda row: row["what"]),
        Column("ALERT", lambda row: row["labels"].get("alertname", "") or row["fingerprint"]),
        Column("RECEIVER", lambda row: row["receiver"] or "-"),
        Column("DETAIL", detail, wide=True),
    )
    print_table(columns, rows, "nothing is known of that")


@app.command()
def deliveries(
    receiver: Annotated[str, typer.Argument(help="Of this receiver; all where it is left out.")] = "",
    limit: LimitOption = 100,
    output: OutputOption = Output.TABLE,
) -> None:
    """Attempts to deliver, the newest first: to whom, what was answered, how long it took."""
    from controlplane.cli.output import Column, moment, print_data, print_table

    with connect() as client:
        pages = client.pages("/alert-deliveries", receiver=receiver, limit=min(limit, PAGE))
        rows = list(islice(pages, limit))
    if output is not Output.TABLE:
        print_data(rows, output)
        return
    columns = (
        Column("AT", lambda row: moment(row["at"])),
        Column("RECEIVER", lambda row: f"{row['receiver']}/{row['integration']}"),
        Column("RESULT", _result),
        Column("TRY", lambda row: str(row["number"]), right=True),
        Column("MS", lambda row: f"{row['took_seconds'] * 1000:.0f}", right=True),
        Column("WHY", lambda row: row["why"]),
        Column("ANSWER", lambda row: " ".join(filter(None, (row["code"], row["detail"]))), wide=True),
    )
    print_table(columns, rows, "no attempt is recorded")


@app.command()
def ack(
    fingerprints: Annotated[list[str], typer.Argument(metavar="FINGERPRINT...")],
    comment: Annotated[str, typer.Option("--comment", "-m", help="What is being done.")] = "",
) -> None:
    """Say that you have taken alerts on: they are not escalated any more."""
    from controlplane.cli.output import console
    from controlplane.cli.reporting import report
    from controlplane.client import Refused

    failed = 0
    with connect() as client:
        for each in fingerprints:
            try:
                body = client.post(path("alerts", each, "acknowledge"), {"comment": comment}).body
            except Refused as error:
                report(error, each)
                failed += 1
            else:
                alert = body["alert"]
                console().print(f"{alert['name'] or each} acknowledged by {alert['acknowledged_by']}")
    if failed:
        raise typer.Exit(1)


@app.command("test")
def try_receiver(receiver: str, output: OutputOption = Output.TABLE) -> None:
    """Send a test message to a receiver, and show what was answered. Exit 1 where it was not delivered."""
    from controlplane.cli.output import Column, console, print_data, print_table

    with connect() as client:
        body = client.post(path("alert-receivers", receiver, "test"), {}).body
    results = body["results"]
    if output is not Output.TABLE:
        print_data(body, output)
    elif not results:
        console(errors=True).print(f"{receiver} has no integration: whatever is sent there goes nowhere")
    else:
        columns = (
            Column("INTEGRATION", lambda row: row["integration"]),
            Column("RESULT", lambda row: "delivered" if row["delivered"] else "not delivered"),
            Column("MS", lambda row: f"{row['took_seconds'] * 1000:.0f}", right=True),
            Column("ANSWER", lambda row: " ".join(filter(None, (row["code"], row["detail"]))), wide=True),
        )
        print_table(columns, results)
    if not results or not all(row["delivered"] for row in results):
        raise typer.Exit(1)


def seconds_of(text: str, option: str) -> float:
    """`2h`, `1d12h`, `90m`. Raises BadParameter."""
    from schemas.manifests.alertmanager_values import duration_seconds

    try:
        return duration_seconds(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: a duration as 30m, 2h or 1d12h", param_hint=option) from error
