"""Objects of resource.k8s.io, of every version that was ever served by default: v1, v1beta2, v1beta1."""

from dataclasses import dataclass, field

import msgspec

from agents.observe.features import is_own
from agents.observe.selecting import View
from agents.observe.shapes import Metadata
from schemas.quantities import quantity_amount

_BARRING = ("NoSchedule", "NoExecute")
NamedKey = tuple[str, str]
PoolKey = tuple[str, str]
"""(driver, pool)"""
DeviceKey = tuple[str, str, str]
"""(driver, pool, device)"""


class _Attribute(msgspec.Struct):
    int_: int | None = msgspec.field(default=None, name="int")
    bool_: bool | None = msgspec.field(default=None, name="bool")
    string: str | None = None
    version: str | None = None

    @property
    def value(self) -> int | bool | str | None:
        given = (self.int_, self.bool_, self.string, self.version)
        return next((each for each in given if each is not None), None)


class _Capacity(msgspec.Struct):
    value: str | int | float = 0


class _Taint(msgspec.Struct):
    effect: str = ""


class _Body(msgspec.Struct, rename="camel"):
    attributes: dict[str, _Attribute] | None = None
    capacity: dict[str, _Capacity] | None = None
    taints: list[_Taint] | None = None
    node_name: str = ""
    consumes_counters: list[msgspec.Raw] | None = None
    allow_multiple_allocations: bool = False


class _Device(_Body):
    """basic: of v1beta1, where everything but the name stands in it."""

    name: str = ""
    basic: _Body | None = None


class _Pool(msgspec.Struct, rename="camel"):
    name: str
    generation: int = 0
    resource_slice_count: int = 1


class _SliceSpec(msgspec.Struct, rename="camel"):
    driver: str
    pool: _Pool
    node_name: str = ""
    per_device_node_selection: bool = False
    devices: list[_Device] | None = None


class _SliceShape(msgspec.Struct):
    metadata: Metadata
    spec: _SliceSpec


class _Cel(msgspec.Struct):
    expression: str = ""


class _SelectorShape(msgspec.Struct):
    cel: _Cel | None = None


class _ClassSpec(msgspec.Struct):
    selectors: list[_SelectorShape] | None = None


class _ClassShape(msgspec.Struct):
    metadata: Metadata
    spec: _ClassSpec = msgspec.field(default_factory=_ClassSpec)


class _Result(msgspec.Struct, rename="camel"):
    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool | None = None


class _Results(msgspec.Struct):
    results: list[_Result] | None = None


class _Allocation(msgspec.Struct):
    devices: _Results = msgspec.field(default_factory=_Results)


class _Consumer(msgspec.Struct):
    resource: str = ""
    name: str = ""


class _ClaimStatus(msgspec.Struct, rename="camel"):
    allocation: _Allocation | None = None
    reserved_for: list[_Consumer] | None = None


class _ClaimShape(msgspec.Struct):
    metadata: Metadata
    status: _ClaimStatus = msgspec.field(default_factory=_ClaimStatus)


_decode_slice = msgspec.json.Decoder(_SliceShape)
_decode_class = msgspec.json.Decoder(_ClassShape)
_decode_claim = msgspec.json.Decoder(_ClaimShape)


@dataclass(eq=False, slots=True)
class Seen:
    """What selectors see of a device; shared between equal ones, with what they have answered."""

    view: View
    answers: dict[tuple[str, ...], bool | None] = field(default_factory=dict[tuple[str, ...], bool | None])


@dataclass(frozen=True, slots=True)
class DeviceRow:
    name: str
    node: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class SliceRow:
    """Devices that a pod on their node can have whole, and to itself."""

    pool: PoolKey
    generation: int
    slices: int
    devices: tuple[DeviceRow, ...]


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """pod: the first by name that it is reserved for, ("", "") for none."""

    pod: NamedKey
    devices: tuple[DeviceKey, ...]


class SliceRows:
    """Decodes ResourceSlices."""

    def __init__(self) -> None:
        self._seen: dict[bytes, Seen] = {}

    def begin(self) -> None:
        pass

    def row(self, raw: bytes | msgspec.Raw) -> tuple[str, SliceRow]:
        """Left out: devices that are tainted, that no single node has, that share counters with others or are
        shared between claims. Raises msgspec.MsgspecError.
        """
        found = _decode_slice.decode(raw)
        spec = found.spec
        devices: list[DeviceRow] = []
        for device in spec.devices or ():
            body = device.basic or device
            node = body.node_name if spec.per_device_node_selection else spec.node_name
            barred = any(taint.effect in _BARRING for taint in body.taints or ())
            shared = body.consumes_counters or body.allow_multiple_allocations
            if node and not barred and not shared:
                devices.append(DeviceRow(device.name, node, self._share(_view(spec.driver, body))))
        pool = spec.pool
        return found.metadata.name, SliceRow(
            (spec.driver, pool.name), pool.generation, pool.resource_slice_count, tuple(devices)
        )

    def _share(self, view: View) -> Seen:
        if len(self._seen) > 10_000:
            self._seen.clear()
        return self._seen.setdefault(msgspec.json.encode(view, order="deterministic"), Seen(view))


def _view(driver: str, body: _Body) -> View:
    """Names without a domain are the driver's own. What tells one device from its like is left out."""
    attributes: dict[str, View] = {}
    for name, attribute in (body.attributes or {}).items():
        value = attribute.value
        if value is not None and not is_own(name, str(value)):
            domain, _, identifier = name.rpartition("/")
            attributes.setdefault(domain or driver, {})[identifier] = value
    capacity: dict[str, View] = {}
    for name, given in (body.capacity or {}).items():
        domain, _, identifier = name.rpartition("/")
        try:
            capacity.setdefault(domain or driver, {})[identifier] = quantity_amount("memory", given.value)
        except ValueError:
            continue
    return {
        "driver": driver,
        "attributes": attributes,
        "capacity": capacity,
        "allowMultipleAllocations": False,
    }


def class_row(raw: bytes | msgspec.Raw) -> tuple[str, tuple[str, ...]]:
    """(name, expressions that all have to hold). Raises msgspec.MsgspecError."""
    found = _decode_class.decode(raw)
    # Another kind of selector is one that we do not know: an expression that cannot be evaluated.
    expressions = (each.cel.expression if each.cel else "" for each in found.spec.selectors or ())
    return found.metadata.name, tuple(expressions)


def claim_row(raw: bytes | msgspec.Raw) -> tuple[NamedKey, ClaimRow]:
    """Raises msgspec.MsgspecError."""
    found = _decode_claim.decode(raw)
    namespace, status = found.metadata.namespace, found.status
    allocated = (status.allocation.devices.results or ()) if status.allocation else ()
    pods = sorted(each.name for each in status.reserved_for or () if each.resource == "pods")
    return (namespace, found.metadata.name), ClaimRow(
        (namespace, pods[0]) if pods else ("", ""),
        tuple((each.driver, each.pool, each.device) for each in allocated if not each.admin_access),
    )
