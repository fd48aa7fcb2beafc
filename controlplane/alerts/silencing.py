"""Which silences keep an alert quiet, without trying each silence on each alert again and again."""

from collections.abc import Mapping

from controlplane.alerts.alert import Labels
from controlplane.alerts.matcher_index import MatcherIndex
from controlplane.alerts.matchers import matches_all
from controlplane.alerts.recurring import next_start, window_at
from controlplane.alerts.silence import Silence, State

KEPT_SECONDS = 120 * 3600.0
"""For how long a silence that has expired can be looked up, as Alertmanager's data.retention."""


def state(silence: Silence, now: float) -> State:
    """Both ends belong to it. One that returns is active as a whole between its ends; see `active`."""
    if now < silence.starts_at:
        return State.PENDING
    return State.ACTIVE if now <= silence.ends_at else State.EXPIRED


def active(silence: Silence, now: float) -> bool:
    """Whether it silences now: for one that returns, within one of its windows."""
    if not silence.starts_at <= now <= silence.ends_at:
        return False
    if not silence.cron:
        return True
    return window_at(silence.cron, silence.duration_seconds, silence.timezone, now) is not None


def shown_state(silence: Silence, now: float) -> State:
    """As Alertmanager's clients are told: one that returns is pending between its windows."""
    stands = state(silence, now)
    if stands is not State.ACTIVE or active(silence, now):
        return stands
    begins = next_start(silence.cron, silence.timezone, now)
    return State.PENDING if begins is not None and begins <= silence.ends_at else State.EXPIRED


class Silences:
    """All silences. `mark` and `matching` serve a cache that each alert keeps of those that mean it."""

    def __init__(self) -> None:
        self._by_id: dict[str, Silence] = {}
        self._came: list[str] = []
        self._index: MatcherIndex[Silence] | None = None

    @property
    def by_id(self) -> Mapping[str, Silence]:
        return self._by_id

    @property
    def mark(self) -> int:
        """Grows when a silence comes that could mean other alerts than before."""
        return len(self._came)

    def put(self, silence: Silence) -> None:
        old = self._by_id.get(silence.id)
        self._by_id[silence.id] = silence
        if old is None or old.matchers != silence.matchers:
            self._came.append(silence.id)
            self._index = None
            self._forget(silence.updated_at - KEPT_SECONDS)

    def matching(self, labels: Labels) -> tuple[str, ...]:
        """Ids of those whose matchers match, whatever their state."""
        if self._index is None:
            self._index = MatcherIndex((each.matchers, each) for each in self._by_id.values())
        candidates = self._index.candidates(labels)
        return tuple(each.id for each in candidates if matches_all(each.matchers, labels))

    def matching_since(self, known: tuple[str, ...], mark: int, labels: Labels) -> tuple[str, ...]:
        """What `matching` says, given what it said at `mark`: only those that came since are tried."""
        came = dict.fromkeys(self._came[mark:])
        if len(came) > 16:
            return self.matching(labels)
        now = [each for each in known if each not in came and each in self._by_id]
        for each in came:
            silence = self._by_id.get(each)
            if silence is not None and matches_all(silence.matchers, labels):
                now.append(each)
        return tuple(now)

    def active_among(self, ids: tuple[str, ...], now: float) -> list[Silence]:
        found = (self._by_id.get(each) for each in ids)
        return [silence for silence in found if silence is not None and active(silence, now)]

    def _forget(self, ended_before: float) -> None:
        gone = [each.id for each in self._by_id.values() if each.ends_at < ended_before]
        for each in gone:
            del self._by_id[each]
