"""Member clusters of real makes: a cloud region, a data centre with AMX and GPUs, an edge site.

Labels are those that the clouds, NFD and the GPU operator set; sizes are what kubelets leave of them.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Make(StrEnum):
    CLOUD = "cloud"
    DATACENTRE = "datacentre"
    EDGE = "edge"


@dataclass(frozen=True)
class Machine:
    """One kind of node: what it has, and what it says about itself."""

    prefix: str
    count: int
    cpu: str
    memory: str
    pods: int
    storage: str
    labels: dict[str, str]
    provider_id: str
    arch: str = "amd64"
    devices: tuple[tuple[str, str], ...] = ()
    taints: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Site:
    """A cluster before its first moment."""

    version: str
    provider: str
    region: str
    zones: tuple[str, ...]
    machines: tuple[Machine, ...]
    metrics_served: bool


_AVX512 = {f"feature.node.kubernetes.io/cpu-cpuid.AVX512{part}": "true" for part in ("F", "BW", "VL", "VNNI")}
_NFD = {
    "feature.node.kubernetes.io/cpu-hardware_multithreading": "true",
    "feature.node.kubernetes.io/cpu-model.vendor_id": "Intel",
    "feature.node.kubernetes.io/kernel-version.major": "6",
    "feature.node.kubernetes.io/storage-nonrotationaldisk": "true",
    "feature.node.kubernetes.io/system-os_release.ID": "ubuntu",
}
_AMX = {f"feature.node.kubernetes.io/cpu-cpuid.AMX{part}": "true" for part in ("TILE", "BF16", "INT8")}
_NUMA = {"feature.node.kubernetes.io/memory-numa": "true"}
_GPU = {
    "feature.node.kubernetes.io/pci-0302_10de.present": "true",
    "nvidia.com/gpu.present": "true",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.replicas": "1",
    "nvidia.com/gpu.family": "hopper",
    "nvidia.com/mig.capable": "true",
}

SITES = {
    Make.CLOUD: Site(
        version="v1.34.2",
        provider="aws",
        region="eu-central-1",
        zones=("eu-central-1a", "eu-central-1b", "eu-central-1c"),
        machines=(
            Machine(
                prefix="ip-10-0",
                count=24,
                cpu="7910m",
                memory="31455012Ki",
                pods=58,
                storage="76224326324",
                labels={**_NFD, **_AVX512, "node.kubernetes.io/instance-type": "m6i.2xlarge"},
                provider_id="aws:///{zone}/i-0{index:016x}",
            ),
        ),
        metrics_served=True,
    ),
    Make.DATACENTRE: Site(
        version="v1.33.6",
        provider="baremetal",
        region="fra",
        zones=("hall-1", "hall-2"),
        machines=(
            Machine(
                prefix="amx",
                count=8,
                cpu="126",
                memory="523986Mi",
                pods=250,
                storage="1700Gi",
                labels={**_NFD, **_AVX512, **_AMX, **_NUMA},
                provider_id="baremetal://rack/amx-{index}",
            ),
            Machine(
                prefix="gpu",
                count=4,
                cpu="190",
                memory="2063000Mi",
                pods=250,
                storage="7000Gi",
                labels={**_NFD, **_AVX512, **_AMX, **_NUMA, **_GPU},
                provider_id="baremetal://rack/gpu-{index}",
                devices=(("nvidia.com/gpu", "8"),),
                taints=(("nvidia.com/gpu", "present", "NoSchedule"),),
            ),
        ),
        metrics_served=True,
    ),
    Make.EDGE: Site(
        version="v1.32.10",
        provider="edge",
        region="plant-7",
        zones=("line-a",),
        machines=(
            Machine(
                prefix="edge",
                count=4,
                cpu="3800m",
                memory="7400Mi",
                pods=60,
                storage="55Gi",
                arch="arm64",
                labels={
                    "node-role.kubernetes.io/edge": "",
                    "feature.node.kubernetes.io/cpu-cpuid.ASIMD": "true",
                    "feature.node.kubernetes.io/system-os_release.ID": "debian",
                },
                provider_id="edge://plant-7/{index}",
            ),
        ),
        metrics_served=False,
    ),
}


def node_manifests(site: Site, *, nodes: int | None = None) -> Iterator[dict[str, Any]]:
    """The site's nodes. `nodes` overrides how many there are of the first machine."""
    for position, machine in enumerate(site.machines):
        count = nodes if nodes is not None and position == 0 else machine.count
        for index in range(count):
            yield _node(site, machine, index)


def _node(site: Site, machine: Machine, index: int) -> dict[str, Any]:
    zone = site.zones[index % len(site.zones)]
    name = f"{machine.prefix}-{index + 1:03}"
    labels = {
        "kubernetes.io/arch": machine.arch,
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
        "topology.kubernetes.io/region": site.region,
        "topology.kubernetes.io/zone": zone,
        **machine.labels,
    }
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
            "providerID": machine.provider_id.format(zone=zone, index=index + 1),
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
