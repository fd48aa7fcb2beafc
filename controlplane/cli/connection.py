"""The client of a command, and names in addresses."""

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from controlplane.client import Client


def connect() -> "Client":
    """MUSTER_URL and MUSTER_TOKEN, else the context file, else loopback."""
    from controlplane.client import Client, read_context

    return Client(read_context())


def path(*parts: str) -> str:
    """`/workloads/NAME`, with whatever stands in a name kept inside its part."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
