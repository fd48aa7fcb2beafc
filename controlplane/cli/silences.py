"""`muster silence`: keep alerts quiet for a while, again and again, or a whole cluster during maintenance."""

import sys
import time
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import typer

from controlplane.cli.alerting import PAGE, FilterOption, Listed, ListedOption, seconds_of
from controlplane.cli.connection import connect, path
from controlplane.cli.options import LimitOption, Output, OutputOption

app = typer.Typer(name="silence", help="Silences: add, list, show, expire.", no_args_is_help=True)


@app.command()
def add(
    matchers: Annotated[
        list[str] | None, typer.Argument(metavar="MATCHER...", help='As alertname="Disk" or host=~"db.*"')
    ] = None,
    for_: Annotated[str, typer.Option("--for", help="From its begin on, as 2h.")] = "",
    until: Annotated[str, typer.Option("--until", help="RFC 3339, instead of --for.")] = "",
    start: Annotated[str, typer.Option("--start", help="RFC 3339; left out: now.")] = "",
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why.")] = "",
    cluster: Annotated[str, typer.Option("--cluster", help="Maintenance of all of this cluster.")] = "",
    cron: Annotated[str, typer.Option("--cron", help="One that returns: begins at these times.")] = "",
    duration: Annotated[str, typer.Option("--duration", help="With --cron: for how long each time.")] = "",
    timezone: Annotated[str, typer.Option("--timezone", help="With --cron: as Europe/Berlin.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Also where the guard objects.")] = False,
    replaces: Annotated[str, typer.Option("--replaces", help="Id of the one that it changes.")] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a silence. Prints its id."""
    from controlplane.cli.output import print_data

    if bool(cluster) == bool(matchers):
        raise typer.BadParameter("either MATCHER..., or --cluster NAME")
    if cluster and (cron or force or replaces):
        raise typer.BadParameter("--cluster goes with --for, --until, --start and --comment only")
    body = _times(for_, until, start, lasting=bool(cron))
    if not comment and not sys.stdin.isatty():
        raise typer.BadParameter("say why", param_hint="--comment")
    body["comment"] = comment or typer.prompt("Why")
    if cluster:
        where, body = "/maintenance-windows", {**body, "cluster": cluster}
    else:
        where, body = "/silences", {**body, "matchers": matchers, "force": force}
        body |= {"id": replaces} if replaces else {}
        body |= _recurring(cron, duration, timezone)
    with connect() as client:
        made = client.post(where, body).body
    if output is Output.TABLE:
        typer.echo(made["id"])
    else:
        print_data(made, output)


def _times(for_: str, until: str, start: str, *, lasting: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"starts_at": _moment(start, "--start")} if start else {}
    if for_ and until:
        raise typer.BadParameter("--for or --until, not both")
    if until:
        return {**found, "ends_at": _moment(until, "--until")}
    if not for_ and not lasting:
        raise typer.BadParameter("for how long? --for 2h, or --until 2026-01-31T08:00:00Z")
    return {**found, "for_seconds": seconds_of(for_ or "365d", "--for")}


def _recurring(cron: str, duration: str, timezone: str) -> dict[str, Any]:
    if not cron:
        if duration or timezone:
            raise typer.BadParameter("--duration and --timezone go with --cron")
        return {}
    if not duration:
        raise typer.BadParameter("--cron needs --duration: for how long each time")
    recurring: dict[str, Any] = {"cron": cron, "duration_seconds": seconds_of(duration, "--duration")}
    return {**recurring, "timezone": timezone} if timezone else recurring


def _moment(text: str, option: str) -> float:
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: as 2026-01-31T08:00:00Z", param_hint=option) from error


@app.command("list")
def list_(
    expired: Annotated[bool, typer.Option("--expired", help="Those that have ended, too.")] = False,
    filter: FilterOption = "",
    limit: LimitOption = 500,
    output: ListedOption = Listed.TABLE,
) -> None:
    """Silences that hold, or will."""
    terms = ",".join(part for part in ("" if expired else "state!=expired", filter) if part)
    with connect() as client:
        pages = client.pages("/silences", filter=terms, sort="state,ends_at", limit=min(limit, PAGE))
        rows = list(islice(pages, limit))
    if output is Listed.NAME:
        for row in rows:
            typer.echo(row["id"])
    elif output is Listed.TABLE:
        _print(rows)
    else:
        from controlplane.cli.output import print_data

        print_data(rows, Output(output.value))


def _print(rows: list[dict[str, Any]]) -> None:
    from controlplane.cli.output import Column, print_table

    now = time.time()
    columns = (
        Column("ID", lambda row: row["id"]),
        Column("STATE", _stands),
        Column("MATCHERS", lambda row: ", ".join(row["matchers"]), wide=True),
        Column("WHEN", lambda row: _when(row, now), wide=True),
        Column("COMMENT", lambda row: f"{row['comment']} ({row['created_by']})", wide=True),
    )
    print_table(columns, rows, "no silences")


def _stands(row: Any) -> str:
    return "waits" if row["cron"] and row["state"] == "pending" else row["state"]


def _when(row: Any, now: float) -> str:
    from controlplane.cli.output import moment
    from schemas.manifests.alertmanager_values import duration_text

    if row["ends_at"] <= now:
        return f"ended {moment(row['ends_at'])}"
    if row["cron"]:
        return f"{row['cron']} {row['timezone']}, {duration_text(row['duration_seconds'])} each"
    until = f"until {moment(row['ends_at'])}"
    return f"maintenance {until}" if row["maintenance"] else until


@app.command()
def show(id: str, output: OutputOption = Output.YAML) -> None:
    """One silence."""
    from controlplane.cli.output import print_data

    with connect() as client:
        body = client.get(path("silences", id)).body
    print_data(body, Output.YAML if output is Output.TABLE else output)


@app.command()
def expire(ids: Annotated[list[str], typer.Argument(metavar="ID...")]) -> None:
    """End silences now."""
    from controlplane.cli.output import console
    from controlplane.cli.reporting import report
    from controlplane.client import Refused

    failed = 0
    with connect() as client:
        for each in ids:
            try:
                client.delete(path("silences", each))
            except Refused as error:
                report(error, each)
                failed += 1
            else:
                console().print(f"{each} expired", style="green", highlight=False)
    if failed:
        raise typer.Exit(1)
