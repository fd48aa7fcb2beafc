"""What the cluster says of one ordered object: counts, and whether it is as it should be."""

import msgspec

from agents.observe.shapes import Condition, Metadata, ObjectShape, ObjectSpec, ObjectStatusShape
from schemas.wire.orders import ObjectRef
from schemas.wire.reports import ObjectStatus

_decode_spec = msgspec.json.Decoder(ObjectSpec | None)
_decode_status = msgspec.json.Decoder(ObjectStatusShape | None)
_REPLICATED = ("Deployment", "StatefulSet", "ReplicaSet")
_MESSAGE_LONGEST = 300


def judge(ref: ObjectRef, found: ObjectShape) -> ObjectStatus:
    """The object's standing. A kind that is not known is healthy unless a condition Ready says otherwise."""
    try:
        spec = _decode_spec.decode(found.spec) or ObjectSpec()
        status = _decode_status.decode(found.status) or ObjectStatusShape()
    except msgspec.ValidationError:
        # A custom kind may use the same names for other things.
        spec, status = ObjectSpec(), ObjectStatusShape()
    group = ref.api_version.rpartition("/")[0]
    if ref.kind in _REPLICATED and group == "apps":
        return _replicated(ref, found.metadata, spec, status)
    if ref.kind == "DaemonSet" and group == "apps":
        return _daemons(ref, found.metadata, status)
    if ref.kind == "Job" and group == "batch":
        return _job(ref, spec, status)
    if ref.kind == "Pod" and not group:
        return _pod(ref, status)
    if ref.kind == "PersistentVolumeClaim" and not group and status.phase == "Lost":
        return _status(ref, healthy=False, message="its volume is lost")
    unready = _condition(status, "Ready", "False")
    return _status(ref, healthy=unready is None, message=_text(unready))


def _replicated(
    ref: ObjectRef, metadata: Metadata, spec: ObjectSpec, status: ObjectStatusShape
) -> ObjectStatus:
    desired = 1 if spec.replicas is None else spec.replicas
    # A ReplicaSet has no updated pods of its own: its template does not change under it.
    updated = status.replicas if ref.kind == "ReplicaSet" else status.updated_replicas
    seen = (status.observed_generation or 0) >= metadata.generation
    # While older pods are still there, the ready ones may be those: the new image need not run at all.
    old = max(0, status.replicas - updated)
    healthy = seen and not old and updated >= desired and status.ready_replicas >= desired
    message = "" if healthy else f"{status.ready_replicas} of {desired} ready, {updated} updated"
    message += f", {old} old" if old else ""
    stuck = _condition(status, "Progressing", "False") or _condition(status, "ReplicaFailure", "True")
    return _status(
        ref,
        healthy=healthy,
        desired=desired,
        ready=status.ready_replicas,
        updated=updated,
        message=_text(stuck) or message,
    )


def _daemons(ref: ObjectRef, metadata: Metadata, status: ObjectStatusShape) -> ObjectStatus:
    desired, ready = status.desired_number_scheduled, status.number_ready
    seen = (status.observed_generation or 0) >= metadata.generation
    healthy = seen and ready >= desired and status.updated_number_scheduled >= desired
    return _status(
        ref,
        healthy=healthy,
        desired=desired,
        ready=ready,
        updated=status.updated_number_scheduled,
        message="" if healthy else f"{ready} of {desired} ready",
    )


def _job(ref: ObjectRef, spec: ObjectSpec, status: ObjectStatusShape) -> ObjectStatus:
    desired = spec.completions if spec.completions is not None else spec.parallelism or 1
    failed = _condition(status, "Failed", "True")
    done = (status.succeeded or 0) + (status.ready or 0)
    return _status(
        ref, healthy=failed is None, desired=desired, ready=done, updated=done, message=_text(failed)
    )


def _pod(ref: ObjectRef, status: ObjectStatusShape) -> ObjectStatus:
    ready = _condition(status, "Ready", "True") is not None
    fine = ready or status.phase == "Succeeded"
    message = "" if fine else _text(_condition(status, "PodScheduled", "False")) or status.phase or ""
    return _status(ref, healthy=fine, desired=1, ready=int(ready), updated=1, message=message)


def _status(
    ref: ObjectRef, *, healthy: bool, desired: int = 0, ready: int = 0, updated: int = 0, message: str = ""
) -> ObjectStatus:
    return ObjectStatus(
        api_version=ref.api_version,
        kind=ref.kind,
        namespace=ref.namespace,
        name=ref.name,
        healthy=healthy,
        desired=desired,
        ready=ready,
        updated=updated,
        message=message[:_MESSAGE_LONGEST],
    )


def _condition(status: ObjectStatusShape, kind: str, value: str) -> Condition | None:
    found = (each for each in status.conditions or () if each.type == kind and each.status == value)
    return next(found, None)


def _text(condition: Condition | None) -> str:
    return "" if condition is None else condition.message or condition.reason or condition.type
