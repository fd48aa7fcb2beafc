"""What is taken, and may yet not be what was meant: told by the service and by `muster plan`. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from controlplane.fleet.numa import pinning_warning
from controlplane.interpreters import Interpretation, Kinds, Use, uncounted, unmet, uses
from controlplane.interpreters.pods import mapping, pod_shape
from controlplane.placement.naming import unknown_clusters
from schemas.manifests import WorkloadSpec

NAMED_AT_MOST = 20
_LACKING = "is not among the manifests"


def warnings(
    spec: WorkloadSpec, interpretation: Interpretation, kinds: Kinds, clusters: Callable[[], Collection[str]]
) -> tuple[str, ...]:
    """Each a sentence that names the field. NotUnderstood where one of them is not what Kubernetes takes.

    kinds: that are understood. clusters: names of those there are.
    """
    return (
        *unknown_clusters(spec, clusters),
        *_uncounted(spec, kinds),
        *_unpinned(interpretation, spec),
        *_unmet(interpretation, spec),
    )


def without_brought(said: Iterable[str], objects: Collection[Mapping[str, Any]]) -> list[str]:
    """The warnings, less those for what is lacking and stands in `objects`, brought by another workload."""
    brought = {
        f"{each['kind']} {'/'.join(filter(None, (metadata.get('namespace'), metadata['name'])))} {_LACKING}"
        for each in objects
        if each["apiVersion"] == "v1" and (metadata := each["metadata"])
    }
    return [each for each in said if not any(f": {one}:" in each for one in brought)]


def _uncounted(spec: WorkloadSpec, kinds: Kinds) -> list[str]:
    found = uncounted(spec.manifests, kinds)
    said: list[str] = []
    for index in found[:NAMED_AT_MOST]:
        manifest = spec.manifests[index]
        right = "apply an Interpreter" if "/" in manifest["apiVersion"] else "make it a Deployment"
        kind = manifest["kind"]
        said.append(
            f"spec.manifests[{index}]: kind {kind} is not understood: its pods are not counted; {right}"
        )
    if len(found) > NAMED_AT_MOST:
        said.append(f"and {len(found) - NAMED_AT_MOST} more objects whose kind is not understood")
    return said


def _unpinned(interpretation: Interpretation, spec: WorkloadSpec) -> list[str]:
    """A wish for CPUs of its own, or for one zone, that no kubelet grants to such a pod."""
    if spec.topology is None:
        return []
    field = "exclusiveCPUs" if spec.topology.exclusive_cpus else "singleNUMA"
    whys = [
        pinning_warning(pod_shape(mapping(each.pod.get("spec"), each.path), each.path))
        for each in interpretation.components
    ]
    return [f"spec.topology.{field}: {why}" for why in whys if why is not None]


def _unmet(interpretation: Interpretation, spec: WorkloadSpec) -> list[str]:
    missing: Sequence[Use] = unmet(uses(interpretation.components), spec.manifests)
    said = [
        f"{use.path}: {use} {_LACKING}: it must be there already, in every cluster"
        for use in missing[:NAMED_AT_MOST]
    ]
    if len(missing) > NAMED_AT_MOST:
        said.append(f"and {len(missing) - NAMED_AT_MOST} more that are not among the manifests")
    return said
