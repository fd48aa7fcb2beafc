"""How a decision reads in a terminal: the whole in a line, a row for each cluster, and what would help."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from controlplane.cli.output import Column, Row, console, print_table, state
from schemas.quantities import quantity_text

_ORDER = {"Chosen": 0, "Passed": 1, "LeftOut": 2}
_NAMES = {"preferred_features": "preferred nodes", "preferred_taints": "preferred taints"}

VERDICTS = (
    Column("CLUSTER", lambda row: str(row["cluster"])),
    Column("VERDICT", lambda row: state(row["verdict"])),
    Column("GETS", lambda row: f"{row['replicas']:,}" if row["replicas"] else "-", right=True),
    Column("ROOM", lambda row: f"{row['available']:,}", right=True),
    Column("WHY", lambda row: why(row), wide=True),
)


def show_explanation(body: Mapping[str, Any]) -> None:
    """Of `explain`, of a dry run, and of `plan`."""
    style = "green" if body["placed"] else "red"
    said = body["message"] if body["placed"] else f"{body['reason']}: {body['message']}"
    console().print(Text(f"{body['workload']}: {said}", style=style))
    _print_indented("", (*_division(body), *_quota(body)), "dim")
    _print_indented("it would run with any one of:", _changes(body), "cyan")
    rows = sorted(body["clusters"], key=lambda row: (_ORDER[row["verdict"]], row["cluster"]))
    print_table(VERDICTS, rows, "no cluster has joined: muster clusters invite NAME")


def why(row: Row) -> Text:
    """Reasons; then how it stands there, what it scores, its share, its nodes, and what would let it in."""
    text = Text("\n").join(_lines(row))
    return text if text.plain else Text("-", style="dim")


def _lines(row: Row) -> Iterable[Text]:
    for each in row["reasons"]:
        yield Text(f"{each['reason']}: {each['message']}")
    placement = row.get("placement")
    if placement:
        said = f": {placement['message']}" if placement["message"] else ""
        yield Text(f"{placement['state']}{said}")
    for line in str(row["nodes"]).splitlines():
        yield Text(line, style="dim")
    score = score_text(row["scores"])
    if score:
        yield Text(score, style="dim")
    for index, each in enumerate(row["changes"]):
        lead = "would help: " if index == 0 else "or: "
        yield Text(f"{lead}{each['text']} ({_fit(each)})", style="cyan")


def _fit(change: Mapping[str, Any]) -> str:
    """`8 fit`, `8 fit, but 10 replicas are wanted`; `it fits` where there are no replicas to count."""
    count = change["replicas"]
    fit = f"{count:,} fit" if count else "it fits"
    return f"{fit}, but {change['but']}" if change.get("but") else fit


def score_text(parts: Sequence[Mapping[str, Any]]) -> str:
    """`score 80: locality 100, slack 2 x 40, cost -`: of the parts that have a weight."""
    counted = [each for each in parts if each["weight"]]
    if not counted:
        return ""
    total = sum(each["adds"] for each in counted)
    told = [_part(each) for each in counted if each["value"] or each["part"] != "preferred_taints"]
    told = [each for each in told if each]
    return f"score {total:g}" + (f": {', '.join(told)}" if told else "")


def _part(part: Mapping[str, Any]) -> str:
    name = _NAMES.get(part["part"], part["part"])
    if part["value"] is None:
        # Where the pod prefers nothing, there is nothing to say of it.
        return "" if part["part"] == "preferred_features" else f"no {name} ({part['lacks']})"
    weight = f"{part['weight']:g} x " if part["weight"] != 1 else ""
    return f"{name} {weight}{part['value']:.0f}"


def _division(body: Mapping[str, Any]) -> Iterable[str]:
    division = body.get("division")
    if body.get("affinity"):
        yield f"affinity group {body['affinity']}"
    if division is None or not body["placed"]:
        return
    yield f"{division['mode']}: {division['how']}"
    if any(each["weight"] is not None or each["had"] for each in division["shares"]):
        yield "; ".join(map(_share, division["shares"]))


def _quota(body: Mapping[str, Any]) -> Iterable[str]:
    """Of what has any: its flavors, and what is charged for it."""
    flavors = {
        (flavor, resource) for each in body.get("flavors", {}).values() for resource, flavor in each.items()
    }
    if body.get("priority"):
        yield f"priority {body['priority']}"
    if flavors:
        yield f"of {', '.join(f'flavor {flavor}: {resource}' for flavor, resource in sorted(flavors))}"
    for each in body.get("charged", ()):
        told = [
            f"{said}{flavors_text(each[name])}"
            for name, said in (("charged", ""), ("leaving", "leaving "), ("drift", "drift "))
            if each[name]
        ]
        yield f"charged to {each['tenant']} in {each['cluster']}: {'; '.join(told)}"


def flavors_text(flavors: Mapping[str, Mapping[str, int]]) -> str:
    """`default cpu 4, default memory 16Gi`; `-` for no flavor."""
    return ", ".join(
        f"{flavor or '-'} {resource} {quantity_text(resource, amount)}"
        for flavor, amounts in flavors.items()
        for resource, amount in amounts.items()
    )


def _share(share: Mapping[str, Any]) -> str:
    weight = f" (weight {share['weight']:,})" if share["weight"] is not None else ""
    had, gets = share["had"], share["gets"]
    moved = f"{had:,} -> {gets:,}" if had and had != gets else f"{gets:,}"
    return f"{share['cluster']} {moved}{weight}"


def _changes(body: Mapping[str, Any]) -> Iterable[str]:
    for each in body["changes"]:
        clusters = sorted({step["cluster"] for step in each["steps"] if step["cluster"]})
        where = f" in {', '.join(clusters)}" if clusters else ""
        replicas = f" ({counted(each['replicas'], 'replica')})" if each["replicas"] else ""
        yield f"{each['text']}{where}{replicas}"


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _print_indented(lead: str, lines: Iterable[str], style: str) -> None:
    """A list whose long lines go on below their own beginning."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row(Text("  -", style=style), Text(line, style=style))
    if table.row_count:
        if lead:
            console().print(Text(lead, style=style))
        console().print(table)
