"""What the deciding loop hands on: a decision that is made, and not written yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.fleet import Promise
from controlplane.known.charges import Asking
from controlplane.known.records import WorkloadRecord
from controlplane.loops.ports import NewDecision


@dataclass(frozen=True)
class Made:
    """One decision on its way to Postgres, with what to take back when it is skipped.

    asked: before it, whose its placement was by cluster, and what it came to.
    """

    record: WorkloadRecord
    new: NewDecision
    promises: Mapping[str, Promise]
    asked: Mapping[str, Asking] = field(default_factory=dict[str, Asking])
