"""What becomes of a workload where its cluster is lost: placed again after a while, or it stays, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.placement.rules import Division, PlacementRequest, Refused
from controlplane.rollout.data import held_data
from controlplane.rollout.loss import UNREACHABLE, Losses, LossRules
from schemas.manifests import WorkloadSpec
from schemas.manifests.placement import ClusterToleration
from schemas.reasons import Reason

UNREACHABLE_KEYS = (UNREACHABLE.key, "cluster.karmada.io/unreachable", "cluster.karmada.io/not-ready")
"""A toleration of any of these is one of our taint: Karmada's policies mean the same by theirs."""


@dataclass(frozen=True)
class FailoverRule:
    """stays: why it is never placed again, None where it is. tolerated_seconds: until then, None for ever."""

    stays: Refused | None
    tolerated_seconds: float | None


@dataclass(frozen=True)
class Outlook:
    """What will become of a workload in one lost cluster.

    since: when the cluster was lost. at: when it is placed again, None: it stays. reason, message: why.
    """

    since: float
    at: float | None
    reason: Reason
    message: str

    def is_due(self, now: float) -> bool:
        return self.at is not None and self.at <= now


def failover_rule(spec: WorkloadSpec, request: PlacementRequest, rules: LossRules) -> FailoverRule:
    """Compiled once for each version of a workload."""
    return FailoverRule(
        _stays(spec, request),
        tolerated_seconds(spec.placement.cluster_tolerations, rules.toleration_seconds),
    )


def _stays(spec: WorkloadSpec, request: PlacementRequest) -> Refused | None:
    if request.division is Division.DUPLICATED or not request.has_pods or request.replicas == 0:
        return Refused(Reason.DUPLICATED, "each chosen cluster has a copy of its own, so this one stays")
    holds = held_data(spec.manifests)
    if holds and spec.failover.data == "Stay":
        return Refused(Reason.HOLDS_DATA, f"stays where its data is ({holds}), unless failover.data is Move")
    if request.replicas == 1 and spec.failover.singleton == "Stay":
        text = "stays, since the only one of it may still run there, unless failover.singleton is Move"
        return Refused(Reason.SINGLETON, text)
    return None


def tolerated_seconds(tolerations: Sequence[ClusterToleration], default_seconds: float) -> float | None:
    """How long an unreachable cluster is tolerated; None: for ever.

    As with Kubernetes' nodes: the shortest of those that match, of which one without seconds has no say
    beside others. Where none matches, the default: there, as in Karmada, it would have been put in.
    """
    matching = [each for each in tolerations if _matches(each)]
    if not matching:
        return default_seconds
    seconds = [each.toleration_seconds for each in matching if each.toleration_seconds is not None]
    return float(min(seconds)) if seconds else None


def _matches(toleration: ClusterToleration) -> bool:
    if toleration.effect not in ("", UNREACHABLE.effect):
        return False
    if toleration.key and toleration.key not in UNREACHABLE_KEYS:
        return False
    return toleration.operator == "Exists" or toleration.value == UNREACHABLE.value


def outlook(rule: FailoverRule, losses: Losses, cluster: str, rules: LossRules) -> Outlook | None:
    """None where the cluster is not lost."""
    since = losses.unreachable.get(cluster)
    if since is None:
        return None
    began = f"unreachable since {clock_text(since)}"
    if rule.stays is not None:
        return Outlook(since, None, rule.stays.reason, f"{began}; {rule.stays.message}")
    if rule.tolerated_seconds is None:
        return Outlook(since, None, Reason.TAINT_TOLERATED, f"{began}, which it tolerates for ever")
    if losses.suspected:
        text = (
            f"{began}; {losses.silent} of {losses.joined} clusters are silent, more than "
            f"{rules.suspect_share:.0%}: the network is suspected, and nothing is placed again"
        )
        return Outlook(since, None, Reason.NETWORK_SUSPECTED, text)
    at = max(since, losses.counted_from) + rule.tolerated_seconds
    remaining = at - losses.at
    when = f"will be placed again in {remaining:.0f} s" if remaining > 0 else "is to be placed again"
    return Outlook(since, at, Reason.CLUSTER_UNKNOWN, f"{began}, {when}")


def clock_text(at: float) -> str:
    """`21:03:07 UTC`."""
    seconds = int(at) % 86_400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} UTC"
