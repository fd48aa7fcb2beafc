"""What Muster understands of a workload kind: replicas, pods; a new kind goes into `kinds.py`. Pure."""

from controlplane.interpreters.interpretation import (
    MANAGED_BY_LABEL,
    Interpretation,
    interpret,
    render,
    template_hash,
)
from controlplane.interpreters.pods import NotUnderstood, pod_demand, pod_requests

__all__ = [
    "MANAGED_BY_LABEL",
    "Interpretation",
    "NotUnderstood",
    "interpret",
    "pod_demand",
    "pod_requests",
    "render",
    "template_hash",
]
