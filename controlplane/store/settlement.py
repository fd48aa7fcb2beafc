"""What writes to workloads come to, given what is stored. Pure: the store reads, asks here, then writes."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec

from controlplane.intent import NotFound, PreconditionFailed, Taken, WorkloadDraft, Write
from controlplane.known.records import Change, RevisionRecord, WorkloadRecord

KEPT_SECONDS = 24 * 3600.0
"""How long an idempotency key answers with its first result."""
T = TypeVar("T")
Key = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """What was answered to (principal, idempotency key). content: fingerprint. result: JSON of the record."""

    content: bytes
    result: bytes

    @classmethod
    def of(cls, content: bytes, result: Any) -> "Answer":
        return cls(content, msgspec.json.encode(result))

    def again(self, key: str, content: bytes, kind: type[T]) -> T:
        """The first result. Raises Taken when it was given to something else."""
        if content != self.content:
            raise Taken(f"the idempotency key {key!r} was used for another request")
        return msgspec.json.decode(self.result, type=kind)


def fingerprint(operation: str, *content: Any) -> bytes:
    """32 bytes over what is asked for. TypeError or UnicodeEncodeError for what is no JSON."""
    return hashlib.sha256(msgspec.json.encode((operation, *content), order="deterministic")).digest()


def key_of(write: Write) -> Key | None:
    return None if write.idempotency_key is None else (write.principal, write.idempotency_key)


def check_condition(name: str, write: Write, current: int | None) -> None:
    """Compare If-Match with the resource version, None for what does not exist. Raises PreconditionFailed."""
    if write.if_match is not None and write.if_match != (current or 0):
        raise PreconditionFailed(name, current or 0)


def changed(kind: str, name: str, uid: str, what: str, by: str, **detail: Any) -> Change:
    """A change that is not yet numbered; the store gives id and time."""
    return Change(0, 0.0, kind, name, uid, what, by, detail)


@dataclass
class Settlement:
    """One transaction's writes to workloads, in the order in which they came.

    standing: workloads by name, as they are. answers: given before. now: Unix seconds.
    versions: unused resource versions. The other fields collect what is to be written.
    """

    standing: dict[str, WorkloadRecord]
    answers: Mapping[Key, Answer]
    now: float
    versions: Iterator[int]
    new_uid: Callable[[], str]
    written: dict[str, WorkloadRecord] = field(default_factory=dict[str, WorkloadRecord])
    revisions: list[RevisionRecord] = field(default_factory=list[RevisionRecord])
    changes: list[Change] = field(default_factory=list[Change])
    answered: dict[Key, Answer] = field(default_factory=dict[Key, Answer])

    def submit(self, draft: WorkloadDraft, write: Write) -> WorkloadRecord:
        return self._once(fingerprint("submit", draft), write, lambda: self._submit(draft, write))

    def rollback(self, name: str, old: RevisionRecord | None, revision: int, write: Write) -> WorkloadRecord:
        """`old`: the revision as it is stored, None where there is none."""
        content = fingerprint("rollback", name, revision)
        return self._once(content, write, lambda: self._rollback(name, old, revision, write))

    def delete(self, name: str, write: Write) -> WorkloadRecord:
        return self._once(fingerprint("delete", name), write, lambda: self._delete(name, write))

    def reschedule(self, name: str, write: Write) -> WorkloadRecord:
        return self._once(fingerprint("reschedule", name), write, lambda: self._reschedule(name, write))

    def _once(self, content: bytes, write: Write, act: Callable[[], WorkloadRecord]) -> WorkloadRecord:
        key = key_of(write)
        if key is None:
            return act()
        answer = self.answered.get(key) or self.answers.get(key)
        if answer is not None:
            return answer.again(key[1], content, WorkloadRecord)
        record = act()
        self.answered[key] = Answer.of(content, record)
        return record

    def _submit(self, draft: WorkloadDraft, write: Write) -> WorkloadRecord:
        current = self.standing.get(draft.name)
        check_condition(draft.name, write, current.resource_version if current else None)
        if current is None:
            return self._create(draft, write)
        if draft == _draft_of(current):
            return current
        revised = draft.spec != current.spec
        record = replace(
            current,
            labels=draft.labels,
            annotations=draft.annotations,
            tenant=draft.tenant,
            spec=draft.spec,
            revision=current.revision + 1 if revised else current.revision,
            **self._stamp(write),
        )
        return self._put(record, write, "Changed", cause="submit" if revised else None)

    def _create(self, draft: WorkloadDraft, write: Write) -> WorkloadRecord:
        record = WorkloadRecord(
            uid=self.new_uid(),
            name=draft.name,
            labels=draft.labels,
            annotations=draft.annotations,
            tenant=draft.tenant,
            revision=1,
            resource_version=next(self.versions),
            spec=draft.spec,
            deleted=False,
            created_at=self.now,
            updated_at=self.now,
            trace=write.trace,
        )
        return self._put(record, write, "Created", cause="submit")

    def _rollback(self, name: str, old: RevisionRecord | None, revision: int, write: Write) -> WorkloadRecord:
        current = self._existing(name, write)
        if old is None:
            raise NotFound(f"workload {name!r} has no revision {revision}; it is at {current.revision}")
        record = replace(current, spec=old.spec, revision=current.revision + 1, **self._stamp(write))
        return self._put(record, write, "RolledBack", cause=f"rollback to {revision}")

    def _delete(self, name: str, write: Write) -> WorkloadRecord:
        record = replace(self._existing(name, write), deleted=True, **self._stamp(write))
        return self._put(record, write, "Deleted", cause=None)

    def _reschedule(self, name: str, write: Write) -> WorkloadRecord:
        stamped = replace(self._existing(name, write), **self._stamp(write))
        record = replace(stamped, rescheduled=stamped.resource_version)
        return self._put(record, write, "RescheduleRequested", cause=None)

    def _existing(self, name: str, write: Write) -> WorkloadRecord:
        current = self.standing.get(name)
        if current is None:
            raise NotFound(f"there is no workload {name!r}")
        check_condition(name, write, current.resource_version)
        return current

    def _stamp(self, write: Write) -> dict[str, Any]:
        return {"resource_version": next(self.versions), "updated_at": self.now, "trace": write.trace}

    def _put(self, record: WorkloadRecord, write: Write, what: str, cause: str | None) -> WorkloadRecord:
        self.written[record.uid] = record
        if record.deleted:
            del self.standing[record.name]
        else:
            self.standing[record.name] = record
        if cause is not None:
            self.revisions.append(
                RevisionRecord(record.uid, record.revision, record.spec, self.now, write.principal, cause)
            )
        self.changes.append(
            changed("Workload", record.name, record.uid, what, write.principal, revision=record.revision)
        )
        return record


def by_name(records: Iterable[WorkloadRecord]) -> dict[str, WorkloadRecord]:
    return {record.name: record for record in records}


def _draft_of(record: WorkloadRecord) -> WorkloadDraft:
    return WorkloadDraft(record.name, record.labels, record.annotations, record.tenant, record.spec)
