"""What lies below the nodes of a simulated cluster, as NFD, the topology updater and installers say it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agents.observe.quantities import amounts
from agents.simulation import catalogue
from agents.simulation.bodies import Body
from agents.simulation.makes import Machine, Sandbox, Site
from schemas.quantities import quantity_text

NFD_NAMESPACE = "node-feature-discovery"
NODE_NAME = "nfd.node.kubernetes.io/node-name"


@dataclass(frozen=True)
class Placed:
    """One node to be: its machine, and which of those it is."""

    site: Site
    machine: Machine
    index: int

    @property
    def name(self) -> str:
        return f"{self.machine.prefix}-{self.index + 1:03}"

    @property
    def runs_sandbox(self) -> bool:
        return self.site.sandbox is not None and self.index < self.machine.sandboxed

    @property
    def is_pinned(self) -> bool:
        return self.index < self.machine.pinned


def hardware_manifests(site: Site, nodes: Iterable[Placed], services: list[Body]) -> Iterator[Body]:
    """Of everything that the site serves. services: others' pods, which hold addresses already."""
    if site.sandbox is not None:
        yield _runtime_class(site.sandbox)
    for node in nodes:
        if catalogue.NODE_FEATURES in site.serves and node.machine.cpuid:
            yield _node_feature(node)
        if catalogue.NODE_TOPOLOGIES in site.serves and node.machine.zones > 1:
            yield _topology(node)
    for network in site.networks:
        yield network.manifest()
        if network.range:
            yield network.pool_manifest(services[: network.taken])


def _runtime_class(sandbox: Sandbox) -> Body:
    return {
        "apiVersion": catalogue.RUNTIME_CLASSES.api_version,
        "kind": catalogue.RUNTIME_CLASSES.kind,
        "metadata": {"name": sandbox.name},
        "handler": sandbox.handler,
        **({"overhead": {"podFixed": dict(sandbox.overhead)}} if sandbox.overhead else {}),
        "scheduling": {"nodeSelector": {sandbox.label: "true"}},
    }


def _node_feature(node: Placed) -> Body:
    machine = node.machine
    attributes: Body = {"system.name": {"elements": {"nodename": node.name}}}
    for key, value in machine.attributes:
        domain, feature, element = key.split(".", 2)
        attributes.setdefault(f"{domain}.{feature}", {"elements": {}})["elements"][element] = value
    config = dict.fromkeys(("KVM", "NUMA", "SMP", "X86_CPU_RESCTRL", "HUGETLBFS"), "y")
    attributes["kernel.config"] = {"elements": config}
    flags: Body = {
        "cpu.cpuid": {"elements": {flag: {} for flag in machine.cpuid}},
        "kernel.loadedmodule": {"elements": {name: {} for name in ("br_netfilter", "ice", "overlay")}},
    }
    return {
        "apiVersion": catalogue.NODE_FEATURES.api_version,
        "kind": catalogue.NODE_FEATURES.kind,
        "metadata": {"name": node.name, "namespace": NFD_NAMESPACE, "labels": {NODE_NAME: node.name}},
        "spec": {
            "features": {"flags": flags, "attributes": attributes, "instances": _instances(machine)},
            "labels": {},
        },
    }


def _instances(machine: Machine) -> Body:
    pci = [
        {"attributes": {"class": class_, "vendor": vendor, **_virtual(class_)}}
        for class_, vendor, count in machine.pci
        for _ in range(count)
    ]
    network = [
        {"attributes": {"name": f"ens{number}f0", "operstate": "up", "speed": "100000", **_virtual("0200")}}
        for number in range(2)
    ]
    return {"pci.device": {"elements": pci}, "network.device": {"elements": network}}


def _virtual(class_: str) -> Body:
    return {"sriov_totalvfs": "64"} if class_ == "0200" else {}


def _topology(node: Placed) -> Body:
    """Halves of everything, but the functions of the one network card, which hangs on the first socket."""
    machine = node.machine
    whole = amounts({"cpu": machine.cpu, "memory": machine.memory, **dict(machine.devices)})
    zones: list[Body] = []
    for number in range(machine.zones):
        resources: list[Body] = []
        for resource, amount in sorted(whole.items()):
            share = amount // machine.zones
            if resource.startswith("intel.com/"):
                share = 0 if number else amount
            text = quantity_text(resource, share)
            said = {"capacity": text, "allocatable": text, "available": text}
            resources += [{"name": resource, **said}] if share else []
        costs = [
            {"name": f"node-{other}", "value": 10 if other == number else 21}
            for other in range(machine.zones)
        ]
        zones.append({"name": f"node-{number}", "type": "Node", "costs": costs, "resources": resources})
    policy = "single-numa-node" if node.is_pinned else "best-effort"
    attributes = {"topologyManagerPolicy": policy, "topologyManagerScope": "container"}
    return {
        "apiVersion": catalogue.NODE_TOPOLOGIES.api_version,
        "kind": catalogue.NODE_TOPOLOGIES.kind,
        "metadata": {"name": node.name},
        "attributes": [{"name": name, "value": value} for name, value in attributes.items()],
        "zones": zones,
    }
