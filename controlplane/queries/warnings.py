"""What is taken, and may yet not be what was meant."""

from collections.abc import Sequence

from controlplane.fleet.numa import pinning_warning
from controlplane.interpreters import Interpretation, Use, interpret, unmet, uses
from controlplane.interpreters.pods import mapping, pod_shape
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from schemas.manifests import WorkloadSpec

NAMED_AT_MOST = 20


def warnings(spec: WorkloadSpec, interpretation: Interpretation) -> tuple[str, ...]:
    """Each a sentence that names the field. NotUnderstood where one of them is not what Kubernetes takes."""
    return (*_unpinned(interpretation, spec), *_unmet(interpretation, spec))


def warnings_of(known: Known, record: WorkloadRecord) -> tuple[str, ...]:
    """Of a workload as it is stored."""
    try:
        spec = WorkloadSpec.model_validate(record.spec)
        return warnings(spec, interpret(spec.manifests, known.kinds))
    except ValueError:
        return ()


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
        f"{use.path}: {use} is not among the manifests: it must be there already, in every cluster"
        for use in missing[:NAMED_AT_MOST]
    ]
    if len(missing) > NAMED_AT_MOST:
        said.append(f"and {len(missing) - NAMED_AT_MOST} more that are not among the manifests")
    return said
