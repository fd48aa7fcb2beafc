"""What is seen in a cluster beyond what is charged: of workloads, and of pods that are nobody's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from weakref import WeakKeyDictionary

from controlplane.fleet.label_sets import LabelSet
from controlplane.fleet.standing import Stands
from controlplane.known.claiming import Claiming
from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, Standing
from controlplane.known.views import Views
from controlplane.placement import ClusterView
from controlplane.quota.drifting import Key, Seen, flavors_of, foreign_drift, plausible, workload_drift
from controlplane.quota.quota import PODS, Amounts, Flavor, FlavorResource, TenantQuota
from schemas.wire.orders import Version
from schemas.wire.reports import Namespaces, WorkState

_NOTHING = Version(0, 0)
_NOWHERE: frozenset[str] = frozenset()
_Found = dict[FlavorResource, int]


IN_TURN = 4
"""Of what did not change in a cluster, one in so many is looked at again at each look."""


@dataclass
class _Nodes:
    """Of one cluster: which flavors its nodes are of, and what follows from that.

    drifting: by workload, whose it is and what it takes beyond its charge, where that is anything.
    """

    flavors: Mapping[str, Flavor]
    labels: Mapping[str, str]
    looks: int = 0
    drifting: dict[str, tuple[str, _Found]] = field(default_factory=dict[str, tuple[str, _Found]])
    of: WeakKeyDictionary[LabelSet, frozenset[str]] = field(default_factory=WeakKeyDictionary)
    workloads: dict[str, tuple[Stands, Amounts, str, TenantQuota | None, _Found]] = field(
        default_factory=dict[str, tuple[Stands, Amounts, str, TenantQuota | None, _Found]]
    )
    foreign: tuple[Namespaces, int, dict[str, _Found]] | None = None


class Seeing:
    """Looks at what agents reported last; what is as it was is not worked out again."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._views = Views(known)
        self._claiming = Claiming(known, self._views)
        self._nodes: dict[str, _Nodes] = {}

    def beyond(self, cluster: str, entered: Mapping[Key, int]) -> Mapping[Key, int] | None:
        """What is seen there beyond all charges; None where nobody knows: then what is entered stands."""
        known, record = self._known, self._known.clusters.get(cluster)
        if record is None or record.standing is Standing.REMOVED:
            self._nodes.pop(cluster, None)
            return {}
        if known.fleet.completeness(cluster) is not None:
            return None
        view = self._views.one(record, 0.0)
        nodes = self._nodes.get(cluster)
        if nodes is None or nodes.flavors is not known.quotas.flavors or nodes.labels is not view.labels:
            nodes = self._nodes[cluster] = _Nodes(known.quotas.flavors, view.labels)
        self._look_at_workloads(nodes, view, record)
        found: dict[Key, int] = {
            (tenant, uid, *key): amount
            for uid, (tenant, drift) in nodes.drifting.items()
            for key, amount in drift.items()
        }
        report = known.namespaces.get(cluster)
        if report is None:
            return found | {key: amount for key, amount in entered.items() if not key[1]}
        for tenant, drift in self._of_namespaces(nodes, view, record, report).items():
            found |= {(tenant, "", *key): amount for key, amount in drift.items()}
        return found

    def _look_at_workloads(self, nodes: _Nodes, view: ClusterView, record: ClusterRecord) -> None:
        """Those of which pods came or went, those that drift, and of the others some: charges change, too."""
        fleet, is_first = self._known.fleet, not nodes.looks
        standing, changed = fleet.standing(record.id), fleet.standing_changed(record.id)
        nodes.looks += 1
        due = standing if is_first else islice(standing, nodes.looks % IN_TURN, None, IN_TURN)
        for uid in {**dict.fromkeys(due), **dict.fromkeys(changed), **nodes.drifting}:
            stands = standing.get(uid)
            tenant = self._tenant_of(uid, record) if stands is not None else ""
            drift: _Found = {}
            if stands is not None and tenant:
                drift = self._of_workload(nodes, view, uid, stands, tenant)
            if drift:
                nodes.drifting[uid] = tenant, drift
            else:
                nodes.drifting.pop(uid, None)
            if stands is None:
                nodes.workloads.pop(uid, None)

    def _tenant_of(self, uid: str, record: ClusterRecord) -> str:
        """Whose drift it is what this workload takes there beyond its charge; "" for nobody's.

        Where nothing is ordered and the agent has no record either, it tells of its pods by namespace.
        """
        known, workload = self._known, self._known.workloads.get(uid)
        if known.order(record.id, uid) is not None:
            if workload is not None:
                return workload.tenant
            return next(iter(sorted(known.quotas.charges.tenants_of(uid, record.id))), "")
        work = known.work.get(uid, {}).get(record.id)
        is_held = work is not None and work.state is not WorkState.WITHDRAWN and work.version != _NOTHING
        if workload is not None and (is_held or record.id not in known.namespaces):
            return workload.tenant
        if work is None or not is_held:
            return ""
        # Of a database that was restored: its agent knows more of it than we do.
        namespace = next((each.namespace for each in work.objects if each.namespace), "")
        return self._whose(namespace, record) if namespace else ""

    def _of_workload(self, nodes: _Nodes, view: ClusterView, uid: str, stands: Stands, tenant: str) -> _Found:
        quotas = self._known.quotas
        charged: _Found = {}
        for each in quotas.charges.tenants_of(uid, view.id):
            for key, amount in quotas.charges.of(uid, view.id, each).items():
                charged[key] = charged.get(key, 0) + amount
        quota = quotas.tenants.get(tenant)
        held = nodes.workloads.get(uid)
        if held is not None and held[0] is stands and held[1:3] == (charged, tenant) and held[3] is quota:
            return held[4]
        seen = [
            Seen(self._flavors(nodes, view, each.label_set), plausible(each.amounts, quota))
            for each in stands
        ]
        drift = workload_drift(seen, charged, quota, quotas.flavors)
        nodes.workloads[uid] = stands, charged, tenant, quota, drift
        return drift

    def _of_namespaces(
        self, nodes: _Nodes, view: ClusterView, record: ClusterRecord, report: Namespaces
    ) -> Mapping[str, _Found]:
        """By tenant; only of those that have a quota."""
        quotas = self._known.quotas
        held = nodes.foreign
        if held is not None and held[0] is report and held[1] == quotas.refreshed:
            return held[2]
        sets = [self._known.fleet.label_set(view.id, each) if each else None for each in report.profiles]
        flavors = [_NOWHERE if each is None else self._flavors(nodes, view, each) for each in sets]
        seen: dict[str, list[Seen]] = {}
        for namespace in report.namespaces:
            tenant = self._whose(namespace.name, record) if namespace.foreign else ""
            if not tenant:
                continue
            for each in namespace.foreign:
                asked = zip(report.resources, each.amounts, strict=True)
                amounts = {name: amount for name, amount in asked if amount} | {PODS: each.pods}
                told = plausible(amounts, quotas.tenants[tenant])
                seen.setdefault(tenant, []).append(Seen(flavors[each.profile], told))
        found = {tenant: foreign_drift(each, quotas.tenants[tenant]) for tenant, each in seen.items()}
        is_told = all(sets[at] is not None for at, each in enumerate(report.profiles) if each)
        nodes.foreign = (report, quotas.refreshed, found) if is_told else None
        return found

    def _whose(self, namespace: str, record: ClusterRecord) -> str:
        """A tenant with a quota that may use the cluster: elsewhere a namespace is only named alike."""
        tenant = self._claiming.tenant_of(namespace, record)
        is_there = tenant in self._known.quotas.tenants and self._claiming.may(tenant, record)
        return tenant if is_there else ""

    @staticmethod
    def _flavors(nodes: _Nodes, view: ClusterView, label_set: LabelSet) -> frozenset[str]:
        found = nodes.of.get(label_set)
        if found is None:
            keys = {one.key for each in nodes.flavors.values() for one in each.requirements}
            values = {key: label_set.value(key) for key in keys}
            found = flavors_of(nodes.flavors.values(), label_set.labels, values, view)
            nodes.of[label_set] = found
        return found
