"""Where a message comes from, as W3C Trace Context writes it: a header beside the body.

It is never part of what is signed, and nothing is decided on it: who writes a wrong one spoils a drawing.
"""

import re

TRACEPARENT = "traceparent"
"""The name of the header, in HTTP, in NATS, and (in capitals) of the environment variable."""
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent(text: str | None) -> str:
    """`text` where it is one of version 00, else "": then whoever asks begins a trace of its own."""
    return text if text and len(text) == 55 and _FORM.fullmatch(text) else ""


def trace_id(parent: str) -> str:
    """32 hex digits of a traceparent; "" of none."""
    return parent[3:35]


def written(trace: int, span: int, flags: int) -> str:
    """A traceparent of 128 and 64 bits, and flags (1: it is sampled)."""
    return f"00-{trace:032x}-{span:016x}-{flags:02x}"
