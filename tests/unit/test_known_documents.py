"""A kind that is kept as it stands, in memory: what is newer stays; who makes something of it is told."""

import pytest

from controlplane.known.documents import Shelf
from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from schemas.manifests import DOCUMENTS, KINDS


class Counted(Shelf):
    changes = 0

    def changed(self) -> None:
        self.changes += 1


def one(name: str, version: int = 1) -> DocumentRecord:
    return DocumentRecord(name, {}, version)


@pytest.mark.parametrize(
    ("held", "found", "named", "after", "changes"),
    [
        ([], [one("a")], ["a"], {"a": 1}, 1),
        ([one("a")], [one("a")], ["a"], {"a": 1}, 0),
        ([one("a")], [one("a", 2)], ["a"], {"a": 2}, 1),
        ([one("a", 3)], [one("a", 2)], ["a"], {"a": 3}, 0),
        ([one("a"), one("b")], [], ["a"], {"b": 1}, 1),
        ([one("a")], [], ["b"], {"a": 1}, 0),
    ],
    ids=["new", "the same", "newer", "older", "gone", "never there"],
)
def test_what_was_read_again_is_taken(
    held: list[DocumentRecord],
    found: list[DocumentRecord],
    named: list[str],
    after: dict[str, int],
    changes: int,
) -> None:
    shelf = Counted()
    shelf.replace(held)
    before = shelf.changes
    shelf.take(found, named)
    assert {name: record.resource_version for name, record in shelf.records.items()} == after
    assert shelf.changes - before == changes


def test_every_such_kind_has_its_shelf() -> None:
    assert Known().documents.keys() == DOCUMENTS.keys() < KINDS.keys()
