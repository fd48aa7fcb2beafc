"""What a pod asks of its node, and what of it it holds alone, from its decoded spec."""

from agents.observe.quantities import amounts
from agents.observe.shapes import Container, PodSpec, Resources
from schemas.pods import count_requests, is_pod_level


def asks_of(spec: PodSpec) -> dict[str, int]:
    """Requested amounts by resource, `pods` (1) among them.

    Of the pod itself its requests only: of limits alone, the API server has made requests already.
    """
    whole = amounts(spec.resources.requests or {}) if spec.resources else {}
    asked = count_requests(
        [_requests(container.resources) for container in spec.containers],
        [(_requests(each.resources), _is_sidecar(each)) for each in spec.init_containers or ()],
        requests={name: value for name, value in whole.items() if is_pod_level(name)},
        overhead=amounts(spec.overhead or {}),
    )
    asked["pods"] = 1
    return asked


def unset_of(spec: PodSpec) -> tuple[str, ...]:
    """Of cpu and memory, what some container does not state: `requests.cpu`, `limits.memory`, ...; sorted.

    A ResourceQuota that names it refuses such a pod; one that states anything as a whole it does not look at.
    Source: Kubernetes pkg/quota/v1/evaluator/core/pods.go, Constraints.
    """
    containers = (*spec.containers, *(spec.init_containers or ()))
    stated = [_stated(each.resources) for each in containers]
    if any(is_pod_level(each.partition(".")[2]) for each in _stated(spec.resources)):
        return ()
    lacking = tuple(each for each in _OBLIGED if not all(each in one for one in stated))
    return _SHARED.setdefault(lacking, lacking)


_OBLIGED = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
_SHARED: dict[tuple[str, ...], tuple[str, ...]] = {}


def _stated(resources: Resources | None) -> set[str]:
    """Of limits alone the API server has made requests already."""
    if resources is None:
        return set()
    limits, requests = resources.limits or {}, resources.requests or {}
    return {f"limits.{name}" for name in limits} | {f"requests.{name}" for name in (*requests, *limits)}


def held_alone(spec: PodSpec, *, guaranteed: bool) -> tuple[str, ...]:
    """Resources that kubelets hand out to one container alone, where their managers are static; sorted.

    Devices; of a Guaranteed pod whole CPUs, memory and hugepages. Init containers that end hold nothing.
    Source: scheduler-plugins pkg/noderesourcetopology, resourcerequests/exclusive.go.
    """
    held: set[str] = set()
    sidecars = [each for each in spec.init_containers or () if _is_sidecar(each)]
    for container in (*spec.containers, *sidecars):
        asked = _asked(container.resources)
        names = [name for name in asked if _is_device(name) or (guaranteed and is_pod_level(name))]
        amounts_of = amounts({name: asked[name] for name in names})
        held.update(n for n, amount in amounts_of.items() if amount and (n != "cpu" or amount % 1000 == 0))
    return tuple(sorted(held))


def _is_device(resource: str) -> bool:
    return "/" in resource and "kubernetes.io/" not in resource


def _is_sidecar(container: Container) -> bool:
    return container.restart_policy == "Always"


def _requests(resources: Resources | None) -> dict[str, int]:
    return amounts(_asked(resources))


def _asked(resources: Resources | None) -> dict[str, str | int | float]:
    if resources is None:
        return {}
    return (resources.limits or {}) | (resources.requests or {})
