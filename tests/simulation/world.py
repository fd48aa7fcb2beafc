"""The whole circle in one event loop and one seed: centres, agents, clusters, people, and what goes wrong.

A step is the world running until a virtual instant; after each the promises are looked at.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

from agents.simulated import SimulatedCluster
from agents.simulation.kubelets import Pace
from agents.simulation.makes import Make
from controlplane.alert_service import ROLE as ALERTING
from controlplane.intent import JoinDraft, Write
from controlplane.known.records import Lease, LedgerLine, Request, WorkloadRecord
from controlplane.loops.ports import AlertLink, NewDecision
from schemas.wire.orders import WORKLOAD_LABEL, ObjectRef
from schemas.wire.reports import Stamp
from schemas.wire.subjects import Subjects
from tests.simulation.failover_watch import FailoverWatch
from tests.simulation.hearing import HeardStore, Hearing
from tests.simulation.ledger import Ledger, ref_of
from tests.simulation.memory_alert_store import AlertTables
from tests.simulation.memory_bus import MemoryNats
from tests.simulation.memory_store import MemoryStore
from tests.simulation.memory_tables import Tables
from tests.simulation.network import Fate, Network, Rates
from tests.simulation.processes import LOSS_RULES, AgentProcess, CentreProcess
from tests.simulation.promises import AlertKey, Promises
from tests.simulation.quota_watch import QuotaWatch
from tests.simulation.trace import Trace
from tests.simulation.virtual_time import WorldClock

TICK_SECONDS = 2.0
RESTORE_SECONDS = 5.0
SLOW_SECONDS = 0.15
"""What a call of the database takes, at most."""
ORDERED_KINDS = ("ConfigMap", "Deployment", "ResourceQuota")
MAKES = ((Make.CLOUD, 3), (Make.EDGE, 2), (Make.DATACENTRE, 2))
WRITE = Write("world")
T = TypeVar("T")


@dataclass
class MemberCluster:
    """One cluster, and the agents that may act in it."""

    id: str
    name: str
    cluster: SimulatedCluster
    agents: list[AgentProcess] = field(default_factory=list[AgentProcess])
    standing: set[ObjectRef] = field(default_factory=set[ObjectRef])

    def ours(self) -> dict[ObjectRef, dict[str, object]]:
        """Objects of Muster's workloads, past all faults."""
        found = [each for kind in ORDERED_KINDS for each in self.cluster.objects(kind)]
        return {
            ref_of(each): each for each in found if WORKLOAD_LABEL in (each["metadata"].get("labels") or {})
        }


class WatchedStore(MemoryStore):
    """Shows every decision that it commits to a witness."""

    watch: FailoverWatch | None = None
    quota: QuotaWatch | None = None
    heard: HeardStore | None = None
    slow: Random | None = None

    async def carry(self, effect: Callable[[], T]) -> T:
        if self.slow is not None:
            await asyncio.sleep(self.slow.uniform(0.0, SLOW_SECONDS))
        return await super().carry(effect)

    def _commit_alerts(self, cluster: str, links: Sequence[AlertLink]) -> Stamp:
        before = set(self.tables.alerts)
        cursor = super()._commit_alerts(cluster, links)
        if self.heard is not None:
            new = [link for key, link in self.tables.alerts.items() if key not in before]
            self.heard.enter([entry for link in new for entry in link.entries])
        return cursor

    def enter_lines(self, lines: Sequence[LedgerLine]) -> None:
        super().enter_lines(lines)
        if self.quota is not None:
            self.quota.entered(self.tables, lines, self.now())

    async def commit_decisions(
        self, lease: Lease, decisions: Sequence[NewDecision], quota_version: int = 0
    ) -> Collection[str]:
        silence = self.watch.silence(self.now()) if self.watch is not None else {}
        return await self.carry_held(lease, lambda: self._shown(decisions, quota_version, silence))

    def _shown(
        self, decisions: Sequence[NewDecision], quota_version: int, silence: Mapping[str, float]
    ) -> Collection[str]:
        before = [
            (self.tables.decisions.get(each.workload), dict(self.tables.replicas(each.workload)))
            for each in decisions
        ]
        skipped = self._commit_decisions(decisions, quota_version)
        if self.quota is not None:
            self.quota.decided(each for each in decisions if each.workload not in skipped)
        for new, (decided, held) in zip(decisions, before, strict=True):
            if self.watch is not None and new.workload not in skipped:
                record = self.tables.workloads[new.workload]
                self.watch.committed(record, decided, held, new, silence)
        return skipped


class World:
    """Composed within a running VirtualLoop; `close` releases what it holds."""

    def __init__(self, seed: int, trace: Trace, folder: Path, *, with_quota: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.seed = seed
        self.random = Random(f"world {seed}")
        self.trace = trace
        self.clock = WorldClock(loop)
        trace.now = loop.time
        self.network = Network(Random(f"network {seed}"))
        self.nats = MemoryNats(Subjects(), self.clock.now, self.network)
        self.store_rates = Rates()
        self._store_random = Random(f"store {seed}")
        self._dying = 0
        self.store = WatchedStore(self.clock, seed=seed, fate=self._store_fate)
        self.ledger = Ledger(seed)
        self.promises = Promises(self.ledger, trace.say)
        self.kube_failing = 0.0
        self._folder = folder
        self._exits = ExitStack()
        self.members = [self._member(index, make, nodes) for index, (make, nodes) in enumerate(MAKES)]
        self.failovers = FailoverWatch(
            self.nats.beats_answered, [each.id for each in self.members], LOSS_RULES, self.promises.accuse
        )
        self.store.watch = self.failovers
        self.store.heard = HeardStore(self.store)
        self.hearing = Hearing(self.store.heard, self.clock, Random(f"people {seed}"), self.promises.accuse)
        self.with_quota = with_quota
        self.quota = self.store.quota = QuotaWatch(self.promises.accuse)
        # Only where all is not done at once may somebody change what another is about to commit on.
        self.store.slow = Random(f"slow {seed}") if with_quota else None
        self.centres = [
            CentreProcess(name, self.nats, self.store, self.ledger, self.clock, self.hearing, trace.say)
            for name in ("centre", "standby")
        ]
        self._ticking: asyncio.Task[None] | None = None
        self._backup: tuple[Tables, AlertTables, dict[str, WorkloadRecord]] | None = None
        self.is_restored = False

    def _member(self, index: int, make: Make, nodes: int) -> MemberCluster:
        random = self.random
        identity = "C" + hashlib.sha256(f"{self.seed}/{index}".encode()).hexdigest()[:12]
        cluster = SimulatedCluster(
            make=make,
            seed=index * 1_000 + random.randrange(1_000),
            nodes=nodes,
            pace=Pace(eviction_seconds=20.0, zones_seconds=3.0),
        )
        self._exits.callback(cluster.close)
        member = MemberCluster(identity, f"cluster-{index + 1}", cluster)
        skew = random.uniform(-2.0, 2.0)
        for replica in ("a", "b"):
            agent = AgentProcess(
                f"agent-{index + 1}{replica}",
                identity,
                cluster,
                self._folder,
                self.nats,
                self.promises,
                WorldClock(asyncio.get_running_loop(), skew),
                Random(f"agent {self.seed} {index} {replica}"),
            )
            self._exits.callback(agent.close)
            member.agents.append(agent)
        return member

    async def begin(self) -> None:
        """Clusters have joined; one centre and one agent a cluster run."""
        for member in self.members:
            token = hashlib.sha256(member.id.encode()).digest()
            expires_at = self.clock.now() + 60.0
            await self.store.invite_cluster(JoinDraft(token, member.name, {}, (), expires_at), WRITE)
            await self.store.join_cluster(
                token,
                cluster=member.id,
                cluster_uid=await member.cluster.cluster_uid(),
                agent_key=f"key of {member.name}",
                sealing_key=bytes(32),
                account_seed=b"",
            )
        self._ticking = asyncio.create_task(self._tick(), name="clusters")
        self.start_centre(0)
        for member in self.members:
            self.start_agent(member.agents[0])

    async def _tick(self) -> None:
        while True:
            for member in self.members:
                member.cluster.tick(self.clock.now())
            await asyncio.sleep(TICK_SECONDS)

    def start_centre(self, index: int) -> None:
        self.centres[index].start(self._set_dying)

    def start_agent(self, agent: AgentProcess) -> None:
        agent.start(lambda: self.kube_failing)

    def _set_dying(self, dying: bool) -> None:
        self._dying += 1 if dying else -1

    def _store_fate(self) -> Fate:
        if self._dying:
            return Fate.LOST
        drawn = self._store_random.random()
        if drawn < self.store_rates.lost:
            return Fate.LOST
        if drawn < self.store_rates.lost + self.store_rates.answer_lost:
            return Fate.ANSWER_LOST
        return Fate.DONE

    async def step(self, seconds: float) -> None:
        """Run for so long, then look. Raises PromiseBroken, or AssertionError for what nobody foresaw."""
        await asyncio.sleep(seconds)
        self.look()

    def look(self) -> None:
        for member in self.members:
            standing = set(member.ours())
            self.promises.stood(member.id, member.standing, standing)
            member.standing = standing
        self.promises.kept(self.store.tables, self.spooled())
        self.quota.look(self.store.tables, self.members)
        row = self.store.tables.leases.get(ALERTING)
        leader = (row.holder, row.epoch) if row is not None else ("", 0)
        self.hearing.look(leader, failing=self.store_rates != Rates())
        self.promises.raise_if_broken()
        assert not self.nats.trespasses, self.nats.trespasses
        assert not self.trace.surprises, self.trace.surprises
        assert not self.store.tables.dead_letters, self.store.tables.dead_letters
        for process in (*self.centres, *(agent for member in self.members for agent in member.agents)):
            failure = process.failure()
            assert failure is None, f"{process.name} ended with {failure!r}"

    def spooled(self) -> set[AlertKey]:
        return {key for member in self.members for agent in member.agents for key in agent.spooled()}

    async def heal(self) -> None:
        """No more faults: a centre runs and is reachable. Agents are started by `hand_over`."""
        self.network.heal()
        self.store_rates, self.kube_failing, self.hearing.away = Rates(), 0.0, False
        for member in self.members:
            member.cluster.faults.heal()
            for node in member.cluster.objects("Node"):
                # On a silent one pods end for ever.
                member.cluster.node_up(node["metadata"]["name"])
        if not self.centres[0].is_running:
            self.start_centre(0)
        if self.is_restored:
            for member in self.members:
                await self.store.request(member.name, Request.RECOVERY, WRITE)

    async def release(self) -> None:
        """A person lets every agent go on that holds, for it was told to remove much."""
        centre = next((each.centre for each in self.centres if each.centre and each.centre.leads), None)
        for cluster, heard in list(centre.known.heard.items()) if centre is not None else []:
            record = self.store.tables.clusters[cluster]
            if heard.beat.holding and record.requested is Request.NONE:
                self.trace.say(f"somebody releases the agent of {record.name}")
                await self.store.request(record.name, Request.RELEASE, WRITE)

    def back_up(self) -> None:
        self._backup = self.store.snapshot(), self.hearing.store.backup(), dict(self.promises.intents)

    async def restore(self) -> None:
        """The last backup, and a new centre over it. What was accepted after it is lost, and excused."""
        if self._backup is None:
            return
        tables, log, intents = self._backup
        for centre in self.centres:
            await centre.crash()
        self.store.restore(tables)
        self.hearing.store.restore(log)
        self.promises.intents = dict(intents)
        self.is_restored = self.quota.restored = True
        await self.step(RESTORE_SECONDS)
        self.start_centre(0)

    def others(self) -> list[AgentProcess]:
        """The agents beside the first of each cluster."""
        return [agent for member in self.members for agent in member.agents[1:]]

    async def hand_over(self, replica: int) -> None:
        """Only this replica of each agent runs from now on.

        Only the agent that acts sends alerts, so that what another has accepted waits until that one acts.
        """
        for member in self.members:
            for agent in member.agents:
                if agent is not member.agents[replica]:
                    await agent.crash()
            if not member.agents[replica].is_running:
                self.start_agent(member.agents[replica])

    async def close(self) -> None:
        for process in (*self.centres, *(agent for member in self.members for agent in member.agents)):
            await process.crash()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        self._exits.close()
