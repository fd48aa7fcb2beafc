"""What one cluster has reported, in the order of its stamps: what is in effect, what waits, what lacks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controlplane.fleet.label_sets import LabelSet
from controlplane.fleet.rows import NodeRows, UsageRows
from controlplane.fleet.views import Outcome
from controlplane.fleet.zone_rows import ZoneRows
from schemas.wire.hardware import Hardware, Topology
from schemas.wire.reports import Facts, Inventory, Profile, Stamp, Usage
from schemas.wire.subjects import parse_shard, shard_name

_MOST_LAYOUTS = 4
_MOST_OF_A_CLASS = 100
_BEFORE_ALL: Stamp = (-1, -1)
Profiles = Mapping[str, tuple[LabelSet, Stamp]]


@dataclass
class Slot:
    """One shard. Of what waits, for a profile or for the other half, only the newest is kept."""

    nodes: NodeRows | None = None
    usage: UsageRows | None = None
    usage_current: bool = False
    waiting_inventory: Inventory | None = None
    waiting_usage: Usage | None = None
    zones: ZoneRows | None = None
    zones_current: bool = False
    waiting_topology: Topology | None = None
    inventory_stamp: Stamp = _BEFORE_ALL
    usage_stamp: Stamp = _BEFORE_ALL
    topology_stamp: Stamp = _BEFORE_ALL

    @property
    def newest(self) -> Stamp:
        return max(self.inventory_stamp, self.usage_stamp, self.topology_stamp)

    @property
    def lacks_topology(self) -> bool:
        """Whether there were zones, and those of this inventory are not here: never asked for at first."""
        stands = self.zones is not None and self.zones.aligns
        return stands and not self.zones_current and self.waiting_topology is None

    @property
    def ready(self) -> bool:
        return self.nodes is not None and self.usage is not None

    def offer_inventory(self, inventory: Inventory, known: Profiles) -> Outcome:
        """ValueError when it contradicts itself, or renames nodes without a new epoch."""
        if inventory.stamp <= self.inventory_stamp:
            return Outcome.OLDER
        NodeRows.check(inventory)
        if (
            self.nodes is not None
            and _same_epoch(inventory, self.nodes)
            and inventory.names != self.nodes.names
        ):
            raise ValueError(f"epoch {inventory.epoch}: other names than before under the same epoch")
        self.inventory_stamp = inventory.stamp
        self.waiting_inventory = inventory
        return Outcome.APPLIED if self.settle(known) else Outcome.WAITING

    def offer_usage(self, usage: Usage) -> Outcome:
        """ValueError when it is of another number of nodes than the inventory of its epoch."""
        if usage.stamp <= self.usage_stamp:
            return Outcome.OLDER
        if self.nodes is None or not _same_epoch(usage, self.nodes):
            # Looked at now: once it is put into effect together with an inventory it is too late to refuse.
            UsageRows.of(usage)
            self.usage_stamp, self.waiting_usage = usage.stamp, usage
            return Outcome.WAITING
        self._install_usage(usage, self.nodes)
        self.usage_stamp = usage.stamp
        return Outcome.APPLIED

    def offer_topology(self, topology: Topology) -> Outcome:
        """ValueError when it contradicts itself, or is of another number of nodes than its inventory."""
        if topology.stamp <= self.topology_stamp:
            return Outcome.OLDER
        if self.nodes is None or not _same_epoch(topology, self.nodes):
            ZoneRows.of(topology)
            self.topology_stamp, self.waiting_topology = topology.stamp, topology
            return Outcome.WAITING
        self._install_topology(topology, self.nodes)
        self.topology_stamp = topology.stamp
        return Outcome.APPLIED

    def settle(self, known: Profiles) -> bool:
        """Put the waiting inventory into effect if its profiles are here, and the usage that waits for it."""
        inventory = self.waiting_inventory
        if inventory is None or any(each not in known for each in inventory.profile_hashes):
            return False
        before = self.nodes
        self.nodes = NodeRows.of(inventory, [known[each][0] for each in inventory.profile_hashes])
        self.waiting_inventory = None
        if self.usage is not None and before is not None:
            if before.names != inventory.names:
                self.usage = self.usage.carried_over(before.names, inventory.names)
            self.usage_current = self.usage_current and _same_epoch(inventory, before)
        waiting = self.waiting_usage
        if waiting is not None and _same_epoch(waiting, self.nodes) and waiting.nodes == len(self.nodes):
            self._install_usage(waiting, self.nodes)
        self._settle_topology(before, self.nodes)
        return True

    def _settle_topology(self, before: NodeRows | None, nodes: NodeRows) -> None:
        if self.zones is not None and before is not None:
            if before.names != nodes.names:
                self.zones = self.zones.carried_over(before.names, nodes.names)
            same = nodes.epoch == before.epoch and nodes.stamp[0] == before.stamp[0]
            self.zones_current = self.zones_current and same
        waiting = self.waiting_topology
        if waiting is not None and _same_epoch(waiting, nodes) and waiting.nodes == len(nodes):
            self._install_topology(waiting, nodes)

    def _install_usage(self, usage: Usage, nodes: NodeRows) -> None:
        if usage.nodes != len(nodes):
            raise ValueError(f"nodes: {usage.nodes} of epoch {usage.epoch}, whose inventory has {len(nodes)}")
        self.usage = UsageRows.of(usage)
        self.usage_current = True
        self.waiting_usage = None

    def _install_topology(self, topology: Topology, nodes: NodeRows) -> None:
        if topology.nodes != len(nodes):
            raise ValueError(
                f"nodes: {topology.nodes} of epoch {topology.epoch}, whose inventory has {len(nodes)}"
            )
        self.zones = ZoneRows.of(topology)
        self.zones_current = True
        self.waiting_topology = None


def _same_epoch(report: Inventory | Usage | Topology, nodes: NodeRows) -> bool:
    """An agent that starts again may count its epochs anew."""
    return report.epoch == nodes.epoch and report.incarnation == nodes.stamp[0]


@dataclass
class Reported:
    """Reports of one cluster. layout: the one in effect, None until every shard of one has been here."""

    facts: Facts | None = None
    hardware: Hardware | None = None
    layout: int | None = None
    slots: dict[int, dict[int, Slot]] = field(default_factory=dict[int, dict[int, Slot]])
    profiles: dict[str, tuple[LabelSet, Stamp]] = field(default_factory=dict[str, tuple[LabelSet, Stamp]])
    stale: set[str] = field(default_factory=set[str])

    def current(self) -> dict[int, Slot]:
        """Slots of the layout in effect, or of the one on its way while there is none."""
        layout = self.layout if self.layout is not None else (self.facts.layout if self.facts else None)
        return self.slots.get(layout, {}) if layout is not None else {}

    def take_facts(self, facts: Facts) -> Outcome:
        if self.facts is not None and facts.stamp <= self.facts.stamp:
            return Outcome.OLDER
        self.facts = facts
        for layout in list(self.slots):
            if layout not in (self.layout, facts.layout):
                self._drop_older(layout, facts.stamp)
        self.switch_layout()
        return Outcome.APPLIED

    def take_hardware(self, hardware: Hardware) -> Outcome:
        """ValueError names a runtime class that asks for more than is looked at with every decision."""
        if self.hardware is not None and hardware.stamp <= self.hardware.stamp:
            return Outcome.OLDER
        for each in hardware.runtime_classes:
            for part in ("overhead", "node_selector", "tolerations"):
                if (count := len(getattr(each, part))) > _MOST_OF_A_CLASS:
                    raise ValueError(
                        f"runtime_classes: {each.name[:64]}: {part} has {count:,} entries: "
                        f"up to {_MOST_OF_A_CLASS} are taken"
                    )
        self.hardware = hardware
        return Outcome.APPLIED

    def take_profile(self, label_set: LabelSet, profile: Profile) -> list[tuple[int, int]]:
        """Shards (layout, index) whose waiting inventory can now be looked at again."""
        self.profiles[label_set.hash] = (label_set, profile.stamp)
        return [
            (layout, index)
            for layout, slots in self.slots.items()
            for index, slot in slots.items()
            if slot.waiting_inventory is not None and label_set.hash in slot.waiting_inventory.profile_hashes
        ]

    def slot(self, shard: str, stamp: Stamp) -> Slot | None:
        """The slot of a shard; None when it is of a layout that is over. ValueError when it is no shard."""
        layout, index = parse_shard(shard)
        if layout not in (self.layout, self.facts.layout if self.facts else None):
            if self.facts is not None and stamp < self.facts.stamp:
                self.stale.add(shard)
                return None
            if layout not in self.slots and len(self.slots) >= _MOST_LAYOUTS:
                self._drop_oldest_layout()
        self.stale.discard(shard)
        return self.slots.setdefault(layout, {}).setdefault(index, Slot())

    def switch_layout(self) -> bool:
        """Whether the layout of the facts came into effect just now: all of its shards are here."""
        if self.facts is None or self.facts.layout == self.layout:
            return False
        slots = self.slots.get(self.facts.layout, {})
        if len(slots) < self.facts.layout or not all(slot.ready for slot in slots.values()):
            return False
        for layout in list(self.slots):
            if layout == self.layout:
                self._drop_layout(layout)
        self.layout = self.facts.layout
        return True

    def shards(self) -> Iterator[tuple[int, Slot]]:
        """Slots in effect, in the order of their index."""
        yield from sorted(self.current().items())

    def lacks(self, inventory: Inventory) -> list[str]:
        return [each for each in inventory.profile_hashes if each not in self.profiles]

    def missing(self) -> list[str]:
        """Subject tails to ask for again, sorted."""
        if self.facts is None:
            return ["facts"]
        tails: set[str] = set()
        slots = self.slots.get(self.facts.layout, {})
        for index in range(self.facts.layout):
            shard = shard_name(self.facts.layout, index)
            tails.update(self._slot_missing(slots.get(index, Slot()), shard))
        return sorted(tails)

    def _slot_missing(self, slot: Slot, shard: str) -> list[str]:
        tails: list[str] = []
        if slot.waiting_inventory is not None:
            tails += [f"profile.{each}" for each in self.lacks(slot.waiting_inventory)]
        elif slot.nodes is None or slot.waiting_usage is not None or slot.waiting_topology is not None:
            tails.append(f"inventory.{shard}")
        if not slot.usage_current and (slot.nodes is not None or slot.waiting_usage is None):
            tails.append(f"usage.{shard}")
        if slot.lacks_topology:
            tails.append(f"topology.{shard}")
        return tails

    def completeness(self) -> str | None:
        if self.facts is None:
            return "its facts are not here yet"
        if self.layout is not None:
            return None
        layout = self.facts.layout
        slots = self.slots.get(layout, {})
        missing = [index for index in range(layout) if not (index in slots and slots[index].ready)]
        named = ", ".join(self._named(slots.get(index, Slot()), layout, index) for index in missing[:3])
        more = ", ..." if len(missing) > 3 else ""
        return f"{len(missing)} of {layout} shards are not here yet: {named}{more}"

    def _named(self, slot: Slot, layout: int, index: int) -> str:
        if slot.waiting_inventory is not None and slot.nodes is None:
            return f"{shard_name(layout, index)} (profile)"
        if slot.nodes is not None:
            return f"{shard_name(layout, index)} (usage)"
        return shard_name(layout, index)

    def unreferenced_profiles(self) -> list[str]:
        used: set[str] = set()
        for slots in self.slots.values():
            for slot in slots.values():
                if slot.nodes is not None:
                    used.update(each.label_set.hash for each in slot.nodes.classes)
                if slot.waiting_inventory is not None:
                    used.update(slot.waiting_inventory.profile_hashes)
        return sorted(self.profiles.keys() - used)

    def applied(self, tail: str) -> Stamp | None:
        kind, _, name = tail.partition(".")
        match kind:
            case "facts":
                return self.facts.stamp if self.facts else None
            case "hardware":
                return self.hardware.stamp if self.hardware else None
            case "profile":
                return self.profiles[name][1] if name in self.profiles else None
            case "inventory" | "usage" | "topology":
                layout, index = parse_shard(name)
                slot = self.slots.get(layout, {}).get(index, Slot())
                rows = {"inventory": slot.nodes, "usage": slot.usage, "topology": slot.zones}[kind]
                return rows.stamp if rows is not None else None
            case _:
                return None

    def forget(self, tail: str) -> None:
        """What was purged: an unreferenced profile, or a stale shard."""
        kind, _, name = tail.partition(".")
        if kind == "profile" and name in self.unreferenced_profiles():
            del self.profiles[name]
        elif kind in ("inventory", "usage", "topology"):
            self.stale.discard(name)

    def _drop_layout(self, layout: int) -> None:
        for index in self.slots.pop(layout):
            self.stale.add(shard_name(layout, index))

    def _drop_older(self, layout: int, stamp: Stamp) -> None:
        slots = self.slots[layout]
        for index, slot in list(slots.items()):
            if slot.newest < stamp:
                self.stale.add(shard_name(layout, index))
                del slots[index]
        if not slots:
            del self.slots[layout]

    def _drop_oldest_layout(self) -> None:
        wanted = (self.layout, self.facts.layout if self.facts else None)
        spare = [layout for layout in self.slots if layout not in wanted]
        newest = {layout: max(slot.newest for slot in self.slots[layout].values()) for layout in spare}
        if spare:
            del self.slots[min(spare, key=newest.__getitem__)]
