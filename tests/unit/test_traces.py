"""Where a message comes from: what is a traceparent, and that nothing is traced unless it is asked for."""

import pytest

from agents import tracing as of_agent
from controlplane import tracing as of_centre
from schemas.wire.traces import trace_id, traceparent, written

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        pytest.param(GOOD, True, id="sampled"),
        pytest.param(GOOD[:-1] + "0", True, id="not sampled"),
        pytest.param(None, False, id="none"),
        pytest.param("", False, id="empty"),
        pytest.param(GOOD.upper(), False, id="capitals, which the standard forbids"),
        pytest.param("ff" + GOOD[2:], False, id="a version that there is not"),
        pytest.param("00-" + "0" * 32 + GOOD[35:], False, id="no trace"),
        pytest.param(GOOD[:36] + "0" * 16 + "-01", False, id="no span"),
        pytest.param(GOOD + "-more", False, id="longer than version 00"),
        pytest.param(GOOD[:-1], False, id="cut"),
        pytest.param(GOOD[:-1] + "\n", False, id="another line"),
    ],
)
def test_only_a_traceparent_is_taken_for_one(text: str | None, taken: bool) -> None:
    assert traceparent(text) == (text if taken else "")


def test_what_is_written_is_read() -> None:
    text = written(int(GOOD[3:35], 16), int(GOOD[36:52], 16), 1)
    assert text == traceparent(text) == GOOD
    assert trace_id(text) == GOOD[3:35]


@pytest.mark.parametrize("tracing", [of_centre, of_agent], ids=["centre", "agent"])
@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="no endpoint"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, id="an empty one"),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, id="disabled"
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
            id="no exporter",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            id="a protocol that is not spoken",
        ),
    ],
)
def test_off_is_off(tracing: type[of_centre], environment: dict[str, str]) -> None:
    tracing.configure("muster", environment)
    assert not tracing.is_on()
    with tracing.span("decide", parent=GOOD, links=[GOOD], workload_uid="w") as span:
        span.say(reason="Placed")
        assert (span.traceparent, tracing.current()) == ("", "")
