"""The client of a command, and names in addresses."""

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from controlplane.client import Client


def connect(name: str = "") -> "Client":
    """MUSTER_URL and MUSTER_TOKEN, else the context file, else loopback. name: as one of its others."""
    from controlplane.client import Client, read_context

    return Client(read_context(name=name))


def path(*parts: str) -> str:
    """`/workloads/NAME`, with whatever stands in a name kept inside its part."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
