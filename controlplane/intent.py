"""What people write, as the store takes it: the port between API and Postgres. No loop knows of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from controlplane.fleet.headroom import Make
from controlplane.known.records import (
    ClusterRecord,
    DocumentRecord,
    QuotaRequestRecord,
    Request,
    RequestState,
    RevisionRecord,
    WorkloadRecord,
)
from schemas.wire.reports import Taint


class NotFound(LookupError):
    """No such thing; the text names it."""


class PreconditionFailed(Exception):
    """If-Match names another resource version than `current`."""

    def __init__(self, name: str, current: int) -> None:
        super().__init__(f"{name} is at resource version {current}")
        self.current = current


class Taken(Exception):
    """The name, the token or the idempotency key is in use for something else; the text says which."""


class MayNot(Exception):
    """This principal is the wrong one for it; the text says who is right."""


class Unfit(Exception):
    """What is asked for cannot be. problems: (field, what is wrong and what would be right)."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        field, message = problems[0]
        super().__init__(f"{field}: {message}" if field else message)
        self.problems = problems


@dataclass(frozen=True)
class Write:
    """Who writes, and under which condition. if_match: resource version, 0 = must not exist, None = any.

    trace: the traceparent of the request, "" for none.
    """

    principal: str
    if_match: int | None = None
    idempotency_key: str | None = None
    trace: str = ""


@dataclass(frozen=True)
class WorkloadDraft:
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    tenant: str
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class JoinDraft:
    """A cluster that may join once. The token itself is never stored, only its hash."""

    token_hash: bytes
    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    expires_at: float


QuotaAmounts = Mapping[str, Mapping[str, str]]
"""By flavor, then resource: quantities as people write them."""


@dataclass(frozen=True)
class QuotaDraft:
    """A request for quota. until: Unix seconds, 0 for without an end."""

    tenant: str
    amounts: QuotaAmounts
    until: float
    why: str


@dataclass(frozen=True)
class QuotaGrant:
    """How a request is approved. taken_from: (kind, name) of a Tenant or a Cohort, None for from nobody.

    until, amounts: None as they were asked for; the amounts can be smaller ones.
    """

    taken_from: tuple[str, str] | None = None
    until: float | None = None
    amounts: QuotaAmounts | None = None
    comment: str = ""


class Intent(Protocol):
    """Writes that people make. Each is committed, with its change row, before it returns.

    The same idempotency key and principal with the same content answers with the first result; with other
    content it is Taken.
    """

    async def submit_workload(self, draft: WorkloadDraft, write: Write) -> WorkloadRecord:
        """New, a new revision, or the record as it is where nothing differs."""
        ...

    async def rollback_workload(self, name: str, revision: int, write: Write) -> WorkloadRecord:
        """The spec of an old revision as a new one. NotFound where there is none."""
        ...

    async def delete_workload(self, name: str, write: Write) -> WorkloadRecord:
        """Marked deleted; its name is free at once, its uid is never used again."""
        ...

    async def reschedule_workload(self, name: str, write: Write) -> WorkloadRecord:
        """Asked to be placed as if for the first time; stays asked until the leader has placed it."""
        ...

    async def revisions(self, uid: str) -> Sequence[RevisionRecord]: ...

    async def submit_document(
        self, kind: str, name: str, spec: Mapping[str, Any], write: Write
    ) -> DocumentRecord:
        """Any kind that is kept as it stands: `Tenant`, `Interpreter`, ...

        An Interpreter: workloads with an object of its kind are to be decided on again. Taken: another one
        declares it.
        """
        ...

    async def delete_document(self, kind: str, name: str, write: Write) -> None:
        """An Interpreter: Taken while workloads have an object of its kind; the text names them."""
        ...

    async def invite_cluster(self, draft: JoinDraft, write: Write) -> None: ...

    async def join_cluster(
        self,
        token_hash: bytes,
        *,
        cluster: str,
        cluster_uid: str,
        agent_key: str,
        sealing_key: bytes,
        account_seed: bytes,
    ) -> ClusterRecord:
        """Redeem a token, once. NotFound for an unknown, used or expired one. account_seed: sealed.

        The same agent of the same cluster that comes again with its token gets the record it got.
        """
        ...

    async def change_cluster(
        self,
        name: str,
        labels: Mapping[str, str],
        taints: tuple[Taint, ...],
        write: Write,
        headroom: tuple[Make, ...] | None = None,
    ) -> ClusterRecord:
        """headroom: None leaves it as it is."""
        ...

    async def remove_cluster(self, name: str, write: Write) -> ClusterRecord: ...

    async def request(self, name: str, request: Request, write: Write) -> ClusterRecord:
        """Ask the leader to do something about a cluster. Taken while another request is not done."""
        ...

    async def request_quota(self, draft: QuotaDraft, write: Write) -> QuotaRequestRecord:
        """It waits for somebody else to decide. Unfit, Taken where too many of the tenant's wait."""
        ...

    async def quota_request(self, id: int) -> QuotaRequestRecord:
        """NotFound."""
        ...

    async def quota_requests(
        self, tenant: str = "", states: Collection[RequestState] = (), before: int = 0, limit: int = 100
    ) -> Sequence[QuotaRequestRecord]:
        """The newest first. tenant, states: "" and () for all. before: those with a smaller id."""
        ...

    async def withdraw_quota_request(self, id: int, write: Write) -> QuotaRequestRecord:
        """By who asked, while it waits. MayNot, Taken."""
        ...

    async def approve_quota_request(self, id: int, grant: QuotaGrant, write: Write) -> QuotaRequestRecord:
        """By somebody else. MayNot, Taken where it does not wait, Unfit where the quota does not allow it."""
        ...

    async def refuse_quota_request(self, id: int, why: str, write: Write) -> QuotaRequestRecord:
        """By somebody else. MayNot, Taken."""
        ...

    async def give_back_quota(
        self, id: int, amounts: QuotaAmounts | None, write: Write
    ) -> QuotaRequestRecord:
        """amounts: None for all of it; a part leaves the rest granted. Unfit, Taken where none is granted."""
        ...
