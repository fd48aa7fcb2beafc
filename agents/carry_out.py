"""One order carried out: steps from the plan, each onto exactly what was read, each under the fence.

1. Read what is there under every ordered name; when any of it is not ours, do nothing and say so.
2. Make missing namespaces; what is only for namespaces that are there is left out where they are not.
3. For each object: look at the fence, then create or apply onto what was read. When another agent has
   recorded a newer order in between, either the fence or the precondition stops us; when the object has
   changed since, read again.
4. A create has no precondition, and what we take over bears nothing that a withdrawal would find: look at
   the fence afterwards, and take back what came too late.
5. Delete what the order dropped, or, for a withdrawal, everything recorded, last made first. A withdrawal
   that preserves only takes our labels and field ownership off.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from agents.failpoints import reached
from agents.namespace import ensure_namespace
from agents.observe.marks import by_spec, by_version, is_by_spec
from agents.plan import (
    Adopt,
    Apply,
    Create,
    Disown,
    Manifest,
    Refuse,
    is_only_where_there,
    labels_of,
    namespaces_of,
    plan_object,
    plan_removal,
    ref_of,
)
from agents.ports import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Kube,
    KubeError,
    NotServed,
    Rejected,
    Resource,
    Unreachable,
)
from agents.records import Records, Superseded
from schemas.crds import brought_kinds
from schemas.reasons import Reason
from schemas.wire.orders import WORKLOAD_LABEL, ObjectRef, Version
from schemas.wire.reports import Refusal

ATTEMPTS = 5
_PODS = Resource("", "v1", "pods", "Pod", True)
_REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", True)
_REASONS: dict[type[KubeError], Reason] = {
    NotServed: Reason.KIND_NOT_SERVED,
    Forbidden: Reason.AGENT_MAY_NOT,
    Rejected: Reason.REJECTED_BY_CLUSTER,
    Conflict: Reason.CONFLICT,
    Unreachable: Reason.CLUSTER_UNREACHABLE,
}


class _Items(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


_decode_items = msgspec.json.Decoder(_Items)


@dataclass
class Outcome:
    """What became of it. marks: per object, what the cache shows while nobody has changed it.

    failed: the cluster would not or could not; refused: nothing was done, by our own rule.
    """

    refused: list[Refusal] = field(default_factory=list[Refusal])
    failed: list[Refusal] = field(default_factory=list[Refusal])
    marks: dict[ObjectRef, str] = field(default_factory=dict[ObjectRef, str])


def refusal_of(error: KubeError, ref: ObjectRef | None) -> Refusal:
    """The error as the wire names it."""
    reason = _REASONS.get(type(error), Reason.CLUSTER_UNREACHABLE)
    return Refusal(reason=reason, message=str(error)[:1000], object=str(ref) if ref else "")


def mark_of(stored: Manifest) -> str:
    """As `observe.rows` marks the same object."""
    metadata = stored["metadata"]
    if is_by_spec(stored["apiVersion"], stored["kind"]):
        return by_spec(metadata["uid"], stored.get("spec"))
    return by_version(metadata["uid"], metadata.get("generation") or 0, metadata["resourceVersion"])


class CarryOut:
    """Carries out orders of one cluster; every call is for one workload, and calls for one are serial."""

    def __init__(self, kube: Kube, records: Records) -> None:
        self._kube = kube
        self._records = records

    async def apply(
        self,
        workload: str,
        version: Version,
        manifests: list[Manifest],
        dropped: tuple[ObjectRef, ...],
        overwrite: bool,
        is_current: Callable[[], bool],
    ) -> Outcome:
        """Raises Superseded when a newer order was recorded; `is_current` says the same without asking."""
        outcome = Outcome()
        found = await self._refuse_others(workload, manifests, outcome, overwrite)
        if outcome.refused or outcome.failed:
            return outcome
        try:
            manifests = await self._with_namespaces(manifests)
        except KubeError as error:
            outcome.failed.append(refusal_of(error, None))
            return outcome
        for manifest in manifests:
            if not is_current():
                raise Superseded(workload)
            await self._apply_one(workload, version, manifest, outcome, overwrite, found)
            reached("agent.between_objects")
        if not outcome.failed and not outcome.refused:
            await self._delete_all(workload, version, dropped, outcome)
        return outcome

    async def _with_namespaces(self, manifests: list[Manifest]) -> list[Manifest]:
        """What can be put somewhere. Raises KubeError."""
        made = [each for each in manifests if not is_only_where_there(each)]
        for step in namespaces_of(tuple(ref_of(each) for each in made)):
            await ensure_namespace(self._kube, step.name)
        there: dict[str, bool] = {}
        for name in {ref_of(each).namespace for each in manifests if is_only_where_there(each)}:
            there[name] = await self._kube.get(ObjectRef("v1", "Namespace", "", name)) is not None
        return [each for each in manifests if not is_only_where_there(each) or there[ref_of(each).namespace]]

    async def withdraw(
        self, workload: str, version: Version, refs: tuple[ObjectRef, ...], preserve: bool = False
    ) -> Outcome:
        """Delete all of them, or let them be nobody's of ours, last made first. Raises Superseded."""
        outcome = Outcome()
        await self._delete_all(workload, version, tuple(reversed(refs)), outcome, preserve)
        return outcome

    async def is_gone(self, workload: str, refs: tuple[ObjectRef, ...], preserve: bool = False) -> bool:
        """Whether nothing of the workload's is left, asked of the API server and not of the cache.

        The cache may be behind a controller that is still making pods. preserve: pods stay. Raises KubeError.
        """
        for ref in refs:
            try:
                live = await self._kube.get(ref)
            except NotServed:
                continue
            if plan_removal(workload, ref, live) is not None:
                return False
        if preserve:
            return True
        selector = f"{WORKLOAD_LABEL}={workload}"
        for resource in (_REPLICA_SETS, _PODS):
            async for body in self._kube.list(resource, label_selector=selector):
                if _decode_items.decode(body).items:
                    return False
        return True

    async def _refuse_others(
        self, workload: str, manifests: list[Manifest], outcome: Outcome, overwrite: bool
    ) -> dict[ObjectRef, Manifest | None]:
        """What is there, looked at before anything is touched: an order that cannot be carried out whole is
        not begun.

        A kind that the order itself defines is served only once that definition is there.
        """
        brought = brought_kinds(manifests)
        found: dict[ObjectRef, Manifest | None] = {}
        for manifest in manifests:
            ref = ref_of(manifest)
            try:
                found[ref] = await self._kube.get(ref)
                step = plan_object(workload, manifest, found[ref], overwrite=overwrite)
            except NotServed as error:
                if f"{ref.api_version}/{ref.kind}" not in brought:
                    outcome.refused.append(refusal_of(error, ref))
            except KubeError as error:
                outcome.failed.append(refusal_of(error, ref))
                return found
            else:
                if isinstance(step, Refuse):
                    outcome.refused.append(step.refusal)
        return found

    async def _apply_one(
        self,
        workload: str,
        version: Version,
        manifest: Manifest,
        outcome: Outcome,
        overwrite: bool,
        found: dict[ObjectRef, Manifest | None],
    ) -> None:
        ref = ref_of(manifest)
        error: KubeError = Conflict("it changes faster than it can be read")
        for _ in range(ATTEMPTS):
            try:
                live = found.pop(ref) if ref in found else await self._kube.get(ref)
                step = plan_object(workload, manifest, live, overwrite=overwrite)
                if isinstance(step, Refuse):
                    outcome.refused.append(step.refusal)
                    return
                await self._records.check(workload, version)
                stored = await self._do(workload, version, step)
                outcome.marks[ref] = mark_of(stored)
                return
            except (Conflict, AlreadyExists) as conflict:
                error = conflict
            except KubeError as failure:
                outcome.failed.append(refusal_of(failure, ref))
                return
        outcome.failed.append(refusal_of(error, ref))

    async def _do(self, workload: str, version: Version, step: Create | Apply | Adopt) -> Manifest:
        if isinstance(step, Apply):
            return await self._kube.apply(step.manifest, uid=step.uid, resource_version=step.resource_version)
        if isinstance(step, Adopt):
            stored = await self._kube.adopt(
                step.manifest, uid=step.uid, resource_version=step.resource_version
            )
        else:
            stored = await self._kube.create(step.manifest)
        try:
            await self._records.check(workload, version)
        except Superseded:
            await self._take_back(workload, step, stored)
            raise
        return stored

    async def _take_back(self, workload: str, step: Create | Adopt, stored: Manifest) -> None:
        """A withdrawal passed us, and saw nothing of ours: only the very object, and only unchanged.

        What we made goes; what we took over was there before us, and stays.
        """
        entry, ref = self._records.entries.get(workload), step.ref
        if entry is not None and ref in entry.objects and labels_of(stored).get(WORKLOAD_LABEL) == workload:
            metadata = stored["metadata"]
            undo = self._kube.disown if isinstance(step, Adopt) else self._kube.delete
            try:
                await undo(ref, uid=metadata["uid"], resource_version=metadata["resourceVersion"])
            except Conflict:
                pass

    async def _delete_all(
        self,
        workload: str,
        version: Version,
        refs: tuple[ObjectRef, ...],
        outcome: Outcome,
        preserve: bool = False,
    ) -> None:
        for ref in refs:
            await self._delete_one(workload, version, ref, outcome, preserve)

    async def _delete_one(
        self, workload: str, version: Version, ref: ObjectRef, outcome: Outcome, preserve: bool
    ) -> None:
        error: KubeError = Conflict("it changes faster than it can be read")
        for _ in range(ATTEMPTS):
            try:
                step = plan_removal(workload, ref, await self._kube.get(ref), preserve=preserve)
                if step is None:
                    return
                await self._records.check(workload, version)
                do = self._kube.disown if isinstance(step, Disown) else self._kube.delete
                await do(ref, uid=step.uid, resource_version=step.resource_version)
                return
            except NotServed:
                # The kind went, and its objects with it.
                return
            except Conflict as conflict:
                error = conflict
            except KubeError as failure:
                outcome.failed.append(refusal_of(failure, ref))
                return
        outcome.failed.append(refusal_of(error, ref))
