"""The columns of the inventory, narrow enough for 80 characters and better with more."""

from collections.abc import Mapping, Sequence

from rich.text import Text

from controlplane.cli.inventories import Inventory
from controlplane.cli.output import Column, Row, amount, dim

NAMED = 3
_VALUES = 3


def _listed(parts: Sequence[str | Text], count: int, separator: str = ", ") -> Text:
    """The first few, and how many more of `count` there are."""
    shown = parts[:NAMED]
    text = Text(separator).join(Text(part) if isinstance(part, str) else part for part in shown)
    if count > len(shown):
        text.append(f" +{count - len(shown):,}", style="dim")
    return text if count else dim("-")


def _lacking(row: Row) -> Text:
    text = _listed(row["lacking"], row["clusters_lacking"])
    text.stylize("dim")
    return text


def _where(row: Row) -> Text:
    """Clusters, each with its nodes."""
    return _listed([f"{part['cluster']}:{part['nodes']:,}" for part in row["where"]], row["clusters"])


def _handler(row: Row) -> Text:
    if not row["conflict"]:
        return Text(row["handler"])
    others = ", ".join(row["other_handlers"])
    return Text.assemble((row["handler"], "yellow"), (f"\nelsewhere {others}", "yellow"))


def _overhead(row: Row) -> Text:
    """Of all clusters, where they agree."""
    found = {_amounts(part["overhead"]) for part in row["where"]}
    if len(found) > 1:
        return Text("differs", style="yellow")
    return Text(found.pop()) if found else dim("-")


def _amounts(amounts: Mapping[str, int]) -> str:
    parts = [
        f"{value}m" if name == "cpu" and value % 1000 else amount(name, value)
        for name, value in sorted(amounts.items())
    ]
    return " ".join(parts) or "-"


def _free(row: Row, of: str) -> Text:
    count, free = row[of], row[f"{of}_free"]
    if count is None:
        return dim("-")
    return Text(f"{free:,}/{count:,}", style="red" if free == 0 else "")


def _network_where(row: Row) -> Text:
    """Clusters, each with how many pods more can have one; red where none can."""
    return _listed([_network_part(part) for part in row["where"]], row["clusters"])


def _network_part(part: Row) -> Text:
    counted = [free for free in (part["addresses_free"], part["interfaces_free"]) if free is not None]
    if not counted:
        return Text(part["cluster"])
    free = min(counted)
    return Text(f"{part['cluster']}:{free:,}", style="" if free else "red")


def _network_type(row: Row) -> Text:
    if row["kind"] == "Pool":
        return dim("pool")
    return Text(", ".join(row["types"]) or "-")


def _gpu_part(row: Row) -> str:
    """What a pod gets of one."""
    if row["mig"]:
        part = f"MIG {row['mig']}"
    elif row["device_class"]:
        part = "DRA"
    else:
        part = "shared" if row["sharing"] else "whole"
    return f"{part}, 1/{row['replicas']}" if row["replicas"] > 1 else part


def _gpu_where(row: Row) -> Text:
    parts = [f"{part['cluster']}:{part['free']:,}/{part['count']:,}" for part in row["where"]]
    return _listed(parts, row["clusters"])


def _values(row: Row) -> Text:
    values: Mapping[str, int] = row["values"]
    if set(values) <= {"", "true"}:
        return dim("-" if "" in values else "true")
    shown = [value or "-" for value in values][:_VALUES]
    text = Text(", ".join(shown))
    if row["distinct"] > len(shown):
        text.append(f" +{row['distinct'] - len(shown):,}", style="dim")
    return text


def _nodes_seen(row: Row) -> str:
    return f"{row['nodes']:,}/{row['nodes_seen']:,}"


COLUMNS: Mapping[Inventory, tuple[Column, ...]] = {
    Inventory.RUNTIMES: (
        Column("NAME", lambda row: str(row["name"])),
        Column("HANDLER", _handler, wide=True),
        Column("SANDBOX", lambda row: Text("yes") if row["sandboxed"] else dim("no")),
        Column("OVERHEAD", _overhead),
        Column("NODES", lambda row: f"{row['nodes']:,}", right=True),
        Column("WHERE", _where, wide=True),
        Column("LACKED BY", _lacking, wide=True),
    ),
    Inventory.NETWORKS: (
        Column("NAME", lambda row: str(row["name"])),
        Column("TYPE", _network_type),
        Column("ADDRESSES FREE", lambda row: _free(row, "addresses"), right=True),
        Column("VFS FREE", lambda row: _free(row, "interfaces"), right=True),
        Column("WHERE, FREE", _network_where, wide=True),
        Column("LACKED BY", _lacking, wide=True),
    ),
    Inventory.GPUS: (
        Column("PRODUCT", lambda row: str(row["product"] or row["device_class"] or row["resource"])),
        Column("EACH", lambda row: amount("memory", row["memory"]), right=True),
        Column("PART", _gpu_part),
        Column("COUNT", lambda row: f"{row['count']:,}", right=True),
        Column("FREE", lambda row: f"{row['free']:,}", right=True),
        Column("NODES", lambda row: f"{row['nodes']:,}", right=True),
        Column("WHERE, FREE", _gpu_where, wide=True),
    ),
    Inventory.FEATURES: (
        Column("FEATURE", lambda row: str(row["name"])),
        Column("VALUE", _values, wide=True),
        Column("NODES", _nodes_seen, right=True),
        Column("WHERE", _where, wide=True),
    ),
}
