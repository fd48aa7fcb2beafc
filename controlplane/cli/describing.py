"""`muster describe`: one thing on a page."""

import time
from typing import Any

from rich.text import Text

from controlplane.cli.explaining import flavors_text
from controlplane.cli.options import Kind
from controlplane.cli.output import (
    Column,
    age,
    amount,
    bar,
    console,
    dim,
    moment,
    pairs,
    print_table,
    share,
    state,
    to_yaml,
)
from controlplane.cli.tables import COLUMNS

Lines = list[tuple[str, str | Text]]
_OBJECTS = (
    Column("CLUSTER", lambda row: str(row["cluster"])),
    Column("OBJECT", lambda row: f"{row['kind']} {row['namespace']}/{row['name']}".replace(" /", " ")),
    Column("HEALTHY", lambda row: state("Ready") if row["healthy"] else state("NotYet")),
    Column("READY", lambda row: f"{row['ready']}/{row['desired']}" if row["desired"] else "-", right=True),
    Column("MESSAGE", lambda row: dim(str(row["message"])), wide=True),
)
_RESOURCES = (
    Column("RESOURCE", lambda row: str(row["resource"])),
    Column("ALLOCATABLE", lambda row: amount(row["resource"], row["allocatable"]), right=True),
    Column("ASKED", lambda row: bar(row["requested"])),
    Column("USED", lambda row: bar(row["used"])),
)


def describe_one(kind: Kind, body: dict[str, Any]) -> None:
    if kind is Kind.WORKLOADS:
        _workload(body)
    elif kind is Kind.CLUSTERS:
        _cluster(body)
    elif kind is Kind.NODES:
        _node(body)
    else:
        console().print(to_yaml(body["manifest"]), end="")


def _workload(body: dict[str, Any]) -> None:
    status = body["status"]
    _print_lines(
        [
            ("Workload", Text(status["name"], style="bold")),
            ("UID", dim(status["uid"])),
            ("Tenant", status["tenant"] or "-"),
            ("State", state(status["state"])),
            ("Said", f"{status['reason']}: {status['message']}" if status["reason"] else "-"),
            ("Revision", f"{status['revision']}, written {moment(status['updated_at'])}"),
            ("Kinds", ", ".join(status["kinds"])),
            ("Labels", pairs(status["labels"]) or "-"),
            ("Ready", f"{status['ready']} of {max(status['replicas'], status['pods'])}"),
            ("Priority", f"{status['priority']}"),
            *_charged(body["charged"]),
        ]
    )
    print_table(COLUMNS[Kind.PLACEMENTS], body["placements"], "placed nowhere: muster explain NAME")
    objects = [
        {**each, "cluster": placement["cluster"]}
        for placement in body["placements"]
        for each in placement["objects"]
    ]
    if objects:
        console().print()
        print_table(_OBJECTS, objects)
    for placement in body["placements"]:
        for refusal in placement["refusals"]:
            line = f"{placement['cluster']}: {refusal['reason']} {refusal['object']}: {refusal['message']}"
            console().print(Text(line, style="red"))


def _charged(rows: list[dict[str, Any]]) -> Lines:
    told = [f"{flavors_text(each['charged'])} in {each['cluster']}" for each in rows if each["charged"]]
    return [("" if index else "Charged", text) for index, text in enumerate(told)]


def _cluster(body: dict[str, Any]) -> None:
    _print_lines(
        [
            ("Cluster", Text(body["name"], style="bold")),
            ("Id", dim(body["id"])),
            ("Status", state(body["status"]) + Text(f"  {body['message']}")),
            ("Standing", body["standing"] + (f", {body['asked']} asked for" if body["asked"] else "")),
            ("Where", "/".join(part for part in (body["provider"], body["region"]) if part) or "-"),
            ("Zones", ", ".join(body["zones"]) or "-"),
            ("Environment", body["environment"] or "-"),
            ("Kubernetes", body["kubernetes_version"] or "-"),
            ("Agent", f"{body['agent_version'] or '-'}, heard {age(body['heard_at'], time.time())} ago"),
            *rights_lines(body),
            ("Spool", f"{body['spool_depth']} batches of alerts wait there"),
            ("Nodes", f"{body['nodes_ready']:,} ready of {body['nodes']:,}"),
            ("Headroom", f"{sum(make['left'] for make in body['headroom']):,} nodes may be added"),
            ("Workloads", f"{body['workloads']:,}"),
            ("Labels", pairs(body["labels"]) or "-"),
            ("Taints", _taints(body["effective_taints"]) or "-"),
            ("Joined", moment(body["joined_at"])),
        ]
    )
    _print_resources(body)


def rights_lines(body: dict[str, Any]) -> Lines:
    """What the agent of a cluster may do; nothing where that is everything, or it does not tell."""
    rights: list[dict[str, Any]] | None = body.get("rights")
    if rights is None:
        return []
    told = [
        f"{', '.join(each['verbs'])} {', '.join(each['kinds'])}"
        + (" everywhere" if each["namespaces"] == ["*"] else f" in {', '.join(each['namespaces'])}")
        for each in rights
    ]
    return [("May" if not index else "", text) for index, text in enumerate(told or ["write nothing"])]


def _taints(given: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{each['key']}{'=' + each['value'] if each['value'] else ''}:{each['effect']}"
        + (f" since {moment(each['since'])}" if each["since"] else "")
        for each in given
    )


def _node(body: dict[str, Any]) -> None:
    _print_lines(
        [
            ("Node", Text(f"{body['cluster']}/{body['name']}", style="bold")),
            ("Ready", state("Ready") if body["ready"] else state("NotReady")),
            ("Conditions", ", ".join(body["conditions"])),
            ("Taints", pairs({t["key"]: f"{t['value']}:{t['effect']}" for t in body["taints"]}) or "-"),
            ("Features", pairs(body["features"]) or "-"),
            ("Labels", pairs(body["labels"]) or "-"),
        ]
    )
    _print_resources(body)


def _print_resources(body: dict[str, Any]) -> None:
    rows = [
        {
            "resource": resource,
            "allocatable": body["allocatable"][resource],
            "requested": share(body["requested"], body["allocatable"], resource) or 0.0,
            "used": share(body["used"], body["allocatable"], resource),
        }
        for resource in sorted(body["allocatable"])
    ]
    print_table(_RESOURCES, rows, "no resources reported yet")


def _print_lines(lines: Lines) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in lines:
        table.add_row(title, text)
    console().print(table)
    console().print()
