"""muster clusters: invite, list, label, taint, remove."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from controlplane.cli.connection import connect, path
from controlplane.cli.options import (
    FilterOption,
    Kind,
    LimitOption,
    Output,
    OutputOption,
    SortOption,
    YesOption,
)

app = typer.Typer(
    name="clusters", help="Member clusters: invite, list, label, taint, remove.", no_args_is_help=True
)
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_LABEL = "KEY=VALUE"
_TAINT = "KEY[=VALUE]:EFFECT"


@app.command("invite")
def invite(
    name: str,
    label: Annotated[list[str] | None, typer.Option("--label", metavar=_LABEL, help="Repeatable.")] = None,
    taint: Annotated[list[str] | None, typer.Option("--taint", metavar=_TAINT, help="Repeatable.")] = None,
    expires: Annotated[int, typer.Option("--expires", min=60, help="Seconds until the token ends.")] = 3600,
    output: OutputOption = Output.TABLE,
) -> None:
    """A one-time token by which a cluster joins, and the command that starts its agent."""
    labels = {key: value for key, value in (_parse_label(each) for each in label or []) if value is not None}
    taints = [_parse_taint(each) for each in taint or []]
    body = {"name": name, "labels": labels, "taints": taints, "expires_seconds": expires}
    with connect() as client:
        invitation = client.post("/cluster-invitations", body).body
    # By environment: the arguments of a process are read by everybody on its machine.
    command = (
        f"MUSTER_AGENT_JOIN_TOKEN={invitation['token']}"
        f" python -m agents --state-dir DIR --join-url {invitation['url']}"
    )
    if output is not Output.TABLE:
        from controlplane.cli.output import print_data

        print_data({**invitation, "command": command}, output)
        return
    from controlplane.cli.output import console, moment

    told = console(errors=True)
    told.print(f"{name} may join once, until {moment(invitation['expires_at'])}. Start its agent there:")
    # On stdout, alone and unbroken, so that it can be copied or piped.
    print(command)
    told.print("The token is shown here only.", style="dim")


@app.command("list")
def list_(
    output: OutputOption = Output.TABLE,
    filter: FilterOption = "",
    sort: SortOption = "",
    limit: LimitOption = 500,
) -> None:
    """As `muster get clusters`."""
    from controlplane.cli.reading import get

    get(Kind.CLUSTERS.value, "", output, filter, sort, limit)


@app.command("label")
def label(name: str, labels: Annotated[list[str], typer.Argument(metavar="KEY=VALUE|KEY-...")]) -> None:
    """Set labels of a cluster; KEY- removes one."""
    given = dict(_parse_label(each) for each in labels)

    def change(_: dict[str, Any]) -> dict[str, Any]:
        return {"labels": given}

    _patch(name, change, "labelled")


@app.command("taint")
def taint(
    name: str, taints: Annotated[list[str], typer.Argument(metavar="KEY[=VALUE]:EFFECT|KEY[:EFFECT]-...")]
) -> None:
    """Set taints of a cluster; a - at the end removes."""

    given = [(each, None if each.endswith("-") else _parse_taint(each)) for each in taints]

    def change(body: dict[str, Any]) -> dict[str, Any]:
        held: list[dict[str, str]] = body["taints"]
        for text, parsed in given:
            held = _without(held, text[:-1]) if parsed is None else _with(held, parsed)
        return {"taints": held}

    _patch(name, change, "untainted" if all(parsed is None for _, parsed in given) else "tainted")


@app.command("headroom")
def headroom(
    name: str,
    filename: Annotated[
        Path | None, typer.Option("--filename", "-f", help="A list of makes, YAML or JSON; - for stdin.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="No node will be added.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say which nodes a node autoscaler may add, or show what was said: they count as room, too."""
    if filename is not None and none:
        raise typer.BadParameter("state --filename or --none, not both")
    if filename is not None or none:
        makes: Any = list[Any]() if filename is None else _makes(filename)
        _patch(name, lambda _: {"headroom": makes}, "headroom declared" if makes else "has no headroom")
        return
    from controlplane.cli.output import print_data, print_table
    from controlplane.cli.tables import HEADROOM

    with connect() as client:
        rows = client.get(path("clusters", name)).body["headroom"]
    if output is not Output.TABLE:
        print_data(rows, output)
    else:
        print_table(HEADROOM, rows, "none declared: muster clusters headroom NAME -f FILE")


def _makes(filename: Path) -> Any:
    """The list itself, or what stands under `headroom`."""
    import sys

    from controlplane.client import ClientError
    from schemas.manifests.load import ManifestError, load_documents

    try:
        text = sys.stdin.buffer.read() if str(filename) == "-" else filename.read_bytes()
        documents = [each for each in load_documents(text, str(filename)) if each is not None]
    except OSError as error:
        raise ClientError(f"{filename}: {error.strerror}", "nothing was sent") from error
    except ManifestError as error:
        raise ClientError(str(error), "nothing was sent") from error
    if len(documents) != 1:
        raise ClientError(f"{filename}: {len(documents)} documents: one list of makes is needed")
    found: Any = documents[0]
    under = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    return under.get("headroom", found)


@app.command("remove")
def remove(name: str, yes: YesOption = False) -> None:
    """Cut a cluster off and forget it. What runs there goes on running."""
    from controlplane.cli.output import console

    if not yes:
        typer.confirm(f"Cut {name} off? What runs there goes on, and is no longer seen", abort=True)
    with connect() as client:
        client.delete(path("clusters", name))
    console().print(f"cluster/{name} removed", style="green")


@app.command("release")
def release(name: str, yes: YesOption = False) -> None:
    """Let an agent go on that holds, since it was told to remove an unusual share of what it runs."""
    if not yes:
        typer.confirm(f"Let the agent of {name} remove all that it was told to", abort=True)
    _ask(name, "release", "release asked for; its agent goes on in a moment")


@app.command("readmit")
def readmit(name: str) -> None:
    """Let a cluster speak again that was cut off for being over its bounds."""
    _ask(name, "readmit", "readmission asked for; it is let in within half a minute")


def recover(
    name: Annotated[str, typer.Argument(metavar="CLUSTER")],
    yes: YesOption = False,
) -> None:
    """After a restored database: go on above what a cluster's agent holds (its status is AgentAhead).

    What this database knows is ordered anew there, as this database has it: an older backup is an older
    state. What it does not know runs on, untouched.
    """
    if not yes:
        typer.confirm(f"Order {name} anew by what this database knows", abort=True)
    _ask(name, "recover", "recovery asked for; its orders are issued anew in a moment")


def _ask(name: str, what: str, done: str) -> None:
    from controlplane.cli.output import console

    with connect() as client:
        client.post(path("clusters", name, what), {})
    console().print(f"cluster/{name}: {done}", style="green")


def _patch(name: str, change: Callable[[dict[str, Any]], dict[str, Any]], done: str) -> None:
    from controlplane.cli.output import console

    with connect() as client:
        held = client.get(path("clusters", name))
        client.patch(path("clusters", name), change(held.body), if_match=held.etag)
    console().print(f"cluster/{name} {done}", style="green")


def _parse_label(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    if equals and key:
        return key, value
    if text.endswith("-") and len(text) > 1:
        return text[:-1], None
    raise typer.BadParameter(f"{text!r}: {_LABEL} sets, KEY- removes")


def _parse_taint(text: str) -> dict[str, str]:
    pair, colon, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    if not colon or not key or effect not in EFFECTS:
        raise typer.BadParameter(f"{text!r}: {_TAINT}, EFFECT one of {', '.join(EFFECTS)}")
    return {"key": key, "value": value, "effect": effect}


def _with(held: list[dict[str, str]], taint: dict[str, str]) -> list[dict[str, str]]:
    return [*_without(held, f"{taint['key']}:{taint['effect']}"), taint]


def _without(held: list[dict[str, str]], text: str) -> list[dict[str, str]]:
    pair, colon, effect = text.rpartition(":")
    key = (pair if colon else text).partition("=")[0]
    return [each for each in held if each["key"] != key or (colon and each["effect"] != effect)]
