"""Interpreters that people declared, over the kinds that Muster understands itself."""

from collections.abc import Iterable

from controlplane.interpreters import KINDS, Kinds, compiled_kind
from controlplane.interpreters.kinds import Kind
from controlplane.known.documents import Shelf
from controlplane.known.records import DocumentRecord, WorkloadRecord
from schemas.manifests.interpreter import InterpreterSpec
from schemas.manifests.objects import group_kind


class Interpreters(Shelf):
    """`kinds` is another object after every change, and the same one until then."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Kinds = KINDS

    def declares(self, workload: WorkloadRecord) -> bool:
        """Whether what the workload means depends on one of them."""
        declared = {target(each) for each in self.records.values()}
        return bool(declared) and any(group_kind(each) in declared for each in workload.spec["manifests"])

    def changed(self) -> None:
        compiled: dict[str, Kind] = {}
        for record in self.records.values():
            try:
                name, kind = compiled_kind(InterpreterSpec.model_validate(record.spec))
            except ValueError:
                # Stored by another version of ours: one kind must not keep the centre from starting.
                continue
            compiled[name] = kind
        self.kinds = {**KINDS, **compiled} if compiled else KINDS


def target(record: DocumentRecord) -> str:
    return f"{record.spec['group']}/{record.spec['kind']}"


def users(workloads: Iterable[WorkloadRecord], group_and_kind: str) -> list[str]:
    """Names of the living workloads with an object of that kind, sorted."""
    return sorted(
        record.name
        for record in workloads
        if not record.deleted and any(group_kind(each) == group_and_kind for each in record.spec["manifests"])
    )
