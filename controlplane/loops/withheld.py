"""Orders that dispatch holds back since their agents may not carry them out: counted, and said."""

from dataclasses import dataclass

import structlog

from controlplane.known.known import Known
from controlplane.known.records import OutboxRecord
from controlplane.loops.running import LoopMetrics
from controlplane.placement.rules import Refused
from schemas.wire.orders import Version

log = structlog.get_logger()

MOST_SAID = 20
"""Clusters that are named in one look: where rights were taken everywhere, every leader meets all of them."""


@dataclass
class _Newly:
    """First seen in this look. first, why: one of them."""

    first: OutboxRecord
    why: Refused
    orders: int = 0


class Withheld:
    """Each version of an order is counted once; a look says one line for each cluster that has new ones."""

    def __init__(self, known: Known, metrics: LoopMetrics) -> None:
        self._known = known
        self._metrics = metrics
        self._held: dict[tuple[str, str], Version] = {}
        self._newly: dict[str, _Newly] = {}

    def is_held(self, record: OutboxRecord) -> bool:
        """Whether it is not to be published, by the newest facts of its cluster."""
        why = self._known.withholding.why(record)
        key = record.cluster, record.workload
        if why is None:
            self._held.pop(key, None)
            return False
        if self._held.get(key) != record.version:
            self._held[key] = record.version
            self._metrics.orders.labels("withheld").inc()
            self._newly.setdefault(record.cluster, _Newly(record, why)).orders += 1
        return True

    def looked(self) -> None:
        """All that is unpublished was asked for: say what is new, forget what is ordered no more."""
        for key in self._held.keys() - self._known.unpublished:
            del self._held[key]
        newly, self._newly = self._newly, {}
        for cluster, found in list(newly.items())[:MOST_SAID]:
            log.warning(
                "orders_withheld",
                cluster=cluster,
                orders=found.orders,
                workload=found.first.workload,
                verb=found.first.verb.value,
                reason=found.why.reason,
                detail=found.why.message,
            )
        if len(newly) > MOST_SAID:
            rest = list(newly.values())[MOST_SAID:]
            log.warning("orders_withheld", clusters=len(rest), orders=sum(each.orders for each in rest))
