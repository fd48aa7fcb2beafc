"""What the cluster says of one ordered object: counts, and whether it is as it should be."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import msgspec

from agents.observe.shapes import (
    Condition,
    CronJobStatus,
    Metadata,
    ObjectShape,
    ObjectSpec,
    ObjectStatusShape,
)
from schemas.paths import find, first, parse_path
from schemas.wire.orders import HealthCheck, HealthRule, ObjectRef
from schemas.wire.reports import ObjectStatus

_decode_cron_job = msgspec.json.Decoder(CronJobStatus | None)
_decode_spec = msgspec.json.Decoder(ObjectSpec | None)
_decode_status = msgspec.json.Decoder(ObjectStatusShape | None)
_REPLICATED = ("Deployment", "StatefulSet", "ReplicaSet")
_KNOWN = {
    *(("apps", kind) for kind in (*_REPLICATED, "DaemonSet")),
    *(("batch", kind) for kind in ("Job", "CronJob")),
    *(("", kind) for kind in ("Pod", "PersistentVolumeClaim")),
}
"""(group, kind)"""
_MESSAGE_LONGEST = 300


def is_known(ref: ObjectRef) -> bool:
    """Whether the kind is judged by what is known of it here."""
    return (ref.api_version.rpartition("/")[0], ref.kind) in _KNOWN


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
    if ref.kind == "CronJob" and group == "batch":
        return _cron_job(ref, spec, found)
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
        ref,
        healthy=failed is None,
        desired=desired,
        ready=done,
        updated=done,
        message=_text(failed),
        finished=failed is not None or _condition(status, "Complete", "True") is not None,
    )


def _cron_job(ref: ObjectRef, spec: ObjectSpec, found: ObjectShape) -> ObjectStatus:
    """Well as long as it is there: what became of its Jobs is theirs to tell."""
    try:
        status = _decode_cron_job.decode(found.status) or CronJobStatus()
    except msgspec.ValidationError:
        status = CronJobStatus()
    running = len(status.active or ())
    message = f"last scheduled {status.last_schedule_time}" if status.last_schedule_time else "not run yet"
    return _status(ref, healthy=True, ready=running, message="suspended" if spec.suspend else message)


def _pod(ref: ObjectRef, status: ObjectStatusShape) -> ObjectStatus:
    ready = _condition(status, "Ready", "True") is not None
    fine = ready or status.phase == "Succeeded"
    message = "" if fine else _text(_condition(status, "PodScheduled", "False")) or status.phase or ""
    over = status.phase in ("Succeeded", "Failed")
    return _status(ref, healthy=fine, desired=1, ready=int(ready), updated=1, message=message, finished=over)


def rule_for(ref: ObjectRef, rules: Sequence[HealthRule]) -> HealthRule | None:
    """What an order says of objects of this kind."""
    group = ref.api_version.rpartition("/")[0]
    return next((each for each in rules if (each.group, each.kind) == (group, ref.kind)), None)


def judge_by(
    rule: HealthRule, ref: ObjectRef, found: ObjectShape | None, status: ObjectStatus
) -> ObjectStatus:
    """By the rule of an order; as `status` has it where the rule cannot be read.

    Of a kind that is known here (`found` is None) a rule says only how many are enough.
    """
    if found is None:
        if rule.enough is None or status.healthy or status.ready < rule.enough:
            return status
        return msgspec.structs.replace(status, healthy=status.updated >= status.ready, message="")
    try:
        whole = {"spec": msgspec.json.decode(found.spec), "status": msgspec.json.decode(found.status)}
        return _by_rule(rule, ref, found.metadata.generation, whole)
    except (ValueError, msgspec.MsgspecError):
        return status


def _by_rule(rule: HealthRule, ref: ObjectRef, generation: int, whole: dict[str, Any]) -> ObjectStatus:
    desired, ready, updated = (_number(whole, each) for each in (rule.desired, rule.ready, rule.updated))
    failed = next((text for check in rule.failed if (text := _holds(check, whole)) is not None), None)
    seen = _number(whole, "status.observedGeneration")
    stale = seen is not None and seen < generation
    if rule.healthy:
        well = any(_holds(check, whole) is not None for check in rule.healthy)
    elif rule.ready:
        # Who writes a status leaves out what is zero, and at first there is none at all.
        well = (ready or 0) >= (desired or 0)
    else:
        well = _holds(_UNREADY, whole) is None
    counts = f"{ready or 0} of {desired} ready" if desired is not None else ""
    said = _text_at(whole, rule.message) or failed or (counts if not well else "")
    healthy = well and failed is None and not stale
    if stale and not said:
        said = "what was asked for last is not acted on yet"
    return _status(
        ref,
        healthy=healthy,
        desired=max(0, desired or 0),
        ready=max(0, ready or 0),
        updated=max(0, updated or ready or 0),
        message=said or ("" if healthy else "not ready yet"),
        finished=not stale and any(_holds(check, whole) is not None for check in rule.finished),
    )


_UNREADY = HealthCheck(condition="Ready", status="False")


def _holds(check: HealthCheck, whole: dict[str, Any]) -> str | None:
    """What is said where it holds, None where it does not."""
    if check.condition:
        for _, condition in find(whole, ("status", "conditions", None)):
            if isinstance(condition, dict):
                fields = cast(dict[str, Any], condition)
                if fields.get("type") == check.condition and fields.get("status") == check.status:
                    return str(fields.get("message") or fields.get("reason") or check.condition)
        return None
    value = first(whole, _path(check.path))
    holds = any(type(value) is type(each) and value == each for each in check.values)
    return f"{check.path} is {value}" if holds else None


def _number(whole: dict[str, Any], path: str) -> int | None:
    value = first(whole, _path(path)) if path else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62:
        return value
    return None


def _text_at(whole: dict[str, Any], path: str) -> str:
    value = first(whole, _path(path)) if path else None
    return value if isinstance(value, str) else ""


_path = lru_cache(maxsize=1024)(parse_path)


def _status(
    ref: ObjectRef,
    *,
    healthy: bool,
    desired: int = 0,
    ready: int = 0,
    updated: int = 0,
    message: str = "",
    finished: bool = False,
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
        finished=finished,
    )


def _condition(status: ObjectStatusShape, kind: str, value: str) -> Condition | None:
    found = (each for each in status.conditions or () if each.type == kind and each.status == value)
    return next(found, None)


def _text(condition: Condition | None) -> str:
    return "" if condition is None else condition.message or condition.reason or condition.type
