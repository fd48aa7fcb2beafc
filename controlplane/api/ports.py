"""What the API is given. It makes nothing itself but answers."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry

from controlplane.access.tokens import Access
from controlplane.alerts.configuration import Configuration
from controlplane.alerts.entry import Entry
from controlplane.alerts.history import AttemptLine, HistoryLine, HistoryQuery
from controlplane.doctor.checks import Check
from controlplane.intent import Intent
from controlplane.known.known import Known
from controlplane.known.records import Change, LedgerEntry, LedgerQuery
from controlplane.loops.alert_ports import Channels
from controlplane.loops.ports import Clock

if TYPE_CHECKING:
    from controlplane.alerts.board import Board


@dataclass(frozen=True)
class JoinRequest:
    """What an agent brings. agent_key: public user NKey. sealing_key: X25519, 32 bytes."""

    token_hash: bytes
    agent_key: str
    sealing_key: bytes
    cluster_uid: str


@dataclass(frozen=True)
class Joined:
    """What it gets back. order_key: Ed25519 public key that orders are verified with, 32 bytes."""

    cluster_id: str
    user_jwt: str
    nats_urls: tuple[str, ...]
    order_key: bytes
    prefix: str


class Registrar(Protocol):
    async def join(self, request: JoinRequest) -> Joined:
        """Redeem the token, make the account, push it. NotFound: the token is unknown, used or expired.

        ValueError: a key is none. Taken: the cluster of that uid is registered already.
        """
        ...


class Sealer(Protocol):
    """Values of Secrets, before they are stored."""

    def seal(self, value: bytes) -> str:
        """The same value gives the same text (a nonce derived from key and value): then what is applied
        twice is no new revision, and a write that is repeated under one idempotency key is the same write.
        """
        ...


class ChangeReader(Protocol):
    """The store's, as the event stream needs it."""

    async def changes(self, after: int, limit: int) -> Sequence[Change]: ...

    async def wait_for_change(self, timeout_seconds: float) -> None: ...


class LedgerReader(Protocol):
    """What was charged, released and seen to drift. Raises StoreUnavailable."""

    async def ledger_lines(self, query: LedgerQuery) -> Sequence[LedgerEntry]:
        """One page; at most 1,000, however many are asked for."""
        ...

    async def ledger_balances(self, ids: Collection[int]) -> Mapping[int, int]:
        """What the balance of each of these entries came to after it, by id."""
        ...


LOADING = "records"
"""What is waited for while nothing is known yet of what Postgres holds."""
STALE = "postgres"
"""What is lacked while what is known of that is of before."""


@dataclass(frozen=True)
class NotReady:
    """One thing that this process lacks. answers: it is ready all the same, for others lack it, too."""

    what: str
    message: str
    answers: bool = False


class AlertHistory(Protocol):
    """What became of alerts and notices. Raises StoreUnavailable."""

    async def read_history(self, query: HistoryQuery) -> Sequence[HistoryLine]: ...

    async def read_attempts(
        self, *, receiver: str = "", key: str = "", before: int = 0, limit: int = 100
    ) -> Sequence[AttemptLine]:
        """The newest first."""
        ...


@dataclass(frozen=True)
class Reloaded:
    """errors: why the file was refused, each by line; then what was loaded before goes on."""

    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Alerting:
    """What the doors of alerting stand on.

    board: what this process knows now; ask anew for each request, a leader that begins replaces it.
    append: answers with the ids when the entries are committed and applied to this process's board.
    Raises StoreUnavailable. open: /api/v2 wants no token, as Alertmanager's. new_id: of a silence.
    """

    board: Callable[[], "Board"]
    append: Callable[[Sequence[Entry]], Awaitable[Sequence[int]]]
    history: AlertHistory
    channels: Channels
    reload: Callable[[], Awaitable[Reloaded]]
    configuration: Callable[[], Configuration]
    leads: Callable[[], bool]
    new_id: Callable[[], str]
    started_at: float
    open: bool = False


class Doctor(Protocol):
    async def examine(self) -> Sequence[Check]:
        """Every check, within a bound. Raises nothing of its own: what fails is a check."""
        ...


@dataclass(frozen=True)
class ApiDeps:
    """public_url: where agents and people reach this API; stands in the answer to an invitation.

    alerting: None where a process serves no alerts. ledger: the store's, None where none is kept.
    """

    known: Known
    intent: Intent
    changes: ChangeReader
    registrar: Registrar
    sealer: Sealer
    access: Access
    clock: Clock
    not_ready: Callable[[], Sequence[NotReady]]
    random_bytes: Callable[[int], bytes]
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    public_url: str = ""
    alerting: Alerting | None = None
    ledger: LedgerReader | None = None
    doctor: Doctor | None = None
