"""What Muster understands of a workload kind: replicas, pods, health; a new one goes into `table`."""

from controlplane.interpreters.declared import compiled_kind
from controlplane.interpreters.interpretation import Component, Interpretation, interpret
from controlplane.interpreters.kinds import Kinds
from controlplane.interpreters.located import template_hash
from controlplane.interpreters.podded import KINDS
from controlplane.interpreters.pods import NotUnderstood, pod_demand, pod_requests
from controlplane.interpreters.rendering import MANAGED_BY_LABEL, Rendered, pod_templates, render
from controlplane.interpreters.uncounted import uncounted
from controlplane.interpreters.uses import Use, pod_uses, unmet, uses

__all__ = [
    "KINDS",
    "MANAGED_BY_LABEL",
    "Component",
    "Interpretation",
    "Kinds",
    "NotUnderstood",
    "Rendered",
    "Use",
    "compiled_kind",
    "interpret",
    "pod_demand",
    "pod_requests",
    "pod_templates",
    "pod_uses",
    "render",
    "template_hash",
    "uncounted",
    "unmet",
    "uses",
]
