"""What the log says: alerts as their reports come to, the groups they are in, silences, acknowledgements.

All of a board that does not lead; board.py adds what is due.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from math import inf

from controlplane.alerts.alert import NOBODYS, Alert, Labels, Owned
from controlplane.alerts.arriving import refreshed, refreshes, take, turned
from controlplane.alerts.configuration import Configuration
from controlplane.alerts.entry import Arrived, Entry, SavedAlert
from controlplane.alerts.forgetting import Forgetting
from controlplane.alerts.groups import Group, Record, Routing
from controlplane.alerts.inhibition import Inhibition
from controlplane.alerts.queueing import Queue
from controlplane.alerts.silence import Acknowledgement, Silence
from controlplane.alerts.silencing import Silences
from controlplane.alerts.timing import Timing

OwnerOf = Callable[[Labels], Owned]
MOST_SAVED_CHARACTERS = 8 * 1024 * 1024
"""Of alerts that are saved in one transaction."""


def nobody(identity: Labels) -> Owned:
    return NOBODYS


class Held:
    """alerts: by fingerprint, those that were resolved lately too. groups: by key, empty ones too.

    acknowledgements: by episode. applied: the last entry. characters: about how large all alerts are.
    """

    def __init__(self, configuration: Configuration, owner_of: OwnerOf, leads: bool) -> None:
        self.applied = 0
        self.alerts: dict[str, Alert] = {}
        self.groups: dict[str, Group] = {}
        self.characters = 0
        self.silences = Silences()
        self.acknowledgements: dict[tuple[str, float], Acknowledgement] = {}
        self._owner_of = owner_of
        self._leads = leads
        self._records: dict[str, Record] = {}
        self._queue = Queue()
        self._forgetting = Forgetting()
        self._changed: dict[str, None] = {}
        self._gone: dict[str, None] = {}
        self._orphans: dict[str, None] = {}
        self._applied_before = 0
        self._set(configuration)

    def _set(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._routing = Routing(configuration)
        self._inhibition = Inhibition(configuration.inhibit_rules)
        self._timing = Timing(configuration.intervals)
        self._damping = configuration.beyond.flap_damping

    def apply(self, entry: Entry, id: int) -> None:
        """id: of the entry in the log, greater than those before."""
        if isinstance(entry, Arrived):
            self._arrived(entry, id)
            self._forget(entry.at)
        elif isinstance(entry, Silence):
            self.silences.put(entry)
        elif isinstance(entry, Acknowledgement):
            self.acknowledgements[entry.fingerprint, entry.starts_at] = entry
        self.applied = id

    def _arrived(self, entry: Arrived, id: int) -> None:
        at, records, alerts, changed = entry.at, self._records, self.alerts, self._changed
        known = self._known_already(entry.alerts, id) if id <= self._applied_before else ()
        for new in entry.alerts:
            fingerprint = new.fingerprint
            record = records.get(fingerprint)
            if record is None:
                self._come(new, at, id)
                continue
            if known and fingerprint in known:
                continue
            before = record.alert
            if refreshes(before, new, at):
                record.alert = alerts[fingerprint] = refreshed(before, new)
            elif take(record, new, at, id, self._damping):
                self._placed_again(record, at, id)
                alerts[fingerprint] = record.alert
            else:
                alerts[fingerprint] = record.alert
            after = record.alert
            if after.annotations != before.annotations or after.generator_url != before.generator_url:
                self.characters += after.characters - before.characters
            record.applied = id
            changed[fingerprint] = None

    def _known_already(self, alerts: Sequence[Alert], id: int) -> Collection[str]:
        """A checkpoint may hold more than the entries up to its own: these have this one already."""
        found = (self._records.get(alert.fingerprint) for alert in alerts)
        return {record.alert.fingerprint for record in found if record is not None and record.applied >= id}

    def _come(self, new: Alert, at: float, id: int) -> None:
        owned = self._owner_of(new.identity)
        alert = new if owned is new.owned else replace(new, owned=owned)
        record = Record(alert, alert.labels, applied=id, began=id, began_at=at, changed=id, joined_at=at)
        turned(record, at, self._damping)
        self._keep(record)
        self._place(record)
        self._join(record)
        self._changed[alert.fingerprint] = None

    def _keep(self, record: Record) -> None:
        fingerprint = record.alert.fingerprint
        if fingerprint not in self._records:
            self.characters += record.alert.characters
        self._records[fingerprint] = record
        self.alerts[fingerprint] = record.alert
        self._gone.pop(fingerprint, None)
        self._forgetting.put(record)
        record.sides = self._inhibition.sides(record.labels)
        self._inhibition.add(fingerprint, record.sides, record)

    def _placed_again(self, record: Record, at: float, id: int) -> None:
        """An episode began or ended. One that begins may have another owner by now."""
        alert = record.alert
        if not any(alert.fingerprint in group.members for group in record.groups):
            record.joined_at = at
        if record.began == id:
            owned = self._owner_of(alert.identity)
            if owned != alert.owned:
                self._inhibition.remove(alert.fingerprint, record.sides)
                record.alert = replace(alert, owned=owned)
                record.labels = record.alert.labels
                record.silences_mark = -1
                before = record.groups
                self._keep(record)
                self._place(record)
                for group in before:
                    if group not in record.groups:
                        group.leave(alert.fingerprint)
        self._forgetting.put(record)
        self._join(record)

    def _place(self, record: Record) -> None:
        groups: list[Group] = []
        for key, route, labels in self._routing.places(record.labels):
            group = self.groups.get(key)
            if group is None:
                group = self.groups[key] = Group(key, route, labels)
                self._orphans.pop(key, None)
            group.placed += 1
            groups.append(group)
        for group in record.groups:
            group.placed -= 1
        record.groups = tuple(groups)

    def _join(self, record: Record) -> None:
        fingerprint = record.alert.fingerprint
        if any(self.groups.get(group.key) is not group for group in record.groups):
            self._place(record)
        for group in record.groups:
            if not self._has_left(group, record):
                group.join(record)
            elif fingerprint in group.members:
                group.leave(fingerprint)
            self._queue.put(group)

    def _has_left(self, group: Group, record: Record) -> bool:
        """Where the log is replayed: the group was told of all that already."""
        return group.closed(record)

    def _forget(self, now: float) -> None:
        for record in self._forgetting.take_ended(self._records, now):
            fingerprint = record.alert.fingerprint
            if self._leads and any(fingerprint in group.members for group in record.groups):
                self._forgetting.put_off(record, now)
                continue
            for group in record.groups:
                group.leave(fingerprint)
                group.placed -= 1
                # After a reload one whose alerts had all been told of is never looked at.
                if not group.placed and (not self._leads or group.next_at == inf):
                    self.groups.pop(group.key, None)
            self._inhibition.remove(fingerprint, record.sides)
            self.acknowledgements.pop(record.alert.episode, None)
            self.characters -= record.alert.characters
            del self._records[fingerprint], self.alerts[fingerprint]
            self._changed.pop(fingerprint, None)
            self._gone[fingerprint] = None
        self._queue.trim(self.groups)

    def reconfigure(self, configuration: Configuration, now: float) -> None:
        """Another configuration from now on. Groups whose key it still makes keep their timers.

        Alerts move to where it sends them; one whose end was told of everywhere moves nowhere.
        """
        before, self.groups, timing = self.groups, {}, self._timing
        self._set(configuration)
        moving: list[tuple[Group, Record]] = []
        for record in self._records.values():
            fingerprint = record.alert.fingerprint
            waits = any(fingerprint in group.members for group in record.groups)
            record.sides = self._inhibition.sides(record.labels)
            self._inhibition.add(fingerprint, record.sides, record)
            self._place(record)
            for group in record.groups if waits else ():
                old = before.get(group.key)
                if old is not None and fingerprint in old.members:
                    group.members[fingerprint] = record
                else:
                    moving.append((group, record))
        for key, old in before.items():
            group = self.groups.get(key)
            if group is None:
                self._orphans[key] = None
            else:
                held = old.flushed and timing.silent(old.route, old.looked_at) is not None
                self._inherit(group, old, now, held)
        for group, record in moving:
            if not group.closed(record):
                group.join(record)
        for group in self.groups.values():
            self._queue.put(group)

    def _inherit(self, group: Group, old: Group, now: float, held: bool) -> None:
        """Timers and reasons of the group that had this key; an interval may hold it back no more."""
        group.restore(old.saved())
        group.reasons = old.reasons
        if held:
            silent = self._timing.silent(group.route, now) is not None
            group.release_at = self._timing.changes_at(group.route, now) if silent else now

    @property
    def held(self) -> tuple[dict[str, Alert], int]:
        return self.alerts, self.characters

    @property
    def unsaved(self) -> tuple[int, int]:
        """How many alerts are to be saved, and how many to be forgotten."""
        return len(self._changed), len(self._gone)

    def changed_since_checkpoint(self, limit: int = 1_000) -> tuple[list[SavedAlert], list[str]]:
        """Up to `limit` alerts to save, fewer where they are large, and fingerprints to forget, those first
        that changed first.

        A checkpoint takes `applied` and `unsaved` first, saves so many, slice after slice, and then says that
        the saved board is as of that entry: what changes meanwhile is for the next. What is told here once is
        not told again: a leader whose checkpoint fails stands down.
        """
        taken, characters = list[str](), 0
        for fingerprint in _first(self._changed, limit):
            taken.append(fingerprint)
            characters += self._records[fingerprint].alert.characters
            if characters > MOST_SAVED_CHARACTERS:
                break
        for fingerprint in taken:
            del self._changed[fingerprint]
        gone = list(_first(self._gone, limit))
        for fingerprint in gone:
            del self._gone[fingerprint]
        return [self._records[fingerprint].saved() for fingerprint in taken], gone


def _first(fingerprints: dict[str, None], limit: int) -> Iterator[str]:
    return (fingerprint for fingerprint, _ in zip(fingerprints, range(limit), strict=False))
