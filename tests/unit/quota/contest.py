"""Everyone waits, is judged, admitted, preempted and put again, until nobody moves."""

from dataclasses import dataclass, field, replace

from controlplane.quota.admission import Awaits, Fits, Lacks, Preempts, judge
from controlplane.quota.pending import Pending, is_before
from controlplane.quota.quota import Admitted, Candidate, FlavorResource
from controlplane.quota.tree import Tree
from controlplane.quota.usage import Usage


@dataclass
class Contest:
    """What runs, runs on.

    slow: what gives way is gone only later, one at a time, and who preempted it claims it meanwhile.
    """

    tree: Tree
    slow: bool
    usage: Usage = field(init=False)
    pending: Pending = field(default_factory=Pending)
    workloads: dict[str, Candidate] = field(default_factory=dict)
    runs: dict[str, float] = field(default_factory=dict)
    leaving: dict[str, None] = field(default_factory=dict)
    claims: dict[str, Candidate] = field(default_factory=dict)
    clock: float = 0.0
    judged: int = 0
    preempted: int = 0

    def __post_init__(self) -> None:
        self.usage = Usage(self.tree)

    def hold(self, candidates: list[Candidate], bound: int) -> None:
        arriving = list(candidates)
        moved = True
        while moved or arriving:
            if arriving:
                each = replace(arriving.pop(0), created_at=self.clock + 0.5)
                self.workloads[each.uid] = each
                self.pending.put(each)
            self.pending.wake(self.usage)
            moved = False
            while (uid := self.pending.pick(self.usage)) is not None:
                self.judged += 1
                assert self.judged <= bound, "they preempt each other in turns"
                moved |= self._judge(self.workloads[uid])
            for uid in [uid for uid in self.claims if self.pending.is_behind(uid)]:
                self._unclaim(uid)
                moved = True
            for uid in list(self.leaving)[:1]:
                self._end(uid)
                moved = True

    def _judge(self, wanted: Candidate) -> bool:
        self.clock += 1
        verdict = judge(self.usage, wanted, self._admitted, self._leaving(), self.claims)
        if isinstance(verdict, Lacks):
            self._unclaim(wanted.uid)
        elif isinstance(verdict, Preempts):
            self.preempted += 1
            self._check(wanted, verdict.victims)
            self.leaving |= dict.fromkeys(verdict.victims)
            if not self.slow:
                for uid in verdict.victims:
                    self._end(uid)
                verdict = Fits()
        if isinstance(verdict, Fits):
            assert not self.usage.lacking(wanted.tenant, wanted.needs)
            self.usage.add(wanted.tenant, wanted.needs)
            self.runs[wanted.uid] = self.clock
            self.claims.pop(wanted.uid, None)
            return True
        if isinstance(verdict, Preempts | Awaits):
            self.claims[wanted.uid] = wanted
        self.pending.park(wanted.uid, self.tree.root(wanted.tenant))
        return isinstance(verdict, Preempts)

    def _check(self, wanted: Candidate, victims: tuple[str, ...]) -> None:
        """All are needed; each uses what is missing; no other's is taken that stays within its quota."""
        trial = self.usage.trial()
        for tenant_, amounts in self._leaving().items():
            trial.take(tenant_, amounts)
        for claim in [each for each in self.claims.values() if self._is_kept(each, wanted)]:
            trial.add(claim.tenant, claim.needs)
        missing = self.usage.lacking(wanted.tenant, wanted.needs)
        for uid in victims:
            victim = self.workloads[uid]
            assert uid not in self.leaving
            assert missing.keys() & victim.needs.keys()
            assert self.tree.root(victim.tenant) == self.tree.root(wanted.tenant)
            if victim.tenant == wanted.tenant:
                assert victim.priority <= wanted.priority
            else:
                assert any(self._is_above(victim, key) for key in missing)
            trial.take(victim.tenant, victim.needs)
        assert not self.usage.lacking(wanted.tenant, wanted.needs)
        for uid in victims:
            victim = self.workloads[uid]
            trial.add(victim.tenant, victim.needs)
            assert self.usage.lacking(wanted.tenant, wanted.needs)
            trial.take(victim.tenant, victim.needs)
        trial.undo()

    def _is_kept(self, claim: Candidate, wanted: Candidate) -> bool:
        if claim.uid == wanted.uid or self.tree.root(claim.tenant) != self.tree.root(wanted.tenant):
            return False
        may_pass = not wanted.gave_way or wanted.tenant == claim.tenant
        return not (may_pass and is_before(self.usage, wanted, claim))

    def _is_above(self, victim: Candidate, key: FlavorResource) -> bool:
        node = self.tree.tenant(victim.tenant)
        return self.usage.at(node).get(key, 0) > node.subtree.get(key, 0)

    def _end(self, uid: str) -> None:
        del self.leaving[uid], self.runs[uid]
        workload = self.workloads[uid] = replace(self.workloads[uid], gave_way=True)
        self.usage.take(workload.tenant, workload.needs)
        self.pending.put(workload)
        self.pending.wake(self.usage)

    def _unclaim(self, uid: str) -> None:
        if self.claims.pop(uid, None) is not None:
            self.usage.free(self.tree.root(self.workloads[uid].tenant))

    def _admitted(self, name: str) -> list[Admitted]:
        found = [(self.workloads[uid], at) for uid, at in self.runs.items() if uid not in self.leaving]
        return [
            Admitted(each.uid, name, each.priority, at, each.needs, created_at=each.created_at)
            for each, at in found
            if each.tenant == name
        ]

    def _leaving(self) -> dict[str, dict]:
        found: dict[str, dict] = {}
        for uid in self.leaving:
            of = found.setdefault(self.workloads[uid].tenant, {})
            for key, amount in self.workloads[uid].needs.items():
                of[key] = of.get(key, 0) + amount
        return found
