"""The columns of each kind of row, narrow enough for 100 characters."""

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from rich.text import Text

from controlplane.cli.options import Kind
from controlplane.cli.output import (
    Column,
    Row,
    age,
    amount,
    bar,
    dim,
    moment,
    pairs,
    percent,
    share,
    state,
)

_MOMENTS = frozenset({"until"})
_AMOUNTS = frozenset({"amounts", "beyond"})


def _text(name: str) -> Callable[[Row], str]:
    def read(row: Row) -> str:
        return str(row[name])

    return read


def _where(row: Row) -> Text:
    placed: Mapping[str, int] = row["clusters"]
    with_replicas = any(placed.values())
    shown = ", ".join(
        f"{name}:{replicas}" if with_replicas else name for name, replicas in sorted(placed.items())
    )
    return Text(shown or "-")


def _ready(row: Row) -> Text:
    """Of a set, and of a DaemonSet, only its pods can be counted."""
    ready, wanted = int(row["ready"]), max(int(row["replicas"]), int(row["pods"]))
    return Text(f"{ready}/{wanted}", style="" if ready >= wanted else "yellow")


def _taints(row: Row) -> str:
    return ", ".join(
        f"{taint['key']}{'=' + taint['value'] if taint['value'] else ''}:{taint['effect']}"
        for taint in row["taints"]
    )


def _labelled(row: Row) -> list[str]:
    return [f"{key}={value}" for key, value in sorted(row["node_labels"].items())]


def _prices(row: Row) -> str:
    return ", ".join(f"{name} {price} {row['currency']}" for name, price in sorted(row["prices"].items()))


def _cluster_place(row: Row) -> str:
    return "/".join(part for part in (row["provider"], row["region"]) if part) or "-"


def _said(row: Row) -> Text:
    return dim(str(row["message"] or row.get("reason") or ""))


def change_detail(row: Row) -> str:
    """What a change says beyond its name, without what is empty or stands in its message."""
    detail = {
        key: _detail(key, value)
        for key, value in row["detail"].items()
        if value not in ("", [], {}, None) and not (key in _MOMENTS and value == 0)
    }
    message = str(detail.pop("message", ""))
    if message:
        # It counts the clusters; which ones they are is a matter of `explain`, and of no one line.
        detail = {key: value for key, value in detail.items() if key not in ("clusters", "reason")}
    refusals = detail.pop("refusals", [])
    return "; ".join(part for part in (message, pairs(detail), *refusals) if part)


def _detail(key: str, value: Any) -> Any:
    """Moments as such, and amounts by flavor and resource as `plain:cpu=2`, as they are asked for."""
    if key in _MOMENTS and isinstance(value, float):
        return moment(value)
    if key in _AMOUNTS and isinstance(value, Mapping):
        amounts = cast("Mapping[str, Mapping[str, str]]", value)
        return " ".join(f"{flavor}:{pairs(each)}" for flavor, each in amounts.items())
    return value


COLUMNS: Mapping[Kind, tuple[Column, ...]] = {
    Kind.CLUSTERS: (
        Column("NAME", _text("name")),
        Column("STATUS", lambda row: state(row["status"])),
        Column("WHERE", _cluster_place),
        Column("ENV", lambda row: str(row["environment"]) or "-"),
        Column("VERSION", lambda row: str(row["kubernetes_version"]) or "-"),
        Column("NODES", lambda row: f"{row['nodes_ready']:,}/{row['nodes']:,}", right=True),
        Column("CPU", lambda row: amount("cpu", row["allocatable"].get("cpu", 0)), right=True),
        Column("ASKED", lambda row: percent(share(row["requested"], row["allocatable"], "cpu")), right=True),
        Column("MEMORY", lambda row: amount("memory", row["allocatable"].get("memory", 0)), right=True),
        Column("RUNS", lambda row: f"{row['workloads']:,}", right=True),
        Column("HEARD", lambda row: age(row["heard_at"], time.time()), right=True),
    ),
    Kind.NODES: (
        Column("CLUSTER", _text("cluster")),
        Column("NODE", _text("name")),
        Column("READY", lambda row: state("Ready") if row["ready"] else state("NotReady")),
        Column("CPU", lambda row: amount("cpu", row["allocatable"].get("cpu", 0)), right=True),
        Column("FREE", lambda row: amount("cpu", row["free"].get("cpu", 0)), right=True),
        Column("MEMORY", lambda row: amount("memory", row["allocatable"].get("memory", 0)), right=True),
        Column("FREE", lambda row: amount("memory", row["free"].get("memory", 0)), right=True),
        Column("USED", lambda row: percent(share(row["used"], row["allocatable"], "cpu")), right=True),
        Column("TAINTS", lambda row: _taints(row) or "-", wide=True),
    ),
    Kind.WORKLOADS: (
        Column("NAME", _text("name")),
        Column("TENANT", lambda row: str(row["tenant"]) or "-"),
        Column("STATE", lambda row: state(row["state"])),
        Column("READY", _ready, right=True),
        Column("REV", _text("revision"), right=True),
        Column("CLUSTERS", _where, wide=True),
        Column("AGE", lambda row: age(row["created_at"], time.time()), right=True),
        Column("MESSAGE", lambda row: dim("") if row["state"] == "Running" else _said(row), wide=True),
    ),
    Kind.PLACEMENTS: (
        Column("WORKLOAD", _text("workload")),
        Column("CLUSTER", _text("cluster")),
        Column("STATE", lambda row: state(row["state"])),
        Column("READY", _ready, right=True),
        Column("ORDER", lambda row: state(row["order"])),
        Column("REV", _text("revision"), right=True),
        Column("MESSAGE", _said, wide=True),
    ),
    Kind.TENANTS: (
        Column("NAME", _text("name")),
        Column("NAMESPACES", lambda row: ", ".join(row["namespaces"]), wide=True),
        Column("ENVIRONMENTS", lambda row: ", ".join(row["environments"]) or "all", wide=True),
        Column("OWNERS", lambda row: ", ".join(row["owners"]) or "-", wide=True),
        Column("WORKLOADS", _text("workloads"), right=True),
    ),
    Kind.COHORTS: (
        Column("NAME", _text("name")),
        Column("PARENT", lambda row: str(row["parent"]) or "-"),
        Column("COHORTS", lambda row: ", ".join(row["cohorts"]) or "-", wide=True),
        Column("TENANTS", lambda row: ", ".join(row["tenants"]) or "-", wide=True),
        Column("FLAVORS", lambda row: ", ".join(row["flavors"]) or "-", wide=True),
    ),
    Kind.FLAVORS: (
        Column("NAME", _text("name")),
        Column("NODES", lambda row: ", ".join([*_labelled(row), *row["features"]]) or "all", wide=True),
        Column("PER HOUR", lambda row: _prices(row) or "-", wide=True),
        Column("TENANTS", lambda row: ", ".join(row["tenants"]) or "-", wide=True),
    ),
    Kind.INTERPRETERS: (
        Column("NAME", _text("name")),
        Column("GROUP", _text("group")),
        Column("KIND", _text("kind")),
        Column("COMPONENTS", lambda row: ", ".join(row["components"])),
        Column("DIVISIBLE", lambda row: "yes" if row["divisible"] else "no"),
        Column("WORKLOADS", lambda row: str(row["workloads"]), right=True),
    ),
    Kind.ALERT_RULES: (
        Column("NAME", _text("name")),
        Column("OVER", _text("over")),
        Column("FOR", _text("for_")),
        Column("SEVERITY", lambda row: str(row["severity"]) or "-"),
        Column("EXPR", _text("expr"), wide=True),
    ),
    Kind.CHANGES: (
        Column("ID", _text("id"), right=True),
        Column("AT", lambda row: moment(row["at"])),
        Column("KIND", _text("kind")),
        Column("NAME", _text("name")),
        Column("WHAT", _text("what")),
        Column("BY", _text("by")),
        Column("DETAIL", lambda row: dim(change_detail(row)), wide=True),
    ),
}

PLAIN = (Column("NAME", _text("name")), Column("KIND", lambda row: str(row["manifest"]["kind"])))
"""Of documents that have no columns of their own."""

REVISIONS = (
    Column("REV", _text("revision"), right=True),
    Column("", lambda row: Text("current", style="green") if row["current"] else Text("")),
    Column("WRITTEN", lambda row: moment(row["created_at"])),
    Column("BY", _text("created_by")),
    Column("CAUSE", _text("cause"), wide=True),
)

TOP_CLUSTERS = (
    Column("CLUSTER", _text("name")),
    Column("NODES", lambda row: f"{row['nodes']:,}", right=True),
    Column("CPU", lambda row: amount("cpu", row["allocatable"].get("cpu", 0)), right=True),
    Column("ASKED", lambda row: bar(share(row["requested"], row["allocatable"], "cpu"), 8)),
    Column("USED", lambda row: bar(share(row["used"], row["allocatable"], "cpu"), 8)),
    Column("MEMORY", lambda row: amount("memory", row["allocatable"].get("memory", 0)), right=True),
    Column("ASKED", lambda row: bar(share(row["requested"], row["allocatable"], "memory"), 8)),
    Column("USED", lambda row: bar(share(row["used"], row["allocatable"], "memory"), 8)),
)

TOP_NODES = (Column("NODE", _text("name")), Column("IN", _text("cluster")), *TOP_CLUSTERS[2:])

HEADROOM = (
    Column("COUNT", lambda row: f"{row['count']:,}", right=True),
    Column("LEFT", lambda row: f"{row['left']:,}", right=True),
    Column("ALLOCATABLE", lambda row: pairs(row["allocatable"]), wide=True),
    Column("LABELS", lambda row: pairs(row.get("labels", {})) or "-", wide=True),
    Column("TAINTS", lambda row: _taints({"taints": _valued(row)}) or "-", wide=True),
)


def _valued(row: Row) -> list[Row]:
    return [{"value": "", **taint} for taint in row.get("taints", ())]
