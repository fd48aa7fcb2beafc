"""The etcd of a simulated cluster: objects in memory, written through to SQLite, with a bounded history."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agents.simulation.bodies import labels_of


class Kind(NamedTuple):
    group: str
    plural: str


class Name(NamedTuple):
    namespace: str
    name: str


def name_of(body: dict[str, Any]) -> Name:
    """As it is stored under."""
    metadata = body["metadata"]
    return Name(metadata.get("namespace", ""), metadata["name"])


class Stored(msgspec.Struct, frozen=True, eq=False):
    """`body` is shared: whoever changes it takes a copy. `raw` is what goes over the wire."""

    body: dict[str, Any]
    raw: bytes


class Event(msgspec.Struct, frozen=True, eq=False):
    resource_version: int
    type: str
    kind: Kind
    raw: bytes
    labels: dict[str, str]
    previous_labels: dict[str, str] | None


_KEEP = "insert into object values (?, ?, ?, ?, ?) on conflict do update set body = excluded.body"
_DROP = "delete from object where grp = ? and plural = ? and namespace = ? and name = ?"

Listener = Callable[[Kind, Name, Stored | None, Stored | None], None]
"""Hears of a change after it was made: (kind, name, before, after), None for what is not there."""


class TooOld(Exception):
    """The history does not reach back that far."""


class Objects:
    """Every object of the cluster. Resource versions are one counter that survives deletes and restarts."""

    def __init__(self, path: str | Path = ":memory:", *, history: int = 8192) -> None:
        # Of what nobody can open again nothing has to be written through.
        self._is_written = str(path) != ":memory:"
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        # What is written outlives the process; nothing here has to outlive the machine.
        self._db.execute("pragma synchronous = off")
        self._db.executescript(
            # With rowids: bodies beside the keys make every step of a search pass over bodies.
            "create table if not exists object (grp text, plural text, namespace text, name text, body blob,"
            " primary key (grp, plural, namespace, name));"
            "create table if not exists meta (name text primary key, value text) without rowid;"
        )
        self._kinds: dict[Kind, dict[Name, Stored]] = {}
        # Written with every deletion; of what is there, each object knows its own.
        self._version = int(self.meta("resource_version") or "0")
        for group, plural, namespace, name, raw in self._db.execute("select * from object"):
            stored = Stored(msgspec.json.decode(raw), raw)
            self._kinds.setdefault(Kind(group, plural), {})[Name(namespace, name)] = stored
            self._version = max(self._version, int(stored.body["metadata"]["resourceVersion"]))
        self._unsaved: dict[tuple[Kind, Name], bytes | None] = {}
        self._unsaved_meta: dict[str, str] = {}
        self._events: deque[Event] = deque(maxlen=history)
        self._oldest = self._saved = self._aged = self._version
        self._waiting: dict[Kind, list[asyncio.Future[None]]] = {}
        self._recorded: set[Kind] = set()
        self._unanswered: list[asyncio.Future[None]] = []
        self._depth = 0
        self._listeners: list[tuple[frozenset[Kind], Listener]] = []
        self._hearing: dict[Kind, list[Listener]] = {}

    @property
    def resource_version(self) -> int:
        return self._version

    @property
    def empty(self) -> bool:
        return not self._kinds

    def close(self) -> None:
        self._db.close()

    def meta(self, name: str) -> str | None:
        row = self._db.execute("select value from meta where name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_meta(self, name: str, value: str) -> None:
        """Written with the next change."""
        self._unsaved_meta[name] = value

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Many changes, one write; a process killed inside leaves none of them."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._save()

    def begin_gathering(self) -> None:
        """Until `end_gathering`, in the same turn of the loop, nothing is written: await `saved` after it."""
        self._depth += 1

    def end_gathering(self) -> None:
        self._depth -= 1

    async def saved(self) -> None:
        """Return when every change so far outlives the process: one write for those of one turn of the loop.

        Until then no watcher sees them, so that nothing is told anywhere that a kill could undo.
        """
        if not self._unsaved and not self._unsaved_meta:
            return
        loop = asyncio.get_running_loop()
        if not self._unanswered:
            loop.call_soon(self._save_and_answer)
        answer: asyncio.Future[None] = loop.create_future()
        self._unanswered.append(answer)
        await answer

    def get(self, kind: Kind, name: Name) -> dict[str, Any] | None:
        """A copy that the caller may change."""
        stored = self._kinds.get(kind, {}).get(name)
        return None if stored is None else msgspec.json.decode(stored.raw)

    def peek(self, kind: Kind, name: Name) -> dict[str, Any] | None:
        """The shared body: look, do not touch."""
        stored = self._kinds.get(kind, {}).get(name)
        return None if stored is None else stored.body

    def of(self, kind: Kind) -> list[Stored]:
        """All of a kind, by namespace and name."""
        return [stored for _, stored in sorted(self._kinds.get(kind, {}).items())]

    def kinds(self) -> list[Kind]:
        return list(self._kinds)

    def names(self, kind: Kind) -> list[Name]:
        """All of a kind, in no order that means anything."""
        return list(self._kinds.get(kind, ()))

    def on_change(self, listener: Listener, *kinds: Kind) -> None:
        """Tell `listener` of every change from now on; kinds: of these only."""
        self._listeners.append((frozenset(kinds), listener))
        self._hearing.clear()

    def put(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        """Store `body` under its name with the next resource version; takes ownership of it."""
        name = name_of(body)
        previous = self._kinds.get(kind, {}).get(name)
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        stored = Stored(body, msgspec.json.encode(body))
        self._kinds.setdefault(kind, {})[name] = stored
        self._unsaved[kind, name] = stored.raw
        before = None if previous is None else labels_of(previous.body)
        self._record("ADDED" if previous is None else "MODIFIED", kind, stored, before)
        if not self._depth:
            self._save()
        self._tell(kind, name, previous, stored)
        return body

    def delete(self, kind: Kind, name: Name) -> None:
        """Remove; the last event of the object carries the resource version of its end."""
        stored = self._kinds.get(kind, {}).pop(name, None)
        if stored is None:
            return
        self._version += 1
        self._unsaved[kind, name] = None
        self.set_meta("resource_version", str(self._version))
        body: dict[str, Any] = msgspec.json.decode(stored.raw)
        body["metadata"]["resourceVersion"] = str(self._version)
        self._record("DELETED", kind, Stored(body, msgspec.json.encode(body)), labels_of(stored.body))
        if not self._depth:
            self._save()
        self._tell(kind, name, stored, None)

    def since(self, resource_version: int) -> list[Event]:
        """What happened after `resource_version`. Raises TooOld."""
        if resource_version < self._oldest:
            raise TooOld
        # The newest are at the right; a watcher is seldom far behind.
        late: list[Event] = []
        for event in reversed(self._events):
            if event.resource_version <= resource_version:
                break
            if event.resource_version <= self._saved:
                late.append(event)
        late.reverse()
        return late

    def age(self) -> None:
        """Forget the history of before the last call; `aged` is of before the next."""
        while self._events and self._events[0].resource_version <= self._aged:
            self._oldest = self._events.popleft().resource_version
        self._aged = self._version

    @property
    def aged(self) -> int:
        """A watch that is told less than this is too old before long."""
        return self._aged

    def compact(self) -> None:
        """Forget the history: every watch from before is too old."""
        self._events.clear()
        self._oldest = self._version

    def wake(self) -> None:
        """Let every watcher look again."""
        self._wake(list(self._waiting))

    def _wake(self, kinds: Iterable[Kind]) -> None:
        for kind in kinds:
            for future in self._waiting.pop(kind, ()):
                if not future.done():
                    future.set_result(None)

    async def changed(self, kind: Kind) -> None:
        """Return after the next change of this kind, or when all are to look."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(kind, []).append(future)
        await future

    def _save(self) -> None:
        """What changed since it was last called, whole or not at all; one statement needs no transaction."""
        unsaved, self._unsaved = self._unsaved, {}
        meta, self._unsaved_meta = self._unsaved_meta, {}
        if self._is_written:
            self._write(unsaved, meta)
        if self._recorded:
            self._saved = self._version
            recorded, self._recorded = self._recorded, set()
            # Who is woken first acts first: not in the order of a set, which differs from process to process.
            self._wake(sorted(recorded))

    def _write(self, unsaved: dict[tuple[Kind, Name], bytes | None], meta: dict[str, str]) -> None:
        kept = [(*kind, *name, raw) for (kind, name), raw in unsaved.items() if raw is not None]
        if len(kept) == len(unsaved) == 1 and not meta:
            self._db.execute(_KEEP, kept[0])
        elif unsaved or meta:
            gone = [(*kind, *name) for (kind, name), raw in unsaved.items() if raw is None]
            self._db.execute("begin")
            self._db.executemany(_KEEP, kept)
            self._db.executemany(_DROP, gone)
            self._db.executemany("insert or replace into meta values (?, ?)", meta.items())
            self._db.execute("commit")

    def _save_and_answer(self) -> None:
        unanswered, self._unanswered = self._unanswered, []
        failure: Exception | None = None
        try:
            self._save()
        except sqlite3.Error as error:
            failure = error
        for answer in unanswered:
            if answer.done():
                continue
            if failure is not None:
                answer.set_exception(failure)
            else:
                answer.set_result(None)

    def _tell(self, kind: Kind, name: Name, before: Stored | None, after: Stored | None) -> None:
        hearing = self._hearing.get(kind)
        if hearing is None:
            hearing = self._hearing[kind] = [
                listener for kinds, listener in self._listeners if not kinds or kind in kinds
            ]
        for listener in hearing:
            listener(kind, name, before, after)

    def _record(self, type_: str, kind: Kind, stored: Stored, before: dict[str, str] | None) -> None:
        if len(self._events) == self._events.maxlen:
            self._oldest = self._events[0].resource_version
        self._events.append(Event(self._version, type_, kind, stored.raw, labels_of(stored.body), before))
        self._recorded.add(kind)
