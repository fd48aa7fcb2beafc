"""What the limits of a tenant come to in each cluster, and what bears on them: orders, charges, reports."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from controlplane.interpreters import Kinds, NotUnderstood, interpret
from controlplane.interpreters.kinds import kind_of
from controlplane.known.claiming import Claiming
from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord, OutboxRecord
from controlplane.placement.claims import matches
from controlplane.quota.limit_objects import Set, read
from controlplane.quota.limits import OBLIGED, Placed, Pods, Resources, unset
from controlplane.quota.quota import PODS, Amounts
from controlplane.quota.surging import NONE, surge_of
from schemas.wire.orders import ObjectRef, OrderBody, Verb

OFF, OBSERVE, ENFORCE = "Off", "Observe", "Enforce"
NEVER_LIMITED = ("kube-system", "kube-public", "kube-node-lease", "muster-system")
"""Namespaces of the cluster itself and of its agent: a limit there would stop more than a tenant."""


@dataclass(frozen=True)
class LimitsRule:
    """Of one tenant. covered: resources that its quota names."""

    tenant: str
    mode: str
    patterns: tuple[str, ...]
    covered: frozenset[str]

    def claims(self, namespace: str) -> bool:
        return namespace not in NEVER_LIMITED and any(matches(each, namespace) for each in self.patterns)


@dataclass(frozen=True)
class Ordered:
    """What one order has in its cluster. leaving: namespaces of what it removes, or is not understood."""

    parts: tuple[Pods, ...] = ()
    leaving: tuple[str, ...] = ()


@dataclass(frozen=True)
class InNamespace:
    """What an agent says of a namespace. foreign: what pods ask for that are no workload's, `pods` of them.

    unset: (`requests.cpu`, how many pods do not state it, the names of a few).
    """

    foreign: Resources
    unset: tuple[tuple[str, int, tuple[str, ...]], ...] = ()


def mode_of(record: DocumentRecord | None) -> str:
    """Of a Tenant as it is stored; Off for none."""
    quota: Mapping[str, Any] = (record.spec.get("quota") if record is not None else None) or {}
    return str(quota.get("limits", OFF))


class Limiting:
    """Reads what is known; each order and each Tenant once."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._rules: dict[str, tuple[DocumentRecord, LimitsRule]] = {}
        self._ordered: dict[tuple[str, str], tuple[OutboxRecord, Kinds, Ordered]] = {}
        self._claiming = Claiming(known)

    def rule(self, tenant: str) -> LimitsRule | None:
        """None for no such tenant."""
        record = self._known.tenants.get(tenant)
        if record is None:
            self._rules.pop(tenant, None)
            return None
        held = self._rules.get(tenant)
        if held is None or held[0] is not record:
            held = self._rules[tenant] = record, _rule(tenant, record)
        return held[1]

    def enforced(self) -> list[LimitsRule]:
        names = [name for name, record in self._known.tenants.items() if mode_of(record) == ENFORCE]
        return [rule for name in names if (rule := self.rule(name)) is not None]

    def workloads(self, tenants: Collection[str]) -> dict[str, set[str]]:
        """uids by tenant, of what it owns or is charged for; under "" what is no tenant's."""
        found: dict[str, set[str]] = {name: set(self._known.quotas.workloads_of(name)) for name in tenants}
        found[""] = set()
        for uid, record in self._known.workloads.items():
            if record.tenant in found:
                found[record.tenant].add(uid)
        return found

    def by_cluster(self, uids: Iterable[str]) -> dict[str, list[str]]:
        """Where something of them is ordered or charged."""
        found: dict[str, list[str]] = {}
        for uid in uids:
            clusters = {*self._known.orders.get(uid, ()), *self._known.quotas.charges.clusters_of(uid)}
            for cluster in clusters:
                found.setdefault(cluster, []).append(uid)
        return found

    def placed(self, rule: LimitsRule, cluster: str, uids: Iterable[str]) -> list[Placed]:
        """Of this tenant there."""
        charges = self._known.quotas.charges
        found: list[Placed] = []
        for uid in uids:
            record, ordered = self._known.workloads.get(uid), self.ordered(cluster, uid)
            charged = _by_resource(charges.of(uid, cluster, rule.tenant))
            is_own = record is not None and record.tenant == rule.tenant
            parts = self._replacing(cluster, uid, ordered.parts) if is_own else ()
            if len(parts) == 1 and parts[0].count:
                asked = _by_resource(charges.asked(uid, cluster, rule.tenant))
                parts = (replace(parts[0], asks=_of_each(parts[0], asked)),)
            parts = tuple(part for part in parts if part.namespace not in NEVER_LIMITED)
            if parts or charged:
                leaving = tuple(each for each in ordered.leaving if rule.claims(each))
                drift = _by_resource(charges.drift(uid, cluster, rule.tenant))
                name = record.name if record is not None else uid
                found.append(Placed(name, charged, parts, drift, leaving))
        return found

    def ordered(self, cluster: str, uid: str) -> Ordered:
        """By the newest order itself; nothing of what has run to its end."""
        record, kinds = self._known.order(cluster, uid), self._known.kinds
        if record is None:
            self._ordered.pop((cluster, uid), None)
            return Ordered()
        held = self._ordered.get((cluster, uid))
        if held is None or held[0] is not record or held[1] is not kinds:
            same = held is not None and held[0].version == record.version and held[1] is kinds
            read = held[2] if held is not None and same else _read(record, kinds)
            held = self._ordered[cluster, uid] = record, kinds, read
        found, work = held[2], self._known.work.get(uid, {}).get(cluster)
        if work is not None and work.finished and work.version == record.version == work.carried_out:
            return Ordered((), tuple(dict.fromkeys(part.namespace for part in found.parts)))
        return found

    def _replacing(self, cluster: str, uid: str, parts: tuple[Pods, ...]) -> tuple[Pods, ...]:
        """With the pods that are there of templates before this one, or being deleted.

        Their labels do not say of which component they are, and some operators hand none on.
        """
        work = self._known.work.get(uid, {}).get(cluster)
        if work is None or work.living is None:
            return parts
        ordered = {"", *(part.template for part in parts)}
        replaced = work.leaving + sum(pods for name, pods in work.living.items() if name not in ordered)
        return tuple(replace(part, replaced=replaced) for part in parts) if replaced else parts

    def forget_gone(self) -> None:
        """What was read of orders that are no more."""
        for cluster, uid in [key for key in self._ordered if self._known.order(*key) is None]:
            del self._ordered[cluster, uid]

    def seen(self, rule: LimitsRule, cluster: str) -> dict[str, InNamespace] | None:
        """By namespace that the tenant claims and has something to tell of; None while nothing is told."""
        report = self._known.namespaces.get(cluster)
        if report is None:
            return None
        if not self._may(rule, cluster):
            return {}
        found: dict[str, InNamespace] = {}
        for each in report.namespaces:
            if not rule.claims(each.name):
                continue
            foreign: dict[str, int] = {}
            for some in each.foreign:
                foreign[PODS] = foreign.get(PODS, 0) + some.pods
                for resource, amount in zip(report.resources, some.amounts, strict=True):
                    if amount and resource != PODS:
                        foreign[resource] = foreign.get(resource, 0) + amount
            found[each.name] = InNamespace(
                foreign, tuple((one.resource, one.pods, tuple(one.names)) for one in each.unset)
            )
        return found

    def claims(self, rule: LimitsRule, cluster: str, namespace: str) -> bool:
        """Where the tenant may not use the cluster, what is called so there is somebody else's."""
        return rule.claims(namespace) and self._may(rule, cluster)

    def _may(self, rule: LimitsRule, cluster: str) -> bool:
        return self._claiming.may(rule.tenant, self._known.clusters.get(cluster))

    def beside(
        self, cluster: str, uids: Iterable[str], namespaces: Collection[str]
    ) -> dict[str, dict[str, int]]:
        """What workloads that are no tenant's may take in these namespaces, rolling updates included."""
        found: dict[str, dict[str, int]] = {}
        for uid in uids:
            for part in self._replacing(cluster, uid, self.ordered(cluster, uid).parts):
                if part.namespace not in namespaces:
                    continue
                sums = found.setdefault(part.namespace, {})
                for resource, one in {**part.asks, PODS: 1}.items():
                    amount = part.count * one + part.beside(one)
                    sums[resource] = sums.get(resource, 0) + amount
        return found


def set_by(order: OutboxRecord | None) -> Mapping[str, Set]:
    """What an order sets, by namespace; nothing where there is none. ValueError where it is none of ours."""
    if order is None or order.verb is not Verb.APPLY:
        return {}
    try:
        return read(msgspec.json.decode(order.body, type=OrderBody).objects)
    except (KeyError, msgspec.MsgspecError) as error:
        raise ValueError(f"order {order.workload}: {error}") from error


def _rule(tenant: str, record: DocumentRecord) -> LimitsRule:
    quota: Mapping[str, Any] = record.spec.get("quota") or {}
    covered = (each["name"] for flavor in quota.get("flavors", ()) for each in flavor["resources"])
    return LimitsRule(tenant, mode_of(record), tuple(record.spec["namespaces"]), frozenset(covered))


def _read(record: OutboxRecord, kinds: Kinds) -> Ordered:
    body = msgspec.json.decode(record.body, type=OrderBody)
    leaving = _namespaces(body.dropped)
    if record.verb is not Verb.APPLY:
        return Ordered((), leaving)
    try:
        understood = interpret(body.objects, kinds)
    except NotUnderstood:
        # Of a kind that was declared otherwise when it was ordered: what is charged stands for it.
        return Ordered((), tuple(dict.fromkeys(_namespace(each) for each in body.objects)))
    manifest = next((each for each in body.objects if kind_of(each) in kinds), None)
    surge = surge_of(manifest) if manifest is not None else NONE
    return Ordered(
        tuple(
            Pods(
                each.namespace,
                each.replicas if understood.is_set else understood.replicas,
                {name: amount for name, amount in each.demand.requests if name != PODS},
                surge,
                unset(each.pod.get("spec") or {}, OBLIGED) if each.adaptable else (),
                each.template,
            )
            for each in understood.components
        ),
        leaving,
    )


def _namespaces(refs: Iterable[ObjectRef]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ref.namespace for ref in refs if ref.namespace))


def _namespace(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"].get("namespace", ""))


def _by_resource(amounts: Amounts) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, resource), amount in amounts.items():
        found[resource] = found.get(resource, 0) + amount
    return found


def _of_each(part: Pods, asked: Resources) -> Resources:
    """One pod as it was counted for the cluster: with what its runtime class takes on top."""
    more = {name: -(-amount // part.count) for name, amount in asked.items() if name != PODS}
    return {name: max(part.asks.get(name, 0), more.get(name, 0)) for name in {**part.asks, **more}}
