"""JetStream's streams and the durable order consumer, as data: what the server promises, and may lose.

Checked against nats-server 2.15: `reconcileStateWithStream` for a consumer that a power cut left ahead of its
stream, and the start of a consumer above the last sequence, which is not clamped.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from controlplane.bus.streams import HEADROOM_BYTES
from schemas.wire.codec import MAX_MESSAGE_BYTES

ACK_WAIT_SECONDS = 30.0
JOURNAL_ENTRIES = 64


@dataclass(frozen=True)
class Stored:
    subject: str
    body: bytes
    sequence: int


class WrongLastSequence(Exception):
    """The subject is not where the publisher expected it; `sequence` is its last one, 0 for none."""

    def __init__(self, sequence: int) -> None:
        super().__init__(f"wrong last sequence: {sequence}")
        self.sequence = sequence


class StoreRefused(Exception):
    """Over the bounds of the stream: nothing was stored."""


@dataclass
class _Change:
    """What a power cut may undo. stored: what came; removed: what went with it, or was purged."""

    stored: Stored | None
    removed: tuple[Stored, ...]


@dataclass
class Stream:
    """`last_value` keeps one message a subject. Bounds are `discard: new`. created: Unix seconds."""

    name: str
    last_value: bool
    created: float
    max_bytes: int = 64 * 1024 * 1024
    last_sequence: int = 0
    restarts: int = 0
    _messages: dict[int, Stored] = field(default_factory=dict[int, Stored])
    _last: dict[str, int] = field(default_factory=dict[str, int])
    _journal: list[_Change] = field(default_factory=list[_Change])

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def size_bytes(self) -> int:
        return sum(len(message.body) + len(message.subject) for message in self._messages.values())

    def store(self, subject: str, body: bytes, expected_sequence: int | None = None) -> int:
        """Its sequence. Raises StoreRefused, WrongLastSequence."""
        last = self._last.get(subject, 0)
        if expected_sequence is not None and expected_sequence != last:
            raise WrongLastSequence(last)
        if len(body) + len(subject) > MAX_MESSAGE_BYTES + HEADROOM_BYTES:
            raise StoreRefused("message size exceeds maximum allowed")
        replaced = self._messages.pop(last, None) if self.last_value and last else None
        if self.size_bytes + len(body) + len(subject) > self.max_bytes:
            if replaced is not None:
                self._put_back([replaced])
            raise StoreRefused("maximum bytes exceeded")
        self.last_sequence += 1
        message = Stored(subject, body, self.last_sequence)
        self._messages[message.sequence] = message
        self._last[subject] = message.sequence
        self._note(_Change(message, (replaced,) if replaced else ()))
        return message.sequence

    def last(self, subject: str) -> Stored | None:
        return self._messages.get(self._last.get(subject, 0))

    def after(self, sequence: int, limit: int) -> list[Stored]:
        """The next messages above `sequence`, in order."""
        return [each for number, each in self._messages.items() if number > sequence][:limit]

    def get(self, sequence: int) -> Stored | None:
        return self._messages.get(sequence)

    def subjects(self) -> list[str]:
        return sorted({message.subject for message in self._messages.values()})

    def purge(self, subject: str, up_to_sequence: int | None) -> None:
        """Remove a subject's messages, up to and with `up_to_sequence` where it is given."""
        gone = [
            message
            for message in self._messages.values()
            if message.subject == subject and (up_to_sequence is None or message.sequence <= up_to_sequence)
        ]
        for message in gone:
            del self._messages[message.sequence]
        if self._last.get(subject, 0) not in self._messages:
            self._last.pop(subject, None)
        if gone:
            self._note(_Change(None, tuple(gone)))

    def lose_newest(self, count: int, returns: Callable[[Stored], bool]) -> list[str]:
        """A power cut takes the last `count` messages, and the purges since; sequences are used again.

        returns: whether a message that had been replaced or purged lies there again. The subjects lost.
        """
        lost: list[str] = []
        self.restarts += 1
        while self._journal and len(lost) < count:
            change = self._journal.pop()
            if change.stored is not None:
                lost.append(change.stored.subject)
                self._messages.pop(change.stored.sequence, None)
                self._last.pop(change.stored.subject, None)
                self.last_sequence = change.stored.sequence - 1
            self._put_back(message for message in change.removed if returns(message))
        return lost

    def wipe(self, created: float) -> None:
        """Deleted and made anew: sequences start again."""
        self.created, self.last_sequence, self.restarts = created, 0, self.restarts + 1
        self._messages.clear()
        self._last.clear()
        self._journal.clear()

    def _put_back(self, messages: Iterable[Stored]) -> None:
        for message in messages:
            self._messages[message.sequence] = message
        self._messages = dict(sorted(self._messages.items()))
        self._last = {message.subject: message.sequence for message in self._messages.values()}

    def _note(self, change: _Change) -> None:
        self._journal.append(change)
        del self._journal[:-JOURNAL_ENTRIES]


class OrderConsumer:
    """Durable, explicit acknowledgement, `last per subject`: everything that lies there, then what comes."""

    def __init__(
        self, stream: Stream, subject_prefix: str, ack_wait_seconds: float = ACK_WAIT_SECONDS
    ) -> None:
        self._stream = stream
        self._prefix = subject_prefix
        self._ack_wait_seconds = ack_wait_seconds
        self._next = 1
        self._redeliver_at: dict[int, float] = {}
        self._restarts = stream.restarts

    def fetch(self, limit: int, now: float) -> list[Stored]:
        """What waits for redelivery first, then what was never delivered."""
        self._reconcile()
        found: list[Stored] = []
        for sequence, due in list(self._redeliver_at.items()):
            message = self._stream.get(sequence)
            if message is None:
                del self._redeliver_at[sequence]
            elif due <= now and len(found) < limit:
                found.append(message)
        for message in self._stream.after(self._next - 1, len(self._stream)):
            if len(found) == limit:
                break
            self._next = message.sequence + 1
            if message.subject.startswith(self._prefix):
                found.append(message)
        for message in found:
            self._redeliver_at[message.sequence] = now + self._ack_wait_seconds
        return found

    def acknowledge(self, sequence: int) -> None:
        self._redeliver_at.pop(sequence, None)

    def next_redelivery(self) -> float | None:
        """Unix seconds, None where nothing waits for an acknowledgement."""
        return min(self._redeliver_at.values(), default=None)

    def _reconcile(self) -> None:
        if self._restarts == self._stream.restarts:
            return
        self._restarts = self._stream.restarts
        last = self._stream.last_sequence
        floor = min(self._redeliver_at, default=self._next) - 1
        if floor > last:
            self._redeliver_at.clear()
            floor = last
        self._redeliver_at = {number: due for number, due in self._redeliver_at.items() if number <= last}
        self._next = max(self._redeliver_at, default=floor) + 1
