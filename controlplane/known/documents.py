"""What people wrote of one kind that is kept as it stands, in memory."""

from collections.abc import Iterable, Mapping

from controlplane.known.records import DocumentRecord


class Shelf:
    """By name; what is newer stays. A kind of which something is made overrides `changed`.

    version: grows with every change.
    """

    def __init__(self) -> None:
        self._records: dict[str, DocumentRecord] = {}
        self.version = 0

    @property
    def records(self) -> Mapping[str, DocumentRecord]:
        return self._records

    def replace(self, records: Iterable[DocumentRecord]) -> None:
        fresh = {record.name: record for record in records}
        if fresh != self._records:
            self._records = fresh
            self._note()

    def put(self, record: DocumentRecord) -> None:
        held = self._records.get(record.name)
        if held is None or held.resource_version < record.resource_version:
            self._records[record.name] = record
            self._note()

    def drop(self, name: str) -> None:
        if self._records.pop(name, None) is not None:
            self._note()

    def take(self, found: Iterable[DocumentRecord], named: Iterable[str]) -> None:
        """Those of `named` as they were read again: what was not found is there no more."""
        gone = set(named)
        for record in found:
            self.put(record)
            gone.discard(record.name)
        for name in gone:
            self.drop(name)

    def _note(self) -> None:
        self.version += 1
        self.changed()

    def changed(self) -> None:
        """After every change of the records."""
