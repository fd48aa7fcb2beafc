"""What alerting needs of Postgres and of the ways to people."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from controlplane.alerts.configuration import History
from controlplane.alerts.entry import Entry, SavedAlert, SavedBoard, SavedGroup
from controlplane.alerts.notice import Answer, Attempt, Flush, Happened, Notice, Sent
from controlplane.known.records import Lease


@dataclass(frozen=True)
class Attempted:
    """An attempt with what follows from it, as Board.settled says for the last one.

    sent: replaces the log of its (group, receiver, integration); group: replaces how its group stands.
    """

    attempt: Attempt
    sent: Sent | None = None
    happened: Sequence[Happened] = ()
    group: SavedGroup | None = None


@dataclass(frozen=True)
class Tried:
    """One attempt at one message; `key` is its own."""

    receiver: str
    integration: str
    at: float
    key: str


class HeartbeatStore(Protocol):
    """When each heartbeat was heard of last, or first expected. Raises StoreUnavailable."""

    async def read_heartbeats(self) -> Mapping[str, float]: ...

    async def write_heartbeats(self, lease: Lease, heard: Mapping[str, float]) -> None:
        """All of them; others are forgotten. Raises LeaseLost."""
        ...


class AlertStore(HeartbeatStore, Protocol):
    """Postgres for alerts. Every write is one transaction; those that name a lease raise LeaseLost.

    Any method raises StoreUnavailable.
    """

    async def append_entries(self, entries: Sequence[Entry]) -> Sequence[int]:
        """Committed when this returns: their ids, in the order of the log. Many callers share a commit.

        Silences are written to their table in the same transaction, so that they can be read by id at once.
        """
        ...

    async def read_entries(self, after: int, limit: int) -> Sequence[tuple[int, Entry]]:
        """In commit order: none appears later below one that was read."""
        ...

    async def entry_horizon(self) -> tuple[int, int]:
        """(first entry that is kept, last id given): who has not applied what is below must load anew."""
        ...

    async def wait_for_entry(self, timeout_seconds: float) -> None:
        """Until somebody appends (NOTIFY), or the timeout."""
        ...

    async def load_board(self) -> SavedBoard: ...

    async def commit_flushes(
        self, lease: Lease, flushes: Sequence[Flush], groups: Sequence[SavedGroup]
    ) -> None:
        """Timers, notices and history of these flushes; a flush without next_at removes its group."""
        ...

    async def record_attempts(self, lease: Lease, attempts: Sequence[Attempted]) -> None:
        """Attempts, the log of notifications and history; a last attempt takes its notice off the pending.

        May be repeated where the outcome is unknown: what was recorded is not recorded again.
        """
        ...

    async def recent_messages(self, since: float, keys: Collection[str]) -> Sequence[Tried]:
        """Those that were tried since then, and those of `keys` that ever were; the oldest first."""
        ...

    async def record_happened(self, lease: Lease, happened: Sequence[Happened]) -> None: ...

    async def checkpoint(
        self, lease: Lease, applied: int, alerts: Sequence[SavedAlert], gone: Collection[str]
    ) -> None:
        """The saved board is as of entry `applied` now (or of a later one, where a later one was named
        before): these changed, those are forgotten."""
        ...

    async def trim(self, lease: Lease, now: float, bounds: History) -> bool:
        """A part of what may be forgotten: the log below the checkpoint but for the last ten minutes, history
        and attempts beyond their bounds, silences that ended long ago. Whether there is more.
        """
        ...


class DeadMansSwitch(Protocol):
    """Whoever is outside and alarms when we stay silent."""

    async def call(self, url: str) -> Answer:
        """One POST, bounded in time. Never raises but CancelledError."""
        ...


class Channels(Protocol):
    """The ways to people."""

    async def send(self, notice: Notice) -> Answer:
        """One attempt, bounded in time and size. Never raises but CancelledError."""
        ...
