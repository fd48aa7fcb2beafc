"""Spans of messages to people: each goes on with the trace of its first alert, and links to those of others.

An alert's trace is that of the first report of it since somebody was told; those that only say that it still
fires begin nothing. What is not known here any more (another process has led since) begins its own trace.
"""

from collections import OrderedDict
from dataclasses import dataclass

from controlplane import tracing
from controlplane.alerts.entry import Arrived, Entry
from controlplane.alerts.notice import Answer, Notice

MOST_ALERTS = 20_000


@dataclass
class _Came:
    trace: str
    told: bool = False


class NoticeSpans:
    """For one epoch; empty while nobody traces."""

    def __init__(self) -> None:
        self._alerts: OrderedDict[str, _Came] = OrderedDict()

    def came(self, entry: Entry) -> None:
        """An entry of the log was applied."""
        if not isinstance(entry, Arrived) or not entry.trace:
            return
        for alert in entry.alerts:
            known = self._alerts.get(alert.fingerprint)
            if known is None or known.told:
                self._alerts[alert.fingerprint] = _Came(entry.trace)
        while len(self._alerts) > MOST_ALERTS:
            self._alerts.popitem(last=False)

    def attempt(self, notice: Notice, number: int) -> tracing.Span:
        """A span of one attempt, that is to be told of its outcome by `answered`."""
        traces = list(dict.fromkeys(each.trace for each in self._of(notice)))
        return tracing.span(
            "notify",
            parent=traces[0] if traces else "",
            links=traces[1:],
            kind="client",
            receiver=notice.receiver,
            integration=notice.integration,
            reason=notice.why.value,
            alerts=len(notice.alerts),
            attempt=number,
            cluster=",".join(sorted({alert.source for alert in notice.alerts if alert.source})[:10]),
        )

    def answered(self, span: tracing.Span, notice: Notice, answer: Answer) -> None:
        """answer: of the receiver, as it is recorded."""
        if not tracing.is_on():
            return
        span.say(delivered=answer.delivered)
        if not answer.delivered:
            span.failed(answer.code or "not delivered")
            return
        for each in self._of(notice):
            each.told = True

    def _of(self, notice: Notice) -> list[_Came]:
        if not self._alerts:
            return []
        found = (self._alerts.get(alert.fingerprint) for alert in notice.alerts)
        return [each for each in found if each is not None]
