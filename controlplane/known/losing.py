"""Lost clusters as the centre knows them, and what becomes of each workload there. Pure."""

from collections.abc import Mapping

from controlplane.known.compiling import Compiled, Compiler
from controlplane.known.known import Known
from controlplane.known.records import DecisionRecord, WorkloadRecord
from controlplane.rollout import FailoverRule, Outlook, failover_rule, outlook

PLACED = "Placed"
DELETED = "Deleted"


def rule_of(known: Known, compiler: Compiler, record: WorkloadRecord) -> FailoverRule:
    """Compiled once for each version. ValueError where what is stored cannot be understood any more."""
    held = _held(known, record)
    if held is not None:
        return held
    compiled = compiler.compiled(record)
    rule = failover_rule(compiled.spec, compiled.request, known.loss_rules)
    known.failover_rules[record.uid] = record, compiled.kinds, rule
    return rule


def outlook_of(known: Known, record: WorkloadRecord, cluster: str) -> Outlook | None:
    """None where the cluster is not lost, or the leader has not yet looked at this version."""
    held = _held(known, record)
    return None if held is None else outlook(held, known.losses, cluster, known.loss_rules)


def _held(known: Known, record: WorkloadRecord) -> FailoverRule | None:
    held = known.failover_rules.get(record.uid)
    if held is None or held[0] is not record or held[1] is not known.kinds:
        return None
    return held[2]


def outlooks(known: Known, compiled: Compiled) -> Mapping[str, Outlook]:
    """Of the lost clusters in which it is placed."""
    lost = known.losses.unreachable.keys() & compiled.request.current.keys()
    if not lost:
        return {}
    rule = failover_rule(compiled.spec, compiled.request, known.loss_rules)
    found = {cluster: outlook(rule, known.losses, cluster, known.loss_rules) for cluster in sorted(lost)}
    return {cluster: each for cluster, each in found.items() if each is not None}


def leaving(known: Known, compiled: Compiled) -> frozenset[str]:
    """The lost clusters from which it is to be placed again at this moment."""
    at = known.losses.at
    return frozenset(
        cluster
        for cluster, each in outlooks(known, compiled).items()
        if each.is_due(at) and not _heard_since(known, cluster, at)
    )


def _heard_since(known: Known, cluster: str, at: float) -> bool:
    heard = known.heard.get(cluster)
    return heard is not None and heard.at > at


def is_stranded(decision: DecisionRecord) -> bool:
    """It is placed in a cluster that is lost, and nowhere else is there a place for it."""
    return decision.placed and decision.reason not in (PLACED, DELETED)
