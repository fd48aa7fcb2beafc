"""What people, clusters and misfortune do to a world: one event a step, drawn from the seed."""

from dataclasses import dataclass, field
from typing import Any

from controlplane.intent import NotFound, WorkloadDraft
from controlplane.loops.ports import StoreUnavailable
from schemas.wire.alerts import Alert
from schemas.wire.orders import ObjectRef
from tests.simulation.drafts import Wish, wish
from tests.simulation.network import CENTRE, Rates
from tests.simulation.processes import AgentProcess
from tests.simulation.world import WRITE, MemberCluster, World

MOST_WORKLOADS = 5
MOST_REMOVALS = 5
"""In one cluster within an hour: one more, and an agent holds until a person releases it."""
RATES = Rates(lost=0.03, answer_lost=0.03, late=0.02, twice=0.03, latency_seconds=0.1, late_seconds=20.0)
STORE_RATES = Rates(lost=0.01, answer_lost=0.01)
LOST_SECONDS = 30.0
LOST_LOOKS = 6
ALERTS = ("Crashing", "DiskFull", "Slow")
Weighted = tuple[int, str]
"""How often, and which: the method of that name, after an underscore."""
ORDINARY: tuple[Weighted, ...] = (
    (6, "submit"),
    (4, "change"),
    (4, "scale"),
    (2, "drop_setting"),
    (2, "move"),
    (2, "roll_back"),
    (2, "delete"),
    (2, "add_node"),
    (2, "taint_node"),
    (2, "node_down"),
    (2, "node_up"),
    (1, "remove_node"),
    (4, "fire"),
)
MISFORTUNES: tuple[Weighted, ...] = (
    (4, "disturb"),
    (2, "calm"),
    (3, "split"),
    (4, "join"),
    (4, "lose"),
    (4, "crash_centre"),
    (4, "start_centre"),
    (3, "crash_agent"),
    (4, "start_agent"),
    (2, "second_agent"),
    (2, "power_cut"),
    (1, "wipe"),
    (2, "break_api_server"),
    (1, "break_watches"),
    (2, "back_up"),
    (1, "restore"),
    (2, "deafen"),
)
LOSSES: tuple[Weighted, ...] = (
    (6, "submit"),
    (8, "lose"),
    (8, "join"),
    (2, "crash_centre"),
    (8, "start_centre"),
    (1, "crash_agent"),
    (6, "start_agent"),
    (1, "disturb"),
    (3, "calm"),
)


@dataclass
class Script:
    """Events with their weights. faults: whether anything goes wrong at all."""

    world: World
    faults: bool = True
    wishes: dict[str, Wish] = field(default_factory=dict[str, Wish])
    removals: int = 0
    most: int = MOST_WORKLOADS
    lost_until: dict[str, float] = field(default_factory=dict[str, float])
    _marker: int = 0
    _named: int = 0
    _nodes: int = 0

    async def begin(self) -> None:
        """What is there when the world begins."""

    def events(self) -> tuple[Weighted, ...]:
        """Where all goes wrong at once hardly anything is ever placed again: every third world is gentler."""
        if not self.faults:
            return ORDINARY
        return ORDINARY + (LOSSES if self.world.seed % 3 == 2 else MISFORTUNES)

    def draft(self, wanted: Wish) -> WorkloadDraft:
        return wanted.draft()

    async def next_event(self) -> None:
        events = self.events()
        (chosen,) = self.world.random.choices([name for _, name in events], [weight for weight, _ in events])
        await self.play(chosen)

    async def play(self, name: str) -> None:
        await getattr(self, f"_{name}")()

    # People.

    async def _submit(self) -> None:
        if len(self.wishes) >= self.most:
            return await self._change()
        names = [f"work-{number}" for number in range(1, self._named + 1)]
        free = [name for name in names if name not in self.wishes]
        # A name that is free again comes back with objects of the same names.
        if free and self.world.random.random() < 0.5:
            name = self.world.random.choice(free)
        else:
            self._named += 1
            name = f"work-{self._named}"
        clusters = tuple(member.name for member in self.world.members)
        await self._write(wish(self.world.random, name, self._next_marker(), clusters))
        return None

    async def _change(self) -> None:
        if held := self._any_wish():
            await self._write(held.changed(self.world.random, self._next_marker()))

    async def _scale(self) -> None:
        if held := self._any_wish():
            await self._write(held.scaled(self.world.random.randint(1, 6)))

    async def _drop_setting(self) -> None:
        held = self._any_wish()
        if held and held.settings:
            await self._write(held.without_setting())

    async def _move(self) -> None:
        held = self._any_wish()
        if held and self._may_remove():
            names = [member.name for member in self.world.members]
            await self._write(held.moved(tuple(sorted(self.world.random.sample(names, 2)))))

    async def _write(self, wanted: Wish) -> None:
        self.world.trace.say(f"somebody submits {wanted}")
        try:
            record = await self.world.store.submit_workload(self.draft(wanted), WRITE)
        except StoreUnavailable:
            return
        self.wishes[wanted.name] = wanted
        self.world.promises.intents[record.uid] = record

    async def _roll_back(self) -> None:
        held = self._any_wish()
        if held is None or not self._may_remove():
            return
        self.world.trace.say(f"somebody rolls {held.name} back")
        try:
            record = await self.world.store.rollback_workload(held.name, 1, WRITE)
        except (StoreUnavailable, NotFound):
            return
        self.world.promises.intents[record.uid] = record

    async def _delete(self) -> None:
        held = self._any_wish()
        if held is None or not self._may_remove():
            return
        self.world.trace.say(f"somebody deletes {held.name}")
        try:
            record = await self.world.store.delete_workload(held.name, WRITE)
        except (StoreUnavailable, NotFound):
            return
        del self.wishes[held.name]
        self.world.promises.intents[record.uid] = record

    def _may_remove(self) -> bool:
        self.removals += 1
        return self.removals <= MOST_REMOVALS

    def _any_wish(self) -> Wish | None:
        return self.world.random.choice(list(self.wishes.values())) if self.wishes else None

    def _next_marker(self) -> int:
        self._marker += 1
        return self._marker

    # Clusters.

    async def _add_node(self) -> None:
        member = self._any_member()
        node = member.cluster.objects("Node")[0]
        self._nodes += 1
        name = f"added-{self._nodes}"
        self.world.trace.say(f"node {name} is added to {member.name}")
        metadata = {"name": name, "labels": {**node["metadata"]["labels"], "kubernetes.io/hostname": name}}
        status = {**node["status"], "conditions": [{"type": "Ready", "status": "True"}]}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": status}
        member.cluster.put_as("kubelet", body)

    async def _taint_node(self) -> None:
        member = self._any_member()
        name = self._any_node(member)
        taint = {"key": "world/tainted", "value": "yes", "effect": "NoSchedule"}
        self.world.trace.say(f"node {name} of {member.name} is tainted, or no longer")

        def change(node: dict[str, Any]) -> None:
            taints: list[dict[str, str]] = node["spec"].get("taints") or []
            kept = [each for each in taints if each != taint]
            node["spec"]["taints"] = kept if taint in taints else [*taints, taint]

        member.cluster.change_node(name, change)

    async def _node_down(self) -> None:
        member = self._any_member()
        name = self._any_node(member)
        self.world.trace.say(f"node {name} of {member.name} falls silent")
        member.cluster.node_down(name)

    async def _node_up(self) -> None:
        for member in self.world.members:
            for node in member.cluster.objects("Node"):
                member.cluster.node_up(node["metadata"]["name"])

    async def _remove_node(self) -> None:
        member = self._any_member()
        if len(member.cluster.objects("Node")) > 1:
            name = self._any_node(member)
            self.world.trace.say(f"node {name} of {member.name} is removed")
            member.cluster.remove(ObjectRef("v1", "Node", "", name))

    async def _fire(self) -> None:
        """The cluster's Prometheus posts to an agent of it, whichever answers; a part ends at once."""
        random, now = self.world.random, self.world.clock.now()
        running = [agent for agent in self._agents() if agent.is_running and agent.spool is not None]
        if not running:
            return
        agent = random.choice(running)
        alerts: list[Alert] = []
        for name in random.sample(ALERTS, random.randint(1, len(ALERTS))):
            ends_at = random.choice((0.0, now, now + 20.0, now + 600.0))
            alerts.append(Alert(labels={"alertname": name}, starts_at=now - 5.0, ends_at=ends_at))
        self.world.trace.say(f"{agent.name} is told of {alerts}")
        if agent.spool is not None:
            agent.spool.append(alerts, received_at=now)

    def _any_member(self) -> MemberCluster:
        return self.world.random.choice(self.world.members)

    def _any_node(self, member: MemberCluster) -> str:
        names = [node["metadata"]["name"] for node in member.cluster.objects("Node")]
        return self.world.random.choice(names)

    # Misfortune.

    async def _disturb(self) -> None:
        self.world.trace.say("the network, the database and the API servers begin to fail")
        self.world.network.rates = RATES
        self.world.store_rates = STORE_RATES
        self.world.kube_failing = 0.05

    async def _calm(self) -> None:
        self.world.trace.say("requests arrive again")
        self.world.network.rates, self.world.store_rates = Rates(), Rates()
        self.world.kube_failing = 0.0

    async def _split(self) -> None:
        parties = [CENTRE, *(member.id for member in self.world.members)]
        party = self.world.random.choice(parties)
        self.world.trace.say(f"{party} is cut off from the network")
        self.world.network.split(party)

    async def _join(self) -> None:
        now = self.world.clock.now()
        for party in sorted(self.world.network.partitioned):
            if self.lost_until.get(party, 0.0) > now:
                continue
            self.world.trace.say(f"{party} is back on the network")
            self.world.network.join(party)

    async def _lose(self) -> None:
        """For so long that what it runs is placed again."""
        if self.world.random.random() < 0.7:
            # Alone: where two of three are silent, the network is suspected.
            self.lost_until.clear()
            await self._join()
            await self._start_agent()
            if not any(centre.is_running for centre in self.world.centres):
                await self._start_centre()
        member = self._any_member()
        self.world.trace.say(f"{member.id} is lost")
        self.lost_until[member.id] = self.world.clock.now() + LOST_SECONDS
        self.world.network.split(member.id)
        for _ in range(self.world.random.choice((0, LOST_LOOKS))):
            await self.world.step(LOST_SECONDS / LOST_LOOKS)

    async def _crash_centre(self) -> None:
        running = [centre for centre in self.world.centres if centre.is_running]
        if running:
            await self.world.random.choice(running).crash()

    async def _start_centre(self) -> None:
        stopped = [index for index, centre in enumerate(self.world.centres) if not centre.is_running]
        if stopped:
            self.world.start_centre(self.world.random.choice(stopped))

    async def _crash_agent(self) -> None:
        running = [agent for agent in self._agents() if agent.is_running]
        if running:
            await self.world.random.choice(running).crash()

    async def _start_agent(self) -> None:
        for member in self.world.members:
            if not any(agent.is_running for agent in member.agents):
                self.world.start_agent(self.world.random.choice(member.agents))

    async def _second_agent(self) -> None:
        stopped = [agent for agent in self._agents() if not agent.is_running]
        if stopped:
            self.world.start_agent(self.world.random.choice(stopped))

    def _agents(self) -> list[AgentProcess]:
        return [agent for member in self.world.members for agent in member.agents]

    async def _power_cut(self) -> None:
        stream = self.world.random.choice(self.world.nats.streams)
        lost = self.world.nats.power_cut(stream, self.world.random.randint(1, 6))
        self.world.trace.say(f"a power cut takes the newest of {stream.name}: {lost}")

    async def _wipe(self) -> None:
        stream = self.world.random.choice(self.world.nats.streams)
        self.world.trace.say(f"{stream.name} is made anew")
        self.world.nats.wipe(stream)

    async def _break_api_server(self) -> None:
        faults = self._any_member().cluster.faults
        faults.unreachable = not faults.unreachable

    async def _break_watches(self) -> None:
        cluster = self._any_member().cluster
        cluster.compact()
        cluster.close_watches()

    async def _deafen(self) -> None:
        """Whoever is told of alerts does not answer, or does again."""
        self.world.hearing.away = not self.world.hearing.away
        self.world.trace.say("nobody takes messages" if self.world.hearing.away else "messages are taken")

    async def _back_up(self) -> None:
        self.world.trace.say("the database is backed up")
        self.world.back_up()

    async def _restore(self) -> None:
        self.world.trace.say("the database is restored from its last backup, if there is one")
        await self.world.restore()
        standing = {
            record.name for record in self.world.store.tables.workloads.values() if not record.deleted
        }
        self.wishes = {name: held for name, held in self.wishes.items() if name in standing}
