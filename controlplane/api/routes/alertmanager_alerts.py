"""API v2: alerts taken, listed, and in their groups."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TypeVar

import msgspec
from prometheus_client import Counter

from controlplane import tracing
from controlplane.alerts.alert import Alert
from controlplane.alerts.crowding import beyond
from controlplane.alerts.entry import Arrived, Entry
from controlplane.alerts.intake import Intake
from controlplane.alerts.posted import (
    MOST_BODY_BYTES,
    MOST_REFUSALS,
    Fault,
    Refusal,
    TooMany,
)
from controlplane.api.ports import Alerting, ApiDeps
from controlplane.api.routes.alertmanager_answers import Answered, BodyTooLarge, Call
from controlplane.queries.alerts import (
    AlertFilter,
    Listing,
    group_rows,
    parse_filter,
    parse_receiver,
)

MOST_HELD_BYTES = 4 * MOST_BODY_BYTES
"""Of bodies that are being read or stored at once."""
READ_SECONDS = 30.0
"""For a body: what is announced is held room for that long, and others may have to wait for it."""
_LOOP_SECONDS = 0.003
_STEP_BYTES = 64 * 1024
_Step = TypeVar("_Step")
_encode = msgspec.json.Encoder().encode


class _TooSlow(Exception):
    """A body that does not come."""


class AlertDoor:
    def __init__(self, deps: ApiDeps, alerting: Alerting) -> None:
        self._clock, self._alerting = deps.clock, alerting
        self._intake = Intake()
        self._held_bytes = 0
        self._coming = 0
        labels, registry = ["status"], deps.metrics
        self._received = Counter("muster_alerts_posted", "Alerts taken by API v2", labels, registry=registry)
        self._invalid = Counter("muster_alerts_refused", "Alerts that API v2 did not take", registry=registry)

    async def post(self, call: Call) -> Answered:
        """200 when all are committed; else what is wrong with which, and the others are committed."""
        kind = call.header(b"content-type").partition(";")[0].strip().lower() or "application/octet-stream"
        if kind != "application/json":
            return call.refused(415, f'unsupported media type "{kind}", only [application/json] are allowed')
        if (encoding := call.header(b"content-encoding")) not in ("", "identity", "gzip"):
            return call.refused(415, f'content encoding "{encoding[:40]}": gzip, or none')
        announced = call.header(b"content-length")
        size = int(announced) if announced.isdigit() and len(announced) < 12 else MOST_BODY_BYTES // 4
        if self._held_bytes + size > MOST_HELD_BYTES and self._held_bytes:
            return self._busy(call)
        self._held_bytes += size
        try:
            return await self._take(call, await self._read(call))
        except BodyTooLarge:
            return call.refused(413, f"up to {MOST_BODY_BYTES:,} bytes in one request; send fewer at a time")
        except _TooSlow:
            return call.refused(408, f"the body did not come within {READ_SECONDS:g} s")
        except TooMany as error:
            return call.refused(413, str(error))
        except ValueError as error:
            return call.refused(400, str(error))
        finally:
            self._held_bytes -= size

    async def _read(self, call: Call) -> bytes:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await call.body(MOST_BODY_BYTES)
        except TimeoutError as error:
            raise _TooSlow from error

    def _busy(self, call: Call) -> Answered:
        answered = call.wrong(429, f"requests of {MOST_HELD_BYTES:,} bytes are being stored already")
        return Answered(429, answered.body, [*answered.headers, (b"retry-after", b"1")])

    async def _take(self, call: Call, body: bytes) -> Answered:
        if not body.strip():
            return call.refused(422, "alerts in body is required", 602)
        now = self._clock.now()
        entries, refused, crowded = list[Entry](), list[Refusal](), 0
        timeout = self._alerting.configuration().resolve_timeout_seconds
        coming = 0
        try:
            for part in self._intake.slices(body, now, timeout):
                alerts, new, left_out = self._admitted(part.alerts)
                self._coming += new
                coming += new
                crowded += left_out
                if alerts:
                    entries.append(Arrived(now, alerts, tracing.current()))
                refused += part.refused
                if len(body) > _STEP_BYTES:
                    await asyncio.sleep(0)
            if entries:
                await self._alerting.append(entries)
                self._count(entries, now)
        finally:
            self._coming -= coming
        if crowded:
            self._invalid.inc(crowded)
            return self._full(call, crowded)
        if not refused:
            return Answered(200)
        self._invalid.inc(len(refused))
        return _refusals(call, refused)

    def _admitted(self, alerts: Sequence[Alert]) -> tuple[Sequence[Alert], int, int]:
        """Those that there is room for, how many of them are new, and how many there is no room for."""
        board = self._alerting.board()
        held = board.alerts
        left_out = beyond(alerts, held, self._coming, board.characters)
        kept = [each for each in alerts if each.fingerprint not in left_out] if left_out else alerts
        new = sum(each.fingerprint not in held for each in kept)
        return kept, new, len(alerts) - len(kept)

    def _full(self, call: Call, crowded: int) -> Answered:
        message = f"{crowded} alerts are not taken: as much is held as is taken; the others are"
        answered = call.wrong(429, message)
        return Answered(429, answered.body, [*answered.headers, (b"retry-after", b"60")])

    def _count(self, entries: Sequence[Entry], now: float) -> None:
        alerts = [alert for entry in entries if isinstance(entry, Arrived) for alert in entry.alerts]
        resolved = sum(alert.ends_at <= now for alert in alerts)
        if resolved:
            self._received.labels("resolved").inc(resolved)
        if len(alerts) > resolved:
            self._received.labels("firing").inc(len(alerts) - resolved)

    async def list(self, call: Call) -> Answered:
        """By fingerprint. Sent as it is made, so that neither memory nor the loop feels a long list."""
        wanted = _filter(call)
        listing = Listing(self._alerting.board(), wanted, self._clock.now())
        async for _ in _paced(listing.find()):
            pass
        await call.begin()
        opened = b"["
        async for body in _paced(listing.bodies()):
            if body:
                await call.more(opened + body)
                opened = b","
        await call.more(b"[]\n" if opened == b"[" else b"]\n", last=True)
        return Answered(200, sent=True)

    async def groups(self, call: Call) -> Answered:
        wanted = _filter(call)
        rows = list[bytes]()
        steps = group_rows(self._alerting.board(), wanted, self._clock.now(), with_muted=call.flag("muted"))
        async for row in _paced(steps):
            if row is not None:
                rows.append(_encode(row))
        await call.begin()
        opened = b"["
        for row in rows:
            await call.more(opened + row)
            opened = b","
        await call.more(b"[]\n" if opened == b"[" else b"]\n", last=True)
        return Answered(200, sent=True)


async def _paced(steps: Iterable[_Step]) -> AsyncIterator[_Step]:
    """The same, and others have their turn every few milliseconds."""
    began = time.perf_counter()
    for step in steps:
        yield step
        if time.perf_counter() - began > _LOOP_SECONDS:
            await asyncio.sleep(0)
            began = time.perf_counter()


def _filter(call: Call) -> AlertFilter:
    """Raises BadMatcher. `unprocessed` is taken and changes nothing, as in Alertmanager: none is."""
    return AlertFilter(
        matchers=parse_filter(call.each("filter")),
        receiver=parse_receiver(call.one("receiver")),
        active=call.flag("active"),
        silenced=call.flag("silenced"),
        inhibited=call.flag("inhibited"),
    )


def _refusals(call: Call, refused: Sequence[Refusal]) -> Answered:
    """The status that Alertmanager gives to the worst of them; the body names each."""
    message = "; ".join(str(each) for each in refused[:MOST_REFUSALS])
    if len(refused) > MOST_REFUSALS:
        message += f"; and {len(refused) - MOST_REFUSALS} more"
    faults = {each.fault for each in refused}
    if Fault.UNREADABLE in faults:
        return call.refused(400, message)
    for fault in (Fault.INCOMPLETE, Fault.MISSHAPEN):
        if fault in faults:
            return call.refused(422, message, fault.value)
    return call.wrong(400, message)
