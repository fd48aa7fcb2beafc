"""What the deciding loop hands on: a decision that is made, and not written yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.fleet import Promise
from controlplane.known.records import WorkloadRecord
from controlplane.loops.ports import NewDecision
from controlplane.quota.quota import Amounts


@dataclass(frozen=True)
class Made:
    """One decision on its way to Postgres, with what to take back when it is skipped.

    asked: before it, what its placement came to by cluster.
    """

    record: WorkloadRecord
    new: NewDecision
    promises: Mapping[str, Promise]
    asked: Mapping[str, Amounts] = field(default_factory=dict[str, Amounts])
