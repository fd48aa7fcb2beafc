"""One cluster of the fleet: reports, promises, and the columns that follow from them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from controlplane.fleet.addresses import Addresses
from controlplane.fleet.columns import Columns
from controlplane.fleet.demand import Demand
from controlplane.fleet.features import Features, Selection
from controlplane.fleet.headroom import Make, shard_of
from controlplane.fleet.label_sets import LabelSet
from controlplane.fleet.reported import Reported, Slot
from controlplane.fleet.standing import Standing
from controlplane.fleet.views import Outcome, Promise
from schemas.wire.hardware import Hardware, Topology
from schemas.wire.reports import Facts, Inventory, Profile, Usage

_Bound = dict[tuple[str, str], int]


@dataclass
class Cluster:
    """bound: replicas by workload, then template. outstanding: promised and not yet bound, by part, where
    it is not all 0.
    """

    features: Features
    reported: Reported = field(default_factory=Reported)
    promises: dict[str, Promise] = field(default_factory=dict[str, Promise])
    bound: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    outstanding: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    addresses: Addresses = field(default_factory=Addresses)
    headroom: tuple[Make, ...] = ()
    standing: Standing = field(default_factory=Standing)
    _order: dict[str, int] = field(default_factory=dict[str, int])
    _promised: int = 0
    _columns: Columns | None = None
    _packed: bool = True
    _counting: int | None = None

    def take_facts(self, facts: Facts) -> Outcome:
        outcome = self.reported.take_facts(facts)
        if outcome is Outcome.APPLIED:
            self._layout_may_have_changed()
        return outcome

    def take_hardware(self, hardware: Hardware) -> Outcome:
        outcome = self.reported.take_hardware(hardware)
        if outcome is Outcome.APPLIED:
            self.addresses.replace_hardware(hardware)
        return outcome

    def take_headroom(self, headroom: tuple[Make, ...]) -> None:
        self.headroom = headroom
        self._columns = None

    def take_profile(self, label_set: LabelSet, profile: Profile) -> bool:
        """Whether an inventory that waited for it came into effect."""
        changed = False
        for layout, index in self.reported.take_profile(label_set, profile):
            slot = self.reported.slots[layout][index]
            before = _bound_of(slot)
            if slot.settle(self.reported.profiles):
                self._slot_changed(layout, before, slot, nodes=True)
                changed = True
        return changed

    def take_inventory(self, layout: int, slot: Slot, inventory: Inventory) -> Outcome:
        before = _bound_of(slot)
        outcome = slot.offer_inventory(inventory, self.reported.profiles)
        if outcome is Outcome.APPLIED:
            self._slot_changed(layout, before, slot, nodes=True)
        return outcome

    def take_usage(self, layout: int, index: int, slot: Slot, usage: Usage) -> Outcome:
        before, was_ready = _bound_of(slot), slot.ready
        outcome = slot.offer_usage(usage)
        if outcome is Outcome.APPLIED:
            self._slot_changed(layout, before, slot, nodes=not was_ready)
            if self._columns is not None and layout == self.reported.layout and slot.usage is not None:
                self._columns.replace_usage(index, slot.usage)
        return outcome

    def take_topology(self, layout: int, index: int, slot: Slot, topology: Topology) -> Outcome:
        outcome = slot.offer_topology(topology)
        if outcome is Outcome.APPLIED and layout == self.reported.layout and slot.zones is not None:
            if self._columns is not None:
                self._columns.replace_topology(index, slot.zones)
            if self.outstanding:
                self._packed = False
        return outcome

    def promise(self, workload: str, promise: Promise) -> int | None:
        """Replicas packed of a promise of one part, where that could be done on top of what is packed.

        None: what fits has to be counted again for every demand.
        """
        anew = workload not in self.promises
        self.promises.pop(workload, None)
        self.promises[workload] = promise
        self.addresses.promise(workload, promise)
        self._promised += 1
        self._order[workload] = self._promised
        was = workload in self.outstanding
        self._settle_outstanding(workload)
        if self._columns is None or not self._packed or not anew or was:
            self._packed = False
            return None
        packed = [
            self._columns.pack(part.demand, due, self.features.selection(part.demand)) if due else 0
            for part, due in zip(promise.parts, self.outstanding.get(workload, ()), strict=False)
        ]
        return sum(packed) if len(promise.parts) == 1 else None

    def unpromise(self, workload: str) -> bool:
        if self.promises.pop(workload, None) is None:
            return False
        del self._order[workload]
        self.addresses.promise(workload, None)
        if self.outstanding.pop(workload, ()):
            self._packed = False
        return True

    @property
    def classes(self) -> int:
        return 0 if self._columns is None else len(self._columns.classes)

    def columns(self) -> Columns | None:
        """With all that is outstanding packed; None while the cluster is incomplete."""
        if self.reported.layout is None:
            return None
        if self._columns is None:
            slots = [slot for _, slot in self.reported.shards() if slot.ready]
            shards = [
                (slot.nodes, slot.usage)
                for slot in slots
                if slot.nodes is not None and slot.usage is not None
            ]
            zones = [slot.zones for slot in slots]
            # Last, so that what is promised is packed there after everything that is there.
            more = shard_of(self.headroom, self.reported) if self.headroom else None
            if more is not None:
                shards, zones = [*shards, more], [*zones, None]
            to_come = len(more[0]) if more is not None else 0
            self._columns = Columns(shards, self.features, zones, to_come=to_come)
            self._packed = False
        if not self._packed:
            self._pack_all(self._columns)
        return self._columns

    def capacity(self, demand: Demand, selection: Selection) -> tuple[int, int]:
        """(replicas that fit, nodes that the selector matches); nothing while it is incomplete."""
        columns = self.columns()
        if columns is None:
            return 0, 0
        fits, matching = columns.capacity(demand, selection)
        room = self.addresses.room(demand) if demand.pools and fits else None
        return fits if room is None else min(fits, room), matching

    def release_on_trial(self, columns: Columns, workloads: Collection[str]) -> None:
        """What these run here, or were promised, is free again; others keep what is theirs."""
        if not self.outstanding.keys().isdisjoint(workloads):
            columns.unpack()
            self._pack(columns, self.outstanding.keys() - {*workloads})
        for workload in workloads:
            columns.release(workload)

    def _pack_all(self, columns: Columns) -> None:
        columns.unpack()
        self._packed = True
        self._pack(columns, self.outstanding)

    def _pack(self, columns: Columns, workloads: Iterable[str]) -> None:
        """In the order of the promises; neighbours that ask for the same are packed at once."""
        pending: Demand | None = None
        replicas = 0
        for workload in sorted(workloads, key=self._order.__getitem__):
            for part, due in zip(self.promises[workload].parts, self.outstanding[workload], strict=True):
                if pending is not None and part.demand != pending:
                    columns.pack(pending, replicas, self.features.selection(pending))
                    replicas = 0
                pending = part.demand
                replicas += due
        if pending is not None:
            columns.pack(pending, replicas, self.features.selection(pending))

    def _slot_changed(self, layout: int, before: _Bound, slot: Slot, *, nodes: bool) -> None:
        if self._layout_may_have_changed():
            return
        if layout != self._counting:
            return
        self._recount(before, _bound_of(slot))
        if nodes:
            self._columns = None
        if self.outstanding:
            self._packed = False

    def _layout_may_have_changed(self) -> bool:
        """Whether another layout is in effect now, so that all has been counted again."""
        self.reported.switch_layout()
        facts = self.reported.facts
        counting = self.reported.layout if self.reported.layout is not None else facts and facts.layout
        if counting == self._counting:
            return False
        self._counting = counting
        self._columns = None
        touched, self.bound = set(self.bound), {}
        for slot in self.reported.current().values():
            for (workload, template), replicas in _bound_of(slot).items():
                templates = self.bound.setdefault(workload, {})
                templates[template] = templates.get(template, 0) + replicas
        for workload in touched | self.promises.keys():
            self._settle_outstanding(workload)
        return True

    def _recount(self, before: _Bound, after: _Bound) -> None:
        # Of all that is bound in a shard, a report changes little.
        changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        if not changed:
            return
        if self.outstanding:
            self._packed = False
        for workload, template in changed:
            templates = self.bound.setdefault(workload, {})
            more = after.get((workload, template), 0) - before.get((workload, template), 0)
            templates[template] = templates.get(template, 0) + more
            if not templates[template]:
                del templates[template]
        for workload in dict.fromkeys(workload for workload, _ in changed):
            if not self.bound[workload]:
                del self.bound[workload]
            self._settle_outstanding(workload)

    def _settle_outstanding(self, workload: str) -> None:
        promise = self.promises.get(workload)
        if promise is None:
            return
        bound = dict(self.bound.get(workload, {}))
        due: list[int] = []
        for part in promise.parts:
            # Two parts may have the same template: what is bound of it fills one after the other.
            here = min(part.replicas, bound.get(part.template, 0))
            if here:
                bound[part.template] -= here
            due.append(max(0, part.replicas - here))
        if any(due):
            self.outstanding[workload] = tuple(due)
        else:
            self.outstanding.pop(workload, None)


def _bound_of(slot: Slot) -> _Bound:
    return slot.usage.bound_of if slot.usage is not None else {}
