"""Member clusters of real makes: a cloud region, a data centre with AMX and GPUs, an edge site.

Labels are those that the clouds, NFD and the GPU operator set; sizes are what kubelets leave of them.
"""

from dataclasses import dataclass
from enum import StrEnum

from agents.ports import Resource
from agents.simulation import catalogue
from agents.simulation.networks import Network


class Make(StrEnum):
    CLOUD = "cloud"
    DATACENTRE = "datacentre"
    EDGE = "edge"


@dataclass(frozen=True)
class Machine:
    """One kind of node: what it has, and what it says about itself.

    sandboxed: so many of them, the first, run the site's sandbox. zones: of NUMA; on the first `pinned` of
    them the kubelet keeps a container within one. cpuid, attributes and pci (class, vendor, count) are what
    the worker of NFD finds.
    """

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
    sandboxed: int = 0
    zones: int = 1
    pinned: int = 0
    cpuid: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    pci: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True)
class Sandbox:
    """A RuntimeClass, and the label that its installer gives to nodes that run it."""

    name: str
    handler: str
    label: str
    overhead: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Site:
    """A cluster before its first moment. serves: beside what Kubernetes itself does."""

    version: str
    provider: str
    region: str
    zones: tuple[str, ...]
    machines: tuple[Machine, ...]
    metrics_served: bool
    sandbox: Sandbox | None = None
    networks: tuple[Network, ...] = ()
    serves: tuple[Resource, ...] = ()


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
_SRIOV = {f"feature.node.kubernetes.io/network-sriov.{what}": "true" for what in ("capable", "configured")}
_GPU = {
    "feature.node.kubernetes.io/pci-0302_10de.present": "true",
    "nvidia.com/gpu.present": "true",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.replicas": "1",
    "nvidia.com/gpu.family": "hopper",
    "nvidia.com/gpu.sharing-strategy": "none",
    "nvidia.com/mig.capable": "true",
    "nvidia.com/mig.strategy": "mixed",
}
_MIG = {
    "nvidia.com/gpu.count": "4",
    "nvidia.com/mig-1g.10gb.count": "28",
    "nvidia.com/mig-1g.10gb.memory": "9728",
    "nvidia.com/mig-1g.10gb.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
}
_CPUID = ("AESNI", "AVX2", "AVX512F", "AVX512BW", "AVX512VL", "AVX512VNNI", "VMX")
_AMX_CPUID = ("AMXBF16", "AMXINT8", "AMXTILE", *_CPUID)
# As NFD writes them since it makes no labels of RDT any more.
_SAPPHIRE_RAPIDS = (
    ("cpu.model.family", "6"),
    ("cpu.model.id", "143"),
    ("cpu.model.vendor_id", "Intel"),
    ("cpu.pstate.status", "active"),
    ("cpu.pstate.turbo", "true"),
    ("cpu.rdt.RDTCMT", "true"),
    ("cpu.rdt.RDTL3CA", "true"),
    ("cpu.rdt.RDTL3CA_NUM_CLOSID", "16"),
    ("cpu.rdt.RDTMBA", "true"),
    ("cpu.rdt.RDTMBM", "true"),
    ("cpu.rdt.RDTMON", "true"),
    ("cpu.sst.bf.enabled", "true"),
    ("cpu.topology.hardware_multithreading", "true"),
    ("cpu.topology.socket_count", "2"),
    ("kernel.version.full", "6.8.0-48-generic"),
    ("kernel.version.major", "6"),
    ("kernel.version.minor", "8"),
    ("memory.numa.is_numa", "true"),
    ("memory.numa.node_count", "2"),
    ("system.osrelease.ID", "ubuntu"),
    ("system.osrelease.VERSION_ID", "24.04"),
)
_VFS = "intel.com/sriov_data"
_KATA = Sandbox(
    name="kata",
    handler="kata-qemu",
    label="katacontainers.io/kata-runtime",
    overhead=(("cpu", "250m"), ("memory", "320Mi")),
)
_GVISOR = Sandbox(name="gvisor", handler="runsc", label="gvisor.dev/runsc")
# The lower half of the range belongs to what is no pod.
_NETWORKS = (
    Network(
        "default",
        "sriov-data",
        type="sriov",
        resource=_VFS,
        range="10.56.217.0/27",
        exclude=("10.56.217.0/28",),
        taken=9,
    ),
    Network("default", "storage", type="macvlan"),
)


def _gpu(prefix: str, count: int, devices: tuple[tuple[str, str], ...], labels: dict[str, str]) -> Machine:
    return Machine(
        prefix=prefix,
        count=count,
        cpu="190",
        memory="2063000Mi",
        pods=250,
        storage="7000Gi",
        labels={**_NFD, **_AVX512, **_AMX, **_NUMA, **_GPU, **labels},
        provider_id=f"baremetal://rack/{prefix}-{{index}}",
        devices=devices,
        taints=(("nvidia.com/gpu", "present", "NoSchedule"),),
        zones=2,
        cpuid=_AMX_CPUID,
        attributes=_SAPPHIRE_RAPIDS,
        pci=(("0200", "15b3", 2), ("0302", "10de", 8)),
    )


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
                sandboxed=6,
            ),
        ),
        metrics_served=True,
        sandbox=_GVISOR,
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
                labels={**_NFD, **_AVX512, **_AMX, **_NUMA, **_SRIOV},
                provider_id="baremetal://rack/amx-{index}",
                devices=((_VFS, "16"),),
                sandboxed=4,
                zones=2,
                pinned=4,
                cpuid=_AMX_CPUID,
                attributes=_SAPPHIRE_RAPIDS,
                pci=(("0200", "8086", 2),),
            ),
            _gpu("gpu", 3, (("nvidia.com/gpu", "8"),), {}),
            _gpu("mig", 1, (("nvidia.com/gpu", "4"), ("nvidia.com/mig-1g.10gb", "28")), _MIG),
        ),
        sandbox=_KATA,
        networks=_NETWORKS,
        serves=(
            catalogue.NODE_FEATURES,
            catalogue.NODE_TOPOLOGIES,
            catalogue.ATTACHMENTS,
            catalogue.IP_POOLS,
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
