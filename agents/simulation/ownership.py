"""Who owns what, who lost its owner, and which owners have to look again: kept as objects change."""

from agents.simulation import catalogue
from agents.simulation.bodies import Body, owners_of, part
from agents.simulation.store import Kind, Name, Objects, Stored, name_of

PODS = Kind(catalogue.PODS.group, catalogue.PODS.plural)
_NODES = Kind(catalogue.NODES.group, catalogue.NODES.plural)
_DAEMON_SETS = Kind(catalogue.DAEMON_SETS.group, catalogue.DAEMON_SETS.plural)
_REPLICA_SETS = Kind(catalogue.REPLICA_SETS.group, catalogue.REPLICA_SETS.plural)
_JOBS = Kind(catalogue.JOBS.group, catalogue.JOBS.plural)
_RUNTIME_CLASSES = Kind(catalogue.RUNTIME_CLASSES.group, catalogue.RUNTIME_CLASSES.plural)
_OWNING = frozenset(Kind(each.group, each.plural) for each in catalogue.WORKLOADS)
COLLECTED = (_REPLICA_SETS, _JOBS, PODS)
"""Kinds whose objects go when all of their owners are gone, in the order in which they go."""


class Ownership:
    """An owner looks again when it, one of its own, or (a DaemonSet) a node changed.

    A DaemonSet looks at the names of others' pods, too: every pod that goes may make room for one.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._named: dict[str, tuple[Kind, Name]] = {}
        self._children: dict[str, set[tuple[Kind, Name]]] = {}
        self._orphans: dict[Kind, set[Name]] = {kind: set() for kind in COLLECTED}
        self._due: dict[Kind, set[Name]] = {kind: set() for kind in _OWNING}
        for kind in objects.kinds():
            for stored in objects.of(kind):
                self._changed(kind, name_of(stored.body), None, stored)
        objects.on_change(self._changed)

    def children(self, owner: Body, kind: Kind) -> list[Body]:
        """Of one kind, by name; shared bodies."""
        names = sorted(
            name for each, name in self._children.get(owner["metadata"]["uid"], ()) if each == kind
        )
        found = (self._objects.peek(kind, name) for name in names)
        return [body for body in found if body is not None]

    def take_due(self, kind: Kind) -> list[Body]:
        """The owners of a kind that have to look again, by namespace and name; what follows is for later."""
        due, self._due[kind] = self._due[kind], set()
        found = (self._objects.peek(kind, name) for name in sorted(due))
        return [body for body in found if body is not None]

    def take_orphans(self, kind: Kind) -> list[Body]:
        """Objects of a kind that have owners, none of which exists."""
        candidates, self._orphans[kind] = self._orphans[kind], set()
        found = (self._objects.peek(kind, name) for name in sorted(candidates))
        return [body for body in found if body is not None and self._is_orphan(body)]

    def _is_orphan(self, body: Body) -> bool:
        owners = owners_of(body)
        return bool(owners) and not any(owner["uid"] in self._named for owner in owners)

    def _changed(self, kind: Kind, name: Name, before: Stored | None, after: Stored | None) -> None:
        if before is not None and after is not None and _place(before.body) == _place(after.body):
            self._call_owners(after.body)
        else:
            if before is not None:
                self._forget(kind, name, before.body)
            if after is not None:
                self._remember(kind, name, after.body)
        if after is not None:
            if kind in _OWNING and not _is_looked_at(before, after):
                self._due[kind].add(name)
        elif before is not None:
            for child, its_name in self._children.get(before.body["metadata"]["uid"], ()):
                if child in self._orphans:
                    self._orphans[child].add(its_name)
        if kind == _NODES or (kind == PODS and after is None):
            self._due[_DAEMON_SETS].update(self._objects.names(_DAEMON_SETS))
        if kind == _RUNTIME_CLASSES:
            # Pods that were refused for want of one may be made now.
            for each in _OWNING:
                self._due[each].update(self._objects.names(each))

    def _forget(self, kind: Kind, name: Name, body: Body) -> None:
        self._named.pop(body["metadata"]["uid"], None)
        for owner in owners_of(body):
            children = self._children.get(owner["uid"], set())
            children.discard((kind, name))
            if not children:
                self._children.pop(owner["uid"], None)
        self._call_owners(body)

    def _remember(self, kind: Kind, name: Name, body: Body) -> None:
        self._named[body["metadata"]["uid"]] = kind, name
        for owner in owners_of(body):
            self._children.setdefault(owner["uid"], set()).add((kind, name))
        self._call_owners(body)
        if kind in self._orphans and self._is_orphan(body):
            self._orphans[kind].add(name)

    def _call_owners(self, body: Body) -> None:
        """Let them look again."""
        for owner in owners_of(body):
            named = self._named.get(owner["uid"])
            if named is not None and named[0] in self._due:
                self._due[named[0]].add(named[1])


def _is_looked_at(before: Stored | None, after: Stored) -> bool:
    """A status is what its controller wrote itself, beside the spec that it has already looked at.

    A condition is what it could not do, and tries again.
    """
    is_status = before is not None and before.body.get("spec") is after.body.get("spec")
    return is_status and "conditions" not in part(after.body, "status")


def _place(body: Body) -> tuple[str, list[Body]]:
    """Who it is, and whose: what does not change with its status."""
    return body["metadata"]["uid"], owners_of(body)
