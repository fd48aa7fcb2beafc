"""The writes that people make, in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from controlplane.fleet.headroom import Make
from controlplane.intent import JoinDraft, NotFound, Taken, WorkloadDraft, Write
from controlplane.known.interpreters import users
from controlplane.known.records import (
    Change,
    ClusterRecord,
    DocumentRecord,
    Request,
    RevisionRecord,
    Standing,
    WorkloadRecord,
)
from controlplane.store import documents, interpreters, quota_documents
from controlplane.store.clusters import check_requested, cluster_changed
from controlplane.store.codecs import plain
from controlplane.store.settlement import (
    KEPT_SECONDS,
    Answer,
    Key,
    Settlement,
    changed,
    check_condition,
    fingerprint,
    key_of,
)
from controlplane.store.tokens import UNUSABLE, taken_text
from schemas.wire.reports import Taint
from tests.simulation.memory_quota_requests import MemoryQuotaRequests
from tests.simulation.memory_tables import Invitation, Tables

T = TypeVar("T")


class MemoryIntent(MemoryQuotaRequests):
    """The port Intent. What it stands on (tables, time, carrying, changes) is the store's."""

    tables: Tables

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def now(self) -> float:
        raise NotImplementedError

    async def carry(self, effect: Callable[[], T]) -> T:
        raise NotImplementedError

    def append(self, changes: Sequence[Change]) -> None:
        raise NotImplementedError

    def check_and_settle(
        self, kind: str, before: DocumentRecord | None, after: DocumentRecord | None
    ) -> None:
        raise NotImplementedError

    def new_uid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    async def submit_workload(self, draft: WorkloadDraft, write: Write) -> WorkloadRecord:
        draft = msgspec.convert(plain(draft), WorkloadDraft)
        return await self.carry(lambda: self._settled(lambda settlement: settlement.submit(draft, write)))

    async def rollback_workload(self, name: str, revision: int, write: Write) -> WorkloadRecord:
        def settle(settlement: Settlement) -> WorkloadRecord:
            current = settlement.standing.get(name)
            old = self.tables.revisions.get((current.uid, revision)) if current else None
            return settlement.rollback(name, old, revision, write)

        return await self.carry(lambda: self._settled(settle))

    async def delete_workload(self, name: str, write: Write) -> WorkloadRecord:
        return await self.carry(lambda: self._settled(lambda settlement: settlement.delete(name, write)))

    async def reschedule_workload(self, name: str, write: Write) -> WorkloadRecord:
        return await self.carry(lambda: self._settled(lambda settlement: settlement.reschedule(name, write)))

    def _settled(self, settle: Callable[[Settlement], WorkloadRecord]) -> WorkloadRecord:
        tables = self.tables
        settlement = Settlement(
            standing=tables.standing_workloads(),
            answers=self._answers(),
            now=self.now(),
            versions=iter(tables.next_resource_version, 0),
            new_uid=self.new_uid,
        )
        record = settle(settlement)
        tables.workloads.update(settlement.written)
        for revision in settlement.revisions:
            tables.revisions[revision.workload, revision.revision] = revision
        for key, answer in settlement.answered.items():
            tables.answers[key] = answer, self.now()
        self.append(settlement.changes)
        return record

    def _answers(self) -> dict[Key, Answer]:
        since = self.now() - KEPT_SECONDS
        return {key: answer for key, (answer, at) in self.tables.answers.items() if at > since}

    async def _once(self, write: Write, content: bytes, kind: type[T], act: Callable[[], T]) -> T:
        def effect() -> T:
            key = key_of(write)
            answer = self._answers().get(key) if key is not None else None
            if key is not None and answer is not None:
                return answer.again(key[1], content, kind)
            result = act()
            if key is not None:
                self.tables.answers[key] = Answer.of(content, result), self.now()
            return result

        return await self.carry(effect)

    async def revisions(self, uid: str) -> Sequence[RevisionRecord]:
        return await self.carry(
            lambda: [row for row in self.tables.revisions.values() if row.workload == uid]
        )

    async def submit_document(
        self, kind: str, name: str, spec: Mapping[str, Any], write: Write
    ) -> DocumentRecord:
        spec = plain(spec)

        def act() -> DocumentRecord:
            current = self.tables.documents.get((kind, name))
            check_condition(name, write, current.resource_version if current else None)
            if current is not None and current.spec == spec:
                return current
            claim = documents.claim_of(kind, spec)
            for (of, other), held in self.tables.documents.items():
                if claim is None or of != kind or other == name:
                    continue
                if documents.claim_of(kind, held.spec) == claim:
                    raise documents.taken_by(kind, claim, other)
            record = DocumentRecord(name, spec, self.tables.next_resource_version())
            followed = self._follow(kind, current, record, write)
            self.tables.documents[kind, name] = record
            written = changed(kind, name, "", "Changed" if current else "Created", write.principal)
            self.append([*followed, written])
            return record

        return await self._once(write, documents.submission(kind, name, spec), DocumentRecord, act)

    def _follow(
        self, kind: str, before: DocumentRecord | None, after: DocumentRecord | None, write: Write
    ) -> list[Change]:
        ended: list[Change] = []
        if kind in documents.BOUNDING:
            # Raises: before anything ends. Where nothing moves it looks at nothing.
            self.check_and_settle(kind, before, after)
        if kind == "Tenant" and before is not None and after is None:
            ended = self.end_of_tenant(before.name, write.principal)
        if kind in documents.BOUNDING and (ended or quota_documents.moves(kind, before, after)):
            self.tables.quota_version += 1
        if kind != "Interpreter":
            return ended
        if before is not None and interpreters.leaves_its_target(before, after):
            found = users(self.tables.workloads.values(), interpreters.target_of(before.spec))
            if found:
                raise interpreters.in_use(before.name, found)
        return [] if after is None else self._touch_users(interpreters.target_of(after.spec), write)

    def _touch_users(self, target: str, write: Write) -> list[Change]:
        touched: list[Change] = []
        for name in users(self.tables.workloads.values(), target):
            held = self.tables.standing_workloads()[name]
            self.tables.workloads[held.uid] = replace(
                held, resource_version=self.tables.next_resource_version()
            )
            touched.append(
                changed("Workload", name, held.uid, "Reinterpreted", write.principal, revision=held.revision)
            )
        return touched

    async def delete_document(self, kind: str, name: str, write: Write) -> None:
        def act() -> None:
            current = self.tables.documents.get((kind, name))
            if current is None:
                raise documents.missing(kind, name)
            check_condition(name, write, current.resource_version)
            followed = self._follow(kind, current, None, write)
            del self.tables.documents[kind, name]
            self.append([*followed, changed(kind, name, "", "Deleted", write.principal)])

        await self._once(write, documents.deletion(kind, name), type(None), act)

    async def invite_cluster(self, draft: JoinDraft, write: Write) -> None:
        def act() -> None:
            self._check_free("name", draft.name)
            if draft.token_hash in self.tables.invitations:
                raise Taken("this token was given before")
            self.tables.invitations[draft.token_hash] = Invitation(draft)
            self.append([changed("Cluster", draft.name, "", "Invited", write.principal)])

        content = fingerprint("invite cluster", draft.name, draft.labels, draft.taints)
        await self._once(write, content, type(None), act)

    async def join_invitations(self) -> Sequence[JoinDraft]:
        """Those that can still be redeemed."""
        return await self.carry(
            lambda: sorted(
                (
                    row.draft
                    for row in self.tables.invitations.values()
                    if not row.redeemed_by and row.draft.expires_at > self.now()
                ),
                key=lambda draft: draft.expires_at,
            )
        )

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
        def effect() -> ClusterRecord:
            invitation = self.tables.invitations.get(token_hash)
            if invitation is not None and invitation.redeemed_by:
                return self._joined_before(invitation.redeemed_by, agent_key, cluster_uid, sealing_key)
            if invitation is None or invitation.draft.expires_at <= self.now():
                raise NotFound(UNUSABLE)
            draft = invitation.draft
            self._check_free("name", draft.name)
            self._check_free("cluster_uid", cluster_uid)
            self._check_free("id", cluster)
            self.tables.invitations[token_hash] = replace(invitation, redeemed_by=cluster)
            self.tables.account_seeds[cluster] = account_seed
            record = ClusterRecord(
                id=cluster,
                name=draft.name,
                labels=draft.labels,
                taints=draft.taints,
                cluster_uid=cluster_uid,
                agent_key=agent_key,
                sealing_key=sealing_key,
                standing=Standing.JOINED,
                standing_reason="",
                incarnation=0,
                resource_version=0,
                joined_at=self.now(),
            )
            return self.put_cluster(record, "Joined", draft.name)

        return await self.carry(effect)

    def _joined_before(
        self, cluster: str, agent_key: str, cluster_uid: str, sealing_key: bytes
    ) -> ClusterRecord:
        record = self.tables.clusters[cluster]
        brought = agent_key, cluster_uid, sealing_key
        if (record.agent_key, record.cluster_uid, record.sealing_key) != brought:
            raise NotFound(UNUSABLE)
        if record.standing is not Standing.JOINED:
            raise NotFound(UNUSABLE)
        return record

    def _check_free(self, column: str, value: str) -> None:
        for record in self.tables.clusters.values():
            counts = column == "id" or record.standing is not Standing.REMOVED
            if counts and getattr(record, column) == value:
                raise Taken(taken_text(column, value, record.name))

    async def account_seed(self, cluster: str) -> bytes:
        if cluster not in self.tables.account_seeds:
            raise NotFound(f"there is no cluster {cluster!r}")
        return self.tables.account_seeds[cluster]

    async def change_cluster(
        self,
        name: str,
        labels: Mapping[str, str],
        taints: tuple[Taint, ...],
        write: Write,
        headroom: tuple[Make, ...] | None = None,
    ) -> ClusterRecord:
        def act() -> ClusterRecord:
            current = self._existing_cluster(name, write)
            wanted = current.headroom if headroom is None else headroom
            if (current.labels, current.taints, current.headroom) == (labels, taints, wanted):
                return current
            changed = replace(current, labels=labels, taints=taints, headroom=wanted)
            return self.put_cluster(changed, "Changed", write.principal)

        content = fingerprint(
            "change cluster", name, labels, taints, *([] if headroom is None else [headroom])
        )
        return await self._once(write, content, ClusterRecord, act)

    async def remove_cluster(self, name: str, write: Write) -> ClusterRecord:
        def act() -> ClusterRecord:
            current = self._existing_cluster(name, write)
            for uid in {uid for cluster, uid in self.tables.placements if cluster == current.id}:
                self.tables.decisions[uid] = replace(self.tables.decisions[uid], resource_version=0)
            for rows in (self.tables.outbox, self.tables.placements):
                for place in [place for place in rows if place[0] == current.id]:
                    del rows[place]
            return self.put_cluster(replace(current, standing=Standing.REMOVED), "Removed", write.principal)

        return await self._once(write, fingerprint("remove cluster", name), ClusterRecord, act)

    async def request(self, name: str, request: Request, write: Write) -> ClusterRecord:
        def act() -> ClusterRecord:
            current = self._existing_cluster(name, write)
            check_requested(current, request)
            asked = replace(current, requested=request)
            return self.put_cluster(asked, f"{request.value}Requested", write.principal)

        return await self._once(write, fingerprint("request", name, request.value), ClusterRecord, act)

    def _existing_cluster(self, name: str, write: Write) -> ClusterRecord:
        for record in self.tables.clusters.values():
            if record.name == name and record.standing is not Standing.REMOVED:
                check_condition(name, write, record.resource_version)
                return record
        raise NotFound(f"there is no cluster {name!r}")

    def put_cluster(self, record: ClusterRecord, what: str, by: str) -> ClusterRecord:
        record = replace(record, resource_version=self.tables.next_resource_version())
        self.tables.clusters[record.id] = record
        self.append([cluster_changed(record, what, by)])
        return record
