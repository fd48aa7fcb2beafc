"""Spans of decisions: begun when one is made, ended when it is committed, or was in vain.

A decision goes on with the trace of the write that it answers, until that is placed; what is decided later
(a cluster lost, room that came) has a trace of its own, and a link to the write. Every one links to the last
report of each cluster that it orders something of.
"""

from collections.abc import Sequence
from dataclasses import replace

from controlplane import tracing
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.loops.made import Made


class DecisionSpans:
    """For one epoch; bounded by what is decided at once."""

    def __init__(self, known: Known, epoch: int) -> None:
        self._known = known
        self._epoch = epoch
        self._open: dict[str, tracing.Span] = {}

    def begun(self, made: Sequence[Made], since_ns: int) -> list[Made]:
        """The same decisions, each with the trace that its orders go on with."""
        return [self._with_span(one, since_ns) for one in made]

    def ended(self, one: Made, in_vain: str = "") -> None:
        """Committed; in_vain: why not."""
        span = self._open.pop(one.record.uid, None)
        if span is not None:
            if in_vain:
                span.failed(in_vain)
            span.end()

    def _with_span(self, one: Made, since_ns: int) -> Made:
        record, new = one.record, one.new
        answers = self._answers_write(record)
        reports = [self._known.traced.reports.get(order.cluster, "") for order in new.orders]
        span = tracing.span(
            "decide",
            parent=record.trace if answers else "",
            links=reports if answers else [record.trace, *reports],
            since=since_ns,
            workload_uid=record.uid,
            workload_name=record.name,
            tenant=record.tenant,
            revision=record.revision,
            placed=new.placed,
            reason=new.reason,
            message=new.message[:500],
            epoch=self._epoch,
            clusters=",".join(order.cluster for order in new.orders[: tracing.MOST_LINKS]),
            versions=",".join(
                f"{order.version.epoch}.{order.version.generation}"
                for order in new.orders[: tracing.MOST_LINKS]
            ),
        )
        self.ended(one, "decided again")
        self._open[record.uid] = span
        return replace(one, new=replace(new, trace=span.traceparent))

    def _answers_write(self, record: WorkloadRecord) -> bool:
        held = self._known.decisions.get(record.uid)
        return held is None or not held.placed or held.resource_version != record.resource_version
