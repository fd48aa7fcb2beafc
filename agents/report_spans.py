"""Spans of what the agent publishes: a report on a workload goes on with the trace of its order.

All other reports of one publish are one span, in a trace of their own: what is decided on them links to it.
"""

from collections.abc import Callable, Sequence

from agents import tracing
from schemas.wire.reports import Report, Work

TRACED_SECONDS = 600.0
"""After an order came, reports on it go on with its trace for so long; what happens later is another's."""


class ReportSpans:
    """Of one publish; only while somebody traces. traces: one for each message, "" for none."""

    def __init__(
        self, cluster: str, reports: Sequence[tuple[str, Report]], trace_of: Callable[[str], str]
    ) -> None:
        """reports: by tail, in the order in which they are published. trace_of: of a workload's order."""
        self._cluster = cluster
        self._spans: list[tracing.Span] = []
        self._whole = ""
        others = sum(not isinstance(report, Work) for _, report in reports)
        self.traces = [self._trace(tail, report, trace_of, others) for tail, report in reports]

    def ended(self, failure: str = "") -> None:
        """All of them are confirmed; failure: none is."""
        for span in self._spans:
            if failure:
                span.failed(failure)
            span.end()

    def _trace(self, tail: str, report: Report, trace_of: Callable[[str], str], others: int) -> str:
        if isinstance(report, Work):
            workload = tail.partition(".")[2]
            parent = trace_of(workload)
            return self._of_work(workload, report, parent) if parent else ""
        if not self._whole:
            self._whole = self._begun(
                tracing.span(
                    "publish reports", parent=None, kind="producer", cluster=self._cluster, reports=others
                )
            )
        return self._whole

    def _of_work(self, workload: str, work: Work, parent: str) -> str:
        return self._begun(
            tracing.span(
                "report",
                parent=parent,
                kind="producer",
                cluster=self._cluster,
                workload_uid=workload,
                version=f"{work.version.epoch}.{work.version.generation}",
                state=work.state.value,
                reason=",".join(sorted({refusal.reason for refusal in work.refusals})),
            )
        )

    def _begun(self, span: tracing.Span) -> str:
        self._spans.append(span)
        return span.traceparent
