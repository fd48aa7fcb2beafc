"""What lies below the cluster's sum: what others than kubelets say of nodes, and what stands beside them."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from agents.observe import networks
from agents.observe.devices import Devices
from agents.observe.features import FeatureKey, FeatureRow, merged
from agents.observe.keyed import Rows
from agents.observe.networks import AttachmentRow, NamedKey, PoolRow
from agents.observe.quantities import amounts
from agents.observe.rows import Features, NodeRow, PodKey, PodRow
from agents.observe.shapes import Metadata
from agents.observe.topology import TopologyRow
from schemas.wire.hardware import MOST_ENTRIES, Hardware, PodToleration, RuntimeClass

_NOTHING: Mapping[str, int] = {}
_SILENT: Features = {}


class _Overhead(msgspec.Struct):
    pod_fixed: dict[str, str | int | float] | None = msgspec.field(default=None, name="podFixed")


class _Scheduling(msgspec.Struct):
    node_selector: dict[str, str] | None = msgspec.field(default=None, name="nodeSelector")
    tolerations: list[PodToleration] | None = None


class _ClassShape(msgspec.Struct):
    metadata: Metadata
    handler: str
    overhead: _Overhead | None = None
    scheduling: _Scheduling | None = None


_decode_class = msgspec.json.Decoder(_ClassShape)


def runtime_class_row(raw: bytes | msgspec.Raw) -> tuple[str, RuntimeClass]:
    """Raises msgspec.MsgspecError."""
    found = _decode_class.decode(raw)
    scheduling = found.scheduling or _Scheduling()
    fixed = found.overhead.pod_fixed if found.overhead else None
    return found.metadata.name, RuntimeClass(
        name=found.metadata.name,
        handler=found.handler,
        overhead=amounts(fixed or {}),
        node_selector=scheduling.node_selector or {},
        tolerations=scheduling.tolerations or [],
    )


class Below:
    """Tables of it.

    nodes_changed hears the names whose inventory, and those whose usage changed.
    """

    def __init__(
        self,
        nodes_changed: Callable[[Iterable[str], Iterable[str]], None],
        zones_changed: Callable[[str], None],
        cluster_changed: Callable[[], None],
    ) -> None:
        self._nodes_changed = nodes_changed
        self._cluster_changed = cluster_changed
        self.features = Rows[FeatureKey, FeatureRow](self._feature_changed)
        self.topologies = Rows[str, TopologyRow](lambda name, _before, _after: zones_changed(name))
        self.runtime_classes = Rows[str, RuntimeClass](self._cluster_row_changed)
        self.attachments = Rows[NamedKey, AttachmentRow](self._cluster_row_changed)
        self.pools = Rows[NamedKey, PoolRow](self._pool_changed)
        self.devices = Devices(lambda: nodes_changed((), ()), cluster_changed)
        self._features_of: dict[str, dict[FeatureKey, FeatureRow]] = {}
        self._shared: dict[tuple[tuple[str, str], ...], Features] = {}
        self._holding: dict[PodKey, int] = {}

    def joined(self, node: NodeRow) -> NodeRow:
        """With all that is said of it here."""
        said = self._features_of.get(node.name)
        features = self._share(merged(said)) if said else _SILENT
        return node.joined(features, self.devices.on_node.get(node.name, _NOTHING))

    def catch_up(self) -> None:
        """With devices, which are counted when they are asked for, and not at each change."""
        inventory, usage = self.devices.catch_up()
        if inventory or usage:
            self._nodes_changed(inventory, usage)

    def holds_address(self, pod: PodKey) -> bool:
        """Whether a pool has given it one."""
        return pod in self._holding

    def hardware(self, pods: dict[PodKey, PodRow]) -> Hardware:
        """Unstamped. Of more than MOST_ENTRIES, the first by name."""
        attachments, pools = networks.attachments(self.attachments.rows, self.pools.rows, pods)
        return Hardware(
            incarnation=0,
            sequence=0,
            runtime_classes=[row for _, row in sorted(self.runtime_classes.rows.items())][:MOST_ENTRIES],
            attachments=attachments[:MOST_ENTRIES],
            pools=pools[:MOST_ENTRIES],
            device_classes=self.devices.names[:MOST_ENTRIES],
        )

    def _feature_changed(self, key: FeatureKey, before: FeatureRow | None, after: FeatureRow | None) -> None:
        if before is not None:
            rows = self._features_of[before.node]
            del rows[key]
            if not rows:
                del self._features_of[before.node]
        if after is not None:
            self._features_of.setdefault(after.node, {})[key] = after
        self._nodes_changed({row.node for row in (before, after) if row is not None}, ())

    def _cluster_row_changed(self, _key: object, _before: object, _after: object) -> None:
        self._cluster_changed()

    def _share(self, features: Features) -> Features:
        if len(self._shared) > 10_000:
            self._shared.clear()
        return self._shared.setdefault(tuple(features.items()), features)

    def _pool_changed(self, _key: NamedKey, before: PoolRow | None, after: PoolRow | None) -> None:
        for row, sign in ((before, -1), (after, 1)):
            for pod in networks.holders([row] if row is not None else []):
                self._holding[pod] = self._holding.get(pod, 0) + sign
                if not self._holding[pod]:
                    del self._holding[pod]
        self._cluster_changed()
