"""What Muster understands of a workload kind: replicas, pods. Pure."""

from controlplane.interpreters.interpretation import Interpretation, NotUnderstood, interpret, render

__all__ = ["Interpretation", "NotUnderstood", "interpret", "render"]
