"""Orders that are not sent, since their agent says that it may not carry them out: one rule for all.

Of a workload or of a tenant's limits, applied or withdrawn. It stays in the outbox as the newest order, whole
and unsent; once the agent reports that it may, it goes out like any other.
"""

from dataclasses import dataclass

import msgspec

from controlplane.fleet import Fleet
from controlplane.known.records import OutboxRecord
from controlplane.placement.rights import AgentRights, asked_by, may_not, served_kinds
from controlplane.placement.rules import Refused
from schemas.reasons import Reason
from schemas.wire.orders import REMOVALS_TOLD, OrderBody, Version
from schemas.wire.reports import Facts, Refusal, Work

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
BY_WHAT_IS_RECORDED = frozenset({Reason.ORDER_OLDER, Reason.ORDER_DIFFERS})
"""Of an order that is no newer than the recorded one."""
_decode_body = msgspec.json.Decoder(OrderBody)


@dataclass(frozen=True)
class _Told:
    """What orders to one cluster are judged by. served: None where it is not known whole."""

    rights: AgentRights
    removals: bool
    served: frozenset[str] | None


class Withholding:
    """Judges by the newest facts of each cluster; each order once, until they tell of other rights."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._told: dict[str, tuple[Facts, _Told]] = {}
        self._judged: dict[tuple[str, str], tuple[Version, _Told, Refused | None]] = {}

    def why(self, order: OutboxRecord) -> Refused | None:
        """Why it is not sent; None where nothing is said against it."""
        told = self._told_of(order.cluster)
        if told is None:
            return None
        key = order.cluster, order.workload
        held = self._judged.get(key)
        if held is None or held[0] != order.version or held[1] is not told:
            held = self._judged[key] = order.version, told, _judge(order, told)
        return held[2]

    def forget(self, cluster: str, workload: str) -> None:
        """It was sent, or is ordered no more."""
        self._judged.pop((cluster, workload), None)

    def _told_of(self, cluster: str) -> _Told | None:
        """The same one for as long as the cluster tells the same."""
        facts = self._fleet.facts(cluster)
        held = self._told.get(cluster)
        if facts is not None and held is not None and held[0] is facts:
            return held[1]
        rights = AgentRights.of(facts.rights) if facts is not None else None
        if facts is None or rights is None:
            self._told.pop(cluster, None)
            return None
        told = _Told(rights, REMOVALS_TOLD in facts.capabilities, served_kinds(facts.served))
        if held is not None and held[1] == told:
            told = held[1]
        self._told[cluster] = facts, told
        return told


def refused_unrecorded(order: OutboxRecord, work: Work | None) -> tuple[Refusal, ...]:
    """What its agent says against an order that it has not recorded, as one with a verb that it lacks.

    An older agent does not tell the version that it refused: then it may be of an earlier order, and is taken
    to be of this one, except where only what is recorded already is refused so.
    """
    if work is None or work.version >= order.version:
        return ()
    return tuple(each for each in work.refusals if each.reason in NOT_TAKEN and _is_of(each, order.version))


def _is_of(refusal: Refusal, version: Version) -> bool:
    if refusal.version is None:
        return refusal.reason not in BY_WHAT_IS_RECORDED
    return refusal.version == version


def _judge(order: OutboxRecord, told: _Told) -> Refused | None:
    try:
        body = _decode_body.decode(order.body)
        wanted = asked_by(order.verb, body, removals_told=told.removals, served=told.served)
    except (msgspec.MsgspecError, KeyError):
        # Not of our making: its agent says what is wrong with it.
        return None
    lacking = told.rights.lacking(wanted)
    return Refused(Reason.AGENT_MAY_NOT, may_not(lacking)) if lacking else None
