"""Groups of alerts with their timers, and which of them an alert falls into."""

from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf

from controlplane.alerts.alert import Alert, Labels
from controlplane.alerts.configuration import OWNER, Configuration, Route
from controlplane.alerts.entry import SavedAlert, SavedGroup
from controlplane.alerts.inhibition import NEITHER, Sides
from controlplane.alerts.notice import Flush, What
from controlplane.alerts.routes import Routes, every_route, group_labels, label_set

Reason = tuple[What, str]
EMPTY_KEPT_SECONDS = 20 * 60.0
"""An empty group is remembered while reports of what was resolved can still come."""
_RECORDED = frozenset(
    {
        What.SILENCED,
        What.MAINTENANCE,
        What.INHIBITED,
        What.MUTED,
        What.INACTIVE,
        What.GROUPED,
        What.FLAPPING,
        What.NO_RECEIVER,
        What.RESOLVED_NOT_SENT,
    }
)


@dataclass(slots=True, eq=False)
class Record:
    """What a board keeps of one alert; see SavedAlert. labels: Alert.labels, made once.

    silences: ids of silences that mean it, as of the mark of Silences. forget_at: for the board's Forgetting.
    """

    alert: Alert
    labels: Labels
    applied: int = 0
    began: int = 0
    began_at: float = 0.0
    changed: int = 0
    joined_at: float = 0.0
    earlier: tuple[tuple[float, int], ...] = ()
    transitions: tuple[float, ...] = ()
    groups: "tuple[Group, ...]" = ()
    sides: Sides = NEITHER
    silences: tuple[str, ...] = ()
    silences_mark: int = -1
    forget_at: float = inf
    flapping_since: float = 0.0

    @classmethod
    def of(cls, saved: SavedAlert) -> "Record":
        alert = saved.alert
        return cls(
            alert,
            alert.labels,
            saved.applied,
            saved.began,
            saved.began_at,
            saved.changed,
            saved.joined_at,
            saved.earlier,
            saved.transitions,
            flapping_since=saved.flapping_since,
        )

    def saved(self) -> SavedAlert:
        return SavedAlert(
            self.alert,
            self.transitions,
            self.applied,
            self.began,
            self.began_at,
            self.changed,
            self.joined_at,
            self.earlier,
            self.flapping_since,
        )


TOLD: Reason = (What.NOTIFIED, "")


@dataclass(slots=True, eq=False)
class Group:
    """One group; see SavedGroup. members: by fingerprint; what was resolved and told of has left.

    next_at: inf where nothing is planned. release_at: when intervals that hold it back change; inf otherwise;
    quiet_at: when the first that flaps was quiet for long enough; escalate_at: when a step may be due.
    reasons: why members are not told of, as last recorded. placed: alerts that are known and belong here,
    members or not. queued_at: for the board's queue.
    """

    key: str
    route: Route
    labels: Labels
    members: dict[str, Record] = field(default_factory=dict[str, Record])
    next_at: float = inf
    release_at: float = inf
    quiet_at: float = inf
    escalate_at: float = inf
    queued_at: float = inf
    flushed: bool = False
    looked_at: float = 0.0
    looked_entry: int = 0
    closed_at: float = 0.0
    closed_entry: int = 0
    failed: bool = False
    first_told_at: float = 0.0
    escalated: int = 0
    reasons: dict[str, Reason] = field(default_factory=dict[str, Reason])
    placed: int = 0

    @property
    def due_at(self) -> float:
        return min(self.next_at, self.release_at, self.quiet_at, self.escalate_at)

    def looked(self, record: Record) -> bool:
        """Whether the last flush saw it resolved as it is now."""
        return record.changed <= self.looked_entry and record.alert.ends_at <= self.looked_at

    def closed(self, record: Record) -> bool:
        """Whether all that was to be told of its end was told, or recorded."""
        return record.changed <= self.closed_entry and record.alert.ends_at <= self.closed_at

    def join(self, record: Record) -> None:
        """group_wait counts from the first that comes; one that began before that is told of at once."""
        if not self.flushed:
            wait = self.route.group_wait_seconds
            unseen = (starts_at for starts_at, entry in record.earlier if entry > self.looked_entry)
            at_once = min((record.alert.starts_at, *unseen)) + wait < record.joined_at
            begins = record.joined_at if at_once else record.joined_at + wait
            self.next_at = min(self.next_at, begins) if self.members else begins
        self.members[record.alert.fingerprint] = record

    def leave(self, fingerprint: str) -> None:
        self.members.pop(fingerprint, None)
        self.reasons.pop(fingerprint, None)
        if not self.flushed and not self.members:
            self.next_at = self.closed_at + EMPTY_KEPT_SECONDS

    def begin_anew(self) -> None:
        """It was empty: group_wait counts from those that came since."""
        joining = list(self.members.values())
        self.flushed = False
        self.members.clear()
        for record in joining:
            self.join(record)

    def note(self, flush: Flush) -> None:
        """What this flush recorded of its members."""
        reasons, members = self.reasons, self.members
        for notice in flush.notices:
            for fingerprint in notice.firing:
                reasons.pop(fingerprint, None)
            for fingerprint in notice.resolved & members.keys():
                reasons[fingerprint] = TOLD
        for line in flush.happened:
            record = members.get(line.fingerprint)
            if line.what in _RECORDED and record is not None and record.alert.starts_at == line.starts_at:
                reasons[line.fingerprint] = line.what, line.detail
        for line in flush.happened:
            record = members.get(line.fingerprint)
            if record is not None and record.earlier and record.groups[0] is self:
                record.earlier = tuple(each for each in record.earlier if each[1] > flush.entry)

    def saved(self) -> SavedGroup:
        return SavedGroup(
            self.key,
            self.next_at,
            self.labels,
            self.flushed,
            self.first_told_at,
            self.escalated,
            self.looked_at,
            self.looked_entry,
            self.closed_at,
            self.closed_entry,
            self.failed,
        )

    def restore(self, saved: SavedGroup) -> None:
        self.next_at = saved.next_at
        self.flushed = saved.flushed
        self.first_told_at, self.escalated = saved.first_told_at, saved.escalated
        self.looked_at, self.looked_entry = saved.looked_at, saved.looked_entry
        self.closed_at, self.closed_entry = saved.closed_at, saved.closed_entry
        self.failed = saved.failed


class Routing:
    """A configuration's routes, ready to place alerts."""

    def __init__(self, configuration: Configuration) -> None:
        self._routes = Routes(configuration.root)
        self._root = configuration.root
        self._keys = _unlike_keys(configuration.root)
        self._by_key = {self._keys[route.id]: route for route in every_route(configuration.root)}
        self.instead_of_owner = _instead_of_owner(configuration.root)

    def places(self, labels: Labels) -> list[tuple[str, Route, dict[str, str]]]:
        """(key of the group, route, group labels) for each route that it takes.

        Where the receiver is the owner, tenants never share a group: `tenant` is a group label there.
        """
        found: list[tuple[str, Route, dict[str, str]]] = []
        for route in self._routes.match(labels) or (self._root,):
            by = group_labels(route, labels)
            if route.receiver == OWNER:
                by["tenant"] = labels.get("tenant", "")
            key, mark = self._keys[route.id]
            found.append((f"{key}:{label_set(by)}{mark}", route, by))
        return found

    def route_of(self, key: str, labels: Labels) -> Route | None:
        """Whose group that is; None where it is none's any more. labels: of the group."""
        end = key.rfind("}") + 1
        route_key, mark = key[:end].removesuffix(f":{label_set(labels)}"), key[end:]
        return self._by_key.get((route_key, mark))


def _unlike_keys(root: Route) -> dict[str, tuple[str, str]]:
    """By route id: its key, and `#2` for the second route with that key; its groups are not the first's.

    Not by id: that counts siblings, and a route written above others would reset the timers of them all.
    """
    count: dict[str, int] = {}
    keys: dict[str, tuple[str, str]] = {}
    for route in every_route(root):
        count[route.key] = number = count.get(route.key, 0) + 1
        keys[route.id] = route.key, f"#{number}" if number > 1 else ""
    return keys


def _instead_of_owner(root: Route) -> dict[str, str]:
    """By id of a route to the owner: the receiver of the nearest route above that names one; "" for none."""
    found: dict[str, str] = {}

    def walk(route: Route, above: str) -> None:
        if route.receiver == OWNER:
            found[route.id] = above
        else:
            above = route.receiver
        for child in route.routes:
            walk(child, above)

    walk(root, "")
    return found


def in_order(records: Collection[Record]) -> list[Record]:
    """As Alertmanager lists alerts in a message: by job, then instance, then by all labels."""
    names = {tuple(sorted(record.labels)) for record in records}
    if len(names) == 1:
        (only,) = names
        return sorted(
            records, key=lambda record: _by_job(record.labels) + tuple(record.labels[n] for n in only)
        )
    ranks = _ranks(names)
    return sorted(records, key=lambda record: (_by_job(record.labels), _by_rank(record.labels, ranks)))


def _by_job(labels: Labels) -> tuple[bool, str, bool, str]:
    job, instance = labels.get("job"), labels.get("instance")
    return job is None, job or "", instance is None, instance or ""


def _ranks(names: Collection[tuple[str, ...]]) -> dict[str, int]:
    """Of two sets of labels as large as each other the one that lacks the first name in which they differ
    comes first: names count backwards."""
    every = sorted({name for some in names for name in some}, reverse=True)
    return {name: rank for rank, name in enumerate(every)}


def _by_rank(labels: Labels, ranks: dict[str, int]) -> tuple[int, list[tuple[int, str]]]:
    return len(labels), [(ranks[name], labels[name]) for name in sorted(labels)]
