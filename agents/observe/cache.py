"""What the watches have brought, and what changed of it since the last look."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agents.observe.below import Below
from agents.observe.keyed import Rows
from agents.observe.namespaces import NamespaceSums
from agents.observe.rows import NodeRow, ObjectRow, PodKey, PodRow
from schemas.wire.orders import ObjectRef


@dataclass
class Changes:
    """Names of nodes whose inventory, zones or usage changed, and workloads of which something changed.

    topology: also where other pods are bound than those that the zones are said to be of.
    own: of `usage` the nodes on which a pod of Muster's changed.
    """

    inventory: set[str] = field(default_factory=set[str])
    topology: set[str] = field(default_factory=set[str])
    usage: set[str] = field(default_factory=set[str])
    own: set[str] = field(default_factory=set[str])
    workloads: set[str] = field(default_factory=set[str])
    hardware: bool = False


class Cache:
    """One picture of the cluster: a report that is made without awaiting is of one snapshot."""

    def __init__(self) -> None:
        self.nodes = Rows[str, NodeRow](self._node_changed)
        self.pods = Rows[PodKey, PodRow](self._pod_changed)
        self.objects: dict[tuple[str, str], Rows[ObjectRef, ObjectRow]] = {}
        self.pods_on: dict[str, dict[PodKey, PodRow]] = {}
        self.pods_of: dict[str, dict[PodKey, PodRow]] = {}
        self.joined: dict[str, NodeRow] = {}
        self.namespaces = NamespaceSums()
        self.below = Below(self._below_nodes, self._zones_changed, self._below_cluster)
        self.used: dict[str, dict[str, int]] | None = None
        self.nodes_changed = 0
        self.on_node: Callable[[str, NodeRow | None], None] | None = None
        self._changes = Changes()
        self._wake: Callable[[], None] = _nobody

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever something changed."""
        self._wake = wake

    def take_changes(self) -> Changes:
        """What changed since this was last asked."""
        self.below.catch_up()
        changes, self._changes = self._changes, Changes()
        return changes

    def take_workload_changes(self) -> set[str]:
        """Only the workloads of it: people wait for these."""
        changed, self._changes.workloads = self._changes.workloads, set()
        return changed

    def objects_of(self, api_version: str, kind: str) -> Rows[ObjectRef, ObjectRow]:
        """The table of one kind, made when first asked for."""
        if (api_version, kind) not in self.objects:
            self.objects[api_version, kind] = Rows[ObjectRef, ObjectRow](self._object_changed)
        return self.objects[api_version, kind]

    def object(self, ref: ObjectRef) -> ObjectRow | None:
        rows = self.objects.get((ref.api_version, ref.kind))
        return rows.rows.get(ref) if rows else None

    def put_used(self, used: dict[str, dict[str, int]] | None) -> None:
        """What nodes really use, None where no metrics are served."""
        before, self.used = self.used, used
        names = (before or {}).keys() | (used or {}).keys()
        self._changes.usage.update(
            name for name in names if (before or {}).get(name) != (used or {}).get(name)
        )
        self._wake()

    def touch_workloads(self, workloads: Iterable[str]) -> None:
        """Something else than an object of theirs changed."""
        self._changes.workloads.update(workloads)
        self._wake()

    def _node_changed(self, name: str, before: NodeRow | None, after: NodeRow | None) -> None:
        self._join(name)
        self.nodes_changed += 1
        if self.on_node is not None:
            self.on_node(name, after)
        self._wake()

    def _join(self, name: str) -> None:
        """What is known of a node, in one row."""
        self._changes.inventory.add(name)
        row = self.nodes.rows.get(name)
        if row is None:
            self.joined.pop(name, None)
        else:
            self.joined[name] = self.below.joined(row)
        profile = self.joined[name].profile if row is not None else None
        self.namespaces.node_changed(name, profile, self.pods_on.get(name, {}))

    def _below_nodes(self, inventory: Iterable[str], usage: Iterable[str]) -> None:
        for name in inventory:
            self._join(name)
        self._changes.usage.update(usage)
        self._wake()

    def _zones_changed(self, name: str) -> None:
        self._changes.topology.add(name)
        self._wake()

    def _below_cluster(self) -> None:
        self._changes.hardware = True
        self._wake()

    def _pod_changed(self, key: PodKey, before: PodRow | None, after: PodRow | None) -> None:
        if self.below.holds_address(key):
            self._changes.hardware = True
        for row in (before, after):
            if row is None:
                continue
            if row.node:
                self._changes.usage.add(row.node)
                if row.workload:
                    self._changes.own.add(row.node)
            if row.workload:
                self._changes.workloads.add(row.workload)
        if _bound(before) != _bound(after):
            self._pods_bound(row.node for row in (before, after) if row is not None)
        if before is not None:
            _take_out(self.pods_on, before.node, key)
            _take_out(self.pods_of, before.workload, key)
        if after is not None:
            _put_in(self.pods_on, after.node, key, after)
            _put_in(self.pods_of, after.workload, key, after)
        self.namespaces.pod_changed(key, before, after)
        self._wake()

    def _pods_bound(self, nodes: Iterable[str]) -> None:
        topologies = self.below.topologies.rows
        self._changes.topology.update(
            name for name in nodes if (row := topologies.get(name)) is not None and row.told is not None
        )

    def _object_changed(self, ref: ObjectRef, before: ObjectRow | None, after: ObjectRow | None) -> None:
        self._changes.workloads.update(row.workload for row in (before, after) if row is not None)
        self._wake()


def _bound(row: PodRow | None) -> tuple[object, ...]:
    """What counts of a pod where it is asked which pods zones are of."""
    return (row.node, row.finished, row.held) if row is not None else ()


def _put_in(index: dict[str, dict[PodKey, PodRow]], name: str, key: PodKey, row: PodRow) -> None:
    if name:
        index.setdefault(name, {})[key] = row


def _take_out(index: dict[str, dict[PodKey, PodRow]], name: str, key: PodKey) -> None:
    rows = index.get(name)
    if rows is not None:
        rows.pop(key, None)
        if not rows:
            del index[name]


def _nobody() -> None:
    pass
