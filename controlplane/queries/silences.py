"""Silences: as they are written, made, changed, expired and listed. One set of rules for both APIs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from controlplane.alerts.configuration import Configuration
from controlplane.alerts.guarding import objection, swallowed
from controlplane.alerts.matchers import Matcher, Operator, sorted_matchers
from controlplane.alerts.recurring import check_recurrence
from controlplane.alerts.silence import Silence, State
from controlplane.alerts.silencing import shown_state, state
from controlplane.queries.alerts import written_time

if TYPE_CHECKING:
    from controlplane.alerts.board import Board

MOST_MATCHERS = 64
MOST_NAME = 1_024
MOST_COMMENT = 8_192
MOST_AUTHOR = 256
MOST_SILENCES = 10_000
_ORDER = {State.ACTIVE: 0, State.PENDING: 1, State.EXPIRED: 2}


class BadSilence(ValueError):
    """What is wrong with a silence, in Alertmanager's words where it has some."""


class Swallows(BadSilence):
    """The guard of the configuration objects; by force it is taken all the same."""


class NoSilence(LookupError):
    """There is no silence of this id."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A silence as somebody asks for it; see Silence."""

    matchers: tuple[Matcher, ...]
    starts_at: float
    ends_at: float
    created_by: str
    comment: str
    maintenance: bool = False
    cron: str = ""
    duration_seconds: float = 0.0
    timezone: str = "UTC"


def make_matcher(index: int, name: str, value: str, is_regex: bool, is_equal: bool) -> Matcher:
    """Raises BadSilence."""
    where = f"invalid silence: invalid label matcher {index}"
    if not name:
        raise BadSilence(f'{where}: invalid label name "": a label has a name')
    if len(name) > MOST_NAME or "\0" in name or "\0" in value:
        raise BadSilence(f"{where}: up to {MOST_NAME:,} characters of name, and no NUL")
    try:
        return Matcher(name, Operator.of(is_regex, is_equal), value)
    except ValueError as error:
        raise BadSilence(f"{where}: invalid regular expression or value: {error}") from error


def check(draft: Draft, now: float) -> None:
    """Raises BadSilence."""
    if not draft.starts_at < draft.ends_at:
        raise BadSilence("Failed to create silence: start time must be before end time")
    if draft.ends_at < now:
        raise BadSilence("Failed to create silence: end time can't be in the past")
    if not draft.matchers:
        raise BadSilence("invalid silence: at least one matcher is needed")
    if len(draft.matchers) > MOST_MATCHERS:
        raise BadSilence(f"invalid silence: {len(draft.matchers)} matchers; up to {MOST_MATCHERS}")
    if all(matcher.matches({}) for matcher in draft.matchers):
        raise BadSilence("invalid silence: at least one matcher must not match the empty string")
    if len(draft.comment) > MOST_COMMENT or len(draft.created_by) > MOST_AUTHOR:
        bounds = f"{MOST_COMMENT:,} characters, createdBy up to {MOST_AUTHOR}"
        raise BadSilence(f"invalid silence: comment has up to {bounds}")
    if "\0" in draft.comment + draft.created_by:
        raise BadSilence("invalid silence: comment and createdBy have no NUL characters")
    if draft.cron:
        try:
            check_recurrence(draft.cron, draft.duration_seconds, draft.timezone)
        except ValueError as error:
            raise BadSilence(f"invalid silence: {error}") from error


def placed(
    draft: Draft, id_: str, held: Mapping[str, Silence], now: float, new_id: Callable[[], str]
) -> Sequence[Silence]:
    """What is to be appended; the last of it is the silence that was asked for.

    id_: of the one that it takes the place of; "" for none. In place, if its matchers are the same and
    nothing of the past changes with it; else the old one expires and another begins now. Times are kept to
    the millisecond, as they are shown: who sends back what was read changes nothing of it by that.
    Raises BadSilence and NoSilence.
    """
    check(draft, now)
    old = held.get(id_) if id_ else None
    if id_ and old is None:
        raise NoSilence("silence not found")
    starts_at, ends_at = _to_milliseconds(draft.starts_at), _to_milliseconds(draft.ends_at)
    if old is not None and _in_place(old, draft, starts_at, ends_at, now):
        return [_silence(draft, old.id, starts_at, ends_at, now)]
    if len(held) >= MOST_SILENCES:
        raise BadSilence(f"there are {MOST_SILENCES:,} silences; let some expire, and be forgotten, first")
    fresh = _silence(draft, new_id(), max(starts_at, _to_milliseconds(now)), ends_at, now)
    if old is not None and state(old, now) is not State.EXPIRED:
        return [expired(old, now), fresh]
    return [fresh]


def returning_as(draft: Draft, old: Silence | None) -> Draft:
    """For a door that cannot say when a silence returns, nor that it is maintenance: that stays as it was."""
    if old is None or not (old.cron or old.maintenance):
        return draft
    return replace(
        draft,
        maintenance=old.maintenance,
        cron=old.cron,
        duration_seconds=old.duration_seconds,
        timezone=old.timezone,
    )


def expired(silence: Silence, now: float) -> Silence:
    """One that had not begun never does."""
    at = _to_milliseconds(now)
    begins = min(silence.starts_at, at)
    return replace(silence, starts_at=begins, ends_at=at, updated_at=now)


def object_to(silence: Silence, board: "Board", configuration: Configuration, now: float) -> None:
    """Raises Swallows."""
    guard = configuration.beyond.silence_guard
    if guard.max_share >= 1 or silence.maintenance:
        return
    firing = (alert.labels for alert in board.alerts.values() if not alert.resolved(now))
    reason = objection(guard, *swallowed(silence.matchers, firing))
    if reason is not None:
        raise Swallows(reason)


def in_order(silences: Iterable[Silence], now: float) -> list[Silence]:
    """Active ones, those that end soonest first; then pending ones, then expired ones, the latest first."""

    def place(silence: Silence) -> tuple[int, float, str]:
        stands = shown_state(silence, now)
        at = silence.starts_at if stands is State.PENDING else silence.ends_at
        return _ORDER[stands], -at if stands is State.EXPIRED else at, silence.id

    return sorted(silences, key=place)


class GettableMatcher(msgspec.Struct, frozen=True):
    isEqual: bool
    isRegex: bool
    name: str
    value: str


class GettableSilence(msgspec.Struct, frozen=True):
    """As API v2 shows it."""

    id: str
    status: dict[str, str]
    updatedAt: str
    annotations: dict[str, str]
    comment: str
    createdBy: str
    endsAt: str
    matchers: list[GettableMatcher]
    startsAt: str


def gettable(silence: Silence, now: float) -> GettableSilence:
    return GettableSilence(
        silence.id,
        {"state": shown_state(silence, now).value},
        written_time(silence.updated_at),
        _returns(silence),
        silence.comment,
        silence.created_by,
        written_time(silence.ends_at),
        [
            GettableMatcher(each.operator.is_equal, each.operator.is_regex, each.name, each.value)
            for each in silence.matchers
        ],
        written_time(silence.starts_at),
    )


def _returns(silence: Silence) -> dict[str, str]:
    if not silence.cron:
        return {}
    duration = f"{silence.duration_seconds:g}s"
    return {"cron": silence.cron, "duration": duration, "timezone": silence.timezone}


def _in_place(old: Silence, draft: Draft, starts_at: float, ends_at: float, now: float) -> bool:
    same = sorted_matchers(old.matchers) == sorted_matchers(draft.matchers)
    if not same or old.maintenance != draft.maintenance:
        return False
    match state(old, now):
        case State.ACTIVE:
            return starts_at == old.starts_at and ends_at >= now
        case State.PENDING:
            return starts_at >= now
        case _:
            return False


def _silence(draft: Draft, id_: str, starts_at: float, ends_at: float, now: float) -> Silence:
    return Silence(
        id_,
        draft.matchers,
        starts_at,
        ends_at,
        draft.created_by,
        draft.comment,
        now,
        draft.maintenance,
        draft.cron,
        draft.duration_seconds,
        draft.timezone,
    )


def _to_milliseconds(at: float) -> float:
    """Down: what begins now has begun. A microsecond is allowed for: 0.123 * 1000 is 122.999..."""
    return int(at * 1000 + 0.001) / 1000
