"""What stands in a simulated cluster before its first moment: nodes, what is below them, and others' pods."""

import random
from collections.abc import Iterator
from typing import Any

from agents.simulation import catalogue
from agents.simulation.bodies import Body
from agents.simulation.gpus import exporter_manifest
from agents.simulation.hardware import NFD_NAMESPACE, Placed, hardware_manifests
from agents.simulation.makes import Site
from agents.simulation.networks import NETWORKS


def population(site: Site, rng: random.Random, *, nodes: int | None = None) -> Iterator[tuple[str, Body]]:
    """(manager, manifest) of everything, in the order in which it can be made.

    `nodes` overrides how many there are of the site's first machine.
    """
    namespaces = ["default", "kube-system", "legacy"]
    namespaces += [NFD_NAMESPACE] if catalogue.NODE_FEATURES in site.serves else []
    for name in namespaces:
        yield "kubelet", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    placed = list(_placed(site, nodes))
    manifests = [node_manifest(each) for each in placed]
    pods = list(foreign_pod_manifests(manifests, rng))
    services = [pod for pod in pods if pod["metadata"]["namespace"] == "legacy"]
    for network in site.networks:
        for pod in services[: network.taken]:
            pod["metadata"]["annotations"] = {NETWORKS: f"{network.namespace}/{network.name}"}
    yield from (("kubelet", each) for each in manifests)
    yield from (("kube-controller-manager", each) for each in pods)
    yield from (("installer", each) for each in hardware_manifests(site, placed, services))
    with_gpus = [each for each in placed if any(name == "nvidia.com/gpu" for name, _ in each.machine.devices)]
    yield from (("installer", exporter_manifest(each.name, at)) for at, each in enumerate(with_gpus))


def _placed(site: Site, nodes: int | None) -> Iterator[Placed]:
    for position, machine in enumerate(site.machines):
        count = nodes if nodes is not None and position == 0 else machine.count
        for index in range(count):
            yield Placed(site, machine, index)


def node_manifest(node: Placed) -> Body:
    site, machine, name = node.site, node.machine, node.name
    zone = site.zones[node.index % len(site.zones)]
    labels = {
        "kubernetes.io/arch": machine.arch,
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
        "topology.kubernetes.io/region": site.region,
        "topology.kubernetes.io/zone": zone,
        **machine.labels,
    }
    handlers = [{"name": ""}, {"name": "runc"}]
    if site.sandbox is not None and node.runs_sandbox:
        labels[site.sandbox.label] = "true"
        handlers.append({"name": site.sandbox.handler})
    resources = {
        "cpu": machine.cpu,
        "memory": machine.memory,
        "pods": str(machine.pods),
        "ephemeral-storage": machine.storage,
        **dict(machine.devices),
    }
    taints = [{"key": key, "value": value, "effect": effect} for key, value, effect in machine.taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "providerID": machine.provider_id.format(zone=zone, index=node.index + 1),
            **({"taints": taints} if taints else {}),
        },
        "status": {
            "allocatable": resources,
            "capacity": resources,
            "conditions": [
                {"type": kind, "status": "False"}
                for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
            ]
            + [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {
                "architecture": machine.arch,
                "operatingSystem": "linux",
                "kubeletVersion": site.version,
            },
            "runtimeHandlers": handlers,
        },
    }


_DAEMONS = (("kube-proxy", "100m", "64Mi"), ("cni", "125m", "96Mi"), ("node-exporter", "50m", "48Mi"))


def foreign_pod_manifests(nodes: list[dict[str, Any]], rng: random.Random) -> Iterator[dict[str, Any]]:
    """What runs there without Muster: daemons on every node, and somebody's services on some."""
    for node in nodes:
        name = node["metadata"]["name"]
        for daemon, cpu, memory in _DAEMONS:
            yield _pod("kube-system", f"{daemon}-{name}", name, {"app": daemon}, cpu, memory)
        for number in range(rng.randrange(3)):
            small = node["status"]["allocatable"]["cpu"].endswith("m")
            cpu = f"{rng.choice((100, 250, 500) if small else (500, 2000, 8000))}m"
            memory = f"{rng.choice((128, 256, 1024))}Mi"
            yield _pod("legacy", f"service-{name}-{number}", name, {"app": "service"}, cpu, memory)


def _pod(
    namespace: str, name: str, node: str, labels: dict[str, str], cpu: str, memory: str
) -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": memory}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "nodeName": node,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "main",
                    "image": f"registry.example/{labels['app']}:1",
                    "resources": {"requests": requests},
                }
            ],
        },
    }
