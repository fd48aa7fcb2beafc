"""`muster quota what-if`: a plan of quota, answered without any server."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from controlplane.cli.options import Output
from controlplane.cli.output import console, print_data
from controlplane.cli.quota_tree import show_tree
from controlplane.cli.reporting import report
from controlplane.client import ClientError
from controlplane.quota.overview import Figures, Overview
from controlplane.quota.paper import faults, on_paper
from controlplane.quota.quota import Amounts, FlavorResource
from controlplane.quota.shares import Share
from controlplane.quota.tree import Kind, Node
from controlplane.quota.what_if import Mode, Verdict, WhatIf
from schemas.manifests import ManifestError
from schemas.manifests.load import MAX_BYTES
from schemas.manifests.quota_plan_reading import read_quota_plan
from schemas.quantities import quantity_text

_STYLES = {Mode.FIT: "green", Mode.PREEMPT: "yellow", Mode.NO_FIT: "red"}


def show_what_if(file: Path, output: Output) -> None:
    """Exit 1 where the file is wrong; with JSON or YAML the answer then is `error` and the fields."""
    try:
        read = read_quota_plan(_text_of(file), _source(file))
        wrong = [(each.path, each.message) for each in read.problems]
    except ManifestError as error:
        read, wrong = None, [(each.path, each.message) for each in error.problems]
    except OSError as error:
        read, wrong = None, [("", error.strerror or str(error))]
    if read is not None and read.spec is not None:
        wrong += [(read.at + path, message) for path, message in faults(read.spec, read.unsure)]
    if wrong or read is None or read.spec is None:
        _refuse(wrong, file, output)
    else:
        paper = on_paper(read.spec)
        what_if, overview = WhatIf(paper), Overview(paper.usage)
        verdict = what_if.verdict()
        declared = {each.name for each in paper.spec.cohorts}
        if output is not Output.TABLE:
            print_data(as_data(overview, declared, verdict, what_if), output)
            return
        show_tree([_row(overview, node, declared) for node in overview.nodes()])
        for note in paper.notes:
            console(errors=True).print(f"note: {note}", style="yellow", markup=False)
        if verdict is not None:
            _show_verdict(what_if, verdict)


def as_data(
    overview: Overview, declared: set[str], verdict: Verdict | None, what_if: WhatIf
) -> dict[str, Any]:
    """As docs/operations/quota-what-if.md has it."""
    nodes = list(overview.nodes())
    return {
        "cohorts": [
            {
                "name": node.name,
                "parent": node.parent.name if node.parent else None,
                "declared": node.name in declared,
                **_node(overview, node),
            }
            for node in nodes
            if node.kind is Kind.COHORT
        ],
        "tenants": [
            {"name": node.name, "cohort": node.parent.name if node.parent else None, **_node(overview, node)}
            for node in nodes
            if node.kind is Kind.TENANT
        ],
        "decision": None if verdict is None else _decision(what_if, verdict),
        "notes": list(what_if.paper.notes),
    }


def _node(overview: Overview, node: Node) -> dict[str, Any]:
    share, figures = overview.usage.share_at(node), overview.figures(node)
    flavors: dict[str, dict[str, Any]] = {}
    for (flavor, resource), each in figures.items():
        flavors.setdefault(flavor, {})[resource] = _figures(resource, each)
    return {
        "weight": node.weight / 1000,
        "share": _share(share),
        "dominantResource": share.resource,
        "shares": {name: _share(each) for name, each in overview.shares(node).items()},
        "borrowing": any(each.borrowed for each in figures.values()),
        "flavors": flavors,
    }


def _figures(resource: str, figures: Figures) -> dict[str, Any]:
    limits = figures.limits
    integers = {
        "nominal": limits.nominal,
        "borrowingLimit": limits.borrowing,
        "lendingLimit": limits.lending,
        "subtree": figures.subtree,
        "usage": figures.usage,
        "available": figures.available,
        "potential": figures.potential,
        "borrowed": figures.borrowed,
        "lent": figures.lent,
    }
    texts = {
        name: None if value is None else quantity_text(resource, value) for name, value in integers.items()
    }
    return {**texts, "integers": integers}


def _share(share: Share) -> int | str:
    return "infinite" if share.infinite else share.value


def _decision(what_if: WhatIf, verdict: Verdict) -> dict[str, Any]:
    request = what_if.paper.request
    assert request is not None  # noqa: S101 - there is no verdict without
    return {
        "request": request.name,
        "tenant": request.tenant,
        "admitted": verdict.mode is not Mode.NO_FIT,
        "mode": verdict.mode.value,
        "borrowing": verdict.borrowing,
        "flavors": _texts(verdict.asked),
        "victims": [
            {
                "name": each.uid,
                "tenant": each.tenant,
                "priority": each.priority,
                "flavors": _texts(each.amounts),
            }
            for each in verdict.victims
        ],
        "missing": _texts(verdict.missing),
        "reason": verdict.reason,
        "message": verdict.message,
        "share": _share(what_if.paper.usage.share(request.tenant)),
        "shareAfter": _share(verdict.share),
    }


def _texts(amounts: Amounts) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for (flavor, resource), amount in amounts.items():
        found.setdefault(flavor, {})[resource] = quantity_text(resource, amount)
    return found


def _row(overview: Overview, node: Node, declared: set[str]) -> dict[str, Any]:
    """As the API has it, for the same drawing."""
    share = overview.usage.share_at(node)
    return {
        "kind": node.kind.value,
        "name": node.name,
        "depth": node.depth,
        "declared": node.kind is Kind.TENANT or node.name in declared,
        "bounded": True,
        "weight": node.weight / 1000,
        "share": _share(share),
        "share_resource": share.resource,
        "waiting": 0,
        "budget": None,
        "quotas": [_quota(key, each) for key, each in overview.figures(node).items()],
    }


def _quota(key: FlavorResource, figures: Figures) -> Mapping[str, Any]:
    return {
        "flavor": key[0],
        "resource": key[1],
        "total": figures.total,
        "used": figures.used,
        "available": figures.available,
        "borrowed": figures.borrowed,
        "lent": figures.lent,
        "drift": 0,
        "leaving": 0,
        "window": "",
    }


def _show_verdict(what_if: WhatIf, verdict: Verdict) -> None:
    decision = _decision(what_if, verdict)
    head = f"{decision['tenant']}/{decision['request']}: {verdict.mode}: {verdict.message}"
    console().print()
    console().print(Text(head, style=_STYLES[verdict.mode]))
    for each in decision["victims"]:
        amounts = ", ".join(_told(each["flavors"]))
        line = f"  gives way: {each['tenant']}/{each['name']} (priority {each['priority']}): {amounts}"
        console().print(Text(line, style="yellow"))
    missing = ", ".join(_told(decision["missing"]))
    if missing:
        console().print(Text(f"  missing as it stands: {missing}", style="dim"))
    after = f"share of {decision['tenant']}: {decision['share']}, with it {decision['shareAfter']}"
    console().print(Text(f"  {after}", style="dim"))


def _told(flavors: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [
        f"{flavor} {resource} {amount}"
        for flavor, amounts in flavors.items()
        for resource, amount in amounts.items()
    ]


def _refuse(problems: list[tuple[str, str]], file: Path, output: Output) -> None:
    said = [f"{path}: {message}" if path else message for path, message in problems]
    if output is not Output.TABLE:
        errors = [{"field": path, "message": message} for path, message in problems]
        print_data({"error": "; ".join(said), "errors": errors}, output)
    report(ClientError("\n".join(said)), _source(file))
    raise typer.Exit(1)


def _source(file: Path) -> str:
    return "stdin" if str(file) == "-" else str(file)


def _text_of(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    return file.read_bytes()
