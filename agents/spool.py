"""Alerts on disk until the centre has committed them. What `append` has returned for survives a power cut.

A batch has a stamp (incarnation, sequence), gap-free within an incarnation. Sending trims nothing: only the
watermark does that the centre names, and only when it speaks of an incarnation of this very disk. Another
agent's watermark passes over batches that nobody has committed; those are numbered anew instead.

Beside the batches lies what fires of the agent's own alerts: begun and not yet ended, by their labels.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from schemas.wire.alerts import Alert, follows
from schemas.wire.reports import Stamp

MOST_BATCHES = 100_000
MOST_BYTES = 256 * 1024 * 1024
LARGEST_BATCH_BYTES = 256 * 1024
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Alert])
_alert_decoder = msgspec.json.Decoder(Alert)


class SpoolFull(Exception):
    """No room: the alert is not accepted, and whoever brought it must try again (503)."""


class BatchTooLarge(ValueError):
    """More at once than goes into one message; the text says the bound."""


@dataclass(frozen=True)
class Spooled:
    """One batch as it was accepted. received_at: Unix seconds."""

    stamp: Stamp
    received_at: float
    alerts: list[Alert]


class Spool:
    """One file, one process. Durable before `append` returns."""

    def __init__(
        self, path: str | Path, *, most_batches: int = MOST_BATCHES, most_bytes: int = MOST_BYTES
    ) -> None:
        self._most_batches = most_batches
        self._most_bytes = most_bytes
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(
            "create table if not exists alert (incarnation integer, sequence integer, received_at real,"
            " body blob, primary key (incarnation, sequence));"
            "create table if not exists own (incarnation integer primary key);"
            "create table if not exists counter (name text primary key, value integer) without rowid;"
            "create table if not exists firing (labels blob primary key, body blob) without rowid;"
        )
        row = self._db.execute("select count(*), coalesce(sum(length(body)), 0) from alert").fetchone()
        self._batches, self._bytes = int(row[0]), int(row[1])
        self._own = {int(own[0]) for own in self._db.execute("select incarnation from own")}
        self._incarnation = self._counter("incarnation")
        self._sequence = self._counter("sequence")

    @property
    def depth(self) -> int:
        """Batches that the centre has not committed yet."""
        return self._batches

    @property
    def incarnation(self) -> int:
        """The last one that this disk knows of."""
        return self._incarnation

    def close(self) -> None:
        self._db.close()

    def begin(self, incarnation: int, *, renumber_from: int) -> None:
        """Go on under a new incarnation. ValueError when it is not above the last one.

        What lies here of `renumber_from` and above was never sent, or cannot be taken where it stands: it
        becomes the first of the new incarnation, in the same order.
        """
        if incarnation <= self._incarnation:
            raise ValueError(f"incarnation {incarnation}: above {self._incarnation} is expected")
        self._db.execute("begin immediate")
        moved = self._db.execute(
            "update alert set incarnation = ?, sequence = place from"
            " (select rowid as number, row_number() over (order by incarnation, sequence) as place"
            "  from alert where incarnation >= ?) where number = alert.rowid",
            (incarnation, renumber_from),
        ).rowcount
        self._set_counters(incarnation, moved)
        self._db.execute("insert or ignore into own values (?)", (incarnation,))
        self._db.execute("commit")
        self._own.add(incarnation)
        self._incarnation, self._sequence = incarnation, moved

    def takes(self, watermark: Stamp) -> bool:
        """Whether the centre, standing at this watermark, can take what comes next from here.

        It cannot after it was restored from before, or after another agent has spoken for this cluster.
        """
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
        if len(body) > LARGEST_BATCH_BYTES:
            raise BatchTooLarge(f"{len(body)} bytes of alerts at once; {LARGEST_BATCH_BYTES} are taken")
        if self._batches >= self._most_batches or self._bytes + len(body) > self._most_bytes:
            raise SpoolFull(f"{self._batches} batches wait for the centre; no more are taken")
        stamp = self._incarnation, self._sequence + 1
        try:
            self._db.execute("begin immediate")
            self._db.execute("insert into alert values (?, ?, ?, ?)", (*stamp, received_at, body))
            if keep_firing:
                self._keep_firing(alerts)
            self._set_counters(*stamp)
            self._db.execute("commit")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise SpoolFull(f"the disk does not take it: {error}") from error
        self._sequence += 1
        self._batches += 1
        self._bytes += len(body)
        return stamp

    def firing(self) -> list[Alert]:
        """What was spooled with `keep_firing` and has not ended."""
        return [_alert_decoder.decode(row[0]) for row in self._db.execute("select body from firing")]

    def after(self, stamp: Stamp, limit: int) -> list[Spooled]:
        """Batches above `stamp`, in order."""
        rows = self._db.execute(
            "select incarnation, sequence, received_at, body from alert"
            " where (incarnation, sequence) > (?, ?) order by incarnation, sequence limit ?",
            (*stamp, limit),
        )
        return [Spooled((row[0], row[1]), row[2], _decoder.decode(row[3])) for row in rows]

    def trim(self, watermark: Stamp) -> None:
        """The centre has committed up to here."""
        if watermark[0] not in self._own:
            return
        where = "where (incarnation, sequence) <= (?, ?)"
        row = self._db.execute(
            f"select count(*), coalesce(sum(length(body)), 0) from alert {where}", watermark
        ).fetchone()
        if row[0]:
            self._db.execute(f"delete from alert {where}", watermark)
            self._batches -= int(row[0])
            self._bytes -= int(row[1])

    def _keep_firing(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            labels = _encoder.encode(sorted(alert.labels.items()))
            if alert.ends_at:
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
