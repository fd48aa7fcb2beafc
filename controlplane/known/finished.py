"""What has run to its end in a cluster: it holds no quota there until something else is ordered."""

from controlplane.known.known import Known
from controlplane.quota.releasing import Ordered, has_finished


def ordered_in(known: Known, uid: str, cluster: str) -> Ordered | None:
    """The newest order, with the pods of its placement as the fleet is promised them."""
    order = known.order(cluster, uid)
    if order is None:
        return None
    placement = known.placements_of(uid).get(cluster)
    if placement is None:
        return Ordered(order.verb, order.version)
    promise = known.fleet.promises(cluster).get(uid)
    if promise is None:
        # Either there are no pods, or the fleet has not been told yet.
        return Ordered(order.verb, order.version, None if placement.replicas else {})
    pods: dict[str, int] = {}
    for part in promise.parts:
        pods[part.template] = pods.get(part.template, 0) + part.replicas
    return Ordered(order.verb, order.version, pods)


def is_finished(known: Known, uid: str, cluster: str) -> bool:
    """Whether the agent says so of the order that stands: a new revision begins anew."""
    work, order = known.work.get(uid, {}).get(cluster), known.order(cluster, uid)
    return work is not None and order is not None and has_finished(Ordered(order.verb, order.version), work)


def finished_in(known: Known, uid: str, revision: int) -> frozenset[str]:
    """Clusters in which this revision has run to its end: they are not to be charged for it again."""
    return frozenset(
        cluster
        for cluster, placement in known.placements_of(uid).items()
        if placement.revision == revision and is_finished(known, uid, cluster)
    )
