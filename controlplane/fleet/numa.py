"""What a kubelet aligns of a pod to NUMA zones, and why it will not pin one that wishes to be pinned.

Source: the kubelet's static CPU manager, static memory manager and device manager, and ComputePodQOS.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from controlplane.fleet.demand import Amounts, Numa
from controlplane.fleet.zones import is_ignorable
from schemas.pods import count_requests
from schemas.quantities import quantity_text
from schemas.wire.hardware import DEVICE_CLASS_RESOURCE

CORE = 1000
_COMPUTE = ("cpu", "memory")
_NOTHING: Mapping[str, int] = {}


class QoS(StrEnum):
    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


@dataclass(frozen=True)
class Container:
    """requests: what the limits fill in included. is_sidecar: an init container that goes on running."""

    name: str
    requests: Mapping[str, int] = field(default_factory=dict[str, int])
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    is_sidecar: bool = False


@dataclass(frozen=True)
class Pod:
    """starting: its init containers, in order. requests, limits: of the pod itself, where it states any."""

    running: tuple[Container, ...] = ()
    starting: tuple[Container, ...] = ()
    overhead: Mapping[str, int] = field(default_factory=dict[str, int])
    requests: Mapping[str, int] = field(default_factory=dict[str, int])
    limits: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def states_amounts_itself(self) -> bool:
        return bool(self.requests or self.limits)

    @property
    def qos(self) -> QoS:
        if self.states_amounts_itself:
            each = [Container("", {**self.limits, **self.requests}, self.limits)]
        else:
            each = [*self.starting, *self.running]
        stated = [one for one in each if any(_compute(one.requests)) or any(_compute(one.limits))]
        if not stated:
            return QoS.BEST_EFFORT
        return QoS.BURSTABLE if any(True for one in each for _ in _unequal(one)) else QoS.GUARANTEED


def numa_of(pod: Pod, *, wanted: bool = False) -> Numa | None:
    """None where no zone can be in the way, unless one is `wanted`.

    A Guaranteed pod's whole CPUs, memory and hugepages, and everyone's devices. A fractional CPU is not
    pinned, also of a Guaranteed pod, where the scheduler's plugin would count it: the kubelet decides.
    """
    guaranteed = pod.qos is QoS.GUARANTEED and not pod.states_amounts_itself
    running = [_aligned(each, guaranteed) for each in pod.running]
    starting = [(_aligned(each, guaranteed), each.is_sidecar) for each in pod.starting]
    whole = count_requests(running, starting)
    for name, amount in pod.overhead.items():
        if name in whole:
            whole[name] += amount
    sidecars = [amounts for amounts, is_sidecar in starting if is_sidecar]
    once = [amounts for amounts, is_sidecar in starting if not is_sidecar]
    numa = Numa(
        starting=tuple(_sorted(each) for each in once if each),
        running=tuple(_sorted(each) for each in (*sidecars, *running) if each),
        pod=_sorted(whole),
        wanted=wanted,
    )
    return numa if wanted or numa.pod else None


def with_overhead(numa: Numa | None, overhead: Amounts) -> Numa | None:
    """As a runtime class adds it to the whole pod: of what is aligned at all."""
    if numa is None:
        return None
    whole = dict(numa.pod)
    return replace(
        numa, pod=_sorted(whole | {name: whole[name] + more for name, more in overhead if name in whole})
    )


def with_devices(numa: Numa | None, added: Amounts) -> Numa | None:
    """The first container asks for these too; of claimed ones (DRA) a zone does not have to know."""
    devices = {name: amount for name, amount in added if _is_aligned(name, amount, guaranteed=False)}
    if not devices:
        return numa
    numa = numa or Numa()
    first = dict(numa.running[0]) if numa.running else {}
    whole = dict(numa.pod)
    return replace(
        numa,
        running=(_sorted(_sum(first, devices)), *numa.running[1:]),
        pod=_sorted(_sum(whole, devices)),
    )


def pinning_warning(pod: Pod) -> str | None:
    """Why a kubelet with static policies gives this pod no CPUs of its own; None where it does."""
    if pod.states_amounts_itself:
        return "no CPU will be pinned: the pod states resources itself: state them of its containers"
    if pod.qos is not QoS.GUARANTEED:
        unequal = next((found for each in (*pod.starting, *pod.running) for found in _unequal(each)), "")
        why = f": {unequal}" if unequal else ""
        return f"no CPU will be pinned: the pod is {pod.qos.value}, and must be Guaranteed{why}"
    fractional = [each for each in pod.running if not _is_whole(each)]
    if not fractional:
        return None
    asked = ", ".join(f"{each.name} asks for {each.requests['cpu'] / CORE:g} cores" for each in fractional)
    extent = "no CPU will" if len(fractional) == len(pod.running) else "not every CPU will"
    return f"{extent} be pinned: {asked}: a whole number is needed"


def _is_whole(container: Container) -> bool:
    return container.requests.get("cpu", 0) % CORE == 0 and container.requests.get("cpu", 0) > 0


def _aligned(container: Container, guaranteed: bool) -> dict[str, int]:
    return {
        name: amount
        for name, amount in container.requests.items()
        if amount > 0 and _is_aligned(name, amount, guaranteed)
    }


def _is_aligned(resource: str, amount: int, guaranteed: bool) -> bool:
    if resource.startswith(DEVICE_CLASS_RESOURCE) or resource == "ephemeral-storage":
        return False
    if resource == "cpu":
        return guaranteed and amount % CORE == 0
    return guaranteed or is_ignorable(resource)


def _unequal(container: Container) -> Iterator[str]:
    """What keeps a container's pod from being Guaranteed."""
    for name in _COMPUTE:
        limit, request = container.limits.get(name, 0), container.requests.get(name, 0)
        if not limit:
            yield f"container {container.name} has no limit of {name}"
        elif limit != request:
            yield (
                f"container {container.name} asks for {quantity_text(name, request)} {name}, "
                f"and its limit is {quantity_text(name, limit)}"
            )


def _sum(amounts: Mapping[str, int], added: Mapping[str, int]) -> dict[str, int]:
    return {**amounts, **{name: amounts.get(name, 0) + more for name, more in added.items()}}


def _compute(amounts: Mapping[str, int]) -> Iterator[int]:
    return (amounts.get(name, 0) for name in _COMPUTE)


def _sorted(amounts: Mapping[str, int]) -> Amounts:
    return tuple(sorted(amounts.items()))
