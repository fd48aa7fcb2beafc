"""From delivered bytes to what is to be done, or the reason why not. Nothing is asked of the cluster here."""

from dataclasses import dataclass, field

import msgspec

from agents.fence import record_ref
from agents.keys import BadOrder, OrderKeys
from agents.plan import BadManifest, Manifest, check_ordered, is_only_where_there
from schemas.reasons import Reason
from schemas.wire.codec import Malformed, decode
from schemas.wire.limits import is_limits
from schemas.wire.orders import (
    OVERWRITE,
    PRESERVE,
    REMOVALS_TOLD,
    HealthRule,
    ObjectRef,
    Order,
    OrderBody,
    Verb,
    Version,
)
from schemas.wire.reports import Refusal
from schemas.wire.subjects import RELEASE, token

_MESSAGE_LONGEST = 1000
MOST_RULES = 64
_POD_BEARING = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"}
CAPABILITIES = ("apply", "withdraw", "release", "sealed", OVERWRITE, PRESERVE, REMOVALS_TOLD)
"""What this agent can do, as it says of itself."""


class _Needs(msgspec.Struct):
    needs: list[str] = []


class _Versioned(msgspec.Struct):
    version: Version


_decode_body = msgspec.json.Decoder(OrderBody)
_decode_needs = msgspec.json.Decoder(_Needs)


class NotTaken(Exception):
    """What was delivered is no order of the centre's for this workload here."""

    def __init__(self, reason: Reason, message: str, version: Version | None) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason=reason, message=message[:_MESSAGE_LONGEST], version=version)


@dataclass(frozen=True)
class Prepared:
    """A verified order, opened. malformed: why it cannot be carried out; it is recorded all the same.

    An order that makes no sense is still the newest word of the centre's, and fences the older ones.
    health: how kinds are judged that are not known here. name: the workload's, for people.
    optional: objects that are left out where their namespace is not there.
    """

    order: Order
    manifests: list[Manifest] = field(default_factory=list[Manifest])
    ordered: tuple[ObjectRef, ...] = ()
    dropped: tuple[ObjectRef, ...] = ()
    overwrite: bool = False
    preserve: bool = False
    malformed: Refusal | None = None
    health: tuple[HealthRule, ...] = ()
    name: str = ""
    optional: frozenset[ObjectRef] = frozenset()

    @property
    def removes(self) -> bool:
        """Whether something that runs goes away with it: limits hold nothing that does."""
        withdrawn = self.order.verb is Verb.WITHDRAW and not (self.preserve or is_limits(self.order.workload))
        return withdrawn or any(_may_bear_pods(ref) for ref in self.dropped)


def verified(keys: OrderKeys, workload: str, body: bytes) -> Order:
    """`workload`: from the subject. Raises NotTaken."""
    try:
        order = decode(Order, body)
        token(workload)
        record_ref(workload)
    except (Malformed, ValueError) as error:
        raise NotTaken(Reason.ORDER_MALFORMED, str(error), _version_of(body)) from error
    version = order.version
    if order.workload != workload:
        raise NotTaken(Reason.ORDER_MALFORMED, f"the order is for {order.workload[:64]!r}", version)
    if (workload == RELEASE) != (order.verb is Verb.RELEASE):
        message = f"verb {order.verb} does not belong under this subject"
        raise NotTaken(Reason.ORDER_MALFORMED, message, version)
    if not keys.is_signed(order):
        raise NotTaken(
            Reason.SIGNATURE_INVALID, "the signature is not the centre's for this cluster", version
        )
    lacking = [each for each in _needs_of(order) if each not in CAPABILITIES]
    if lacking:
        # Not even recorded: a withdrawal would be acted on by its record alone.
        raise NotTaken(Reason.CAPABILITY_MISSING, f"its agent cannot do: {', '.join(lacking)}", version)
    return order


def _version_of(body: bytes) -> Version | None:
    """Of what is no order that this agent knows, as one with a verb of a later centre."""
    try:
        return decode(_Versioned, body).version
    except Malformed:
        return None


def _needs_of(order: Order) -> list[str]:
    try:
        return _decode_needs.decode(order.body).needs
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # What is wrong with it is said when it is opened.
        return []


def prepared(keys: OrderKeys, order: Order) -> Prepared:
    """Open the body, unseal Secrets, check the objects."""
    try:
        body = _decode_body.decode(order.body)
        manifests = keys.unseal(body)
        ordered = check_ordered(order.workload, manifests)
    except (msgspec.MsgspecError, UnicodeDecodeError, BadOrder, BadManifest) as error:
        message = f"body: {error}"[:_MESSAGE_LONGEST]
        return Prepared(
            order, malformed=Refusal(reason=Reason.ORDER_MALFORMED, message=message, version=order.version)
        )
    dropped = tuple(ref for ref in body.dropped if ref not in ordered)
    preserve = body.preserve and order.verb is Verb.WITHDRAW
    health = tuple(body.health[:MOST_RULES])
    optional = frozenset(
        ref for ref, each in zip(ordered, manifests, strict=True) if is_only_where_there(each)
    )
    return Prepared(
        *(order, manifests, ordered, dropped, body.overwrite, preserve),
        health=health,
        name=body.name,
        optional=optional,
    )


def _may_bear_pods(ref: ObjectRef) -> bool:
    """Of a custom kind nobody here can tell: it is taken for one that does."""
    group = ref.api_version.rpartition("/")[0]
    custom = "." in group and not group.endswith(".k8s.io")
    return custom or (ref.kind in _POD_BEARING and group in ("", "apps", "batch"))
