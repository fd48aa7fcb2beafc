"""The fleet at 100 clusters x 5,000 nodes: ingest, memory, rebuild, placements cold and warm: by labels, by
features and taints, by NUMA zones.

Everything is measured in a process of its own, which reads reports as a replica of the centre would: body by
body, as bytes of the wire.
"""

import json
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from controlplane.fleet import Demand, Fleet, Numa, Requirement, Term, Toleration
from controlplane.fleet.demand import Operator
from controlplane.placement import Affinity, ClusterView, Division, PlacementRequest, place
from schemas.wire.codec import decode, encode
from schemas.wire.hardware import Topology
from schemas.wire.reports import Facts, Inventory, Profile, Usage
from tests.benchmarks.world import GIB, cluster_reports, zone_reports

CLUSTERS = 100
NODES = 5_000
ROUNDS = 25
_KINDS: dict[str, type[Facts | Profile | Inventory | Usage | Topology]] = {
    "facts": Facts,
    "profile": Profile,
    "inventory": Inventory,
    "usage": Usage,
    "topology": Topology,
}
_HEADER = struct.Struct("<III")
_CPUID = "feature.node.kubernetes.io/cpu-cpuid."


def figures() -> dict[str, float]:
    """Every figure of the fleet."""
    with tempfile.TemporaryDirectory() as folder:
        state, later, zones = (Path(folder, name) for name in ("state", "usage", "zones"))
        with state.open("wb") as state_file, later.open("wb") as later_file, zones.open("wb") as zones_file:
            for number in range(CLUSTERS):
                for tail, report in cluster_reports(number, NODES):
                    _write(state_file.write, f"cluster-{number}", tail, encode(report))
                    if isinstance(report, Usage):
                        newer = msgspec.structs.replace(report, sequence=report.sequence + 1_000_000)
                        _write(later_file.write, f"cluster-{number}", tail, encode(newer))
                for tail, report in zone_reports(number, NODES):
                    _write(zones_file.write, f"cluster-{number}", tail, encode(report))
        found = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.fleet", str(state), str(later), str(zones)],
            check=True,
            capture_output=True,
            timeout=300,
        )
    measured: dict[str, float] = json.loads(found.stdout)
    return measured


def measure(state: Path, later: Path, zones: Path) -> dict[str, float]:
    """In this process, which should have done nothing before. Zones come last: what they take shows."""
    before = _resident_mb()
    fleet = Fleet()
    started = time.perf_counter()
    _ingest(fleet, _read(state))
    rebuilt = time.perf_counter() - started
    views = [
        ClusterView(name, name, {"env": "prod", "number": name[-1]}, region=f"region-{index % 20}")
        for index, name in enumerate(fleet.clusters)
    ]
    _placed(fleet, views, _demand(0))
    resident = _resident_mb() - before
    bodies = list(_read(later))
    started = time.perf_counter()
    _ingest(fleet, bodies)
    ingested = time.perf_counter() - started
    for name in fleet.clusters:
        assert fleet.completeness(name) is None
        assert fleet.missing(name) == []
    placing = _placing(fleet, views, "place", _demand) | _placing(fleet, views, "place_features", _featured)
    _ingest(fleet, _read(zones))
    placing |= _placing(fleet, views, "place_numa", _aligned)
    return {
        "fleet_rebuild_seconds": round(rebuilt, 3),
        "fleet_mb": round(resident, 1),
        "fleet_with_zones_mb": round(_resident_mb() - before, 1),
        "ingest_usage_nodes_per_second": round(CLUSTERS * NODES / ingested),
        **placing,
    }


def _placing(
    fleet: Fleet, views: list[ClusterView], name: str, demand: Callable[[int], Demand]
) -> dict[str, float]:
    """cold: a demand that was never asked for; warm: the same again."""
    asked = [demand(each) for each in range(1, ROUNDS)]
    cold = [_timed(lambda each=each: _placed(fleet, views, each)) for each in asked]
    warm = [_timed(lambda: _placed(fleet, views, demand(1))) for _ in range(200)]
    return {
        f"{name}_cold_ms": round(statistics.median(cold), 3),
        f"{name}_warm_ms": round(statistics.median(warm), 3),
    }


def _demand(number: int) -> Demand:
    """A new signature for every number: features, affinity and tolerations, as a careful user writes them."""
    return Demand.of(
        {"cpu": 1500 + number, "memory": 4 * GIB, "ephemeral-storage": GIB},
        {"kubernetes.io/os": "linux", f"{_CPUID}AVX2": "true"},
        [
            Term(
                (
                    Requirement("kubernetes.io/arch", Operator.IN, ("amd64", "arm64")),
                    Requirement(f"{_CPUID}AMXTILE", Operator.DOES_NOT_EXIST),
                    Requirement("example.com/pool", Operator.NOT_IN, ("pool-5",)),
                )
            ),
            Term((Requirement(f"{_CPUID}AVX512F", Operator.EXISTS),)),
        ],
        [Toleration("nvidia.com/gpu", "Exists", effect="NoSchedule")],
    )


def _featured(number: int) -> Demand:
    """By what NFD found raw, on nodes that others are kept off."""
    return Demand.of(
        {"cpu": 1500 + number, "memory": 4 * GIB},
        {"kubernetes.io/os": "linux"},
        tolerations=[Toleration("nvidia.com/gpu", "Exists", effect="NoSchedule")],
        traits=[
            Requirement("feature:cpu.cpuid.AVX2", Operator.EXISTS),
            Requirement("feature:cpu.cpuid.AMXTILE", Operator.DOES_NOT_EXIST),
            Requirement("feature:kernel.version.major", Operator.GE, ("6",)),
            Requirement("feature:cpu.model.vendor_id", Operator.IN, ("Intel", "AMD")),
            Requirement("handler:runc", Operator.EXISTS),
        ],
    )


def _aligned(number: int) -> Demand:
    """Four CPUs of its own and their memory, in one zone; features and tolerations as well."""
    amounts = (("cpu", 4000), ("memory", 8 * GIB + number * 1024**2))
    featured = _featured(number)
    return Demand.of(
        dict(amounts),
        dict(featured.node_selector),
        tolerations=featured.tolerations,
        traits=featured.traits,
        numa=Numa(running=(amounts,), pod=amounts, wanted=True),
    )


def _placed(fleet: Fleet, views: list[ClusterView], demand: Demand) -> None:
    request = PlacementRequest(
        "7d1f5a1e-2b0c-4c3e-9d65-3f1c5a0b7e11",
        10_000,
        affinity=Affinity(labels=(Requirement("env", Operator.IN, ("prod",)),)),
        division=Division.DYNAMIC,
        kinds=("apps/v1/Deployment",),
    )
    ids = [view.id for view in views]
    decision = place(request, views, fleet.available(demand, ids), fleet.matching(demand, ids))
    assert sum(decision.assignments.values()) == request.replicas, decision.error


def _ingest(
    fleet: Fleet, messages: "Iterator[tuple[str, str, bytes]] | list[tuple[str, str, bytes]]"
) -> None:
    for cluster, tail, body in messages:
        kind, _, name = tail.partition(".")
        match decode(_KINDS[kind], body):
            case Usage() as report:
                fleet.apply_usage(cluster, name, report)
            case Inventory() as report:
                fleet.apply_inventory(cluster, name, report)
            case Profile() as report:
                fleet.apply_profile(cluster, name, report)
            case Facts() as report:
                fleet.apply_facts(cluster, report)
            case Topology() as report:
                fleet.apply_topology(cluster, name, report)
            case _:
                raise AssertionError(kind)


def _timed(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1000


def _write(write: Callable[[bytes], int], cluster: str, tail: str, body: bytes) -> None:
    parts = cluster.encode(), tail.encode(), body
    write(_HEADER.pack(*map(len, parts)) + b"".join(parts))


def _read(path: Path) -> Iterator[tuple[str, str, bytes]]:
    with path.open("rb") as file:
        while header := file.read(_HEADER.size):
            cluster, tail, body = (file.read(size) for size in _HEADER.unpack(header))
            yield cluster.decode(), tail.decode(), body


def _resident_mb() -> float:
    try:
        fields = Path("/proc/self/status").read_text().split("\n")
        return next(int(line.split()[1]) for line in fields if line.startswith("VmRSS")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(measure(*map(Path, sys.argv[1:4]))))
