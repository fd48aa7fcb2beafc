"""The agent's own namespace, where its lease and its records of orders lie."""

from agents.ports import AlreadyExists, Kube
from schemas.wire.orders import ObjectRef

NAMESPACE = "muster-system"
LABELS = {"app.kubernetes.io/managed-by": "muster"}


async def ensure_namespace(kube: Kube, name: str = NAMESPACE) -> None:
    """Make it where it is missing. Raises KubeError."""
    if await kube.get(ObjectRef("v1", "Namespace", "", name)) is not None:
        return
    try:
        metadata = {"name": name, "labels": LABELS}
        await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    except AlreadyExists:
        pass
