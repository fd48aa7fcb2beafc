"""Clusters that a workload names, and that are not there: more often misspelt than on their way. Pure."""

from collections.abc import Callable, Collection, Iterator

from schemas.manifests import ClusterAffinity, WorkloadSpec

NAMED_AT_MOST = 20
_PLACEMENT = "spec.placement"


def unknown_clusters(spec: WorkloadSpec, clusters: Callable[[], Collection[str]]) -> list[str]:
    """A sentence for each, with its field. clusters: names of those there are; asked where one is named."""
    named = [
        (f"{path}.{field}", name)
        for path, affinity in _affinities(spec)
        for field, names in (("clusterNames", affinity.cluster_names), ("exclude", affinity.exclude))
        for name in names
    ]
    if not named:
        return []
    there = clusters()
    said = [f"{path}: there is no cluster {name!r}" for path, name in named if name not in there]
    if len(said) > NAMED_AT_MOST:
        said[NAMED_AT_MOST:] = [f"and {len(said) - NAMED_AT_MOST} more names of clusters that are not there"]
    return said


def _affinities(spec: WorkloadSpec) -> Iterator[tuple[str, ClusterAffinity]]:
    placement = spec.placement
    if placement.cluster_affinity is not None:
        yield f"{_PLACEMENT}.clusterAffinity", placement.cluster_affinity
    for index, group in enumerate(placement.cluster_affinities):
        yield f"{_PLACEMENT}.clusterAffinities[{index}]", group
        for tier, each in enumerate(group.overflow_affinities):
            yield f"{_PLACEMENT}.clusterAffinities[{index}].overflowAffinities[{tier}]", each
    scheduling = placement.replica_scheduling
    if scheduling is not None:
        at = f"{_PLACEMENT}.replicaScheduling"
        preference = scheduling.weight_preference
        for index, each in enumerate([] if preference is None else preference.static_weight_list):
            yield f"{at}.weightPreference.staticWeightList[{index}].targetCluster", each.target_cluster
        for index, each in enumerate(scheduling.replica_bounds):
            yield f"{at}.replicaBounds[{index}].targetCluster", each.target_cluster
    for index, rule in enumerate(spec.overrides):
        if rule.target_cluster is not None:
            yield f"spec.overrides[{index}].targetCluster", rule.target_cluster
