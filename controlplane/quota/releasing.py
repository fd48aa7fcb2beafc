"""When a charge ends: what an agent has reported says how much of it is held no longer.

Never because it was decided: a pod that is still there takes its room. Nothing is ever charged here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.quota.quota import NOTHING, Amounts, FlavorResource
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Work, WorkState


@dataclass(frozen=True)
class Ordered:
    """The newest order for a workload in a cluster.

    pods: of its placement, by template; None where that is not known yet. One that is on every node of a kind
    has templates without a number: its objects say how many there are to be.
    """

    verb: Verb
    version: Version
    pods: Mapping[str, int] | None = None


def still_held(ordered: Ordered | None, work: Work | None, asked: Amounts | None) -> Amounts | None:
    """What may still be held there, at most; None where nothing is known to have ended.

    ordered: None once nothing is ordered there, not even to withdraw. asked: what its placement comes to,
    None where that is not known; fewer pods than that are no reason to release: they may come at any moment.
    """
    if ordered is None:
        return NOTHING
    if work is None or work.version != ordered.version:
        return None
    if ordered.verb is Verb.WITHDRAW:
        return NOTHING if work.state is WorkState.WITHDRAWN and not work.pods else None
    if has_finished(ordered, work):
        return NOTHING
    if ordered.pods is None or not _is_settled(ordered.pods, ordered.version, work):
        return None
    return asked


def has_finished(ordered: Ordered, work: Work) -> bool:
    """Whether what is ordered has run to its end there, well or not."""
    return (
        ordered.verb is Verb.APPLY and work.finished and work.version == ordered.version == work.carried_out
    )


def released(charged: Amounts, held: Amounts) -> dict[FlavorResource, int]:
    """What of a charge is held no longer; never more than is charged, and nothing below 0."""
    return {key: amount - left for key, amount in charged.items() if amount > (left := held.get(key, 0))}


def _is_settled(pods: Mapping[str, int], version: Version, work: Work) -> bool:
    """Whether no pod is there but those of the placement, all of them as it was ordered last."""
    if work.carried_out != version or work.state is not WorkState.APPLIED:
        return False
    placed = sum(pods.values()) or sum(status.desired for status in work.objects)
    is_updated = all(each.healthy and each.updated >= each.desired for each in work.objects)
    if work.living is None:
        # An older agent does not tell: then what their controllers say has to do.
        return work.pods <= placed and is_updated
    if "" in work.living and not is_updated:
        # Made by an operator that does not hand the label of the template on.
        return False
    of_others = work.living.keys() - pods.keys() - {""}
    return not work.leaving and not of_others and sum(work.living.values()) <= placed
