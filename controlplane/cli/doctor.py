"""muster doctor: every check, worst first where it matters, and what helps."""

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.options import Output, OutputOption

if TYPE_CHECKING:
    from rich.table import Table

    from controlplane.client import Context
    from controlplane.doctor.checks import Check

BOUND_SECONDS = 10.0
ALIVE_SECONDS, CENTRE_SECONDS = 2.0, 5.0
"""Of the bound, for a sign of life of the centre, and for its answer; the rest is left to look from here."""
EXIT_CODES = {"ok": 0, "warn": 1, "fail": 2}
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
NAME_WIDTH = 24


def doctor(
    local: Annotated[
        bool,
        typer.Option("--local", help="Ask no centre: look from the MUSTER_... settings of this machine."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what is not ok.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check every connection, version, clock, certificate, stream, consumer, lag and lease; say what helps.

    Exit code 0: all is well; 1: warnings; 2: something fails. Where the centre does not answer, it looks from
    the settings themselves: run it where the centre runs.
    """
    from controlplane.doctor.checks import worst

    due = time.monotonic() + BOUND_SECONDS
    checks = _local(due) if local else _examined(due)
    level = worst(check["level"] for check in checks)
    if output is Output.TABLE:
        _print(checks, quiet=quiet)
    else:
        from controlplane.cli.output import print_data

        shown = [check for check in checks if not quiet or check["level"] != "ok"]
        print_data({"level": level.value, "checks": shown}, output)
    raise typer.Exit(EXIT_CODES[level.value])


def _examined(due: float) -> list[dict[str, Any]]:
    """By the centre; from here where it does not answer, or is too old to know."""
    from controlplane.client import Client, Refused, Unreachable, read_context
    from controlplane.doctor.checks import Check
    from controlplane.doctor.findings import Finding

    context = read_context()
    try:
        with Client(context, timeout_seconds=ALIVE_SECONDS) as client:
            client.ready()
        with Client(context, timeout_seconds=CENTRE_SECONDS) as client:
            examined = client.get("/doctor").body
    except Unreachable as error:
        return [_of(Check("api", str(error), Finding.API_UNREACHABLE)), *_local(due)]
    except ValueError:
        said = f"{context.url} answers, and is no Muster"
        return [_of(Check("api", said, Finding.API_UNREACHABLE)), *_local(due)]
    except Refused as error:
        if error.status in (401, 403):
            return [_of(Check("api", f"{context.url}: {error}", Finding.API_REFUSES)), *_local(due)]
        if error.status == 404:
            said = f"{context.url} answers, and knows of no doctor"
            return [_of(Check("api", said, Finding.API_OLDER)), *_local(due)]
        return [_of(Check("api", f"{context.url}: {error}", Finding.NOT_READY)), *_local(due)]
    waiting = [
        Check("api.ready", f"lacks {each['what']}: {each['message']}", Finding.NOT_READY)
        for each in examined["waiting_for"]
    ]
    return [_of(_version(context, examined["version"])), *map(_of, waiting), *examined["checks"]]


def _version(context: "Context", theirs: str) -> "Check":
    from importlib.metadata import version

    from controlplane.doctor.checks import Check
    from controlplane.doctor.findings import Finding
    from controlplane.doctor.releases import releases_apart

    ours = version("muster")
    apart = releases_apart(theirs, ours)
    said = f"{context.url} answers; version {theirs}"
    if not apart:
        return Check("api", said)
    return Check(
        "api", f"{said}, this command is {ours}", Finding.API_NEWER if apart > 0 else Finding.API_OLDER
    )


def _local(due: float) -> list[dict[str, Any]]:
    """By a program of its own: the command knows neither databases nor keys."""
    from controlplane.doctor.checks import Check
    from controlplane.doctor.findings import Finding

    command = [sys.executable, "-m", "controlplane.examining"]
    try:
        left = max(1.0, due - time.monotonic())
        done = subprocess.run(command, capture_output=True, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        said = "looking from here took too long: this machine has no time"
        return [_of(Check("settings", said, Finding.CHECK_TIMED_OUT))]
    try:
        return json.loads(done.stdout)
    except ValueError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return [_of(Check("settings", "; ".join(last) or "it said nothing", Finding.CHECK_FAILED))]


def _of(check: "Check") -> dict[str, Any]:
    return check.as_data()


def _print(checks: list[dict[str, Any]], *, quiet: bool) -> None:
    from rich.text import Text

    from controlplane.cli.output import console

    to = console()
    shown = [check for check in checks if not quiet or check["level"] != "ok"]
    if to.is_terminal:
        to.print(_table(shown))
    else:
        # As wide as they are: who reads a file, or searches it, breaks lines as he likes.
        sys.stdout.writelines(f"{line}\n" for check in shown for line in _lines(check))
    counts = [f"{sum(1 for check in checks if check['level'] == level)} {level}" for level in STYLES]
    to.print(Text(", ".join(counts), style="dim"))


def _lines(check: dict[str, Any]) -> list[str]:
    name = f"{check['check']} {check['about']}".strip()
    said = f"{check['finding']}: {check['message']}" if check["finding"] else check["message"]
    first = f"{check['level']:<4} {name:<{NAME_WIDTH}} {said}"
    if not check["finding"]:
        return [first]
    return [first, *(f"{'':<{NAME_WIDTH + 6}}{more}" for more in (check["means"], f"-> {check['do']}"))]


def _table(checks: list[dict[str, Any]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=40)
    table.add_column(overflow="fold")
    for check in checks:
        name = Text(check["check"]) + Text(f" {check['about']}" if check["about"] else "", style="bold")
        table.add_row(Text(check["level"], style=STYLES[check["level"]]), name, _told(check))
    return table


def _told(check: dict[str, Any]) -> Any:
    from rich.text import Text

    if not check["finding"]:
        return Text(check["message"], style="dim")
    return Text.assemble(
        (f"{check['finding']}: ", "bold"),
        check["message"],
        ("\n" + check["means"], "dim"),
        ("\n-> " + check["do"], "cyan"),
    )
