"""How much of the room a demand has in a cluster is where the pod would rather be."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.fleet.columns import Columns
from controlplane.fleet.demand import Demand, Term, Toleration
from controlplane.fleet.features import Features
from controlplane.fleet.rows import Floats

MOST_KEPT = 128
_EVERYTHING = (Toleration(operator="Exists"),)


@dataclass(frozen=True)
class Preference:
    """One term of preferredDuringSchedulingIgnoredDuringExecution. weight: 1 to 100."""

    weight: int
    term: Term


Preferences = tuple[Preference, ...]
_Key = tuple[Demand, Preferences]


class Preferred:
    """Remembered for each cluster until a report or a promise changes it; the oldest of MOST_KEPT goes."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._kept: OrderedDict[_Key, tuple[Floats, NDArray[np.int64]]] = OrderedDict()

    def forget(self) -> None:
        """Positions of clusters have moved."""
        self._kept.clear()

    def shares(
        self,
        demand: Demand,
        preferences: Preferences,
        generations: NDArray[np.int64],
        columns_of: Callable[[int], Columns | None],
    ) -> Floats:
        """Per cluster 0 to 1, NaN where no node is free."""
        count = len(generations)
        held = self._kept.get((demand, preferences))
        values, seen = held if held is not None else (np.zeros(0), np.zeros(0, np.int64))
        if len(values) < count:
            more = count - len(values)
            values = np.pad(values, (0, more), constant_values=np.nan)
            seen = np.pad(seen, (0, more), constant_values=-1)
        self._kept[demand, preferences] = values, seen
        self._kept.move_to_end((demand, preferences))
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        for position in np.flatnonzero(seen != generations).tolist():
            columns = columns_of(position)
            values[position] = (
                np.nan if columns is None else _share(columns, demand, preferences, self._features)
            )
        seen[:] = generations
        return values


def _share(columns: Columns, demand: Demand, preferences: Sequence[Preference], features: Features) -> float:
    """Of the nodes with room, the share that each term matches, by the terms' weights."""
    free = columns.fits(demand, features.selection(demand)) >= 1
    count = int(free.sum())
    if not count:
        return float("nan")
    gained = 0.0
    for each in preferences:
        # What keeps a pod off a node is the demand's own; here only labels are asked.
        wish = Demand((("pods", 1),), affinity=(each.term,), tolerations=_EVERYTHING)
        weights = columns.weights(wish, features.selection(wish))
        rows = weights.rows if weights.rows is not None else weights.classes[columns.class_of]
        gained += each.weight * float((rows[free] > 0).sum()) / count
    return gained / sum(each.weight for each in preferences)
