"""`placement.scoreWeights`: how much each part of a cluster's score counts. Our own, beside Karmada's."""

from typing import Annotated

from pydantic import Field

from schemas.manifests.base import Strict

Weight = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class ScoreWeights(Strict):
    """Each part is 0 to 100, times its weight; 0 leaves it out.

    The defaults decide as Karmada does: only where the workload runs already, and which taints it would
    rather avoid. preferredFeatures counts where the pod template states preferred node affinity.
    """

    locality: Weight = 1.0
    balance: Weight = 0.0
    slack: Weight = 0.0
    cost: Weight = 0.0
    preferred_features: Weight = 1.0
    preferred_taints: Weight = 1.0
