"""How each workload stands here: what was done about its order, and what the cluster says of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from agents.fence import Entry
from agents.intake import Prepared
from agents.observe.cache import Cache
from agents.observe.health import judge_by, rule_for
from agents.observe.observer import Observer
from agents.observe.rows import PodRow
from agents.report_spans import TRACED_SECONDS
from schemas.reasons import Reason
from schemas.wire.orders import HealthRule, ObjectRef, Verb, Version
from schemas.wire.reports import ObjectStatus, Refusal, Work, WorkState

MOST_REFUSALS = 20
MOST_TEMPLATES = 50
OTHERS = "others"
NOTHING = Version(0, 0)


@dataclass
class Standing:
    """What this process knows beside the record. prepared: the order, once it has come here.

    said: refusals of what was delivered and not taken, which leave the recorded order as it stands.
    marks: per object, what the cache shows while nobody has changed it since it was applied.
    fresh: just recorded, and reported as soon as it is carried out.
    emptied: it is being withdrawn, and the cache shows nothing of it any more.
    trace: of the order that came at `traced_at`, as a traceparent.
    """

    state: WorkState | None = None
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    said: list[Refusal] = field(default_factory=list[Refusal])
    prepared: Prepared | None = None
    marks: dict[ObjectRef, str] = field(default_factory=dict[ObjectRef, str])
    settled_at: float = 0.0
    retry_at: float = 0.0
    failures: int = 0
    asked: bool = False
    fresh: bool = False
    emptied: bool = False
    trace: str = ""
    traced_at: float = 0.0

    def is_for(self, version: Version) -> bool:
        """Whether the order of this version has come here."""
        return self.prepared is not None and self.prepared.order.version == version

    def begin_anew(self) -> None:
        """A newer order is recorded; it answers all that was refused before."""
        self.state, self.refusals, self.said, self.failures = None, [], [], 0
        self.fresh, self.emptied = True, False


def kinds_of(refs: tuple[ObjectRef, ...]) -> set[tuple[str, str]]:
    return {(ref.api_version, ref.kind) for ref in refs}


class Standings:
    """All workloads of the cluster; `entry_of` is the record."""

    def __init__(self, cache: Cache, observer: Observer, entry_of: Callable[[str], Entry | None]) -> None:
        self._cache = cache
        self._observer = observer
        self._entry_of = entry_of
        self._all: dict[str, Standing] = {}
        self._emptied: set[str] = set()
        self.something_emptied = asyncio.Event()

    def take_emptied(self) -> set[str]:
        """What is being withdrawn and has just left the cache: it is worth asking the API server now."""
        emptied, self._emptied = self._emptied, set()
        return emptied

    def of(self, workload: str) -> Standing:
        standing = self._all.get(workload)
        if standing is None:
            standing = self._all[workload] = Standing()
        return standing

    def states(self) -> Counter[str]:
        """How many workloads are in which state, as far as this process has acted on them."""
        return Counter(each.state.value for each in self._all.values() if each.state is not None)

    def reasons(self) -> Counter[str]:
        """Why workloads are not carried out: the first reason of each."""
        return Counter(each.refusals[0].reason.value for each in self._all.values() if each.refusals)

    def trace_of(self, workload: str, now: float) -> str:
        """Of its order, while that is news; "" for none."""
        standing = self._all.get(workload)
        if standing is None or not standing.trace or now - standing.traced_at > TRACED_SECONDS:
            return ""
        return standing.trace

    def ask(self, workload: str) -> None:
        """The centre wants to know, be it of a withdrawal done long ago."""
        if self._entry_of(workload) is not None:
            self.of(workload).asked = True
            self.touch(workload)

    def age(self, workload: str) -> None:
        """It is not carried out yet: that is worth a report by now."""
        standing = self.of(workload)
        if standing.fresh and standing.state is None:
            self.touch(workload)
        standing.fresh = False

    def touch(self, workload: str) -> None:
        """Its report may have changed."""
        self._cache.touch_workloads((workload,))

    def pods(self, workload: str) -> int:
        return len(self._cache.pods_of.get(workload, ()))

    def drifted(self, workload: str, entry: Entry) -> bool:
        """Whether somebody changed or removed an object since we applied it, as far as the cache knows."""
        marks = self.of(workload).marks
        for ref, mark in marks.items():
            if not self._observer.sees((ref.api_version, ref.kind)):
                continue
            row = self._cache.object(ref)
            if row is None or row.mark != mark:
                return True
        return entry.verb is Verb.WITHDRAW and any(self.is_there(workload, ref) for ref in entry.objects)

    def is_there(self, workload: str, ref: ObjectRef) -> bool:
        row = self._cache.object(ref)
        return row is not None and row.workload == workload

    def report(self, workload: str) -> Work | None:
        """Unstamped; None while nothing true can be said: absence in an unfilled cache means nothing."""
        standing, entry = self.of(workload), self._entry_of(workload)
        if entry is None:
            return _not_taken(standing) if standing.said else None
        ready = standing.prepared
        refs = ready.ordered if ready is not None and standing.is_for(entry.version) else entry.objects
        if not self._observer.knows(kinds_of(entry.objects)):
            return None
        if standing.state is None and standing.fresh and not standing.asked:
            return None
        state = standing.state or _recorded_state(entry, asked=standing.asked)
        if state is None:
            return None
        # Pods of what was left behind keep the label that their template has: they are nobody's all the same.
        pods = {} if entry.preserve else self._cache.pods_of.get(workload, {})
        if entry.verb is Verb.WITHDRAW and not pods:
            refs = ()
        self._look_for_end(standing, entry, pods=len(pods))
        rules = ready.health if ready is not None else ()
        optional = ready.optional if ready is not None else frozenset[ObjectRef]()
        objects = [
            self._status(ref, rules, standing.marks.get(ref))
            for ref in refs
            if ref not in optional or self._cache.object(ref) is not None
        ]
        living, leaving = _alive(pods.values())
        return Work(
            incarnation=0,
            sequence=0,
            version=entry.version,
            carried_out=entry.carried_out,
            state=state,
            refusals=[*standing.refusals, *standing.said][:MOST_REFUSALS],
            objects=objects,
            pods=len(pods),
            ready=sum(pod.ready and not pod.deleting for pod in pods.values()),
            living=living,
            leaving=leaving,
            # At most one object of a workload makes pods.
            finished=any(each.finished for each in objects) and not (living or leaving),
        )

    def _look_for_end(self, standing: Standing, entry: Entry, *, pods: int) -> None:
        going = standing.state is WorkState.WITHDRAWING
        empty = going and not pods and not any(self.is_there(entry.workload, ref) for ref in entry.objects)
        if empty and not standing.emptied:
            self._emptied.add(entry.workload)
            self.something_emptied.set()
        standing.emptied = empty

    def _status(self, ref: ObjectRef, rules: tuple[HealthRule, ...], mark: str | None) -> ObjectStatus:
        row = self._cache.object(ref)
        if row is not None:
            rule = rule_for(ref, rules)
            status = row.status if rule is None else judge_by(rule, ref, row.found, row.status)
            if status.finished and row.mark != mark:
                # It may be what stood there before the order: only of what was applied the end counts.
                return msgspec.structs.replace(status, finished=False)
            return status
        return ObjectStatus(
            api_version=ref.api_version,
            kind=ref.kind,
            namespace=ref.namespace,
            name=ref.name,
            healthy=False,
            message="not there",
        )


def _alive(pods: Iterable[PodRow]) -> tuple[dict[str, int], int]:
    """Pods that are not over: by template those that stay, and how many are being deleted."""
    living: dict[str, int] = {}
    leaving = 0
    for pod in pods:
        if pod.finished:
            continue
        if pod.deleting:
            leaving += 1
            continue
        # Anybody may write labels: more than a few templates are told as one that nobody has ordered.
        name = pod.template if pod.template in living or len(living) < MOST_TEMPLATES else OTHERS
        living[name] = living.get(name, 0) + 1
    return dict(sorted(living.items())), leaving


def held_refusal() -> Refusal:
    return Refusal(
        reason=Reason.TOO_MANY_REMOVALS,
        message="too much would be removed within an hour; a signed release is needed",
    )


def _recorded_state(entry: Entry, *, asked: bool) -> WorkState | None:
    """What the record alone says, before the order has come again.

    A withdrawal that is done is not told by itself: the centre asks where it still wants to know.
    """
    if entry.held:
        return WorkState.HELD
    if entry.verb is Verb.WITHDRAW:
        if entry.is_carried_out:
            return WorkState.WITHDRAWN if asked else None
        return WorkState.WITHDRAWING
    return WorkState.APPLIED if entry.is_carried_out else WorkState.RECORDED


def _not_taken(standing: Standing) -> Work:
    return Work(
        incarnation=0,
        sequence=0,
        version=NOTHING,
        state=WorkState.REFUSED,
        refusals=standing.said[:MOST_REFUSALS],
    )
