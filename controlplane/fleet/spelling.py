"""How the nodes of one cluster spell a trait as a label, so that its own scheduler can be told of it."""

from collections.abc import Sequence

from controlplane.fleet.demand import Operator, Requirement
from controlplane.fleet.label_sets import LabelSet
from controlplane.fleet.traits import FEATURE, HANDLER, labels_of

_SAME_MEANING = (Operator.IN, Operator.EXISTS, Operator.DOES_NOT_EXIST, Operator.GT, Operator.LT)
"""Operators that mean the same of a label and of a feature."""
_MOST_VALUES = 100


def spelled(requirement: Requirement, label_sets: Sequence[LabelSet]) -> list[Requirement] | None:
    """Requirements of labels, of which one holds exactly where `requirement` does; None where none can.

    With operators that a node affinity takes. Checked against every profile of the cluster, since its nodes
    may be of several versions of NFD, or have the feature without any label.
    """
    if requirement.key.startswith(HANDLER):
        return None
    wanted = [requirement.admits(each.value(requirement.key)) for each in label_sets]
    written = [
        form
        for label in _labels(requirement)
        for form in _forms(requirement, label, label_sets, wanted)
        if any(_holds(form, label_sets))
    ]
    for form in written:
        if _holds(form, label_sets) == wanted:
            return [form]
    inside = [
        form
        for form in written
        if all(want for held, want in zip(_holds(form, label_sets), wanted, strict=True) if held)
    ]
    together = [any(held) for held in zip(*(_holds(form, label_sets) for form in inside), strict=True)]
    return inside if inside and together == wanted else None


def _labels(requirement: Requirement) -> tuple[str, ...]:
    if requirement.is_feature:
        return labels_of(requirement.key.removeprefix(FEATURE))
    return (requirement.key,)


def _forms(
    requirement: Requirement, label: str, label_sets: Sequence[LabelSet], wanted: Sequence[bool]
) -> list[Requirement]:
    """As it is where that means the same of a label, and by the values that the matching nodes have."""
    forms: list[Requirement] = []
    if requirement.operator in _SAME_MEANING or (
        requirement.operator is Operator.NOT_IN and not requirement.is_feature
    ):
        forms.append(Requirement(label, requirement.operator, requirement.values))
    values = {each.labels.get(label) for each, want in zip(label_sets, wanted, strict=True) if want}
    found = tuple(sorted(value for value in values if value is not None))
    if found and len(found) <= _MOST_VALUES:
        forms.append(Requirement(label, Operator.IN, found))
    return forms


def _holds(form: Requirement, label_sets: Sequence[LabelSet]) -> list[bool]:
    return [form.admits(each.labels.get(form.key)) for each in label_sets]
