"""What one replica asks of a node: the signature under which capacity is counted and remembered."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from controlplane.fleet.patterns import pattern
from controlplane.fleet.traits import FEATURE, HANDLER, is_flag, value_of
from schemas.wire.reports import Taint

HOSTNAME = "kubernetes.io/hostname"
"""Differs on every node, so no profile carries it: what asks for it is matched by the node's name."""
NODE_NAME_FIELD = "metadata.name"


class Operator(StrEnum):
    """Of Kubernetes' selectors, and of NFD's rules."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"
    IN_REGEXP = "InRegexp"
    GE = "Ge"
    LE = "Le"
    GT_LT = "GtLt"
    GE_LE = "GeLe"
    IS_TRUE = "IsTrue"
    IS_FALSE = "IsFalse"


_COMPARISONS: dict[Operator, Callable[[int, list[int]], bool]] = {
    Operator.GT: lambda value, by: value > by[0],
    Operator.GE: lambda value, by: value >= by[0],
    Operator.LT: lambda value, by: value < by[0],
    Operator.LE: lambda value, by: value <= by[0],
    Operator.GT_LT: lambda value, by: by[0] < value < by[1],
    Operator.GE_LE: lambda value, by: by[0] <= value <= by[1],
}
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True)
class Requirement:
    """One expression: of a label with Kubernetes' meaning, where NotIn holds for a key that is absent, or
    of a `feature:` with NFD's, where of what is absent, or a mere flag, only DoesNotExist and Exists speak.

    ValueError for a regular expression that is none.
    """

    key: str
    operator: Operator
    values: tuple[str, ...] = ()
    _of_node: bool = field(init=False, repr=False, compare=False, default=False)

    def __post_init__(self) -> None:
        # Asked for every cluster and every profile: what its key begins with is looked at once.
        object.__setattr__(self, "_of_node", self.key.startswith((FEATURE, HANDLER)))
        if self.operator is Operator.IN_REGEXP:
            for value in self.values:
                pattern(value)

    def holds(self, labels: Mapping[str, str]) -> bool:
        return self.admits(value_of(self.key, labels) if self._of_node else labels.get(self.key))

    def admits(self, value: str | None) -> bool:
        """Whether it holds where its key has this value, None for none."""
        operator = self.operator
        if value is None:
            absent_differs = operator is Operator.NOT_IN and not self._of_node
            return absent_differs or operator is Operator.DOES_NOT_EXIST
        if operator is Operator.EXISTS or operator is Operator.DOES_NOT_EXIST:
            return operator is Operator.EXISTS
        return not (self._of_node and is_flag(self.key, value)) and self._takes(value)

    def _takes(self, value: str) -> bool:
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.IN_REGEXP:
                return any(pattern(each).found(value) for each in self.values)
            case Operator.IS_TRUE | Operator.IS_FALSE:
                return value == ("true" if self.operator is Operator.IS_TRUE else "false")
            case _:
                return self._compares(value)

    def __str__(self) -> str:
        """`zone In (a, b)`; `env=prod`"""
        if self.operator is Operator.IN and len(self.values) == 1:
            return f"{self.key}={self.values[0]}"
        values = f" ({', '.join(self.values)})" if self.values else ""
        return f"{self.key} {self.operator.value}{values}"

    @property
    def lacking(self) -> str:
        """What a node lacks that does not meet it: `feature cpu.cpuid.AMXTILE`, `runtime handler kata`."""
        if self.key.startswith(HANDLER):
            return f"runtime handler {self.key.removeprefix(HANDLER)}"
        kind, key = ("feature", self.key.removeprefix(FEATURE)) if self.is_feature else ("label", self.key)
        exists = self.operator is Operator.EXISTS
        return f"{kind} {key if exists else replace(self, key=key)}"

    @property
    def is_feature(self) -> bool:
        return self.key.startswith(FEATURE)

    def _compares(self, value: str) -> bool:
        numbers = [int(each) for each in (value, *self.values) if _NUMBER.fullmatch(each)]
        wanted = 2 if self.operator in (Operator.GT_LT, Operator.GE_LE) else 1
        if len(numbers) != wanted + 1 or len(self.values) != wanted or numbers[1] > numbers[-1]:
            return False
        return _COMPARISONS[self.operator](numbers[0], numbers[1:])


@dataclass(frozen=True)
class Term:
    """All of `requirements` hold. One without any matches nothing, as in Kubernetes."""

    requirements: tuple[Requirement, ...]

    def holds(self, labels: Mapping[str, str]) -> bool:
        return bool(self.requirements) and all(each.holds(labels) for each in self.requirements)


@dataclass(frozen=True)
class Toleration:
    """An empty key with Exists tolerates everything; an empty effect matches every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return bool(self.key) and self.value == taint.value


REPELLING = frozenset({"NoSchedule", "NoExecute"})


def untolerated(taints: Collection[Taint], tolerations: Collection[Toleration]) -> Taint | None:
    """The first NoSchedule or NoExecute taint that nothing tolerates; None when all are."""
    for taint in taints:
        if taint.effect in REPELLING and not any(each.tolerates(taint) for each in tolerations):
            return taint
    return None


EVERYWHERE = frozenset({"cpu", "memory", "pods"})
"""Resources that every node has some of."""
Amounts = tuple[tuple[str, int], ...]
"""(resource, amount), sorted."""


_NO_FEATURES: Mapping[str, str] = {}


@dataclass(frozen=True)
class Numa:
    """What a kubelet aligns of one replica to NUMA zones: only amounts that a zone may lack.

    starting: of each init container. running: of each app container, in order. pod: of the whole, for the
    scope `pod`. wanted: only nodes take it whose kubelet puts all of a container, or pod, into one zone.
    """

    starting: tuple[Amounts, ...] = ()
    running: tuple[Amounts, ...] = ()
    pod: Amounts = ()
    wanted: bool = False


@dataclass(frozen=True)
class Demand:
    """Hashable. requests: (resource, amount) of one replica, sorted; cpu in millicores; `pods` is 1.

    affinity: terms of which one must hold; none at all means every node.
    traits: all must hold; of labels, of `feature:<feature>.<name>` and `handler:<handler>` of a node.
    numa: None where no zone can be in the way. pools: addresses that one replica takes, by the
    `namespace/name` of the attachment that gives them.
    """

    requests: Amounts
    node_selector: tuple[tuple[str, str], ...] = ()
    affinity: tuple[Term, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    traits: tuple[Requirement, ...] = ()
    numa: Numa | None = None
    pools: Amounts = ()
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        # Asked for at every placement as a key: hashing the whole tree each time would be the warm path.
        key = (
            self.requests,
            self.node_selector,
            self.affinity,
            self.tolerations,
            self.traits,
            self.numa,
            self.pools,
        )
        object.__setattr__(self, "_hash", hash(key))

    def __hash__(self) -> int:
        return self._hash

    @staticmethod
    def of(
        requests: Mapping[str, int],
        node_selector: Mapping[str, str] | None = None,
        affinity: Collection[Term] = (),
        tolerations: Collection[Toleration] = (),
        traits: Collection[Requirement] = (),
        numa: Numa | None = None,
    ) -> "Demand":
        """One replica that asks for `requests`; it takes one of `pods`, and zero amounts fall away."""
        amounts = {name: amount for name, amount in requests.items() if amount > 0} | {"pods": 1}
        return Demand(
            tuple(sorted(amounts.items())),
            tuple(sorted((node_selector or {}).items())),
            tuple(affinity),
            tuple(tolerations),
            tuple(traits),
            numa,
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Node names that the selector speaks of, sorted."""
        named = {value for key, value in self.node_selector if key in (HOSTNAME, NODE_NAME_FIELD)}
        for term in self.affinity:
            for each in term.requirements:
                if each.key in (HOSTNAME, NODE_NAME_FIELD):
                    named.update(each.values)
        return tuple(sorted(named))

    @cached_property
    def asks_for_name(self) -> bool:
        keys = {key for key, _ in self.node_selector}
        keys |= {each.key for term in self.affinity for each in term.requirements}
        return not keys.isdisjoint((HOSTNAME, NODE_NAME_FIELD))

    def selects(
        self,
        labels: Mapping[str, str],
        features: Mapping[str, str] = _NO_FEATURES,
        handlers: Collection[str] = (),
    ) -> bool:
        """Whether node selector, required affinity and traits hold for a node of these."""
        return self.unmet(labels, features, handlers) is None

    def unmet(
        self,
        labels: Mapping[str, str],
        features: Mapping[str, str] = _NO_FEATURES,
        handlers: Collection[str] = (),
    ) -> str | None:
        """What of selector and traits does not hold, for people; None when all holds."""
        for key, value in self.node_selector:
            if labels.get(key) != value:
                return f"label {key}={value}"
        if self.affinity and not any(term.holds(labels) for term in self.affinity):
            failed = [each for term in self.affinity for each in term.requirements if not each.holds(labels)]
            return "affinity " + " or ".join(dict.fromkeys(map(str, failed))) if failed else "affinity"
        for each in self.traits:
            if not each.admits(value_of(each.key, labels, features, handlers)):
                return each.lacking
        return None
