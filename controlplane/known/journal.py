"""What replicas that do not lead are told of decisions: what to read again, and then what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.known.records import (
    BalanceRecord,
    DecisionRecord,
    EpochRecord,
    OutboxRecord,
    PlacementRecord,
    Position,
)
from schemas.wire.reports import Stamp

Place = tuple[str, str]
"""(workload, cluster)"""


@dataclass(frozen=True)
class Journal:
    """What was written to up to `end`, in no order: all of it is read again as it is then.

    decided: uids whose decision, placements and orders, ordered: uids whose orders may be others now.
    charged: places with other balances. purged: subjects of reports. is_whole: nothing lies behind it yet.
    """

    end: Position
    decided: frozenset[str] = frozenset()
    ordered: frozenset[str] = frozenset()
    charged: frozenset[Place] = frozenset()
    purged: tuple[str, ...] = ()
    is_whole: bool = True


@dataclass(frozen=True)
class ReadAgain:
    """What a journal names, as it is now; what is not here is no more.

    outbox: an order that the reader said it holds, in that very version, comes without body and signature.
    """

    decisions: tuple[DecisionRecord, ...] = ()
    placements: tuple[PlacementRecord, ...] = ()
    outbox: tuple[OutboxRecord, ...] = ()
    balances: tuple[BalanceRecord, ...] = ()


@dataclass(frozen=True)
class Bearings:
    """What a leader needs and replicas do not follow. incarnations: by cluster.

    unjournaled: epochs whose leader kept no journal, being of an earlier release.
    """

    epochs: tuple[EpochRecord, ...]
    last_generation: int
    alert_watermarks: Mapping[str, Stamp] = field(default_factory=dict[str, Stamp])
    incarnations: Mapping[str, int] = field(default_factory=dict[str, int])
    unjournaled: frozenset[int] = frozenset()
