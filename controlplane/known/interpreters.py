"""Interpreters that people declared, over the kinds that Muster understands itself."""

from collections.abc import Iterable, Mapping

from controlplane.interpreters import KINDS, Kinds, compiled_kind
from controlplane.interpreters.kinds import Kind
from controlplane.known.records import InterpreterRecord, WorkloadRecord
from schemas.manifests.interpreter import InterpreterSpec
from schemas.manifests.objects import group_kind


class Interpreters:
    """By name. `kinds` is another object after every change, and the same one until then."""

    def __init__(self) -> None:
        self._records: dict[str, InterpreterRecord] = {}
        self.kinds: Kinds = KINDS

    @property
    def records(self) -> Mapping[str, InterpreterRecord]:
        return self._records

    def replace(self, records: Iterable[InterpreterRecord]) -> None:
        fresh = {record.name: record for record in records}
        if fresh != self._records:
            self._records = fresh
            self._compile()

    def put(self, record: InterpreterRecord) -> None:
        """What is newer stays."""
        held = self._records.get(record.name)
        if held is None or held.resource_version < record.resource_version:
            self._records[record.name] = record
            self._compile()

    def drop(self, name: str) -> None:
        if self._records.pop(name, None) is not None:
            self._compile()

    def of_kind(self, group_and_kind: str) -> InterpreterRecord | None:
        """`ray.io/RayCluster`"""
        found = (each for each in self._records.values() if target(each) == group_and_kind)
        return next(found, None)

    def declares(self, workload: WorkloadRecord) -> bool:
        """Whether what the workload means depends on one of them."""
        declared = {target(each) for each in self._records.values()}
        return bool(declared) and any(group_kind(each) in declared for each in workload.spec["manifests"])

    def _compile(self) -> None:
        compiled: dict[str, Kind] = {}
        for record in self._records.values():
            try:
                name, kind = compiled_kind(InterpreterSpec.model_validate(record.spec))
            except ValueError:
                # Stored by another version of ours: one kind must not keep the centre from starting.
                continue
            compiled[name] = kind
        self.kinds = {**KINDS, **compiled} if compiled else KINDS


def target(record: InterpreterRecord) -> str:
    return f"{record.spec['group']}/{record.spec['kind']}"


def users(workloads: Iterable[WorkloadRecord], group_and_kind: str) -> list[str]:
    """Names of the living workloads with an object of that kind, sorted."""
    return sorted(
        record.name
        for record in workloads
        if not record.deleted and any(group_kind(each) == group_and_kind for each in record.spec["manifests"])
    )
