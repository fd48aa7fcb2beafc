"""What a demand's selector says of every profile of the fleet: label by label over all of them at once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.demand import Demand, Operator, Requirement, untolerated
from controlplane.fleet.label_sets import LabelSet
from controlplane.fleet.rows import NodeClass
from schemas.wire.reports import Taint

Bools = NDArray[np.bool_]
Gate = tuple[tuple[Taint, ...], bool]
"""Taints, and whether the node is ready."""

_SLACK = 2_000
_MOST_KEYS = 2_000


class _Label:
    """One key over all profiles: per profile a number of its value, 0 where it lacks the key."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.values: dict[str, int] = {}
        self.column: NDArray[np.intp] = np.zeros(0, np.intp)

    def extend(self, label_sets: list[LabelSet]) -> None:
        key, values, number = self.key, self.values, self.values.setdefault
        more = [
            0 if (value := each.value(key)) is None else number(value, len(values) + 1)
            for each in label_sets[len(self.column) :]
        ]
        if more:
            self.column = np.concatenate([self.column, np.array(more, np.intp)])

    def holds(self, requirement: Requirement) -> Bools:
        table = np.empty(len(self.values) + 1, np.bool_)
        table[0] = requirement.admits(None)
        for value, number in self.values.items():
            table[number] = requirement.admits(value)
        return table[self.column]


class Features:
    """Numbers for profiles and gates. When too many may be of nodes long gone, all are numbered anew.

    numbering: changes then; whoever keeps numbers compares it and asks again.
    """

    def __init__(self) -> None:
        self.numbering = 0
        self._label_sets: dict[LabelSet, int] = {}
        self._listed: list[LabelSet] = []
        self._gates: dict[Gate, int] = {}
        self._labels: dict[str, _Label] = {}
        self._limit = _SLACK

    def numbers(self, classes: tuple[NodeClass, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(profile, gate) of each class."""
        profiles = np.array([self._number(each.label_set) for each in classes], np.intp)
        gates = np.array(
            [self._gates.setdefault((each.taints, each.ready), len(self._gates)) for each in classes], np.intp
        )
        return profiles, gates

    def renumber_when_due(self, living: Callable[[], int]) -> None:
        """Between two decisions only. living: how many profiles and gates there may be in the fleet now."""
        numbered = len(self._listed) + len(self._gates)
        if numbered <= self._limit:
            return
        self._limit = 2 * living() + _SLACK
        if numbered > self._limit:
            self.numbering += 1
            self._label_sets, self._listed, self._gates, self._labels = {}, [], {}, {}

    def selection(self, demand: Demand) -> "Selection":
        return Selection(self, demand)

    def selects(self, demand: Demand) -> Bools:
        """Per profile, whether node selector, traits and affinity hold."""
        mask = np.ones(len(self._listed), np.bool_)
        for key, value in demand.node_selector:
            mask &= self._label(key).holds(Requirement(key, Operator.IN, (value,)))
        for each in demand.traits:
            mask &= self._label(each.key).holds(each)
        if not demand.affinity:
            return mask
        any_term = np.zeros(len(self._listed), np.bool_)
        for term in demand.affinity:
            if not term.requirements:
                continue
            all_of = np.ones(len(self._listed), np.bool_)
            for each in term.requirements:
                all_of &= self._label(each.key).holds(each)
            any_term |= all_of
        return mask & any_term

    def opens(self, demand: Demand) -> Bools:
        """Per gate, whether a node behind it takes the demand."""
        tolerated: dict[tuple[Taint, ...], bool] = {}
        for taints, _ in self._gates:
            if taints not in tolerated:
                tolerated[taints] = untolerated(taints, demand.tolerations) is None
        return np.array([ready and tolerated[taints] for taints, ready in self._gates], np.bool_)

    @property
    def counts(self) -> tuple[int, int]:
        return len(self._listed), len(self._gates)

    def _number(self, label_set: LabelSet) -> int:
        number = self._label_sets.get(label_set)
        if number is None:
            number = self._label_sets[label_set] = len(self._listed)
            self._listed.append(label_set)
        return number

    def _label(self, key: str) -> _Label:
        label = self._labels.get(key)
        if label is None:
            if len(self._labels) >= _MOST_KEYS:
                self._labels.clear()
            label = self._labels[key] = _Label(key)
        label.extend(self._listed)
        return label


class Selection:
    """Of one demand, worked out when first asked for, and again when profiles came since."""

    def __init__(self, features: Features, demand: Demand) -> None:
        self._features = features
        self._demand = demand
        self._counts = (-1, -1)
        self._selects: Bools = np.zeros(0, np.bool_)
        self._opens: Bools = self._selects

    def of(self, profiles: NDArray[np.intp], gates: NDArray[np.intp]) -> tuple[Bools, Bools]:
        """Per class (selected, selected and open)."""
        if self._counts != self._features.counts:
            self._counts = self._features.counts
            self._selects = self._features.selects(self._demand)
            self._opens = self._features.opens(self._demand)
        selected = self._selects[profiles]
        return selected, selected & self._opens[gates]
