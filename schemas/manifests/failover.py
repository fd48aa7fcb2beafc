"""What happens to a workload whose cluster is lost."""

from typing import Literal

from schemas.manifests.base import Strict

OnLoss = Literal["Move", "Stay"]


class Failover(Strict):
    """Ours. What is stateless and has several replicas is placed again, after the `tolerationSeconds` of
    its toleration. singleton: one with a single replica, which may go on running in a cluster that is only
    cut off. data: one that leaves data where it runs (StatefulSet, claims, hostPath).
    """

    singleton: OnLoss = "Stay"
    data: OnLoss = "Stay"
