"""Which of many lists of matchers could match, without trying each: by the rarest `label=value` of each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from controlplane.alerts.alert import Labels
from controlplane.alerts.matchers import Matcher, Operator

_Thing = TypeVar("_Thing")


class MatcherIndex(Generic[_Thing]):
    """Built once of (matchers, thing) in their order; an absent label is the same as an empty one."""

    def __init__(self, entries: Iterable[tuple[Sequence[Matcher], _Thing]]) -> None:
        listed = list(entries)
        equalities = [
            [each for each in matchers if each.operator is Operator.EQUAL] for matchers, _ in listed
        ]
        counted = Counter((each.name, each.value) for found in equalities for each in found)
        self._things = [thing for _, thing in listed]
        self._always: list[int] = []
        self._by_name: dict[str, dict[str, list[int]]] = {}
        for place, found in enumerate(equalities):
            if found:
                rarest = min(found, key=lambda each: counted[each.name, each.value])
                self._by_name.setdefault(rarest.name, {}).setdefault(rarest.value, []).append(place)
            else:
                self._always.append(place)

    def candidates(self, labels: Labels) -> Iterable[_Thing]:
        """Everything that matches is among them, in the order in which it was given; try each."""
        places = self._always
        for name, by_value in self._by_name.items():
            found = by_value.get(labels.get(name, ""))
            if found is not None:
                places = [*places, *found] if places else found
        things = self._things
        return [things[place] for place in sorted(places)]
