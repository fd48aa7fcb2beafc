"""From what people write to what is decided on."""

from collections.abc import Mapping

from controlplane.fleet.demand import Operator, Requirement, Toleration
from controlplane.interpreters import Interpretation, NotUnderstood
from controlplane.placement.rights import written_of
from controlplane.placement.rules import (
    Affinity,
    AffinityGroup,
    Division,
    PlacementRequest,
    ReplicaBounds,
    ScoreWeights,
    Spread,
    StaticWeight,
    TenantRule,
)
from schemas.manifests import ClusterAffinity, Placement, TenantSpec, WorkloadSpec
from schemas.wire.orders import OVERWRITE, PRESERVE


def tenant_rule(name: str, spec: TenantSpec) -> TenantRule:
    return TenantRule(name, compiled_affinity(spec.clusters), frozenset(spec.environments))


def placement_request(
    uid: str,
    spec: WorkloadSpec,
    interpretation: Interpretation,
    *,
    tenant: TenantRule | None = None,
    current: Mapping[str, int] | None = None,
) -> PlacementRequest:
    """NotUnderstood when the replicas are to be divided and cannot be."""
    division = _division(spec.placement)
    if division is not Division.DUPLICATED and interpretation.replicas > 1 and interpretation.indivisible:
        raise NotUnderstood(f"spec.placement.replicaScheduling: Divided: {interpretation.indivisible}")
    weights = _weights(spec.placement) if division is Division.STATIC else ()
    return PlacementRequest(
        uid=uid,
        replicas=interpretation.replicas,
        has_pods=bool(interpretation.components),
        whole=interpretation.is_set,
        affinity=compiled_affinity(spec.placement.cluster_affinity),
        groups=tuple(
            AffinityGroup(
                each.affinity_name,
                compiled_affinity(each),
                tuple(compiled_affinity(tier) for tier in each.overflow_affinities),
            )
            for each in spec.placement.cluster_affinities
        ),
        spread=tuple(
            Spread(
                each.spread_by_field or ("" if each.spread_by_label else "cluster"),
                each.spread_by_label,
                each.min_groups or 1,
                each.max_groups,
            )
            for each in spec.placement.spread_constraints
        ),
        tolerations=tuple(
            Toleration(each.key, each.operator or "Equal", each.value, each.effect)
            for each in spec.placement.cluster_tolerations
        ),
        division=division,
        weights=weights,
        bounds=_bounds(spec.placement),
        kinds=interpretation.kinds,
        written=written_of(interpretation.objects),
        capabilities=_capabilities(spec, interpretation),
        tenant=tenant,
        current=current or {},
        score=ScoreWeights(**vars(spec.placement.score_weights)),
        preferences=interpretation.preferences,
    )


def _capabilities(spec: WorkloadSpec, interpretation: Interpretation) -> tuple[str, ...]:
    """What an agent has to know of its orders."""
    needed = {
        "sealed": "v1/Secret" in interpretation.kinds,
        OVERWRITE: spec.conflict_resolution == "Overwrite",
        PRESERVE: spec.preserve_resources_on_deletion,
    }
    return tuple(each for each, is_needed in needed.items() if is_needed)


def compiled_affinity(given: ClusterAffinity | None) -> Affinity:
    """Of none at all: everything."""
    if given is None:
        return Affinity()
    labels: list[Requirement] = []
    if given.label_selector is not None:
        labels += [
            Requirement(key, Operator.IN, (value,))
            for key, value in sorted(given.label_selector.match_labels.items())
        ]
        labels += [
            Requirement(each.key, Operator(each.operator), tuple(each.values))
            for each in given.label_selector.match_expressions
        ]
    fields = given.field_selector.match_expressions if given.field_selector is not None else []
    return Affinity(
        labels=tuple(labels),
        fields=tuple(Requirement(each.key, Operator(each.operator), tuple(each.values)) for each in fields),
        names=frozenset(given.cluster_names),
        exclude=frozenset(given.exclude),
    )


def _division(placement: Placement) -> Division:
    scheduling = placement.replica_scheduling
    if scheduling is None or scheduling.replica_scheduling_type == "Duplicated":
        return Division.DUPLICATED
    if scheduling.replica_division_preference == "Aggregated":
        return Division.AGGREGATED
    preference = scheduling.weight_preference
    return Division.DYNAMIC if preference is not None and preference.dynamic_weight else Division.STATIC


def _weights(placement: Placement) -> tuple[StaticWeight, ...]:
    scheduling = placement.replica_scheduling
    if scheduling is None or scheduling.weight_preference is None:
        return ()
    return tuple(
        StaticWeight(compiled_affinity(each.target_cluster), each.weight)
        for each in scheduling.weight_preference.static_weight_list
    )


def _bounds(placement: Placement) -> tuple[ReplicaBounds, ...]:
    if placement.replica_scheduling is None:
        return ()
    return tuple(
        ReplicaBounds(compiled_affinity(each.target_cluster), each.min_replicas, each.max_replicas)
        for each in placement.replica_scheduling.replica_bounds
    )
