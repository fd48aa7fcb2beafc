"""The board: all that is known of alerts, silences and groups, as one log tells it; and what is due.

Every process keeps one and gives it the entries of the log. One of them leads: it loads what the last leader
left, asks what is due, commits that, sends it, and says what became of it:

1. apply(entry, id), in the order of the log, without a gap.
2. due(now) -> flushes. Nothing changes by it.
3. The store commits flushes and groups_of(flushes); then committed(flushes). Or the leadership ends.
4. Notices are sent, and retried until their deadline. After the last attempt, delivered or not, what
   settled(notice, ...) answers is recorded with that attempt. Or the leadership ends.
5. changed_since_checkpoint, every now and then.

Whoever loads what was recorded, and replays the log after it, goes on as the board before it would have.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from controlplane.alerts.alert import Alert
from controlplane.alerts.configuration import Configuration
from controlplane.alerts.entry import SavedBoard, SavedGroup, Settled
from controlplane.alerts.escalating import escalate, escalates_at
from controlplane.alerts.flushing import Facts, look, quiet_at, silenced_by, still_owed
from controlplane.alerts.groups import EMPTY_KEPT_SECONDS, Group, Record
from controlplane.alerts.held import Held, OwnerOf, nobody
from controlplane.alerts.notice import Flush, Notice, Sent, Why
from controlplane.alerts.settling import happened_of, sent_of

Integration = tuple[str, str]
"""Receiver, integration."""
MOST_ALERTS_AT_ONCE = 10_000
"""In the groups that are due together: their history is one transaction, and one group is the least."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What keeps an alert quiet: ids of silences, fingerprint of a source, names of intervals."""

    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    muted_by: tuple[str, ...] = ()


class Board(Held):
    """owner_of: whose an alert is, by its identity; asked when an episode begins.

    digests: those that the last leader had begun to send, and had not recorded.
    leads: keeps what was resolved until that was told of; a board that does not forgets it 16 minutes after
    its end. Whoever asks what is due leads. sent, under_way: by group, then by (receiver, integration).
    """

    def __init__(
        self, configuration: Configuration, owner_of: OwnerOf = nobody, *, leads: bool = False
    ) -> None:
        super().__init__(configuration, owner_of, leads)
        self.sent: dict[str, dict[Integration, Sent]] = {}
        self.under_way: dict[str, dict[Integration, Notice]] = {}
        self.digests: list[Notice] = []

    @property
    def pending(self) -> list[Notice]:
        """Notices that were committed and are not settled, the oldest first: whoever leads sends them."""
        found = [notice for notices in self.under_way.values() for notice in notices.values()]
        return sorted(found, key=lambda notice: (notice.at, notice.key))

    def state_of(self, alert: Alert, now: float) -> Suppressed:
        """What keeps it quiet now, whether or not anybody would be told of it."""
        record = self._records.get(alert.fingerprint)
        if record is None:
            return QUIET_BY_NOTHING
        silences = silenced_by(self.silences, record, now)
        source = self._inhibition.inhibited_by(record.sides, now) if record.sides.target_of else None
        muting = [found for group in record.groups if (found := self._timing.silent(group.route, now))]
        if not silences and source is None and not muting:
            return QUIET_BY_NOTHING
        names = dict.fromkeys(name for _, joined in muting for name in joined.split(","))
        return Suppressed(
            tuple(silence.id for silence in silences), () if source is None else (source,), tuple(names)
        )

    def receivers_of(self, alert: Alert) -> tuple[str, ...]:
        """Names of the receivers of its routes, in the order of the routes, as Alertmanager lists them."""
        record = self._records.get(alert.fingerprint)
        return tuple(group.route.receiver for group in record.groups) if record else ()

    def next_due(self) -> float | None:
        """Unix seconds; None: nothing is planned until something arrives. 0: there is something to do now."""
        return 0.0 if self._orphans else self._queue.next_due(self.groups)

    def due(self, now: float, limit: int = 1_000) -> list[Flush]:
        """What is to be committed now, at most `limit` groups, fewer where they are large; the same again
        until it is committed."""
        self._leads = True
        self._forget(now)
        facts = self._facts()
        flushes = [Flush(key, now, None, entry=self.applied, emptied=True) for key in self._orphans][:limit]
        taken: list[Group] = []
        alerts = 0
        while len(flushes) < limit and alerts < MOST_ALERTS_AT_ONCE:
            group = self._queue.take_due(self.groups, now)
            if group is None:
                break
            alerts += len(group.members)
            flush = self._look(group, now, facts)
            if flush is not None:
                flushes.append(flush)
                taken.append(group)
            else:
                self._queue.put(group)
        for group in taken:
            self._queue.put(group)
        return flushes

    def _look(self, group: Group, now: float, facts: Facts) -> Flush | None:
        """None: what it was to be looked at for is not there any more; then it says when to ask again."""
        if now >= group.next_at:
            return look(group, now, facts)
        silent = self._timing.silent(group.route, now) is not None
        if now >= group.release_at:
            if not silent:
                return look(group, now, facts)
            group.release_at = self._timing.changes_at(group.route, now)
        if now >= group.quiet_at:
            if not silent and any(
                group.looked_at < quiet_at(record, self._damping) <= now for record in group.members.values()
            ):
                return look(group, now, facts)
            group.quiet_at = self._quiet_at(group, now)
        if now >= group.escalate_at:
            found = escalate(group, now, facts, self.acknowledgements)
            if isinstance(found, Flush):
                return found
            group.escalate_at = found
        return None

    def _quiet_at(self, group: Group, now: float) -> float:
        """When the first that flaps now is let go; inf: none does."""
        if not self._damping.transitions:
            return inf
        found = (quiet_at(record, self._damping) for record in group.members.values())
        return min((each for each in found if each > now), default=inf)

    def _facts(self) -> Facts:
        return Facts(
            self.configuration,
            self._routing,
            self._inhibition,
            self.silences,
            self._timing,
            self.sent,
            self.under_way,
            self.applied,
        )

    def groups_of(self, flushes: Sequence[Flush]) -> list[SavedGroup]:
        """How these groups stand once the flushes are committed; those that are forgotten are left out."""
        saved: list[SavedGroup] = []
        for flush in flushes:
            group = self.groups.get(flush.group_key)
            if group is not None and flush.next_at is not None:
                saved.append(_after(group.saved(), flush))
        return saved

    def committed(self, flushes: Sequence[Flush]) -> None:
        """These flushes, with groups_of(flushes), are in the database: their notices are to be sent."""
        for flush in flushes:
            self._orphans.pop(flush.group_key, None)
            for notice in flush.notices:
                under_way = self.under_way.setdefault(flush.group_key, {})
                under_way[notice.receiver, notice.integration] = notice
            for sent in flush.cleared:
                self.sent.setdefault(flush.group_key, {})[sent.receiver, sent.integration] = sent
            group = self.groups.get(flush.group_key)
            if group is not None:
                self._committed(group, flush)
            if flush.next_at is None:
                self.sent.pop(flush.group_key, None)

    def _committed(self, group: Group, flush: Flush) -> None:
        group.restore(_after(group.saved(), flush))
        group.escalate_at = escalates_at(group, flush.at)
        if flush.escalated:
            self._queue.put(group)
            return
        held = flush.held and not flush.emptied
        group.release_at = self._timing.changes_at(group.route, flush.at) if held else inf
        group.quiet_at = self._quiet_at(group, flush.at)
        group.note(flush)
        if flush.complete and not flush.notices:
            self._close(group)
        if flush.emptied and group.members:
            group.begin_anew()
        elif flush.next_at is None and group.placed:
            group.next_at = flush.at + EMPTY_KEPT_SECONDS
        elif flush.next_at is None:
            del self.groups[group.key]
            return
        self._queue.put(group)

    def _close(self, group: Group) -> None:
        """What is resolved, and did not change since, leaves: its end is told, or recorded."""
        if any(group.closed(record) for record in group.members.values()):
            owed = still_owed(self._facts(), group, group.members.values())
            for fingerprint, record in list(group.members.items()):
                if fingerprint not in owed and group.closed(record):
                    group.leave(fingerprint)

    def settled(self, notice: Notice, delivered: bool, at: float, detail: str = "") -> Settled:
        """No other attempt will follow. What it answers is recorded in one transaction with the last one.

        detail: what the receiver said to it; part of the history.
        """
        key = notice.receiver, notice.integration
        group = self.groups.get(notice.group_key)
        happened = happened_of(notice, delivered, at, detail)
        sent = None
        if delivered:
            members = group.members if group is not None else ()
            log = self.sent.setdefault(notice.group_key, {})
            sent = log[key] = sent_of(notice, log.get(key), members, at)
        under_way = self.under_way.get(notice.group_key, {})
        if key in under_way and under_way[key].key == notice.key:
            del under_way[key]
        if not under_way:
            self.under_way.pop(notice.group_key, None)
        if group is None:
            return Settled(sent, None, happened)
        if notice.firing and not group.first_told_at and notice.why is not Why.ESCALATION:
            group.first_told_at = at
        group.escalate_at = escalates_at(group, at)
        group.failed = group.failed or not delivered
        self._settled(group, notice, at)
        return Settled(sent, group.saved(), happened)

    def _settled(self, group: Group, notice: Notice, at: float) -> None:
        if group.key in self.under_way:
            return
        if notice.at < group.looked_at:
            # It was under way when its group was looked at: what came meanwhile has waited for long enough.
            group.next_at = min(group.next_at, at)
        elif not group.failed:
            group.closed_at, group.closed_entry = group.looked_at, group.looked_entry
            self._close(group)
            if not group.members:
                group.flushed, group.next_at = False, group.looked_at + EMPTY_KEPT_SECONDS
        self._queue.put(group)

    def load(self, saved: SavedBoard) -> None:
        """What the last leader left; on a board that nothing was applied to yet. Replay the log after it."""
        self.applied = saved.applied
        self._applied_before = max((each.applied for each in saved.alerts), default=saved.applied)
        for silence in saved.silences:
            self.silences.put(silence)
        for acknowledgement in saved.acknowledgements:
            self.acknowledgements[acknowledgement.fingerprint, acknowledgement.starts_at] = acknowledgement
        for sent in saved.sent:
            self.sent.setdefault(sent.group_key, {})[sent.receiver, sent.integration] = sent
        self.digests = [notice for notice in saved.pending if notice.folded]
        for notice in saved.pending:
            if notice.folded:
                continue
            under_way = self.under_way.setdefault(notice.group_key, {})
            under_way[notice.receiver, notice.integration] = notice
        for key, group in saved.groups.items():
            self._load_group(key, group)
        for each in saved.alerts:
            record = Record.of(each)
            self._keep(record)
            self._place(record)
            for group in record.groups:
                group.members[each.alert.fingerprint] = record
        for group in self.groups.values():
            self._close(group)
            if not group.flushed and group.members:
                group.begin_anew()
            self._plan(group, group.looked_at)
            self._queue.put(group)

    def reconfigure(self, configuration: Configuration, now: float) -> None:
        super().reconfigure(configuration, now)
        for group in self.groups.values():
            self._plan(group, group.looked_at)
            self._queue.put(group)

    def _plan(self, group: Group, looked_at: float) -> None:
        group.escalate_at = escalates_at(group, looked_at)
        group.quiet_at = self._quiet_at(group, looked_at) if group.flushed else inf

    def _load_group(self, key: str, saved: SavedGroup) -> None:
        route = self._routing.route_of(key, saved.labels)
        if route is None:
            self._orphans[key] = None
            return
        group = self.groups[key] = Group(key, route, saved.labels)
        group.restore(saved)
        if saved.flushed and self._timing.silent(route, saved.looked_at) is not None:
            group.release_at = self._timing.changes_at(route, saved.looked_at)

    def _has_left(self, group: Group, record: Record) -> bool:
        if not group.closed(record):
            return False
        return record.alert.fingerprint not in still_owed(self._facts(), group, [record])


QUIET_BY_NOTHING = Suppressed()


def _after(saved: SavedGroup, flush: Flush) -> SavedGroup:
    """How a group stands once this flush of it is committed."""
    if flush.escalated:
        return replace(saved, escalated=flush.escalated)
    told = flush.complete and not flush.notices
    return replace(
        saved,
        next_at=inf if flush.next_at is None else flush.next_at,
        flushed=not flush.emptied,
        first_told_at=0.0 if flush.quiet else saved.first_told_at,
        escalated=0 if flush.quiet else saved.escalated,
        looked_at=flush.at,
        looked_entry=flush.entry,
        closed_at=flush.at if told else saved.closed_at,
        closed_entry=flush.entry if told else saved.closed_entry,
        failed=not flush.complete,
    )
