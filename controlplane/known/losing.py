"""Lost clusters as the centre knows them, and what becomes of each workload there. Pure."""

from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.known.views import Compiled, Compiler
from controlplane.rollout import FailoverRule, Outlook, failover_rule, outlook


def rule_of(known: Known, compiler: Compiler, record: WorkloadRecord) -> FailoverRule:
    """Compiled once for each version. ValueError where what is stored cannot be understood any more."""
    held = known.failover_rules.get(record.uid)
    if held is not None and held[0] is record:
        return held[1]
    return remember(known, compiler.compiled(record))


def remember(known: Known, compiled: Compiled) -> FailoverRule:
    rule = failover_rule(compiled.spec, compiled.request, known.loss_rules)
    known.failover_rules[compiled.record.uid] = compiled.record, rule
    return rule


def outlook_of(known: Known, record: WorkloadRecord, cluster: str) -> Outlook | None:
    """None where the cluster is not lost, or the workload has not been looked at since."""
    held = known.failover_rules.get(record.uid)
    if held is None or held[0] is not record:
        return None
    return outlook(held[1], known.losses, cluster, known.loss_rules)


def leaving(known: Known, compiled: Compiled) -> frozenset[str]:
    """The lost clusters from which it is to be placed again at this moment."""
    lost = known.losses.unreachable
    if not lost or known.losses.suspected or lost.keys().isdisjoint(compiled.request.current):
        return frozenset()
    rule = remember(known, compiled)
    outlooks = {
        cluster: outlook(rule, known.losses, cluster, known.loss_rules)
        for cluster in compiled.request.current
    }
    return frozenset(
        cluster for cluster, each in outlooks.items() if each is not None and each.is_due(known.losses.at)
    )
