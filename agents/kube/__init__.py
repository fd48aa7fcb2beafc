"""The Kubernetes API as the agent speaks it: raw requests, no client models.

A client library's models cost 38 MB of an agent's memory before the first request; aiohttp alone is enough.
"""

from agents.kube.access import KubeAccess, find_access, in_cluster_access, kubeconfig_access
from agents.kube.api import KubernetesApi
from agents.kube.tokens import AccessError

__all__ = [
    "AccessError",
    "KubeAccess",
    "KubernetesApi",
    "find_access",
    "in_cluster_access",
    "kubeconfig_access",
]
