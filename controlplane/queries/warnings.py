"""What is taken, and may yet not be what was meant: of workloads as they are stored."""

from controlplane.interpreters import Interpretation, interpret
from controlplane.known.known import Known
from controlplane.known.records import Standing, WorkloadRecord
from controlplane.placement.warnings import warnings
from schemas.manifests import WorkloadSpec


def warnings_of(known: Known, record: WorkloadRecord) -> tuple[str, ...]:
    """Of a workload as it is stored."""
    try:
        spec = WorkloadSpec.model_validate(record.spec)
        return warnings_over(known, spec, interpret(spec.manifests, known.kinds))
    except ValueError:
        return ()


def warnings_over(known: Known, spec: WorkloadSpec, interpretation: Interpretation) -> tuple[str, ...]:
    """Of one that is being written. NotUnderstood."""

    def clusters() -> set[str]:
        return {each.name for each in known.clusters.values() if each.standing is not Standing.REMOVED}

    return warnings(spec, interpretation, known.kinds, clusters)
