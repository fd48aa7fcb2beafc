"""What is told of a decision, as rows that go out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from controlplane.fleet import NodeCounts
from controlplane.placement.accounts import Account
from controlplane.placement.changes import Change
from controlplane.placement.score import ScorePart
from controlplane.queries.rows import DivisionRow, ScoreRow, ShareRow, StepRow, SuggestionRow


def score_rows(parts: Sequence[ScorePart]) -> tuple[ScoreRow, ...]:
    return tuple(ScoreRow(each.part, each.value, each.weight, each.adds, each.lacks) for each in parts)


def division_row(told: Account, names: Mapping[str, str]) -> DivisionRow:
    """names: of clusters, by id."""
    shares = (ShareRow(names[each.cluster], each.weight, each.had, each.gets) for each in told.shares)
    return DivisionRow(told.mode, told.how, tuple(shares))


def suggestion_rows(changes: Sequence[Change]) -> tuple[SuggestionRow, ...]:
    return tuple(
        SuggestionRow(
            str(change),
            change.replicas,
            tuple(StepRow(step.kind.value, step.field, step.text, step.cluster) for step in change.steps),
            change.but,
        )
        for change in changes
    )


def counts_data(counts: Mapping[str, NodeCounts]) -> dict[str, Any]:
    data = {name: asdict(each) for name, each in counts.items()}
    return data.get("", data)
