"""A fleet of varied make as reports, for benchmarks and tests: seeded, so that figures compare."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from schemas.wire.codec import encode
from schemas.wire.hardware import Topology, TopologyPolicy
from schemas.wire.reports import Bound, Facts, Inventory, Profile, Taint, Usage
from schemas.wire.subjects import shard_name

GIB = 1024**3
RESOURCES = ["cpu", "memory", "pods", "ephemeral-storage", "nvidia.com/gpu"]
FEATURES = """
    ADX AESNI AMXBF16 AMXINT8 AMXTILE AVX AVX2 AVX512BW AVX512CD AVX512DQ AVX512F AVX512VL
    AVX512VNNI BMI1 BMI2 CLZERO CMPXCHG8 F16C FMA3 FXSR GFNI HLE IBPB LAHF MCAOVERFLOW MOVBE MSRIRC
    OSXSAVE POPCNT RDRAND RDSEED RTM SHA SSE4 SSE42 STIBP SYSCALL SYSEE TSXLDTRK VAES VMX WBNOINVD
    X87 XSAVE XSAVEC
""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Make:
    cores: int
    memory_gib: int
    gpus: int = 0
    amx: bool = False
    taints: tuple[Taint, ...] = ()


MAKES = (
    Make(16, 64),
    Make(32, 128),
    Make(64, 256),
    Make(96, 384, amx=True),
    Make(112, 1024, amx=True),
    Make(64, 512, gpus=8, taints=(Taint("nvidia.com/gpu", "NoSchedule", "present"),)),
    Make(4, 16, taints=(Taint("node-role.kubernetes.io/edge", "NoSchedule"),)),
    Make(8, 32),
)


def labels_of(
    make: Make, cluster: int, zone: int, variant: int, random: np.random.Generator
) -> dict[str, str]:
    """60 to 150 labels, as NFD and a cloud write them."""
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": f"region-{cluster % 20}",
        "topology.kubernetes.io/zone": f"region-{cluster % 20}-{'abc'[zone]}",
        "node.kubernetes.io/instance-type": f"c{make.cores}-m{make.memory_gib}",
        "example.com/pool": f"pool-{variant}",
        "example.com/cluster": f"cluster-{cluster}",
    }
    if make.gpus:
        labels["nvidia.com/gpu.product"] = "NVIDIA-H100-80GB-HBM3"
    count = int(random.integers(40, 100))
    for feature in random.permutation(FEATURES)[:count]:
        if make.amx or not feature.startswith("AMX"):
            labels[f"feature.node.kubernetes.io/cpu-cpuid.{feature}"] = "true"
    if make.amx:
        labels["feature.node.kubernetes.io/cpu-cpuid.AMXTILE"] = "true"
    for number in range(count - len(labels) + 55):
        labels[f"feature.node.kubernetes.io/pci-{number:04d}_8086.present"] = "true"
    return labels


def features_of(make: Make, labels: Mapping[str, str]) -> dict[str, str]:
    """What NFD found raw, of which the labels are a part."""
    prefix = "feature.node.kubernetes.io/cpu-cpuid."
    flags = {f"cpu.cpuid.{key.removeprefix(prefix)}": "" for key in labels if key.startswith(prefix)}
    return flags | {
        "cpu.model.vendor_id": "Intel",
        "cpu.model.family": "6",
        "cpu.model.id": "143" if make.amx else "106",
        "cpu.topology.hardware_multithreading": "true",
        "kernel.version.major": "6" if make.cores > 16 else "5",
        "memory.numa.is_numa": "true" if make.cores > 16 else "false",
        "memory.numa.node_count": "2",
        "system.osrelease.ID": "ubuntu",
    }


def cluster_reports(
    number: int, nodes: int, shard_nodes: int = 100, seed: int = 1
) -> Iterator[tuple[str, Facts | Profile | Inventory | Usage]]:
    """(subject tail, report) of one cluster in the order in which an agent publishes them."""
    random = np.random.default_rng((seed, number))
    layout = -(-nodes // shard_nodes)
    yield "facts", Facts(incarnation=1, sequence=1, layout=layout, kubernetes_version="v1.31.2")
    profiles: list[tuple[Make, str]] = []
    for variant, make in enumerate(random.permutation(np.array(MAKES, dtype=object))[:6]):
        for zone in range(3):
            labels = labels_of(make, number, zone, variant, random)
            profile = Profile(
                incarnation=1,
                sequence=2 + len(profiles),
                labels=labels,
                features=features_of(make, labels),
                handlers=["runc", "kata-qemu"] if make.amx else ["runc"],
            )
            profiles.append((make, profile.hash))
            yield f"profile.{profile.hash}", profile
    for index in range(layout):
        count = min(shard_nodes, nodes - index * shard_nodes)
        of = random.integers(0, len(profiles), count)
        shard = shard_name(layout, index)
        yield f"inventory.{shard}", _inventory(number, index, [profiles[each] for each in of], random)
        yield f"usage.{shard}", usage(count, [profiles[each][0] for each in of], 1000 + index, random)


def zone_reports(
    number: int, nodes: int, shard_nodes: int = 100, seed: int = 1
) -> Iterator[tuple[str, Topology]]:
    """(subject tail, report): two NUMA zones a node, most kubelets of which align to one, loads at random."""
    random = np.random.default_rng((seed, number, 1))
    layout = -(-nodes // shard_nodes)
    for index in range(layout):
        count = min(shard_nodes, nodes - index * shard_nodes)
        free = random.random(2 * count)
        yield (
            f"topology.{shard_name(layout, index)}",
            Topology(
                incarnation=1,
                sequence=10_000 + index,
                epoch=1,
                nodes=count,
                policies=_POLICIES,
                policy_of=pack(random.choice(len(_POLICIES), count, p=(0.5, 0.2, 0.3)).tolist()),
                zone_node=pack([row // 2 for row in range(2 * count)]),
                zone_number=pack([row % 2 for row in range(2 * count)]),
                resources=["cpu", "memory", "nvidia.com/gpu"],
                available=[
                    pack([1000 * int(48 * each) for each in free]),
                    pack([int(192 * GIB * each) for each in free]),
                    pack([int(4 * each) for each in free]),
                ],
                zones=2 * count,
            ),
        )


def _inventory(
    number: int, index: int, nodes: list[tuple[Make, str]], random: np.random.Generator
) -> Inventory:
    hashes = sorted({hash_ for _, hash_ in nodes})
    taint_sets = sorted({make.taints for make, _ in nodes} | {(), (_UNSCHEDULABLE,)}, key=repr)
    taints = [
        taint_sets.index((_UNSCHEDULABLE,) if random.random() < 0.01 else make.taints) for make, _ in nodes
    ]
    conditions = (random.random(len(nodes)) < 0.01).astype(int)
    amounts = [
        [make.cores * 1000 - 200 for make, _ in nodes],
        [make.memory_gib * GIB - 700 * 1024**2 for make, _ in nodes],
        [110 for _ in nodes],
        [100 * GIB for _ in nodes],
        [make.gpus for make, _ in nodes],
    ]
    return Inventory(
        incarnation=1,
        sequence=100 + index,
        epoch=1,
        names=[f"node-{number}-{index}-{row}.example.internal" for row in range(len(nodes))],
        profile_hashes=hashes,
        profiles=pack([hashes.index(hash_) for _, hash_ in nodes]),
        resources=RESOURCES,
        allocatable=[pack(each) for each in amounts],
        taint_sets=[list(each) for each in taint_sets],
        taints=pack(taints),
        condition_sets=[["Ready"], ["MemoryPressure"]],
        conditions=pack(conditions.tolist()),
    )


def usage(count: int, makes: list[Make], sequence: int, random: np.random.Generator) -> Usage:
    """Foreign pods on every node, one of Muster's on each: 500,000 pods bound over 500,000 nodes."""
    load = random.random(count)
    return Usage(
        incarnation=1,
        sequence=sequence,
        epoch=1,
        nodes=count,
        resources=RESOURCES,
        foreign=[
            pack([int(make.cores * 1000 * part) for make, part in zip(makes, load, strict=True)]),
            pack([int(make.memory_gib * GIB * part) for make, part in zip(makes, load, strict=True)]),
            pack([int(80 * part) for part in load]),
            pack([0] * count),
            pack([int(make.gpus * part) for make, part in zip(makes, load, strict=True)]),
        ],
        used_resources=["cpu", "memory"],
        used=[
            pack([int(make.cores * 500 * part) for make, part in zip(makes, load, strict=True)]),
            pack([int(make.memory_gib * GIB * part / 2) for make, part in zip(makes, load, strict=True)]),
        ],
        requests=[{"cpu": 250, "memory": 256 * 1024**2}, {"cpu": 1000, "memory": 2 * GIB}],
        bound=[
            Bound(_WORKLOADS[(row + sequence) % 20], _TEMPLATES[(row + sequence) % 20], row, 1, row % 2)
            for row in range(count)
        ],
    )


def pack(values: list[int]) -> bytes:
    return np.array(values, "<i8").tobytes()


_POLICIES = [
    TopologyPolicy("single-numa-node"),
    TopologyPolicy("single-numa-node", "pod"),
    TopologyPolicy("none"),
]
_UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "NoSchedule")
_WORKLOADS = [f"7d1f5a1e-2b0c-4c3e-9d65-0000000000{each:02d}" for each in range(20)]
_TEMPLATES = [f"{each:016x}" for each in range(20)]


def encoded(number: int, nodes: int) -> list[tuple[str, bytes]]:
    return [(tail, encode(report)) for tail, report in cluster_reports(number, nodes)]
