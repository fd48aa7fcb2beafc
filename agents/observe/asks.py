"""What a pod asks of its node, from its decoded spec."""

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


def _is_sidecar(container: Container) -> bool:
    return container.restart_policy == "Always"


def _requests(resources: Resources | None) -> dict[str, int]:
    if resources is None:
        return {}
    return amounts((resources.limits or {}) | (resources.requests or {}))
