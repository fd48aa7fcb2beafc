"""What hurts of nodes: not ready, and under pressure. Pure.

A node whose kubelet has fallen silent is Offline: power, or its link, is gone, and what runs there may well
go on; at an edge site that is weather. One whose kubelet says itself that it is not ready is Broken.
"""

from collections.abc import Mapping

from agents.alerts.troubles import Trouble, by_key, trouble
from agents.observe.rows import NodeRow

EDGE = "node-role.kubernetes.io/edge"
NOT_READY = "NodeNotReady"
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def node_troubles(nodes: Mapping[str, NodeRow]) -> dict[bytes, Trouble]:
    """By key."""
    found: list[Trouble] = []
    for name, node in nodes.items():
        edge = "true" if EDGE in node.labels else ""
        if "Ready" not in node.conditions:
            found.append(_not_ready(name, node.silent, edge))
        for pressure in _PRESSURES:
            if pressure in node.conditions:
                found.append(
                    trouble(
                        f"Node{pressure}",
                        "warning",
                        f"Node {name} reports {pressure}",
                        {"node": name, "edge": edge},
                    )
                )
    return by_key(*found)


def _not_ready(name: str, silent: bool, edge: str) -> Trouble:
    if not silent:
        return trouble(
            NOT_READY,
            "critical",
            f"Node {name} is not ready: its kubelet says so",
            {"node": name, "edge": edge, "state": "Broken"},
        )
    return trouble(
        NOT_READY,
        "warning" if edge else "critical",
        f"Node {name} is offline: its kubelet has fallen silent",
        {"node": name, "edge": edge, "state": "Offline"},
        "Its power or its link may be gone. What runs there may go on, and nothing new starts.",
    )
