"""What may move without anybody having written: held against every decision that is committed.

The witness knows the truth (when each cluster's beat was answered last), not what a centre believes. It asks
when the commit is sent, as what is decided then: a beat that arrives before it is carried out comes too late.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.known.records import DecisionRecord, WorkloadRecord
from controlplane.loops.ports import NewDecision
from controlplane.rollout import LossRules
from schemas.reasons import Reason
from schemas.wire.orders import Verb

SKEW_SECONDS = 1.0
"""Between a leader's look at its clusters and the sending of what it decided on it."""


@dataclass
class FailoverWatch:
    """accuse: (promise, text). moved: how often something was placed again, and of what."""

    beats_answered: Mapping[str, float]
    clusters: Sequence[str]
    rules: LossRules
    accuse: Callable[[int, str], None]
    moved: list[str] = field(default_factory=list[str])

    def silence(self, now: float) -> dict[str, float]:
        """In seconds, by cluster."""
        return {each: now - self.beats_answered.get(each, 0.0) for each in self.clusters}

    def committed(
        self,
        record: WorkloadRecord,
        before: DecisionRecord | None,
        held: Mapping[str, int],
        new: NewDecision,
        silence: Mapping[str, float],
    ) -> None:
        """held: replicas by cluster before this, which was not skipped. silence: when it was sent."""
        gone = [each.cluster for each in new.orders if each.verb is Verb.WITHDRAW and each.cluster in held]
        is_asked_for = (
            before is None or not before.placed or before.resource_version != record.resource_version
        )
        if is_asked_for or record.deleted or not gone or new.reason == Reason.PREEMPTED:
            return
        self.moved += [record.name] * len(gone)
        applied = {each.cluster: each.replicas for each in new.orders if each.verb is Verb.APPLY}
        after = {cluster: count for cluster, count in (held | applied).items() if cluster not in gone}
        overdue = [each for each in silence if silence[each] > self.rules.lost_seconds / 2 + SKEW_SECONDS]
        tolerated = _tolerated(record.spec, self.rules.toleration_seconds)
        for holds, text in (
            (_may_move(record.spec), "it is to stay"),
            (len(overdue) <= self.rules.suspect_share * len(silence), f"{overdue} are silent together"),
            (tolerated is not None, "it tolerates the loss for ever"),
            (
                all(silence[each] >= self.rules.lost_seconds + (tolerated or 0.0) for each in gone),
                f"silent for {silence}, tolerated for {tolerated}",
            ),
            (sum(after.values()) == sum(held.values()), f"{held} became {after}"),
            (
                all(after[each] >= held[each] for each in held if each not in gone),
                f"a cluster that is heard lost replicas: {held} became {after}",
            ),
        ):
            if not holds:
                self.accuse(9, f"{record.name} was withdrawn from {gone}, unasked: {text}")


def _may_move(spec: Mapping[str, Any]) -> bool:
    """By the manifest alone: divided, several replicas, no data; or declared otherwise."""
    declared: Mapping[str, str] = spec.get("failover", {})
    workload = next(each for each in spec["manifests"] if each["kind"] == "Deployment")
    pod = workload["spec"]["template"]["spec"]
    scheduling = spec["placement"]["replicaScheduling"]["replicaSchedulingType"]
    alone = workload["spec"]["replicas"] == 1 and declared.get("singleton") != "Move"
    data = bool(pod.get("volumes")) and declared.get("data") != "Move"
    return scheduling == "Divided" and not alone and not data


def _tolerated(spec: Mapping[str, Any], default_seconds: float) -> float | None:
    tolerations: list[Mapping[str, Any]] = spec["placement"].get("clusterTolerations", [])
    return tolerations[0].get("tolerationSeconds") if tolerations else default_seconds
