"""Options that several commands take. Imports nothing that costs time: `muster --help` reads this."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Kind(StrEnum):
    """What can be read; singular and plural mean the same."""

    CLUSTERS = "clusters"
    NODES = "nodes"
    WORKLOADS = "workloads"
    PLACEMENTS = "placements"
    TENANTS = "tenants"
    COHORTS = "cohorts"
    FLAVORS = "flavors"
    INTERPRETERS = "interpreters"
    ALERT_RULES = "alertrules"
    CHANGES = "changes"
    FLEET = "fleet"


DOCUMENTS = (Kind.TENANTS, Kind.COHORTS, Kind.FLAVORS, Kind.INTERPRETERS, Kind.ALERT_RULES)
"""Kept as they were applied, by name."""
_SHORT = {"ns": "nodes", "no": "nodes", "wl": "workloads", "pl": "placements"}


def kind_of(text: str) -> Kind:
    """`cluster`, `Clusters`, `wl`. Raises BadParameter naming the kinds."""
    name = _SHORT.get(text.lower(), text.lower())
    for kind in Kind:
        if name in (kind.value, kind.value.removesuffix("s")):
            return kind
    raise typer.BadParameter(f"{text!r} is no kind; one of {', '.join(Kind)}")


def _complete_kind(incomplete: str) -> list[str]:
    return [kind.value for kind in Kind if kind.value.startswith(incomplete)]


KindArgument = Annotated[
    str,
    typer.Argument(
        metavar="KIND", help=f"One of {', '.join(Kind)}; singular too.", autocompletion=_complete_kind
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]
FilterOption = Annotated[
    str, typer.Option("--filter", "-l", help="e.g. status=Ready,cpu_used>0.8,region in (fra,ams),!canary")
]
SortOption = Annotated[str, typer.Option("--sort", help="Fields, the largest first behind a -: -nodes,name")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Rows at most.")]
FilesOption = Annotated[
    list[Path], typer.Option("--filename", "-f", help="A file, a folder (with those below), or - for stdin.")
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Until it runs everywhere it was placed.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait at most.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
