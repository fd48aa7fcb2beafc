"""What the DCGM exporter of a simulated node says. A node's annotation says what is wrong with its GPUs."""

from typing import Any

import msgspec

from agents.observe.quantities import amounts
from agents.simulation.bodies import Body, annotations_of, labels_of

TROUBLED = "simulation.muster.dev/gpus"
"""On a node: JSON, by number of the GPU: `{"3": {"xid": 79, "used_share": 1.0}}`."""
EXPORTER_LABELS = {"app.kubernetes.io/name": "dcgm-exporter"}
PORT = 9400
_FREE_MIB = 81_000
_USUAL_SHARE = 0.4


def exporter_manifest(node: str, number: int) -> Body:
    """The exporter's pod on a node; it asks for nothing, as NVIDIA's chart has it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"dcgm-exporter-{node}", "namespace": "kube-system", "labels": EXPORTER_LABELS},
        "spec": {
            "nodeName": node,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "exporter",
                    "image": "registry.example/dcgm-exporter:4",
                    "ports": [{"name": "metrics", "containerPort": PORT}],
                }
            ],
        },
        "status": {"phase": "Pending", "podIP": f"10.244.{number // 250}.{number % 250 + 1}"},
    }


def exposition(node: Body) -> str:
    """The metrics, in Prometheus' text format."""
    troubled: dict[str, Any] = msgspec.json.decode(annotations_of(node).get(TROUBLED, "{}"))
    model = labels_of(node).get("nvidia.com/gpu.product", "")
    memory = int(labels_of(node).get("nvidia.com/gpu.memory", _FREE_MIB))
    lines = [
        f"# HELP {name} As DCGM has it.\n# TYPE {name} gauge"
        for name in ("DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_XID_ERRORS")
    ]
    name = node["metadata"]["name"]
    for gpu in range(amounts(node["status"]["allocatable"]).get("nvidia.com/gpu", 0)):
        said = troubled.get(str(gpu), {})
        used = int(memory * said.get("used_share", _USUAL_SHARE))
        labels = (
            f'gpu="{gpu}",UUID="GPU-{name}-{gpu}",device="nvidia{gpu}",modelName="{model}",Hostname="{name}"'
        )
        lines.append(f"DCGM_FI_DEV_FB_FREE{{{labels}}} {memory - used}")
        lines.append(f"DCGM_FI_DEV_FB_USED{{{labels}}} {used}")
        lines.append(f"DCGM_FI_DEV_XID_ERRORS{{{labels}}} {said.get('xid', 0)}")
    return "\n".join(lines) + "\n"
