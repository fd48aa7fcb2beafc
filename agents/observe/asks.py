"""What a pod asks of its node, as the scheduler counts it.

Source: k8s.io/component-helpers/resource PodRequests: the larger of (containers + sidecars) and of each
init container with the sidecars started before it; pod-level resources replace the sum for what they name;
overhead comes on top. A container that names only a limit asks for that much.
"""

from agents.observe.quantities import amounts
from agents.observe.shapes import Container, PodSpec, Resources

_POD_LEVEL = ("cpu", "memory", "hugepages-")


def asks_of(spec: PodSpec) -> dict[str, int]:
    """Requested amounts by resource, `pods` (1) among them."""
    running: dict[str, int] = {}
    for container in spec.containers:
        _add(running, _requests(container.resources))
    sidecars: dict[str, int] = {}
    starting: dict[str, int] = {}
    for container in spec.init_containers or ():
        asked = _requests(container.resources)
        if _is_sidecar(container):
            _add(running, asked)
            _add(sidecars, asked)
            asked = sidecars
        else:
            asked = {
                name: asked.get(name, 0) + sidecars.get(name, 0) for name in asked.keys() | sidecars.keys()
            }
        for name, value in asked.items():
            starting[name] = max(starting.get(name, 0), value)
    total = {
        name: max(running.get(name, 0), starting.get(name, 0)) for name in running.keys() | starting.keys()
    }
    # Only its requests: where a pod names limits alone, the API server has already made requests of them.
    whole = amounts(spec.resources.requests or {}) if spec.resources else {}
    total |= {name: value for name, value in whole.items() if name.startswith(_POD_LEVEL)}
    _add(total, amounts(spec.overhead or {}))
    total["pods"] = 1
    return total


def _is_sidecar(container: Container) -> bool:
    return container.restart_policy == "Always"


def _requests(resources: Resources | None) -> dict[str, int]:
    if resources is None:
        return {}
    return amounts((resources.limits or {}) | (resources.requests or {}))


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value
