"""`muster quota request`, `approve`, ...: a tenant asks, somebody else sees what it would do, and decides."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.connection import connect, path
from controlplane.cli.options import LimitOption, Output, OutputOption, YesOption
from controlplane.cli.quota import app

if TYPE_CHECKING:
    from controlplane.client import Client

PAGE = 500
FORBIDDEN = 403
_STATES = "Pending, Granted, Refused, Withdrawn, Expired, GivenBack"
AddOption = Annotated[
    list[str] | None,
    typer.Option("--add", metavar="[FLAVOR:]RESOURCE=AMOUNT", help="As cpu=20 or a100:nvidia.com/gpu=2."),
]
FlavorOption = Annotated[str, typer.Option("--flavor", help="Of every --add that names none.")]
UntilOption = Annotated[
    str,
    typer.Option("--until", help="2026-12-31, that day included, or RFC 3339; never: without an end."),
]
FromOption = Annotated[
    str,
    typer.Option("--from", metavar="tenant/NAME|cohort/NAME", help="Out of whose own; left out: nobody's."),
]
AsOption = Annotated[
    str,
    typer.Option("--as", metavar="NAME", help="As somebody else of the context file: demo-approver."),
]


@app.command()
def request(
    tenant: Annotated[str, typer.Option("--tenant", help="For whom.")],
    add: AddOption = None,
    why: Annotated[str, typer.Option("--why", help="For those who decide.")] = "",
    flavor: FlavorOption = "default",
    until: UntilOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask for quota. Somebody else decides: who asks does not. Prints the number of the request."""
    if not add:
        raise typer.BadParameter("how much? --add cpu=20", param_hint="--add")
    if not why and not sys.stdin.isatty():
        raise typer.BadParameter("say what it is for", param_hint="--why")
    body: dict[str, Any] = {"tenant": tenant, "amounts": amounts_of(add, flavor)}
    body["why"] = why or typer.prompt("Why")
    if until:
        body["until"] = until_of(until)
    with connect() as client:
        made = client.post("/quota/requests", body).body
    if output is Output.TABLE:
        typer.echo(made["id"])
    else:
        _print_data(made, output)


@app.command()
def requests(
    tenant: Annotated[str, typer.Option("--tenant", help="Of this one.")] = "",
    state: Annotated[str, typer.Option("--state", help=f"{_STATES}; several by commas.")] = "",
    limit: LimitOption = 100,
    output: OutputOption = Output.TABLE,
) -> None:
    """Requests for quota, and what was granted; the newest first."""
    from controlplane.cli.output import Column, moment, print_table

    asked = {name: value for name, value in (("tenant", tenant), ("state", state)) if value}
    with connect() as client:
        rows = list(islice(client.pages("/quota/requests", **asked, limit=min(limit, PAGE)), limit))
    if output is not Output.TABLE:
        _print_data(rows, output)
        return
    columns = (
        Column("ID", lambda row: str(row["id"]), right=True),
        Column("STATE", _state),
        Column("TENANT", lambda row: row["tenant"]),
        Column("AMOUNTS", lambda row: _amounts(row["amounts"]), wide=True),
        Column("UNTIL", lambda row: moment(row["until"])),
        Column("FROM", lambda row: row["taken_from"] or "-"),
        Column("ASKED", lambda row: row["requested_by"]),
        Column("DECIDED", lambda row: row["decided_by"] or "-"),
        Column("WHY", lambda row: row["why"], wide=True),
    )
    print_table(columns, rows, "no requests")


@app.command("show-request")
def show_request(id: int, from_: FromOption = "", output: OutputOption = Output.TABLE) -> None:
    """One request; while it waits, what approving it would do."""
    with connect() as client:
        body = client.get(path("quota", "requests", str(id)), **_donor(from_, "takenFrom")).body
    if output is Output.TABLE:
        _show(body)
    else:
        _print_data(body, output)


@app.command()
def approve(
    id: int,
    from_: FromOption = "",
    until: UntilOption = "",
    add: AddOption = None,
    flavor: FlavorOption = "default",
    comment: Annotated[str, typer.Option("--comment", "-m", help="For who asked.")] = "",
    as_: AsOption = "",
    yes: YesOption = False,
) -> None:
    """Grant a request; what that does is shown first. With --add, less than was asked for."""
    body: dict[str, Any] = _donor(from_, "taken_from")
    if until:
        body["until"] = until_of(until)
    if add:
        body["amounts"] = amounts_of(add, flavor)
    if comment:
        body["comment"] = comment
    where = path("quota", "requests", str(id))
    with _deciding(as_) as client:
        seen = client.get(where, **_donor(from_, "takenFrom"))
        if seen.body["effect"] is not None and not add:
            _show(seen.body)
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Grant request {id}?", abort=True)
        made = client.post(f"{where}/approve", body, if_match=seen.etag).body
    _say(made, f"granted: {_amounts(made['amounts'])} for {made['tenant']}{_until_text(made)}")


@app.command()
def refuse(
    id: int,
    why: Annotated[str, typer.Option("--why", help="For who asked.")] = "",
    as_: AsOption = "",
) -> None:
    """Refuse a request."""
    if not why and not sys.stdin.isatty():
        raise typer.BadParameter("say why", param_hint="--why")
    body = {"why": why or typer.prompt("Why")}
    with _deciding(as_) as client:
        made = client.post(path("quota", "requests", str(id), "refuse"), body).body
    _say(made, "refused")


@app.command()
def withdraw(id: int) -> None:
    """Take back a request of your own that waits."""
    with connect() as client:
        made = client.post(path("quota", "requests", str(id), "withdraw"), {}).body
    _say(made, "withdrawn")


@app.command("give-back")
def give_back(id: int, add: AddOption = None, flavor: FlavorOption = "default") -> None:
    """Give back what was granted: all of it, or with --add a part. Not what is in use."""
    body = {"amounts": amounts_of(add, flavor)} if add else {}
    with connect() as client:
        made = client.post(path("quota", "requests", str(id), "give-back"), body).body
    left = _amounts(made["amounts"]) if made["state"] == "Granted" else ""
    _say(made, f"given back; {left} of it stays granted" if left else "given back")


@contextmanager
def _deciding(name: str) -> Generator["Client"]:
    """name: who decides, where it is not who asks by default. Who may not is told who else is at hand."""
    from controlplane.client import Refused

    with connect(name) as client:
        try:
            yield client
        except Refused as error:
            others = sorted(client.context.others)
            if error.status != FORBIDDEN or name or not others:
                raise
            hint = f"as somebody else: --as {' or --as '.join(others)}"
            raise Refused(error.status, error.reason, str(error), error.errors, hint) from error


def _say(row: dict[str, Any], text: str) -> None:
    from controlplane.cli.output import console

    console().print(f"request {row['id']} {text}", style="green", markup=False)


def amounts_of(written: list[str], flavor: str) -> dict[str, dict[str, str]]:
    """`cpu=20`, `a100:nvidia.com/gpu=2` by flavor and resource. Raises BadParameter naming what is none."""
    from schemas.quantities import limit_amount

    found: dict[str, dict[str, str]] = {}
    for each in written:
        name, _, amount = each.partition("=")
        named, _, resource = name.rpartition(":")
        if not resource or not amount:
            raise typer.BadParameter(f"{each!r}: as cpu=20, or a100:nvidia.com/gpu=2", param_hint="--add")
        try:
            limit_amount(resource, amount)
        except ValueError as error:
            raise typer.BadParameter(f"{each!r}: {error}", param_hint="--add") from error
        held = found.setdefault(named or flavor, {})
        if resource in held:
            raise typer.BadParameter(f"{name} stands there more than once", param_hint="--add")
        held[resource] = amount
    return found


def until_of(text: str) -> float:
    """Unix seconds, 0 for `never`. A day, by the clock of this machine, is part of it."""
    if text == "never":
        return 0.0
    try:
        at = datetime.fromisoformat(text)
        if len(text) <= len("2026-12-31"):
            at += timedelta(days=1)
        return at.astimezone().timestamp()
    except (ValueError, OverflowError) as error:
        right = "as 2026-12-31, 2026-12-31T08:00:00Z, or never"
        raise typer.BadParameter(f"{text!r}: {right}", param_hint="--until") from error


def _donor(text: str, field: str) -> dict[str, Any]:
    return {field: text} if text else {}


def _amounts(amounts: dict[str, dict[str, str]]) -> str:
    return ", ".join(
        f"{amount} {resource} of {flavor}"
        for flavor, resources in amounts.items()
        for resource, amount in resources.items()
    )


def _until_text(row: dict[str, Any]) -> str:
    from controlplane.cli.output import moment

    return f", until {moment(row['until'])}" if row["until"] else ""


def _state(row: Any) -> Any:
    from rich.text import Text

    styles = {"Granted": "green", "Pending": "yellow", "Refused": "red"}
    return Text(row["state"], style=styles.get(row["state"], "dim"))


def _show(body: dict[str, Any]) -> None:
    from controlplane.cli.quota_effect import show_effect, show_request

    show_request(body["request"], _amounts(body["request"]["amounts"]))
    if body["effect"] is not None:
        show_effect(body["effect"])


def _print_data(data: object, output: Output) -> None:
    from controlplane.cli.output import print_data

    print_data(data, output)
