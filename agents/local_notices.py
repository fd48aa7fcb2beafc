"""What the agent itself has told local receivers, and is still to tell: tables in the file of the spool.

A message is committed here before it is sent, and goes off the list in the transaction that puts its record
into the log of alerts: an agent killed in between sends it once more, under the same key.
"""

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from schemas.wire.alerts import Alert, Episode, SentLocally
from schemas.wire.reports import Stamp

_TABLES = (
    "create table if not exists local_notice (key text primary key, receiver text, made_at real, firing blob,"
    " resolved blob) without rowid;"
    "create table if not exists local_told (receiver text, labels blob, starts_at real, told_at real,"
    " primary key (receiver, labels)) without rowid;"
    "create table if not exists local_ended (labels blob primary key, body blob) without rowid;"
    "create table if not exists local_cursor (waited real primary key, incarnation integer,"
    " sequence integer) without rowid;"
)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Alert])
_alert_decoder = msgspec.json.Decoder(Alert)
ToldKey = tuple[str, bytes]
"""(receiver, labels)"""


def labels_key(labels: Mapping[str, str]) -> bytes:
    """Equal for equal labels."""
    return _encoder.encode(sorted(labels.items()))


@dataclass(frozen=True)
class Told:
    """That a local receiver was told of an alert as firing. Unix seconds."""

    starts_at: float
    told_at: float


@dataclass(frozen=True)
class LocalNotice:
    """One message to one local receiver. made_at: Unix seconds."""

    receiver: str
    made_at: float
    firing: Sequence[Alert]
    resolved: Sequence[Alert]

    @property
    def key(self) -> str:
        """The idempotency key: the same for the same message, whoever sends it, and however often."""
        told = [(labels_key(each.labels).decode(), each.starts_at) for each in self.firing]
        ended = [(labels_key(each.labels).decode(), each.starts_at) for each in self.resolved]
        content = _encoder.encode((self.receiver, self.made_at, told, ended))
        return hashlib.sha256(content).hexdigest()[:32]

    def record(self, *, at: float, delivered: bool, attempts: int, detail: str) -> SentLocally:
        """What the centre is to know of it."""
        return SentLocally(
            at=at,
            receiver=self.receiver,
            key=self.key,
            firing=[Episode(labels=each.labels, starts_at=each.starts_at) for each in self.firing],
            resolved=[Episode(labels=each.labels, starts_at=each.starts_at) for each in self.resolved],
            delivered=delivered,
            attempts=attempts,
            detail=detail,
        )


class LocalNotices:
    """Its methods that write belong into a transaction of who owns the connection."""

    def __init__(self, db: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        db.executescript(_TABLES)
        self._db = db
        self._reader = reader
        rows = db.execute("select receiver, labels, starts_at, told_at from local_told")
        self.told: dict[ToldKey, Told] = {(row[0], row[1]): Told(row[2], row[3]) for row in rows}
        self._watched = {labels for _, labels in self.told}
        self.endings = int(db.execute("select count(*) from local_ended").fetchone()[0])

    def pending(self) -> list[LocalNotice]:
        """What is to be sent, the oldest first."""
        rows = self._reader.execute(
            "select receiver, made_at, firing, resolved from local_notice order by made_at, key"
        )
        return [LocalNotice(row[0], row[1], _decoder.decode(row[2]), _decoder.decode(row[3])) for row in rows]

    def note_ended(self, bodies: Sequence[bytes], now: float) -> int:
        """Keep the ends among these of what local receivers were told of: how many there are."""
        if not self._watched:
            return 0
        noted = 0
        for body in bodies:
            for alert in _decoder.decode(body):
                key = labels_key(alert.labels)
                if 0 < alert.ends_at <= now and key in self._watched:
                    self._db.execute(
                        "insert or replace into local_ended values (?, ?)", (key, _encoder.encode(alert))
                    )
                    noted += 1
        return noted

    def ended(self, noted: int) -> None:
        """So many that `note_ended` kept are committed."""
        self.endings += noted

    def read_ended(self) -> dict[bytes, Alert]:
        """By labels."""
        rows = self._db.execute("select labels, body from local_ended")
        return {row[0]: _alert_decoder.decode(row[1]) for row in rows}

    def plan(self, notices: Sequence[LocalNotice]) -> None:
        """They are to be sent; what they say counts as told from now on, and no end waits any more."""
        self._db.execute("delete from local_ended")
        for notice in notices:
            self._db.execute(
                "insert or ignore into local_notice values (?, ?, ?, ?, ?)",
                (
                    notice.key,
                    notice.receiver,
                    notice.made_at,
                    _encoder.encode(list(notice.firing)),
                    _encoder.encode(list(notice.resolved)),
                ),
            )
            for alert in notice.firing:
                self._db.execute(
                    "insert or replace into local_told values (?, ?, ?, ?)",
                    (notice.receiver, labels_key(alert.labels), alert.starts_at, notice.made_at),
                )
            self._forget(notice.receiver, [labels_key(alert.labels) for alert in notice.resolved])

    def cursor(self, waited: float) -> Stamp:
        """Up to where batches were looked at after having waited so long."""
        row = self._db.execute(
            "select incarnation, sequence from local_cursor where waited = ?", (waited,)
        ).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def move_cursor(self, waited: float, stamp: Stamp) -> None:
        self._db.execute("insert or replace into local_cursor values (?, ?, ?)", (waited, *stamp))

    def cursor_places(self) -> dict[float, int]:
        """Which rows the cursors stand at, before batches are numbered anew; none where all are above."""
        places: dict[float, int] = {}
        for waited, *stamp in self._db.execute("select waited, incarnation, sequence from local_cursor"):
            row = self._db.execute(
                "select rowid from alert where (incarnation, sequence) <= (?, ?)"
                " order by incarnation desc, sequence desc limit 1",
                stamp,
            ).fetchone()
            if row:
                places[waited] = row[0]
        return places

    def follow_places(self, places: Mapping[float, int]) -> None:
        """The rows have got other numbers."""
        for waited, number in places.items():
            row = self._db.execute(
                "select incarnation, sequence from alert where rowid = ?", (number,)
            ).fetchone()
            self.move_cursor(waited, (row[0], row[1]))

    def settle(self, sent: SentLocally) -> None:
        """It is sent, or given up: then the receiver was told of nothing."""
        self._db.execute("delete from local_notice where key = ?", (sent.key,))
        if not sent.delivered:
            self._forget(sent.receiver, [labels_key(episode.labels) for episode in sent.firing])

    def reload(self) -> None:
        """After a transaction that planned or settled something."""
        rows = self._db.execute("select receiver, labels, starts_at, told_at from local_told")
        self.told = {(row[0], row[1]): Told(row[2], row[3]) for row in rows}
        self._watched = {labels for _, labels in self.told}
        self.endings = int(self._db.execute("select count(*) from local_ended").fetchone()[0])

    def _forget(self, receiver: str, keys: Sequence[bytes]) -> None:
        self._db.executemany(
            "delete from local_told where receiver = ? and labels = ?", [(receiver, key) for key in keys]
        )
