"""Traces by OpenTelemetry: off unless an endpoint is set, and then a span costs the call of a function.

As `controlplane/tracing.py`, by the same variables; the two sides share no code, and no more than the text of
a `traceparent`, which comes with an order and goes back with the report on it.
"""

import atexit
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import Token
from threading import Thread
from types import TracebackType
from typing import Literal

import structlog
from opentelemetry import context as contexts
from opentelemetry import trace as otel
from opentelemetry.context import Context

from schemas.wire.traces import written

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool
MOST_LINKS = 16
LAST_EXPORT_SECONDS = 2.0
"""At the end of the process: nobody waits longer for a collector that is away."""
SAID_EVERY_SECONDS = 60.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"

log = structlog.get_logger()


class Span:
    """What is going on; this one is nobody's. traceparent: for whoever goes on with it, "" while off."""

    @property
    def traceparent(self) -> str:
        return ""

    def named(self, name: str) -> None:
        """It turned out to be this."""

    def say(self, **attributes: Value) -> None:
        """Attributes `muster.NAME`, with dots for `_`; a name that has dots already stands as it is."""

    def failed(self, reason: str) -> None:
        """It did not come to what it was for."""

    def end(self) -> None:
        """Now. Used as a context manager, it ends with that."""

    def __enter__(self) -> "Span":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        pass


class _Recorded(Span):
    def __init__(self, span: otel.Span) -> None:
        self._span = span
        self._token: Token[Context] | None = None

    @property
    def traceparent(self) -> str:
        return _text(self._span)

    def named(self, name: str) -> None:
        self._span.update_name(name)

    def say(self, **attributes: Value) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(_named(name), value)

    def failed(self, reason: str) -> None:
        self._span.set_status(otel.Status(otel.StatusCode.ERROR, reason))

    def end(self) -> None:
        self._span.end()

    def __enter__(self) -> Span:
        self._token = contexts.attach(otel.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._token is not None:
            contexts.detach(self._token)
        if error is not None:
            self.failed(type(error).__name__)
        self._span.end()


_nobodys = Span()
_tracer: otel.Tracer | None = None


def is_on() -> bool:
    """Whether anybody collects: ask before anything is worked out for a span alone."""
    return _tracer is not None


def now_ns() -> int:
    """For `since` of a span that is made after it began."""
    return time.time_ns()


def current() -> str:
    """The traceparent of what is going on here; "" while off."""
    return "" if _tracer is None else _text(otel.get_current_span())


def span(
    name: str,
    *,
    parent: str | None = "",
    links: Iterable[str] = (),
    kind: Kind = "internal",
    since: int | None = None,
    **attributes: Value,
) -> Span:
    """One that has begun; used as a context manager it is the current one, and ends with that.

    parent: a traceparent; "" for the current span's, where there is any; None: it begins a trace.
    links: traceparents of other inputs, MOST_LINKS of them. since: Unix nanoseconds. attributes: as for
    `Span.say`.
    """
    if _tracer is None:
        return _nobodys
    return _Recorded(
        _tracer.start_span(
            name,
            context=_context(parent),
            kind=otel.SpanKind[kind.upper()],
            attributes={_named(each): value for each, value in attributes.items()},
            links=[otel.Link(_remote(each).get_span_context()) for each in links if each][:MOST_LINKS],
            start_time=since,
        )
    )


def configure(service: str, environment: Mapping[str, str] = os.environ) -> None:
    """Begin to trace where the variables say so; what cannot be is logged, and nothing else changes by it.

    service: its name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES give another.
    """
    global _tracer
    endpoint = next((environment[name] for name in _ENDPOINTS if environment.get(name)), "")
    if not endpoint or _is_disabled(environment):
        return
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        log.error("not_traced", detail=f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: only {_PROTOCOL} is spoken")
        return
    # Only who traces pays for these.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    atexit.register(_end, provider.shutdown)
    theirs = logging.getLogger("opentelemetry")
    theirs.handlers, theirs.propagate = [_Said()], False
    _tracer = provider.get_tracer("muster")
    log.info("traced", endpoint=endpoint)


class _Said(logging.Handler):
    """What the exporter has to say, in our log, and now and then only."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said_at = -SAID_EVERY_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() - self._said_at >= SAID_EVERY_SECONDS:
            self._said_at = time.monotonic()
            log.warning("traces_not_exported", detail=record.getMessage()[:300])


def _end(shut_down: Callable[[], None]) -> None:
    ending = Thread(target=shut_down, daemon=True)
    ending.start()
    ending.join(LAST_EXPORT_SECONDS)


def _is_disabled(environment: Mapping[str, str]) -> bool:
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return disabled or environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none"


def _named(name: str) -> str:
    return name if "." in name else f"muster.{name.replace('_', '.')}"


def _context(parent: str | None) -> Context | None:
    if parent == "":
        return None
    return otel.set_span_in_context(_remote(parent), Context()) if parent else Context()


def _remote(parent: str) -> otel.Span:
    flags = otel.TraceFlags(int(parent[53:55], 16))
    found = otel.SpanContext(int(parent[3:35], 16), int(parent[36:52], 16), True, flags)
    return otel.NonRecordingSpan(found)


def _text(span: otel.Span) -> str:
    context = span.get_span_context()
    return written(context.trace_id, context.span_id, context.trace_flags) if context.is_valid else ""
