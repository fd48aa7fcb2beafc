"""What a cluster scores: a weighted list of parts, each 0 to 100.

A score says which clusters spread constraints choose, and in which order Aggregated fills them; how replicas
are divided among the chosen by weight is not its matter, as in Karmada.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from controlplane.fleet.slack import Slack
from controlplane.fleet.sums import WEIGHED, Sum
from controlplane.placement.rules import PRICE_LABEL, ClusterView, PlacementRequest, ScoreWeights

FULL = 100.0
PREFERRED_TAINT_SCORE = -10.0
MEASURED = ("balance", "slack", "cost", "preferred_features")
"""Parts that need more than the request and the cluster; the others are always at hand."""
PARTS = ("locality", *MEASURED, "preferred_taints")
Measures = Mapping[str, Mapping[str, float]]
"""By part, then by cluster id: 0 to 100. A cluster that is not in it has no such part."""
NOTHING: Mapping[str, float] = MappingProxyType({"locality": 0.0})


@dataclass(frozen=True)
class ScorePart:
    """value: 0 to 100 (preferred taints: -100 to 0), None where there is none, and `lacks` says why.

    adds: value times weight, what the score is the sum of.
    """

    part: str
    value: float | None
    weight: float
    adds: float
    lacks: str = ""


def own_parts(request: PlacementRequest, cluster: ClusterView) -> dict[str, float]:
    """What needs no measure, weighted: locality, always; preferred taints where there are such."""
    weights = request.score
    parts = {"locality": weights.locality * locality(request, cluster)}
    repelled = preferred_taints(request, cluster)
    if repelled and weights.preferred_taints:
        parts["preferred_taints"] = weights.preferred_taints * repelled
    return parts


def with_measures(
    request: PlacementRequest, views: Mapping[str, ClusterView], special: Mapping[str, Mapping[str, float]]
) -> dict[str, Mapping[str, float]]:
    """The parts of every cluster of `views`, by name, with what was measured of it added."""
    weighed = [(part, weight_of(request.score, part), by) for part, by in request.measures.items()]
    parts: dict[str, Mapping[str, float]] = {}
    for name, cluster in views.items():
        own = dict(special.get(name, NOTHING))
        for part, weight, by_cluster in weighed:
            value = by_cluster.get(cluster.id)
            if value is not None and weight:
                own[part] = weight * value
        parts[name] = own
    return parts


def weight_of(weights: ScoreWeights, part: str) -> float:
    return float(getattr(weights, part))


def needed(request: PlacementRequest) -> tuple[str, ...]:
    """The parts that have to be measured for a decision: those of weight 0 are not."""
    wanted = [part for part in MEASURED if weight_of(request.score, part)]
    return tuple(part for part in wanted if part != "preferred_features" or request.preferences)


def locality(request: PlacementRequest, cluster: ClusterView) -> float:
    """Karmada's: where it runs already."""
    return FULL if cluster.id in request.current else 0.0


def preferred_taints(request: PlacementRequest, cluster: ClusterView) -> float:
    """10 less for each PreferNoSchedule taint that nothing tolerates, down to -100."""
    repelling = sum(
        taint.effect == "PreferNoSchedule" and not any(each.tolerates(taint) for each in request.tolerations)
        for taint in cluster.taints
    )
    return max(-FULL, PREFERRED_TAINT_SCORE * repelling)


def balance(whole: Sum, asked: Mapping[str, int], more: int) -> float | None:
    """What of the scarcer of cpu and memory is not asked for by anybody once `more` replicas are there.

    asked: of one replica. None where the cluster says nothing of its nodes.
    """
    shares = [
        max(0.0, whole.free[resource] - more * asked.get(resource, 0)) / whole.allocatable[resource]
        for resource in WEIGHED
        if whole.allocatable.get(resource)
    ]
    return FULL * min(shares) if shares else None


def added(request: PlacementRequest, cluster: ClusterView, available: int) -> int:
    """How many replicas more it would have, were it given as many as it can take."""
    more = request.replicas - request.current.get(cluster.id, 0)
    return max(0, min(more, available))


def slack(known: Slack) -> float | None:
    return None if known.idle is None else FULL * known.idle


def costs(clusters: Sequence[ClusterView]) -> dict[str, float]:
    """By cluster id, of those whose price is known: 100 for what is free, 0 for the dearest of the fleet."""
    prices = {each.id: each.price for each in clusters if each.price is not None}
    dearest = max(prices.values(), default=0.0)
    return {name: FULL * (1 - price / dearest) if dearest else FULL for name, price in prices.items()}


def price_of(labels: Mapping[str, str]) -> float | None:
    """Of a core for an hour, in the operator's currency. ValueError where the label is no price."""
    text = labels.get(PRICE_LABEL)
    if text is None:
        return None
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price <= 1e9:
        raise ValueError(f"{text!r}: a price of a core for an hour is needed, as 0.034")
    return price


def score_table(
    request: PlacementRequest, cluster: ClusterView, measures: Measures, lacks: Mapping[str, str]
) -> tuple[ScorePart, ...]:
    """Every part, those of weight 0 too. lacks: by part, why it is not in `measures`."""
    own: dict[str, float | None] = {
        "locality": locality(request, cluster),
        "preferred_taints": preferred_taints(request, cluster),
    }
    table: list[ScorePart] = []
    for part in PARTS:
        value = own[part] if part in own else measures.get(part, {}).get(cluster.id)
        weight = weight_of(request.score, part)
        said = lacks.get(part, "not known") if value is None else ""
        table.append(ScorePart(part, value, weight, weight * (value or 0.0), said))
    return tuple(table)
