"""What was just committed is known at once: who writes and then reads sees what was written.

The loop that follows the changes brings the same records; what is newer stays.
"""

from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, Standing, WorkloadRecord


def remember_workload(known: Known, record: WorkloadRecord) -> None:
    held = known.workloads.get(record.uid)
    if held is None or held.resource_version < record.resource_version:
        known.put_workload(record)


def remember_cluster(known: Known, record: ClusterRecord) -> None:
    held = known.clusters.get(record.id)
    if held is None or held.resource_version < record.resource_version:
        known.clusters[record.id] = record
        if record.standing is not Standing.REMOVED:
            known.fleet.put_headroom(record.id, record.headroom)
