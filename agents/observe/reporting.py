"""From the cache to reports: only what may have changed is made anew."""

from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from agents.observe.cache import Cache, Changes
from agents.observe.facts import Discovered, Given, facts
from agents.observe.nodes import inventory, next_layout, profiles, shard_of
from agents.observe.rows import NodeRow
from agents.observe.topology import topology
from agents.observe.usage_reports import UsageReports
from schemas.wire.hardware import Topology
from schemas.wire.reports import Report, Right, Work
from schemas.wire.subjects import shard_name

_log = structlog.get_logger()
COUNTS_EVERY = 4
"""Reports between two of one workload that differ in counts alone: mostly more is to be said in a moment."""


class Outlet(Protocol):
    """Where reports go; what says nothing new is dropped there."""

    def offer(self, tail: str, report: Report) -> None: ...

    def forget(self, tail: str) -> None: ...

    def tails(self, kind: str) -> list[str]: ...


class Reporting:
    """Makes reports out of one snapshot of the cache: `report` awaits nothing."""

    def __init__(
        self, cache: Cache, outlet: Outlet, given: Given, work_of: Callable[[str], Work | None]
    ) -> None:
        self._cache = cache
        self._outlet = outlet
        self._given = given
        self._work_of = work_of
        self._layout = 0
        self._shards: list[list[NodeRow]] = []
        self._usage = UsageReports(cache)
        self._members: list[set[str]] = []
        self._facts_of: tuple[object, ...] = ()
        self._hardware_told = False
        self._said: dict[str, tuple[object, ...]] = {}
        self._said_at: dict[str, int] = {}
        self._number = 0
        self._stale_zones: set[str] = set()
        self._later: set[str] = set()
        self._is_too_much = False
        self.discovered = Discovered()
        self.rights: list[Right] | None = None
        self.awaits_rights = False

    def report(self) -> None:
        """Offer everything that changed since the last call; of a workload's counts see COUNTS_EVERY."""
        self._number += 1
        changes = self._cache.take_changes()
        stale = self._arrange(changes)
        for index in sorted(stale):
            for name, profile in profiles(self._shards[index]).items():
                self._outlet.offer(f"profile.{name}", profile)
            self._outlet.offer(f"inventory.{self._name(index)}", inventory(self._shards[index]))
        if stale:
            self._forget_profiles()
        self._judge_zones(changes.topology)
        self._report_topology(stale | {shard_of(name, self._layout) for name in changes.topology})
        if changes.hardware or not self._hardware_told:
            self._hardware_told = True
            self._outlet.offer("hardware", self._cache.below.hardware(self._cache.pods.rows))
        self._report_facts(changes)
        changed = changes.usage | changes.inventory
        for index in self._usage.due(changed, changes.own, stale, self._shard_of, self._layout):
            names = [node.name for node in self._shards[index]]
            self._outlet.offer(f"usage.{self._name(index)}", self._usage.report(names))
        self._report_work(changes.workloads | self._overdue(), with_counts=True)

    def report_namespaces(self, ordered: Iterable[str]) -> None:
        """Offer what pods of others take by namespace, where it changed. ordered: workloads ordered here."""
        sums = self._cache.namespaces
        sums.ordered(ordered, self._cache.pods_of)
        if not sums.changed:
            return
        report = sums.report()
        if report.left_out and not self._is_too_much:
            _log.warning("namespaces_left_out", told=len(report.namespaces), left_out=report.left_out)
        self._is_too_much = report.left_out > 0
        self._outlet.offer("namespaces", report)

    @property
    def owes(self) -> bool:
        """Whether counts wait for one of the next reports, whatever else changes."""
        return bool(self._later) or self._usage.owes

    def report_workloads(self) -> None:
        """Offer only how workloads stand that changed since the last call; counts alone wait for `report`."""
        self._report_work(self._cache.take_workload_changes(), with_counts=False)

    def _overdue(self) -> set[str]:
        """Of those whose counts wait."""
        return {each for each in self._later if self._number - self._said_at[each] >= COUNTS_EVERY}

    def _report_work(self, workloads: set[str], *, with_counts: bool) -> None:
        """Nothing of those of which nothing can be said yet."""
        for workload in sorted(workloads):
            work = self._work_of(workload)
            if work is None:
                self._later.discard(workload)
                continue
            says = _standing(work)
            is_news = self._said.get(workload) != says
            if is_news or (with_counts and self._number - self._said_at[workload] >= COUNTS_EVERY):
                self._said[workload], self._said_at[workload] = says, self._number
                self._later.discard(workload)
                self._outlet.offer(f"work.{workload}", work)
            else:
                self._later.add(workload)

    def _report_topology(self, stale: set[int]) -> None:
        """An empty one only where there was another before."""
        known = set(self._outlet.tails("topology"))
        for index in sorted(stale):
            tail = f"topology.{self._name(index)}"
            report = self._topology(index)
            if report.zones or tail in known:
                self._outlet.offer(tail, report)

    def answer(self, tails: Iterable[str]) -> None:
        """Offer what the centre asks for and was never said, for there was nothing to say.

        The centre may hold zones that went while no agent was there to see it.
        """
        asked = set(tails).difference(self._outlet.tails("topology"))
        for index in range(len(self._shards)):
            tail = f"topology.{self._name(index)}"
            if tail in asked:
                self._outlet.offer(tail, self._topology(index))

    def _topology(self, index: int) -> Topology:
        names = [node.name for node in self._shards[index]]
        return topology(names, self._cache.below.topologies.rows, self._stale_zones)

    def _judge_zones(self, names: Iterable[str]) -> None:
        """Of these nodes; of the others neither zones nor pods changed."""
        for name in names:
            row = self._cache.below.topologies.rows.get(name)
            if row is not None and row.is_stale(self._cache.pods_on.get(name, {})):
                self._stale_zones.add(name)
            else:
                self._stale_zones.discard(name)

    def _report_facts(self, changes: Changes) -> None:
        """Only what is made of the nodes is a matter of their number."""
        if not self.discovered.version or self.awaits_rights:
            return
        metrics_served = self._cache.used is not None
        made_of = (self._layout, self.discovered.version, self.discovered.served, metrics_served, self.rights)
        if made_of == self._facts_of and not changes.inventory:
            return
        self._facts_of = made_of
        nodes = self._cache.nodes.rows.values()
        report = facts(
            self._layout,
            nodes,
            self.discovered,
            self._given,
            metrics_served=metrics_served,
            rights=self.rights,
        )
        self._outlet.offer("facts", report)

    def _arrange(self, changes: Changes) -> set[int]:
        """Nodes into shards; returns the shards whose inventory may have changed."""
        nodes = self._cache.joined
        layout = next_layout(self._layout, len(nodes))
        if layout != self._layout:
            self._layout = layout
            self._usage.forget()
            self._forget_shards()
            stale = set(range(layout))
            self._members = [set() for _ in range(layout)]
            self._shards = [[] for _ in range(layout)]
            changed: Iterable[str] = nodes
        else:
            stale = {shard_of(name, layout) for name in changes.inventory}
            changed = changes.inventory
        for name in changed:
            members = self._members[shard_of(name, layout)]
            (members.add if name in nodes else members.discard)(name)
        for index in stale:
            self._shards[index] = [nodes[name] for name in sorted(self._members[index])]
        return stale

    def _shard_of(self, name: str) -> int:
        return shard_of(name, self._layout)

    def _name(self, index: int) -> str:
        return shard_name(self._layout, index)

    def _forget_shards(self) -> None:
        for tail in [
            tail for kind in ("inventory", "topology", "usage") for tail in self._outlet.tails(kind)
        ]:
            self._outlet.forget(tail)

    def _forget_profiles(self) -> None:
        """So that one that comes back is said again: the centre may have purged it meanwhile."""
        present = {f"profile.{node.profile}" for node in self._cache.joined.values()}
        for tail in self._outlet.tails("profile"):
            if tail not in present:
                self._outlet.forget(tail)


def _standing(work: Work) -> tuple[object, ...]:
    """What people and the centre wait for, without how many pods there are on the way to it."""
    healthy = tuple(status.healthy for status in work.objects)
    return work.version, work.carried_out, work.state, tuple(work.refusals), healthy, work.finished
