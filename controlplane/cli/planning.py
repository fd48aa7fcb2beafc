"""`muster plan`: a placement without any server."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from controlplane.cli.explaining import show_explanation
from controlplane.cli.files import read_manifests, read_one
from controlplane.cli.options import Output
from controlplane.cli.output import print_data
from controlplane.cli.reporting import show_warnings
from controlplane.client import ClientError
from controlplane.interpreters import NotUnderstood
from controlplane.placement import Refused
from controlplane.placement.accounts import Account
from controlplane.placement.changes import Change
from controlplane.placement.plan import PlanResult, plan
from controlplane.placement.wording import counted
from schemas.manifests import Fleet, Interpreter, Tenant, Workload
from schemas.reasons import Reason


def show_plan(workload: Path, fleet: Path, tenant: Path | None, output: str) -> None:
    """Exit 1 where it cannot be placed."""
    if output not in [each.value for each in Output]:
        raise typer.BadParameter(f"{output!r}: table, json or yaml", param_hint="--output")
    paper: Fleet = read_one(fleet, Fleet)
    owner: Tenant | None = read_one(tenant, Tenant) if tenant is not None else None
    wanted: Workload = read_one(workload, Workload)
    interpreters = [each for each in read_manifests([workload]) if isinstance(each, Interpreter)]
    try:
        result = plan(wanted, paper, owner, interpreters)
    except NotUnderstood as error:
        raise ClientError(f"{workload}: {error}") from error
    answer = as_data(wanted.metadata.name, result, [cluster.name for cluster in paper.spec.clusters])
    if output != Output.TABLE.value:
        print_data(answer, Output(output))
    else:
        show_explanation(answer)
        show_warnings(result.warnings)
    if not answer["placed"]:
        raise typer.Exit(1)


def as_data(workload: str, result: PlanResult, clusters: list[str]) -> dict[str, Any]:
    """The plan as plain values, with an answer for every cluster."""
    error = result.error
    replicas = sum(result.assignments.values())
    where = f"in {counted(len(result.assignments), 'cluster')}"
    placed = f"{counted(replicas, 'replica')} {where}" if replicas else where
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
        "division": _division(result.account),
        "changes": [_change(each) for each in result.workload_changes],
        "warnings": list(result.warnings),
        "clusters": [_cluster(name, result) for name in sorted(clusters)],
    }


def _reasons(refused: Sequence[Refused]) -> list[dict[str, str]]:
    return [{"reason": each.reason.value, "message": each.message} for each in refused]


def _division(account: Account) -> dict[str, Any]:
    return {"mode": account.mode, "how": account.how, "shares": [asdict(each) for each in account.shares]}


def _change(change: Change) -> dict[str, Any]:
    steps = [
        {"kind": each.kind.value, "field": each.field, "text": each.text, "cluster": each.cluster}
        for each in change.steps
    ]
    return {"text": str(change), "replicas": change.replicas, "steps": steps, "but": change.but}


def _cluster(name: str, result: PlanResult) -> dict[str, Any]:
    refused = result.refusals.get(name, ())
    kept = result.kept.get(name)
    reasons = _reasons(refused if kept is None else (*refused, kept))
    verdict = "Chosen" if name in result.assignments else "Passed"
    if verdict == "Passed" and any(each.reason is not Reason.NOT_CHOSEN for each in refused):
        verdict = "LeftOut"
    return {
        "cluster": name,
        "verdict": verdict,
        "replicas": result.assignments.get(name, 0),
        "available": result.available.get(name, 0),
        "score": float(result.scores.get(name, 0)),
        "reasons": reasons,
        "why": "; ".join(f"{each['reason']}: {each['message']}" for each in reasons),
        "nodes": result.explanations.get(name, ""),
        "scores": [asdict(each) for each in result.score_tables.get(name, ())],
        "changes": [_change(each) for each in result.changes.get(name, ())],
    }
