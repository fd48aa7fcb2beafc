"""Small alerts, routes and boards, for tests of what is decided about them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from controlplane.alerts.alert import NOBODYS, Alert, Labels, Owned
from controlplane.alerts.board import Board
from controlplane.alerts.configuration import Configuration, InhibitRule, Integration, Receiver, Route
from controlplane.alerts.entry import Arrived, Entry, SavedAlert, SavedBoard, SavedGroup
from controlplane.alerts.fingerprint import fingerprint
from controlplane.alerts.intervals import Interval
from controlplane.alerts.matchers import parse_matchers
from controlplane.alerts.notice import Flush, Happened, Notice, Sent, What
from controlplane.alerts.silence import Acknowledgement, Silence

WAIT, INTERVAL, REPEAT = 10.0, 60.0, 3600.0
ENDLESS = 1e12


def alert(
    name: str = "X", *, starts: float = 0.0, ends: float = ENDLESS, at: float | None = None, **more: str
) -> Alert:
    """Labels alertname and `more`. at: when it was reported, its start where that is left out."""
    labels = dict(sorted({"alertname": name, **more}.items()))
    return Alert(fingerprint(labels), labels, {}, starts, ends, starts if at is None else at)


def receiver(name: str, *send_resolved: bool) -> Receiver:
    """One webhook for each."""
    kept = enumerate(send_resolved)
    return Receiver(name, tuple(Integration("webhook", place, each, None) for place, each in kept))


def route(
    to: str = "team",
    matching: str = "",
    *,
    id: str = "{}",
    by: Sequence[str] = ("alertname",),
    wait: float = WAIT,
    interval: float = INTERVAL,
    repeat: float = REPEAT,
    continues: bool = False,
    mute: Sequence[str] = (),
    active: Sequence[str] = (),
    routes: Sequence[Route] = (),
) -> Route:
    return Route(
        key=id.partition("/#")[0],
        id=id,
        receiver=to,
        matchers=parse_matchers(matching) if matching else (),
        continues=continues,
        group_by=tuple(by),
        group_wait_seconds=wait,
        group_interval_seconds=interval,
        repeat_interval_seconds=repeat,
        mute=tuple(mute),
        active=tuple(active),
        routes=tuple(routes),
    )


def configured(
    root: Route | None = None,
    *receivers: Receiver,
    inhibit: Sequence[InhibitRule] = (),
    intervals: dict[str, tuple[Interval, ...]] | None = None,
) -> Configuration:
    every = receivers or (receiver("team", True),)
    return Configuration(
        root=root or route(),
        receivers={each.name: each for each in every},
        inhibit_rules=tuple(inhibit),
        intervals=intervals or {},
    )


def inhibits(source: str, target: str, *equal: str) -> InhibitRule:
    return InhibitRule(parse_matchers(source), parse_matchers(target), equal)


def silence(
    matching: str, *, starts: float = 0.0, ends: float = ENDLESS, id: str = "s1", maintenance: bool = False
) -> Silence:
    return Silence(id, parse_matchers(matching), starts, ends, "ops", "", starts, maintenance)


OWNED: dict[str, Owned] = {}


@dataclass
class Kept:
    """What a database holds for boards: written as the loops write it, read by whoever comes next."""

    log: list[tuple[int, Entry]] = field(default_factory=list[tuple[int, Entry]])
    applied: int = 0
    alerts: dict[str, SavedAlert] = field(default_factory=dict[str, SavedAlert])
    groups: dict[str, SavedGroup] = field(default_factory=dict[str, SavedGroup])
    sent: dict[tuple[str, str, str], Sent] = field(default_factory=dict[tuple[str, str, str], Sent])
    pending: dict[str, Notice] = field(default_factory=dict[str, Notice])
    history: list[Happened] = field(default_factory=list[Happened])

    def load(self, board: Board) -> None:
        saved = SavedBoard(
            applied=self.applied,
            alerts=list(self.alerts.values()),
            silences=[entry for _, entry in self.log if isinstance(entry, Silence)],
            acknowledgements=[entry for _, entry in self.log if isinstance(entry, Acknowledgement)],
            groups=dict(self.groups),
            sent=list(self.sent.values()),
            pending=list(self.pending.values()),
        )
        board.load(saved)
        for id, entry in self.log:
            if id > self.applied:
                board.apply(entry, id)


class Leader:
    """A board with its database: what the loops do with it, without waiting for anything."""

    def __init__(self, configuration: Configuration, kept: Kept | None = None, owners: bool = False) -> None:
        self.kept = kept or Kept()
        self.board = Board(configuration, _owner if owners else _nobody, leads=True)
        if kept is not None:
            kept.load(self.board)

    def append(self, entry: Entry) -> None:
        id = self.kept.log[-1][0] + 1 if self.kept.log else 1
        self.kept.log.append((id, entry))
        self.board.apply(entry, id)

    def report(self, at: float, *alerts: Alert) -> None:
        self.append(Arrived(at, alerts))

    def flush(self, now: float) -> list[Flush]:
        """What is due at `now`, committed."""
        flushes = self.board.due(now)
        for group in self.board.groups_of(flushes):
            self.kept.groups[group.group_key] = group
        for flush in flushes:
            self.kept.history += flush.happened
            self.kept.pending |= {notice.key: notice for notice in flush.notices}
            self._log(*flush.cleared)
            if flush.next_at is None:
                self.kept.groups.pop(flush.group_key, None)
                for key in [key for key in self.kept.sent if key[0] == flush.group_key]:
                    del self.kept.sent[key]
        self.board.committed(flushes)
        return flushes

    def settle(self, notice: Notice, at: float, delivered: bool = True) -> None:
        follows = self.board.settled(notice, delivered, at)
        self.kept.pending.pop(notice.key, None)
        self.kept.history += follows.happened
        if follows.sent is not None:
            self._log(follows.sent)
        if follows.group is not None:
            self.kept.groups[follows.group.group_key] = follows.group

    def _log(self, *sent: Sent) -> None:
        for each in sent:
            self.kept.sent[each.group_key, each.receiver, each.integration] = each

    def look(self, now: float, *, delivered: bool = True) -> list[Notice]:
        """What is due at `now`: committed, sent, and delivered at once, or failed."""
        notices = [notice for flush in self.flush(now) for notice in flush.notices]
        for notice in notices:
            self.settle(notice, now, delivered)
        return notices

    def look_until(self, until: float) -> Iterator[Notice]:
        """As time goes on: each look when it is due."""
        while (due := self.board.next_due()) is not None and due <= until:
            yield from self.look(due)

    def checkpoint(self) -> None:
        applied = self.board.applied
        while True:
            alerts, gone = self.board.changed_since_checkpoint(7)
            if not alerts and not gone:
                break
            self.kept.alerts |= {each.alert.fingerprint: each for each in alerts}
            for each in gone:
                self.kept.alerts.pop(each, None)
        self.kept.applied = applied

    def happened(self, what: What | None = None) -> list[tuple[What, str]]:
        """(what, detail) as recorded, without those that came and ended unless they are asked for."""
        quiet = (What.RECEIVED, What.RESOLVED)
        lines = [
            each for each in self.kept.history if each.what is what or (not what and each.what not in quiet)
        ]
        return [(each.what, each.detail) for each in lines]


def _nobody(identity: Labels) -> Owned:
    return NOBODYS


def _owner(identity: Labels) -> Owned:
    return OWNED.get(identity.get("namespace", ""), NOBODYS)
