"""What a pod asks of its node, as Kubernetes counts it. Both sides ask here, so that they count the same.

Source: k8s.io/component-helpers/resource PodRequests.
"""

from collections.abc import Iterable, Mapping

Amounts = Mapping[str, int]
"""By resource: cpu in millicores, everything else in units."""

_NOTHING: Amounts = {}


def is_pod_level(resource: str) -> bool:
    """Whether a pod itself, not only its containers, may ask for it."""
    return resource in ("cpu", "memory") or resource.startswith("hugepages-")


def count_requests(
    containers: Iterable[Amounts],
    init_containers: Iterable[tuple[Amounts, bool]] = (),
    *,
    requests: Amounts = _NOTHING,
    limits: Amounts = _NOTHING,
    overhead: Amounts = _NOTHING,
) -> dict[str, int]:
    """Containers and sidecars together, or an init container with the sidecars before it, whichever is more.

    init_containers: each with whether it is a sidecar (restartPolicy Always). requests and limits of the pod
    itself replace the count for what they name, limits only where no container asks; overhead is on top.
    """
    running: dict[str, int] = {}
    for asked in containers:
        _add(running, asked)
    sidecars: dict[str, int] = {}
    starting: dict[str, int] = {}
    for asked, is_sidecar in init_containers:
        if is_sidecar:
            _add(running, asked)
            _add(sidecars, asked)
            beside = sidecars
        else:
            beside = dict(sidecars)
            _add(beside, asked)
        _raise(starting, beside)
    _raise(running, starting)
    for name, amount in limits.items():
        running.setdefault(name, amount)
    running.update(requests)
    _add(running, overhead)
    return running


def _add(total: dict[str, int], more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: dict[str, int], least: Amounts) -> None:
    for name, amount in least.items():
        total[name] = max(total.get(name, 0), amount)
