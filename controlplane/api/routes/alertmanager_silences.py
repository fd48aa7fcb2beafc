"""API v2: silences. Posted again with the same matchers they change in place; else the old one expires."""

from collections.abc import Sequence

import msgspec

from controlplane.alerts.matchers import Matcher
from controlplane.alerts.posted import read_time
from controlplane.alerts.silence import Silence, State
from controlplane.alerts.silencing import shown_state, state
from controlplane.api.ports import Alerting, ApiDeps
from controlplane.api.routes.alertmanager_answers import Answered, BodyTooLarge, Call
from controlplane.queries.alerts import parse_filter
from controlplane.queries.silences import (
    BadSilence,
    Draft,
    NoSilence,
    Swallows,
    expired,
    gettable,
    in_order,
    make_matcher,
    object_to,
    placed,
    returning_as,
)

MOST_BODY_BYTES = 256 * 1024
_STATES = {"active": State.ACTIVE, "pending": State.PENDING, "expired": State.EXPIRED}


class _PostedMatcher(msgspec.Struct):
    name: str | None = None
    value: str | None = None
    isRegex: bool | None = None
    isEqual: bool | None = None


class _PostedSilence(msgspec.Struct):
    id: str | None = None
    matchers: list[_PostedMatcher | None] | None = None
    startsAt: str | None = None
    endsAt: str | None = None
    createdBy: str | None = None
    comment: str | None = None


_decode = msgspec.json.Decoder(_PostedSilence).decode


class SilenceDoor:
    def __init__(self, deps: ApiDeps, alerting: Alerting) -> None:
        self._clock, self._alerting = deps.clock, alerting

    async def post(self, call: Call) -> Answered:
        kind = call.header(b"content-type").partition(";")[0].strip().lower() or "application/octet-stream"
        if kind != "application/json":
            return call.refused(415, f'unsupported media type "{kind}", only [application/json] are allowed')
        try:
            body = await call.body(MOST_BODY_BYTES)
        except BodyTooLarge:
            return call.refused(413, f"a silence has up to {MOST_BODY_BYTES:,} bytes")
        except ValueError as error:
            return call.refused(400, str(error))
        if not body.strip():
            return call.refused(422, "silence in body is required", 602)
        try:
            posted = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return call.refused(400, f'parsing silence body from "" failed, because {error}')
        if missing := _missing(posted):
            return call.refused(422, missing, 612 if missing.endswith("items") else 602)
        try:
            starts_at, ends_at = read_time(posted.startsAt or ""), read_time(posted.endsAt or "")
        except ValueError as error:
            return call.refused(400, f'parsing silence body from "" failed, because {error}')
        return await self._put(call, posted, starts_at, ends_at)

    async def _put(
        self, call: Call, posted: _PostedSilence, starts_at: float | None, ends_at: float | None
    ) -> Answered:
        now = self._clock.now()
        held = self._alerting.board().silences.by_id
        try:
            draft = returning_as(
                Draft(
                    matchers=_matchers(posted),
                    starts_at=now if starts_at is None else starts_at,
                    ends_at=0.0 if ends_at is None else ends_at,
                    created_by=posted.createdBy or "",
                    comment=posted.comment or "",
                ),
                held.get(posted.id or ""),
            )
            entries = placed(draft, posted.id or "", held, now, self._alerting.new_id)
            if entries[-1].id != posted.id and not call.flag("force", default=False):
                object_to(entries[-1], self._alerting.board(), self._alerting.configuration(), now)
        except NoSilence as error:
            return call.wrong(404, str(error))
        except Swallows as error:
            return call.wrong(400, f"{error} (?force=true, or muster silence add --force)")
        except BadSilence as error:
            return call.wrong(400, str(error))
        await self._alerting.append(entries)
        return call.json({"silenceID": entries[-1].id})

    async def list(self, call: Call) -> Answered:
        """A filter is one of the silence's own matchers, written the same way; not what it would match."""
        wanted = parse_filter(call.each("filter"))
        states = {each for name, each in _STATES.items() if call.flag(name)}
        now = self._clock.now()
        silences = self._alerting.board().silences.by_id.values()
        found = [each for each in silences if shown_state(each, now) in states and _has(each, wanted)]
        return call.json([gettable(each, now) for each in in_order(found, now)])

    async def get(self, call: Call) -> Answered:
        silence = self._alerting.board().silences.by_id.get(call.parameter.lower())
        return Answered(404) if silence is None else call.json(gettable(silence, self._clock.now()))

    async def expire(self, call: Call) -> Answered:
        """Of one that has expired already nothing changes, and that is no error."""
        silence = self._alerting.board().silences.by_id.get(call.parameter.lower())
        if silence is None:
            return Answered(404)
        now = self._clock.now()
        if state(silence, now) is not State.EXPIRED:
            await self._alerting.append([expired(silence, now)])
        return Answered(200)


def _has(silence: Silence, wanted: Sequence[Matcher]) -> bool:
    return all(matcher in silence.matchers for matcher in wanted)


def _missing(posted: _PostedSilence) -> str:
    """What go-openapi finds first, by name of the field."""
    for name in ("comment", "createdBy", "endsAt"):
        if getattr(posted, name) is None:
            return f"{name} in body is required"
    if posted.matchers is None:
        return "matchers in body is required"
    if not posted.matchers:
        return "matchers in body should have at least 1 items"
    for index, matcher in enumerate(posted.matchers):
        for name in ("isRegex", "name", "value"):
            if matcher is None or getattr(matcher, name) is None:
                return f"matchers.{index}.{name} in body is required"
    return "startsAt in body is required" if posted.startsAt is None else ""


def _matchers(posted: _PostedSilence) -> tuple[Matcher, ...]:
    made: list[Matcher] = []
    for index, each in enumerate(posted.matchers or ()):
        if each is not None:
            is_equal = True if each.isEqual is None else each.isEqual
            made.append(make_matcher(index, each.name or "", each.value or "", bool(each.isRegex), is_equal))
    return tuple(made)
