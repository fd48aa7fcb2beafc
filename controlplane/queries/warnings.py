"""What is taken, and may yet not be what was meant: of workloads as they are stored."""

from controlplane.interpreters import interpret
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.placement.warnings import warnings
from schemas.manifests import WorkloadSpec


def warnings_of(known: Known, record: WorkloadRecord) -> tuple[str, ...]:
    """Of a workload as it is stored."""
    try:
        spec = WorkloadSpec.model_validate(record.spec)
        return warnings(spec, interpret(spec.manifests, known.kinds))
    except ValueError:
        return ()
