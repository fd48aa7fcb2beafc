"""`muster plan`: a placement without any server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from controlplane.cli.files import read_one
from controlplane.cli.options import Output
from controlplane.cli.output import Column, console, print_data, print_table, state
from controlplane.client import ClientError
from controlplane.interpreters import NotUnderstood
from controlplane.placement import Refused
from controlplane.placement.plan import PlanResult, plan
from schemas.manifests import Fleet, Tenant, Workload

_COLUMNS = (
    Column("CLUSTER", lambda row: str(row["cluster"])),
    Column("VERDICT", lambda row: state(row["verdict"])),
    Column("GETS", lambda row: f"{row['replicas']:,}" if row["replicas"] else "-", right=True),
    Column("ROOM", lambda row: f"{row['available']:,}", right=True),
    Column("WHY", lambda row: "\n".join(part for part in (row["why"], row["nodes"]) if part), wide=True),
)


def show_plan(workload: Path, fleet: Path, tenant: Path | None, output: str) -> None:
    """Exit 1 where it cannot be placed."""
    if output not in [each.value for each in Output]:
        raise typer.BadParameter(f"{output!r}: table, json or yaml", param_hint="--output")
    paper: Fleet = read_one(fleet, Fleet)
    owner: Tenant | None = read_one(tenant, Tenant) if tenant is not None else None
    wanted: Workload = read_one(workload, Workload)
    try:
        result = plan(wanted, paper, owner)
    except NotUnderstood as error:
        raise ClientError(f"{workload}: {error}") from error
    answer = as_data(wanted.metadata.name, result, [cluster.name for cluster in paper.spec.clusters])
    if output != Output.TABLE.value:
        print_data(answer, Output(output))
    else:
        style = "green" if answer["placed"] else "red"
        console().print(f"{answer['workload']}: {answer['message']}", style=style)
        print_table(_COLUMNS, answer["clusters"])
    if not answer["placed"]:
        raise typer.Exit(1)


def as_data(workload: str, result: PlanResult, clusters: list[str]) -> dict[str, Any]:
    """The plan as plain values, with an answer for every cluster."""
    error = result.error
    replicas = sum(result.assignments.values())
    placed = f"{replicas:,} replicas in {len(result.assignments):,} clusters"
    return {
        "workload": workload,
        "placed": error is None,
        "reason": "Placed" if error is None else error.reason.value,
        "message": placed if error is None else error.message,
        "assignments": dict(result.assignments),
        "refusals": {name: _reasons(refused) for name, refused in sorted(result.refusals.items())},
        "scores": {
            name: {"total": float(score), "parts": dict(result.score_parts[name])}
            for name, score in sorted(result.scores.items())
        },
        "error": None if error is None else {"reason": error.reason.value, "message": error.message},
        "affinity": result.affinity_name,
        "clusters": [_cluster(name, result) for name in sorted(clusters)],
    }


def _reasons(refused: Sequence[Refused]) -> list[dict[str, str]]:
    return [{"reason": each.reason.value, "message": each.message} for each in refused]


def _cluster(name: str, result: PlanResult) -> dict[str, Any]:
    reasons = _reasons(result.refusals.get(name, ()))
    chosen = name in result.assignments
    return {
        "cluster": name,
        "verdict": "Chosen" if chosen else "LeftOut" if reasons else "Passed",
        "replicas": result.assignments.get(name, 0),
        "available": result.available.get(name, 0),
        "score": float(result.scores.get(name, 0)),
        "reasons": reasons,
        "why": "; ".join(f"{each['reason']}: {each['message']}" for each in reasons),
        "nodes": result.explanations.get(name, ""),
    }
