"""Room for a workload that is to ask for something else: what it holds now is as good as free to it."""

from collections.abc import Collection
from dataclasses import replace

from controlplane.fleet.cluster import Cluster
from controlplane.fleet.demand import Demand, Numa


def room_released(cluster: Cluster, workloads: Collection[str], demand: Demand) -> int:
    """How many replicas of `demand` fit once all that these run there, or were promised, is gone.

    Which zones and addresses its pods give back is not known, so neither stands in the way here.
    """
    wanted = demand.numa is not None and demand.numa.wanted
    asked = replace(demand, numa=Numa(wanted=True) if wanted else None, pools=())
    columns = cluster.columns()
    if columns is None:
        return 0
    with columns.on_trial():
        cluster.release_on_trial(columns, workloads)
        return columns.capacity(asked, cluster.features.selection(asked))[0]
