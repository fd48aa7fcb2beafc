"""Below the cluster: what a workload's needs come to in one cluster.

It is answered for each cluster apart, since one name of a runtime class may mean another handler and
overhead there, and a pool of addresses another attachment.
"""

from collections import Counter
from dataclasses import dataclass, replace

from controlplane.fleet.demand import Amounts, Demand, Numa, Operator, Requirement, Toleration
from controlplane.fleet.numa import with_devices, with_overhead
from controlplane.fleet.traits import FEATURE, HANDLER
from controlplane.interpreters.adaption import Adaption, Claim
from controlplane.placement.needs import Needs, NetworkNeed
from controlplane.placement.rules import ClusterHardware, ClusterView, Refused
from schemas.reasons import Reason
from schemas.wire.hardware import DEVICE_CLASS_RESOURCE, Attachment, RuntimeClass

SANDBOXED = "sandboxed"
SANDBOXES = ("kata", "runsc", "gvisor", "firecracker", "urunc", "quark")
"""How the handlers of runtimes begin that put a kernel or a virtual machine between a pod and its node."""
CLAIM_TEMPLATES = ("resource.k8s.io/v1", "resource.k8s.io/v1beta2")


@dataclass(frozen=True)
class Resolved:
    """What one replica asks for in one cluster, and how its pod template has to be changed for it."""

    demand: Demand
    adaption: Adaption


def alike(needs: Needs, demand: Demand) -> Resolved:
    """What is the same in every cluster."""
    numa = replace(demand.numa or Numa(), wanted=True) if needs.single_numa else demand.numa
    asked = demand
    if needs.traits or needs.tolerations or numa is not demand.numa:
        asked = replace(
            demand,
            traits=(*demand.traits, *needs.traits),
            tolerations=(*demand.tolerations, *needs.tolerations),
            numa=numa,
        )
    labelled = tuple(each for each in needs.traits if not each.key.startswith(FEATURE))
    terms = (labelled,) if labelled else ()
    adaption = Adaption(node_terms=terms, requests=needs.requests, tolerations=needs.tolerations)
    return Resolved(_asking(asked, needs.requests), adaption)


def resolve(needs: Needs, demand: Demand, view: ClusterView) -> Resolved | Refused:
    """In one cluster. Where its hardware is not known, what depends on it is left open."""
    resolved: Resolved | Refused = alike(needs, demand)
    hardware = view.hardware
    if hardware is None:
        return resolved
    if needs.isolation:
        resolved = _isolated(needs, resolved, hardware)
    if needs.networks and isinstance(resolved, Resolved):
        resolved = _attached(needs, resolved, hardware)
    if needs.device_class and isinstance(resolved, Resolved):
        resolved = _claiming(needs, resolved, view, hardware)
    return resolved


def _runtime(isolation: str, hardware: ClusterHardware) -> RuntimeClass | Refused:
    """A sandbox by its handler, the first by name where there are several."""
    if isolation != SANDBOXED:
        runtime = hardware.runtimes.get(isolation)
        return runtime or Refused(Reason.RUNTIME_CLASS_MISSING, f"has no runtime class {isolation}")
    for name in sorted(hardware.runtimes):
        if hardware.runtimes[name].handler.startswith(SANDBOXES):
            return hardware.runtimes[name]
    known = ", ".join(SANDBOXES)
    return Refused(Reason.RUNTIME_CLASS_MISSING, f"has no runtime class whose handler is a sandbox ({known})")


def _isolated(needs: Needs, resolved: Resolved, hardware: ClusterHardware) -> Resolved | Refused:
    runtime = _runtime(needs.isolation, hardware)
    if isinstance(runtime, Refused):
        return runtime
    demand, adaption = resolved.demand, resolved.adaption
    tolerations = (
        Toleration(each.key, each.operator, each.value, each.effect) for each in runtime.tolerations
    )
    overhead = () if needs.has_overhead else tuple(sorted(runtime.overhead.items()))
    demand = replace(
        demand,
        requests=_sum(demand.requests, overhead),
        numa=with_overhead(demand.numa, overhead),
        node_selector=tuple(sorted({*demand.node_selector, *runtime.node_selector.items()})),
        tolerations=(*demand.tolerations, *tolerations),
        traits=(*demand.traits, Requirement(f"{HANDLER}{runtime.handler}", Operator.EXISTS)),
    )
    if runtime.name != needs.runtime_class:
        adaption = replace(adaption, runtime_class=runtime.name)
    return Resolved(demand, adaption)


def _attached(needs: Needs, resolved: Resolved, hardware: ClusterHardware) -> Resolved | Refused:
    attached = _attachments(needs, hardware)
    if isinstance(attached, Refused):
        return attached
    entries = [
        f"{each.key}@{need.interface}" if need.interface else each.key
        for need, each in attached
        if need.added
    ]
    pooled = Counter(each.key for _, each in attached if each.pool)
    interfaces = Counter(each.resource for _, each in attached if each.resource)
    added = tuple(sorted((name, count) for name, count in interfaces.items() if name not in needs.stated))
    demand = replace(_asking(resolved.demand, added), pools=tuple(sorted(pooled.items())))
    adaption = replace(
        resolved.adaption, networks=tuple(entries), requests=_sum(resolved.adaption.requests, added)
    )
    return Resolved(demand, adaption)


def _attachments(needs: Needs, hardware: ClusterHardware) -> list[tuple[NetworkNeed, Attachment]] | Refused:
    found: list[tuple[NetworkNeed, Attachment]] = []
    for need in needs.networks:
        if need.attachment in needs.own:
            namespace, _, name = need.attachment.partition("/")
            found.append((need, Attachment(namespace=namespace, name=name)))
            continue
        if need.attachment:
            attachment = hardware.attachments.get(need.attachment)
        else:
            giving = [key for key, each in hardware.attachments.items() if each.pool == need.pool]
            attachment = hardware.attachments[min(giving)] if giving else None
        if attachment is None:
            return Refused(Reason.NETWORK_MISSING, f"has no {need}")
        found.append((need, attachment))
    return found


def _claiming(
    needs: Needs, resolved: Resolved, view: ClusterView, hardware: ClusterHardware
) -> Resolved | Refused:
    if needs.device_class not in hardware.device_classes:
        return Refused(Reason.DEVICE_CLASS_MISSING, f"has no device class {needs.device_class}")
    for version in CLAIM_TEMPLATES:
        if view.served is None or f"{version}/ResourceClaimTemplate" in view.served:
            devices = ((f"{DEVICE_CLASS_RESOURCE}{needs.device_class}", needs.devices),)
            claim = Claim(version, needs.device_class, needs.devices)
            return Resolved(_asking(resolved.demand, devices), replace(resolved.adaption, claim=claim))
    return Refused(Reason.API_NOT_SERVED, f"does not serve {CLAIM_TEMPLATES[0]}/ResourceClaimTemplate")


def _asking(demand: Demand, added: Amounts) -> Demand:
    """With more of its first container; a zone that gives it devices has to give these, too."""
    if not added:
        return demand
    return replace(demand, requests=_sum(demand.requests, added), numa=with_devices(demand.numa, added))


def _sum(amounts: Amounts, added: Amounts) -> Amounts:
    """Zero amounts fall away, as in `Demand.of`: an overhead that a cluster reports may have such."""
    total = Counter(dict(amounts))
    total.update(dict(added))
    return tuple(sorted(each for each in total.items() if each[1] > 0))
