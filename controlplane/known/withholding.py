"""Orders that are not sent, since their agent says that it may not carry them out: one rule for all.

Of a workload or of a tenant's limits, applied or withdrawn. It stays in the outbox as the newest order, whole
and unsent; once the agent reports that it may, it goes out like any other.
"""

from collections.abc import Sequence

import msgspec

from controlplane.fleet import Fleet
from controlplane.known.records import OutboxRecord
from controlplane.placement.rights import AgentRights, asked_by, may_not
from controlplane.placement.rules import Refused
from schemas.reasons import Reason
from schemas.wire.orders import REMOVALS_TOLD, OrderBody, Version
from schemas.wire.reports import Refusal, Right, Work

NOT_TAKEN = frozenset(
    {
        Reason.ORDER_MALFORMED,
        Reason.SIGNATURE_INVALID,
        Reason.ORDER_OLDER,
        Reason.ORDER_DIFFERS,
        Reason.CAPABILITY_MISSING,
    }
)
"""Of what was delivered and not recorded. A newer order may follow, another agent may know it: it stays."""
_decode_body = msgspec.json.Decoder(OrderBody)


class Withholding:
    """Judges by the newest facts of each cluster; each order once, until they tell of other rights."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._rights: dict[str, tuple[Sequence[Right], bool, AgentRights | None]] = {}
        self._judged: dict[tuple[str, str], tuple[Version, AgentRights, Refused | None]] = {}

    def why(self, order: OutboxRecord) -> Refused | None:
        """Why it is not sent; None where nothing is said against it."""
        rights, removals_told = self._rights_in(order.cluster)
        if rights is None:
            return None
        key = order.cluster, order.workload
        held = self._judged.get(key)
        if held is None or held[0] != order.version or held[1] is not rights:
            held = self._judged[key] = order.version, rights, _judge(order, rights, removals_told)
        return held[2]

    def forget(self, cluster: str, workload: str) -> None:
        """It was sent, or is ordered no more."""
        self._judged.pop((cluster, workload), None)

    def _rights_in(self, cluster: str) -> tuple[AgentRights | None, bool]:
        facts = self._fleet.facts(cluster)
        if facts is None or facts.rights is None:
            self._rights.pop(cluster, None)
            return None, False
        told = REMOVALS_TOLD in facts.capabilities
        held = self._rights.get(cluster)
        if held is None or held[0] != facts.rights or held[1] is not told:
            held = self._rights[cluster] = facts.rights, told, AgentRights.of(facts.rights)
        return held[2], told


def refused_unrecorded(order: OutboxRecord, work: Work | None) -> tuple[Refusal, ...]:
    """What its agent says against an order that it has not recorded, as one with a verb that it lacks."""
    if work is None or work.version >= order.version:
        return ()
    return tuple(each for each in work.refusals if each.reason in NOT_TAKEN)


def _judge(order: OutboxRecord, rights: AgentRights, removals_told: bool) -> Refused | None:
    try:
        wanted = asked_by(order.verb, _decode_body.decode(order.body), removals_told=removals_told)
    except (msgspec.MsgspecError, KeyError):
        # Not of our making: its agent says what is wrong with it.
        return None
    lacking = rights.lacking(wanted)
    return Refused(Reason.AGENT_MAY_NOT, may_not(lacking)) if lacking else None
