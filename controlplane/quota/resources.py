"""Which names of resources can be charged at all: a quota of another name would bound nothing, silently."""

from controlplane.quota.quota import ADDRESSES, OBJECTS, PODS

_COUNTED = frozenset({"cpu", "memory", "ephemeral-storage", PODS, OBJECTS})
_RIGHT = "cpu, memory, ephemeral-storage, hugepages-SIZE, DOMAIN/NAME, pods, objects, addresses/POOL"


def unknown_resource(name: str) -> str:
    """What would be right in its place; "" for one that workloads can be charged.

    Source: extended resources have a domain (k8s.io/kubernetes/pkg/apis/core/v1/helper).
    """
    if name in _COUNTED or name.startswith("hugepages-"):
        return ""
    before, slash, after = name.partition("/")
    if name.startswith("requests."):
        return f"what pods ask for is counted: say {name.removeprefix('requests.')}"
    if name.startswith("limits."):
        return f"what pods ask for is counted, and not their limits: say {name.removeprefix('limits.')}"
    if name.rstrip("/") == ADDRESSES.rstrip("/"):
        return "of which pool? addresses/POOL, as `muster inventory networks` lists them"
    if before == "count":
        return "say pods" if after == PODS else "not counted here: objects are, all kinds together"
    if slash and before and after:
        return ""
    return f"no workload can be charged that: {_RIGHT}"
