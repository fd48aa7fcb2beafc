"""Filter, capacity, divide: where a workload runs."""

from collections.abc import Sequence

from controlplane.placement.rules import ClusterView, Decision, PlacementRequest


def place(
    request: PlacementRequest,
    clusters: Sequence[ClusterView],
    available: Sequence[int],
    matching: Sequence[int] | None = None,
) -> Decision:
    """Decide. available[i]: how many more replicas fit clusters[i]; matching[i]: nodes its selector matches.

    matching left out: not known, so that no cluster is refused for it.
    """
    raise NotImplementedError
