"""What a cluster's agent may do there by its own account of it, and what of it an order would lack."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from controlplane.interpreters.podded import ref_of
from schemas.wire.orders import ObjectRef, OrderBody, Verb
from schemas.wire.reports import EVERYWHERE, MOST_SERVED, Right

VERBS = ("create", "delete", "get", "patch")
"""What bringing an object about takes, where it is."""
REMOVING, LEAVING = ("delete", "get"), ("get", "patch")
"""What removing it takes, and what letting it be nobody's of ours."""
SEEING = ("list", "watch")
"""What telling how it stands takes, everywhere: the agent watches a kind of the whole cluster."""
MOST_TOLD = 3


@dataclass(frozen=True, order=True)
class Written:
    """Objects of one kind in one namespace, and what is done to them.

    kind: `group/version/Kind`; namespace: "" for what has none.
    """

    kind: str
    namespace: str
    verbs: tuple[str, ...] = VERBS

    @property
    def group_kind(self) -> str:
        """`Kind.group`, and `Kind` alone for core kinds."""
        api_version, _, kind = self.kind.rpartition("/")
        group = api_version.rpartition("/")[0]
        return f"{kind}.{group}" if group else kind


@dataclass(frozen=True)
class Lacking:
    """Verbs that are not allowed for this; `everywhere`: that are needed for the kind in all namespaces."""

    written: Written
    verbs: tuple[str, ...]
    everywhere: tuple[str, ...]

    def __str__(self) -> str:
        what, where = self.written.group_kind, self.written.namespace
        told = [f"{', '.join(self.verbs)} {what}" + (f" in namespace {where}" if where else "")]
        wide = f"{', '.join(self.everywhere)} {what} everywhere"
        return " nor ".join((told if self.verbs else []) + ([wide] if self.everywhere else []))


@dataclass(frozen=True)
class AgentRights:
    """By namespace (EVERYWHERE for all of them) and kind (`Kind.group`, `*.group`, `*`): verbs."""

    granted: Mapping[str, Mapping[str, frozenset[str]]]

    @classmethod
    def of(cls, rights: Iterable[Right] | None) -> Self | None:
        """None: it may do everything, or does not tell."""
        if rights is None:
            return None
        granted: dict[str, dict[str, frozenset[str]]] = {}
        for right in rights:
            for namespace in right.namespaces:
                kinds = granted.setdefault(namespace, {})
                for kind in right.kinds:
                    kinds[kind] = kinds.get(kind, frozenset()).union(right.verbs)
        return cls(granted)

    @property
    def told(self) -> list[Right]:
        """As an agent would tell them: a kind and a namespace each, those alike together."""
        return [
            Right([namespace], kinds, list(verbs))
            for namespace, by_kind in sorted(self.granted.items())
            for verbs, kinds in sorted(_alike(by_kind).items())
        ]

    def lacking(self, wanted: Sequence[Written]) -> list[Lacking]:
        """In the order of `wanted`; empty where all of it is allowed."""
        found: list[Lacking] = []
        for each in wanted:
            there, everywhere = self._verbs(each, each.namespace), self._verbs(each, "")
            verbs = tuple(verb for verb in each.verbs if verb not in there)
            # Of a kind that it may write nowhere an agent does not tell whether it may see it.
            is_told = not verbs or self._is_told(each)
            wide = tuple(verb for verb in SEEING if verb not in everywhere) if is_told else ()
            if verbs or wide:
                found.append(Lacking(each, verbs, wide))
        return found

    def with_all(self, wanted: Iterable[Written]) -> "AgentRights":
        """As it would be with these granted."""
        granted = {namespace: dict(kinds) for namespace, kinds in self.granted.items()}
        for each in wanted:
            for where, verbs in ((each.namespace or EVERYWHERE, VERBS), (EVERYWHERE, SEEING)):
                kinds = granted.setdefault(where, {})
                kinds[each.group_kind] = kinds.get(each.group_kind, frozenset()).union(verbs)
        return AgentRights(granted)

    def _is_told(self, written: Written) -> bool:
        return any(name in kinds for kinds in self.granted.values() for name in _names(written))

    def _verbs(self, written: Written, namespace: str) -> frozenset[str]:
        found = frozenset[str]()
        for where in {EVERYWHERE, namespace or EVERYWHERE}:
            kinds = self.granted.get(where, {})
            for name in _names(written):
                found |= kinds.get(name, frozenset())
        return found


def _names(written: Written) -> tuple[str, ...]:
    """Under which its kind may stand in what is told."""
    kind = written.group_kind
    group = kind.partition(".")[2]
    return (kind, f"*.{group}" if group else kind, EVERYWHERE)


def _alike(by_kind: Mapping[str, frozenset[str]]) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for kind, verbs in sorted(by_kind.items()):
        found.setdefault(tuple(sorted(verbs)), []).append(kind)
    return found


def written_of(objects: Iterable[ObjectRef], verbs: tuple[str, ...] = VERBS) -> tuple[Written, ...]:
    """Each kind and namespace once, sorted."""
    return tuple(
        sorted({Written(f"{each.api_version}/{each.kind}", each.namespace, verbs) for each in objects})
    )


def served_kinds(served: Collection[str]) -> frozenset[str] | None:
    """`Kind.group` of what is reported as served; None where that may not be all of it."""
    if not 0 < len(served) < MOST_SERVED:
        return None
    return frozenset(Written(each, "").group_kind for each in served)


def asked_by(
    verb: Verb, body: OrderBody, *, removals_told: bool, served: Collection[str] | None = None
) -> tuple[Written, ...]:
    """What has to be allowed before an order is sent. removals_told: whether what may only be deleted is told
    as well; served: `served_kinds`.

    Of an apply only what it writes: that does not wait for a right to remove something beside it, whose
    failure is told by the agent. Of a withdrawal what it removes; but nobody says what may be done with kinds
    that are not served any more, and with these their objects have gone.
    """
    if verb is Verb.APPLY:
        return written_of(ref_of(each) for each in body.objects)
    if not removals_told:
        return ()
    gone = written_of(body.dropped, LEAVING if body.preserve else REMOVING)
    return tuple(each for each in gone if served is None or each.group_kind in served)


def may_not(lacking: Sequence[Lacking]) -> str:
    """For people: `its agent may not create, patch Deployment.apps in namespace shop`."""
    told = "; ".join(map(str, lacking[:MOST_TOLD]))
    more = len(lacking) - MOST_TOLD
    return f"its agent may not {told}" + (f"; and {more} more" if more > 0 else "")


def granting(lacking: Sequence[Lacking]) -> str:
    """What would help: `let its agent write Deployment.apps in namespace shop`."""
    where = sorted({(each.written.namespace, each.written.group_kind) for each in lacking})
    told = [f"{kind} in namespace {namespace}" if namespace else kind for namespace, kind in where]
    more = f" and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    return f"let its agent write {', '.join(told[:MOST_TOLD])}{more}: rbac in the values of its chart"
