"""Alerts on disk until the centre has committed them. What `append` has returned for survives a power cut.

A batch has a stamp (incarnation, sequence), gap-free within an incarnation. Sending trims nothing: only the
watermark does that the centre names, and only when it speaks of an incarnation of this very disk. Another
agent's watermark passes over batches that nobody has committed; those are numbered anew instead.

Beside the batches lies what fires of the agent's own alerts (begun and not yet ended, by their labels), and
what the agent sends by itself (`local`), in the same transactions.

One thread may append while another one reads: reading never waits for a slow disk.

A full disk takes no more alerts, and what the centre has committed still leaves it: room is kept for that.
"""

import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from agents.local_notices import LocalNotice, LocalNotices
from agents.reserve import Reserve
from schemas.wire.alerts import Alert, SentLocally, follows
from schemas.wire.reports import Stamp

MOST_BATCHES = 100_000
MOST_BYTES = 256 * 1024 * 1024
LARGEST_BATCH_BYTES = 256 * 1024
READ_AT_ONCE_BYTES = 2 * 1024 * 1024
BUSY_SECONDS = 30.0
HEARD_SECONDS = 30.0
T = TypeVar("T")
_log = structlog.get_logger()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Alert])
_alert_decoder = msgspec.json.Decoder(Alert)
_sent_decoder = msgspec.json.Decoder(list[SentLocally])
_TABLES = (
    "create table if not exists alert (incarnation integer, sequence integer, received_at real,"
    " body blob, primary key (incarnation, sequence));"
    "create table if not exists own (incarnation integer primary key);"
    "create table if not exists counter (name text primary key, value integer) without rowid;"
    "create table if not exists firing (labels blob primary key, body blob) without rowid;"
)


class SpoolFull(Exception):
    """No room: the alert is not accepted, and whoever brought it must try again (503)."""


class BatchTooLarge(ValueError):
    """More at once than goes into one message; the text says the bound."""


@dataclass(frozen=True)
class Spooled:
    """One batch as it was accepted. received_at: Unix seconds. body: its alerts as JSON.

    trace: a traceparent, "" for none.
    """

    stamp: Stamp
    received_at: float
    body: bytes
    sent: bytes = b""
    trace: str = ""

    @property
    def alerts(self) -> list[Alert]:
        return _decoder.decode(self.body)

    @property
    def sent_locally(self) -> list[SentLocally]:
        return _sent_decoder.decode(self.sent) if self.sent else []


@dataclass(frozen=True)
class Unconfirmed:
    """What the centre has not confirmed in `waited` seconds and nobody looked at yet.

    reports: (alert, when it was received, whether it has waited so long), oldest first: what came later is
    there too, since an alert may have ended by it. ended: ends of what local receivers were told of.
    """

    waited: float
    reports: Iterable[tuple[Alert, float, bool]]
    ended: Mapping[bytes, Alert]


class Spool:
    """One file, one process. Durable before `append` returns.

    sent_until: received_at of the newest batch that was handed to the bus since this process started.
    heard_at: when the centre last answered, to half a minute, Unix seconds; 0 for never.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        most_batches: int = MOST_BATCHES,
        most_bytes: int = MOST_BYTES,
        reserve_bytes: int = 0,
    ) -> None:
        """reserve_bytes: kept beside the file, on its disk, for what frees room there."""
        self._most_batches = most_batches
        self._most_bytes = most_bytes
        self._lock = threading.RLock()
        place = Path(path).resolve() if reserve_bytes else Path(path)
        self._reserve = Reserve(place.with_name(f"{place.name}.reserve"), reserve_bytes)
        self._db = self._with_room(lambda: _made(path))
        self._reader = _opened(path)
        self.local = LocalNotices(self._db, self._reader)
        row = self._db.execute("select count(*), coalesce(sum(length(body)), 0) from alert").fetchone()
        self._batches, self._bytes = int(row[0]), int(row[1])
        self._own = {int(own[0]) for own in self._db.execute("select incarnation from own")}
        self._incarnation = self._counter("incarnation")
        self._sequence = self._counter("sequence")
        self.sent_until = 0.0
        self.heard_at = float(self._counter("heard_at"))
        self._reserve.keep()

    @property
    def depth(self) -> int:
        """Batches that the centre has not committed yet."""
        return self._batches

    @property
    def size(self) -> int:
        """What these take, in bytes."""
        return self._bytes

    @property
    def fullness(self) -> float:
        """1: nothing more is taken."""
        return max(self._batches / self._most_batches, self._bytes / self._most_bytes)

    @property
    def incarnation(self) -> int:
        """The last one that this disk knows of."""
        return self._incarnation

    def close(self) -> None:
        with self._lock:
            self._reader.close()
            self._db.close()

    def begin(self, incarnation: int, *, renumber_from: int) -> None:
        """Go on under a new incarnation. ValueError when it is not above the last one; SpoolFull where the
        disk does not take it, and all is as before.

        What lies here of `renumber_from` and above was never sent, or cannot be taken where it stands: it
        becomes the first of the new incarnation, in the same order.
        """
        with self._lock:
            if incarnation <= self._incarnation:
                raise ValueError(f"incarnation {incarnation}: above {self._incarnation} is expected")
            # What came before anything had begun was nobody's to send.
            renumber_from = renumber_from if self._incarnation else 0
            moved = self._with_room(lambda: self._renumber(incarnation, renumber_from))
            self._own.add(incarnation)
            self._incarnation, self._sequence = incarnation, moved

    def _renumber(self, incarnation: int, renumber_from: int) -> int:
        with self._transaction():
            places = self.local.cursor_places()
            moved = self._db.execute(
                "update alert set incarnation = ?, sequence = place from"
                " (select rowid as number, row_number() over (order by incarnation, sequence) as place"
                "  from alert where incarnation >= ?) where number = alert.rowid",
                (incarnation, renumber_from),
            ).rowcount
            self.local.follow_places(places)
            self._set_counters(incarnation, moved)
            self._db.execute("insert or ignore into own values (?)", (incarnation,))
        return moved

    def takes(self, watermark: Stamp) -> bool:
        """Whether the centre, standing at this watermark, can take what comes next from here.

        It cannot after it was restored from before, or after another agent has spoken for this cluster.
        """
        with self._lock:
            oldest = self.oldest()
            if watermark[0] in self._own and oldest is not None:
                later = self.after(watermark, 1)
                oldest = later[0].stamp if later else None
            return follows(watermark, oldest or (self._incarnation, self._sequence + 1))

    def oldest(self) -> Stamp | None:
        """The first batch here, None for none."""
        first = self.after((0, 0), 1)
        return first[0].stamp if first else None

    def append(self, alerts: Sequence[Alert], *, received_at: float, keep_firing: bool = False) -> Stamp:
        """Synced to disk when this returns. Raises SpoolFull and BatchTooLarge; then nothing was taken.

        keep_firing: `firing` tells of these from now on, until one with the same labels and an end comes.
        """
        body = _encoder.encode(list(alerts))
        keep = list(alerts) if keep_firing else []
        return self.append_bodies([body], received_at=received_at, keep_firing=keep)[0]

    def append_bodies(
        self,
        bodies: Sequence[bytes],
        *,
        received_at: float,
        keep_firing: Sequence[Alert] = (),
        trace: str = "",
    ) -> list[Stamp]:
        """As `append`: many batches, each a JSON list of `Alert`, in one transaction and one sync."""
        largest = max(map(len, bodies), default=0)
        if largest > LARGEST_BATCH_BYTES:
            raise BatchTooLarge(f"{largest} bytes of alerts at once; {LARGEST_BATCH_BYTES} are taken")
        size = sum(map(len, bodies))
        with self._lock:
            if self._batches + len(bodies) > self._most_batches or self._bytes + size > self._most_bytes:
                raise SpoolFull(f"{self._batches} batches wait for the centre; no more are taken")
            if not self._reserve.keep():
                raise SpoolFull("the disk is full; no more are taken")
            with self._transaction():
                stamps = self._insert([(body, None) for body in bodies], received_at, trace)
                self._keep_firing(keep_firing, received_at)
                ended = self.local.note_ended(bodies, received_at)
            self._count(stamps, size)
            self.local.ended(ended)
        return stamps

    def record_sent(self, sent: SentLocally, *, received_at: float) -> Stamp:
        """What the agent has sent by itself, or given up: a link of the log, and off the list of what is to
        be sent, in one transaction. Taken also when the spool is full. Raises SpoolFull where the disk fails.
        """
        with self._lock:
            with self._transaction():
                stamps = self._insert([(b"[]", _encoder.encode([sent]))], received_at)
                self.local.settle(sent)
            self._count(stamps, 2)
            self.local.reload()
        return stamps[0]

    def plan_locally(
        self, waits: Sequence[float], now: float, decide: Callable[[Unconfirmed], list[LocalNotice]]
    ) -> int:
        """What to send, of batches that have waited so long for the centre, and of what ended: committed when
        this returns. How many messages; 0: nothing had waited. Raises SpoolFull where the disk fails.

        waits: in seconds; each batch is looked at once for each. decide: quick, it holds the spool.
        """
        planned = 0
        with self._lock:
            for waited in waits:
                cursor = self.local.cursor(waited)
                last = self._last_received(cursor, now - waited)
                if last == cursor and not self.local.endings:
                    continue
                found = Unconfirmed(waited, self._reports(cursor, last), self.local.read_ended())
                notices = decide(found)
                with self._transaction():
                    self.local.plan(notices)
                    self.local.move_cursor(waited, last)
                self.local.reload()
                planned += len(notices)
        return planned

    def _last_received(self, after: Stamp, until: float) -> Stamp:
        """Of the batches above `after`, the last before the first that was received later than `until`."""
        last = after
        rows = self._db.execute(
            "select incarnation, sequence, received_at from alert"
            " where (incarnation, sequence) > (?, ?) order by incarnation, sequence",
            after,
        )
        for incarnation, sequence, received_at in rows:
            if received_at > until:
                break
            last = incarnation, sequence
        return last

    def _reports(self, after: Stamp, last: Stamp) -> Iterator[tuple[Alert, float, bool]]:
        rows = self._db.execute(
            "select incarnation, sequence, received_at, body from alert"
            " where (incarnation, sequence) > (?, ?) order by incarnation, sequence",
            after,
        )
        for incarnation, sequence, received_at, body in rows:
            for alert in _decoder.decode(body):
                yield alert, received_at, (incarnation, sequence) <= last

    def firing(self) -> list[Alert]:
        """What was spooled with `keep_firing` and has not ended."""
        return [_alert_decoder.decode(row[0]) for row in self._reader.execute("select body from firing")]

    def after(self, stamp: Stamp, limit: int) -> list[Spooled]:
        """Batches above `stamp`, in order: at most `limit`, and READ_AT_ONCE_BYTES or one."""
        if not self._batches:
            # As nearly always: what looks every second need not ask the disk.
            return []
        rows = self._reader.execute(
            "select incarnation, sequence, received_at, body, sent_locally, trace from alert"
            " where (incarnation, sequence) > (?, ?) order by incarnation, sequence limit ?",
            (*stamp, limit),
        )
        batches: list[Spooled] = []
        size = 0
        for row in rows:
            size += len(row[3])
            if batches and size > READ_AT_ONCE_BYTES:
                break
            batches.append(Spooled((row[0], row[1]), row[2], row[3], row[4] or b"", row[5] or ""))
        return batches

    def trim(self, watermark: Stamp) -> None:
        """The centre has committed up to here. While the disk is busy, or fails, nothing is done: it is said
        again."""
        if watermark[0] not in self._own or not self._lock.acquire(blocking=False):
            return
        try:
            where = "where (incarnation, sequence) <= (?, ?)"
            row = self._reader.execute(
                f"select count(*), coalesce(sum(length(body)), 0) from alert {where}", watermark
            ).fetchone()
            if row[0]:
                self._with_room(lambda: self._delete(f"delete from alert {where}", watermark))
                self._batches -= int(row[0])
                self._bytes -= int(row[1])
            if not self._reserve.is_kept:
                # What was written to free room goes into the database, and leaves room for the reserve.
                self._db.execute("pragma wal_checkpoint(truncate)")
                self._reserve.keep()
        except (SpoolFull, sqlite3.Error) as error:
            _log.error("spool_not_trimmed", detail=str(error))
        finally:
            self._lock.release()

    def _delete(self, statement: str, watermark: Stamp) -> None:
        # What a power cut brings back is trimmed again: this need not be synced.
        self._db.execute("pragma synchronous = normal")
        try:
            self._db.execute(statement, watermark)
        finally:
            self._db.execute("pragma synchronous = full")

    def _with_room(self, write: Callable[[], T]) -> T:
        """`write`, again with the room that is kept for it where there is no other. Raises SpoolFull."""
        try:
            return write()
        except (SpoolFull, sqlite3.OperationalError):
            if not self._reserve.give_up():
                raise
            _log.error("spool_disk_full", effect="no alerts are taken until there is room")
        return write()

    def note_heard(self, now: float) -> None:
        """The centre answers. Not synced, and nothing is done while the disk is busy."""
        if now - self.heard_at < HEARD_SECONDS or not self._lock.acquire(blocking=False):
            return
        try:
            self._db.execute("pragma synchronous = normal")
            self._db.execute("insert or replace into counter values ('heard_at', ?)", (int(now),))
            self._db.execute("pragma synchronous = full")
            self.heard_at = now
        except sqlite3.Error:
            # A full disk is told of where it matters.
            pass
        finally:
            self._lock.release()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        try:
            self._db.execute("begin immediate")
            yield
            self._db.execute("commit")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            if isinstance(error, sqlite3.Error):
                raise SpoolFull(f"the disk does not take it: {error}") from error
            raise

    def _insert(
        self, bodies: Sequence[tuple[bytes, bytes | None]], received_at: float, trace: str = ""
    ) -> list[Stamp]:
        first = self._sequence + 1
        stamps = [(self._incarnation, first + place) for place in range(len(bodies))]
        self._db.executemany(
            "insert into alert (incarnation, sequence, received_at, body, sent_locally, trace)"
            " values (?, ?, ?, ?, ?, ?)",
            [
                (*stamp, received_at, body, sent, trace or None)
                for stamp, (body, sent) in zip(stamps, bodies, strict=True)
            ],
        )
        self._set_counters(self._incarnation, self._sequence + len(bodies))
        return stamps

    def _count(self, stamps: list[Stamp], size: int) -> None:
        self._sequence += len(stamps)
        self._batches += len(stamps)
        self._bytes += size

    def _keep_firing(self, alerts: Sequence[Alert], now: float) -> None:
        for alert in alerts:
            labels = _encoder.encode(sorted(alert.labels.items()))
            if 0 < alert.ends_at <= now:
                self._db.execute("delete from firing where labels = ?", (labels,))
            else:
                self._db.execute(
                    "insert or replace into firing values (?, ?)", (labels, _encoder.encode(alert))
                )

    def _counter(self, name: str) -> int:
        row = self._db.execute("select value from counter where name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def _set_counters(self, incarnation: int, sequence: int) -> None:
        self._db.executemany(
            "insert or replace into counter values (?, ?)",
            (("incarnation", incarnation), ("sequence", sequence)),
        )


def _made(path: str | Path) -> sqlite3.Connection:
    db = _opened(path)
    db.executescript(_TABLES)
    _add_columns(db)
    return db


def _opened(path: str | Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    return db


def _add_columns(db: sqlite3.Connection) -> None:
    """Since the first release."""
    there = {row[1] for row in db.execute("pragma table_info(alert)")}
    if "sent_locally" not in there:
        db.execute("alter table alert add column sent_locally blob")
    if "trace" not in there:
        db.execute("alter table alert add column trace text")
