"""The three member clusters of the demo, simulated or on real API servers."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.client import ClientError
from controlplane.embedded.kube import KubeControlPlane
from controlplane.embedded.kube_assets import KubeMissing, find_kube_assets
from controlplane.embedded.kube_nodes import PretendedNode, PretendedTaint, pretended_nodes

_AMX = {"feature.node.kubernetes.io/cpu-cpuid.AMXTILE": "true"}
_KATA = {"katacontainers.io/kata-runtime": "true"}
_GPU = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.count": "8"}


@dataclass(frozen=True)
class Member:
    """make: of the simulated cluster. nodes, objects: of the real one, nodes pretended by kwok.

    objects: (path of the API, body).
    """

    name: str
    make: str
    labels: Mapping[str, str]
    nodes: Sequence[PretendedNode]
    objects: Sequence[tuple[str, Mapping[str, Any]]] = ()


def _zoned(region: str, zone: str, provider: str) -> dict[str, str]:
    return {
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": zone,
        "muster.dev/provider": provider,
    }


_RUNTIME_CLASS = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "kata"},
    "handler": "kata-qemu",
    "overhead": {"podFixed": {"cpu": "250m", "memory": "320Mi"}},
    "scheduling": {"nodeSelector": _KATA},
}

MEMBERS = (
    Member(
        name="cloud-eu",
        make="cloud",
        labels={"muster.dev/environment": "prod", "muster.dev/site": "cloud"},
        nodes=[
            node
            for zone in "abc"
            for node in pretended_nodes(
                4,
                f"ip-10-0-{zone}",
                labels=_zoned("eu-central-1", f"eu-central-1{zone}", "aws"),
                allocatable={"cpu": "7910m", "memory": "31455012Ki", "pods": "58"},
            )
        ],
    ),
    Member(
        name="dc-north",
        make="datacentre",
        labels={"muster.dev/environment": "prod", "muster.dev/site": "datacentre"},
        nodes=[
            *pretended_nodes(
                4,
                "amx",
                labels={**_zoned("fra", "hall-1", "baremetal"), **_AMX, **_KATA},
                allocatable={"cpu": "126", "memory": "523986Mi", "pods": "250"},
            ),
            *pretended_nodes(
                2,
                "gpu",
                labels={**_zoned("fra", "hall-2", "baremetal"), **_AMX, **_GPU},
                allocatable={"cpu": "190", "memory": "2063000Mi", "pods": "250", "nvidia.com/gpu": "8"},
                taints=[PretendedTaint("nvidia.com/gpu", "NoSchedule", "present")],
            ),
        ],
        objects=[("/apis/node.k8s.io/v1/runtimeclasses", _RUNTIME_CLASS)],
    ),
    Member(
        name="edge-07",
        make="edge",
        labels={"muster.dev/environment": "edge", "muster.dev/site": "edge"},
        nodes=pretended_nodes(
            3,
            "edge",
            labels={**_zoned("plant-7", "line-a", "edge"), "kubernetes.io/arch": "arm64"},
            allocatable={"cpu": "3800m", "memory": "7400Mi", "pods": "60"},
        ),
    ),
)


async def start_api_server(stack: AsyncExitStack, folder: Path, member: Member) -> list[str]:
    """A real control plane with the member's nodes; the agent's arguments. ClientError without binaries."""
    assets = find_kube_assets()
    if isinstance(assets, KubeMissing):
        raise ClientError(f"no real API server here: {assets}")
    if not assets.runs_workloads:
        raise ClientError(f"pods need {', '.join(assets.absent)} beside the API server")
    plane = await stack.enter_async_context(KubeControlPlane(folder / member.name, assets))
    await plane.add_nodes(member.nodes)
    async with plane.client() as client:
        for path, body in member.objects:
            (await client.post(path, json=body)).raise_for_status()
    return ["--kubeconfig", str(plane.kubeconfig), "--beat-seconds", "2", "--metrics-seconds", "5"]


def simulated_arguments(member: Member, seed: int) -> list[str]:
    return ["--simulate", member.make, "--seed", str(seed), "--beat-seconds", "2", "--metrics-seconds", "5"]
