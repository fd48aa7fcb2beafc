"""Whose an alert is: the tenant and workload behind its namespace, object or pod, and what changed last."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controlplane.alerts.alert import NOBODYS, Labels, Owned
from controlplane.alerts.times import rfc3339
from controlplane.known.claiming import Claiming
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord

_NAMED_BY = (
    "workload",
    "deployment",
    "statefulset",
    "daemonset",
    "replicaset",
    "cronjob",
    "job_name",
    "persistentvolumeclaim",
    "pod",
)
"""Labels that name an object, as kube-state-metrics and agents write them; the first that is known wins."""
_OURS = ("muster", "muster-agent")
_GENERATED_PARTS = 3
"""A pod's name ends in up to so many parts that its controllers made up: CronJob, Job or ReplicaSet, Pod."""

_Key = tuple[str, str]


class Owners:
    """Answers from what this process knows; nobody's where it knows nothing, as before Postgres is loaded."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._claiming = Claiming(known)
        self._named: dict[_Key, set[str]] = {}
        self._names: dict[str, tuple[WorkloadRecord, frozenset[_Key]]] = {}

    def of(self, identity: Labels) -> Owned:
        """identity: labels as they were reported, `cluster` among them where an agent brought it.

        A `tenant` that was reported counts where nothing else tells whose it is, if it may use the cluster;
        whoever is known to own it is no other by a label.
        """
        if not self._known.loaded:
            return NOBODYS
        self._read_workloads()
        cluster, namespace = identity.get("cluster", ""), identity.get("namespace", "")
        record = self._workload_named(identity, namespace, cluster)
        if record is None and namespace:
            record = self._workload_of(identity, namespace, cluster)
        tenant = record.tenant if record is not None else ""
        if not tenant and namespace:
            tenant = self._claiming.tenant_of(namespace, self._known.cluster_named(cluster))
        said = identity.get("tenant", "")
        if not tenant and self._claiming.may(said, self._known.cluster_named(cluster)):
            tenant = said
        labels: dict[str, str] = {}
        if tenant:
            labels["tenant"] = tenant
        if record is not None:
            labels["workload"] = record.name
        if not labels:
            return NOBODYS
        spec = self._claiming.spec(tenant)
        return Owned(
            labels={
                name: value
                for name, value in labels.items()
                if name not in identity or (name == "tenant" and identity[name] != value)
            },
            annotations=self._annotations(record) if record is not None else {},
            receivers=tuple(spec.receivers) if spec is not None else (),
            emails=tuple(owner.email for owner in spec.owners if owner.email) if spec is not None else (),
        )

    def _workload_named(self, identity: Labels, namespace: str, cluster: str) -> WorkloadRecord | None:
        """As agents and rules of Muster name it; what does not run there, or in that namespace, is not it."""
        record = self._known.workload(identity.get("workload", ""))
        if record is None or (cluster and not self._runs_in(record.uid, cluster)):
            return None
        if not namespace:
            return record if identity.get("source", "") in _OURS else None
        return record if any(key[0] == namespace for key in self._names[record.uid][1]) else None

    def _workload_of(self, identity: Labels, namespace: str, cluster: str) -> WorkloadRecord | None:
        for label in _NAMED_BY:
            name = identity.get(label, "")
            for candidate in _spellings(name, generated=label in ("pod", "job_name", "replicaset")):
                found = [
                    self._known.workloads[uid]
                    for uid in self._named.get((namespace, candidate), ())
                    if not cluster or self._runs_in(uid, cluster)
                ]
                if len(found) == 1:
                    return found[0]
        return None

    def _runs_in(self, uid: str, cluster: str) -> bool:
        clusters = self._known.clusters
        return any(
            clusters[each].name == cluster for each in self._known.placements_of(uid) if each in clusters
        )

    def _annotations(self, record: WorkloadRecord) -> Mapping[str, str]:
        placed = {
            self._known.clusters[cluster].name: placement.replicas
            for cluster, placement in self._known.placements_of(record.uid).items()
            if cluster in self._known.clusters
        }
        told = {"placement": ", ".join(f"{name}:{count}" for name, count in sorted(placed.items()))}
        changed = f"revision {record.revision} of {record.name} at {rfc3339(int(record.updated_at))}"
        decision = self._known.decisions.get(record.uid)
        if decision is not None and decision.decided_at > record.updated_at:
            changed += f", placed at {rfc3339(int(decision.decided_at))}"
        return {**told, "preceding_change": changed}

    def _read_workloads(self) -> None:
        """Only those that were written since the last look."""
        for uid in self._known.take_written():
            held, record = self._names.pop(uid, None), self._known.workloads.get(uid)
            for key in held[1] if held is not None else ():
                self._named[key].discard(uid)
                if not self._named[key]:
                    del self._named[key]
            if record is not None and not record.deleted:
                keys = frozenset(_objects_of(record))
                self._names[uid] = record, keys
                for key in keys:
                    self._named.setdefault(key, set()).add(uid)


def _objects_of(record: WorkloadRecord) -> Iterator[_Key]:
    manifests: Sequence[Mapping[str, Any]] = record.spec.get("manifests", ())
    for manifest in manifests:
        metadata: Mapping[str, str] = manifest.get("metadata", {})
        if metadata.get("name"):
            yield metadata.get("namespace") or "default", metadata["name"]


def _spellings(name: str, *, generated: bool) -> Iterator[str]:
    """The name itself, then what is left when parts that controllers made up are taken off."""
    if not name:
        return
    yield name
    for _ in range(_GENERATED_PARTS if generated else 0):
        name, dash, _rest = name.rpartition("-")
        if not dash:
            return
        yield name
