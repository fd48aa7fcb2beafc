"""What Node Feature Discovery found, flattened to `<feature>.<name>`: the raw features that its rules read.

Left out, so that equal machines share a profile: what names a node or one of its parts (names, MAC addresses,
serials, UUIDs), what changes under it (kernel modules, virtual interfaces), the hundreds of kernel options,
and an element that has more than MOST_VALUES values in the cluster, for it evidently tells nodes apart.
Devices are counted, not listed. Names over the versions of NFD are made one at the centre.

Source: sigs.k8s.io/node-feature-discovery docs/usage/customization-guide, api/nfd/v1alpha1.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from agents.observe.shapes import Metadata

NODE_NAME = "nfd.node.kubernetes.io/node-name"
MOST_FEATURES = 512
MOST_NAMES = 10_000
MOST_VALUES = 64
LONGEST_NAME = 128
LONGEST_VALUE = 256
LEFT_OUT = frozenset(
    {"kernel.config", "kernel.enabledmodule", "kernel.loadedmodule", "network.virtual", "system.name"}
)
_OWN_NAME = re.compile(
    r"serial|uuid|guid|hostname|nodename|asset_tag|machine.?id|(^|[^a-z])(mac|address)([^a-z]|$)"
)
_OWN_VALUE = re.compile(
    r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}|[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE
)
_MOST = "_max"
"""Ends the names of which the largest counts; other counts of several objects add up."""

V = TypeVar("V", str, int)
FeatureKey = tuple[str, str]
"""(namespace, name)"""
Features = dict[str, str]


class _Attributes(msgspec.Struct):
    elements: dict[str, str] | None = None


class _Flags(msgspec.Struct):
    elements: dict[str, msgspec.Raw] | None = None


class _Instance(msgspec.Struct):
    attributes: dict[str, str] | None = None


class _Instances(msgspec.Struct):
    elements: list[_Instance] | None = None


class _Sets(msgspec.Struct):
    """Each set raw: kernel.config alone has thousands of entries that nobody reads."""

    flags: dict[str, msgspec.Raw] | None = None
    attributes: dict[str, msgspec.Raw] | None = None
    instances: dict[str, msgspec.Raw] | None = None


class _Spec(msgspec.Struct):
    features: _Sets = msgspec.field(default_factory=_Sets)


class _Shape(msgspec.Struct):
    metadata: Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)


_decode = msgspec.json.Decoder(_Shape)
_decode_flags = msgspec.json.Decoder(_Flags)
_decode_attributes = msgspec.json.Decoder(_Attributes)
_decode_instances = msgspec.json.Decoder(_Instances)


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One NodeFeature. `plain` and `counted` are shared between equal ones."""

    node: str
    plain: Features
    counted: dict[str, int]


class FeatureRows:
    """Decodes NodeFeatures. `begin` is called before each list: how many values there are, it tells anew."""

    def __init__(self) -> None:
        self._plain: dict[tuple[tuple[str, str], ...], Features] = {}
        self._counted: dict[tuple[tuple[str, int], ...], dict[str, int]] = {}
        self._values: dict[str, set[str]] = {}
        self._own: frozenset[str] = frozenset()

    def begin(self) -> None:
        """What had too many values in the cycle before is left out from the first node on."""
        self._own = frozenset(name for name, values in self._values.items() if len(values) > MOST_VALUES)
        self._values = {}

    def row(self, raw: bytes | msgspec.Raw) -> tuple[FeatureKey, FeatureRow]:
        """Raises msgspec.MsgspecError."""
        found = _decode.decode(raw)
        metadata, sets = found.metadata, found.spec.features
        node = (metadata.labels or {}).get(NODE_NAME) or metadata.name
        plain = {
            name: value
            for name, value in (*_flags(sets), *_attributes(sets))
            if len(name) <= LONGEST_NAME
            and len(value) <= LONGEST_VALUE
            and self._is_shared(name, value, node)
        }
        counted: dict[str, int] = {}
        for feature, set_ in (sets.instances or {}).items():
            if feature not in LEFT_OUT:
                elements = _decode_instances.decode(set_).elements or ()
                _count(feature, [each.attributes or {} for each in elements], counted, plain)
        row = FeatureRow(node, _share(self._plain, plain), _share(self._counted, counted))
        return (metadata.namespace, metadata.name), row

    def _is_shared(self, name: str, value: str, node: str) -> bool:
        """Whether this may be what nodes have in common."""
        if is_own(name, value) or (value and value == node):
            return False
        if len(self._values) > MOST_NAMES:
            return name in self._values and name not in self._own
        values = self._values.setdefault(name, set())
        if len(values) <= MOST_VALUES:
            values.add(value)
        return len(values) <= MOST_VALUES and name not in self._own


def is_own(name: str, value: str) -> bool:
    """Whether a part of the machine is named by it, that no other has."""
    return _OWN_NAME.search(name.lower()) is not None or _OWN_VALUE.search(value) is not None


def _share(known: dict[tuple[tuple[str, V], ...], dict[str, V]], values: dict[str, V]) -> dict[str, V]:
    if len(known) > 10_000:
        known.clear()
    return known.setdefault(tuple(sorted(values.items())), values)


def merged(rows: Mapping[FeatureKey, FeatureRow]) -> Features:
    """All that is said of one node. NFD's own object goes first, what comes later by name overrides it."""
    plain: Features = {}
    counted: dict[str, int] = {}
    for _, row in sorted(rows.items(), key=lambda each: (each[0][1] != each[1].node, each[0])):
        plain |= row.plain
        for name, count in row.counted.items():
            known = counted.get(name, 0)
            counted[name] = max(known, count) if name.endswith(_MOST) else known + count
    found = plain | {name: str(count) for name, count in counted.items()}
    return dict(sorted(found.items())[:MOST_FEATURES])


def _flags(sets: _Sets) -> Iterator[tuple[str, str]]:
    for feature, set_ in (sets.flags or {}).items():
        if feature not in LEFT_OUT:
            yield from ((f"{feature}.{name}", "") for name in _decode_flags.decode(set_).elements or ())


def _attributes(sets: _Sets) -> Iterator[tuple[str, str]]:
    for feature, set_ in (sets.attributes or {}).items():
        if feature not in LEFT_OUT:
            elements = _decode_attributes.decode(set_).elements or {}
            yield from ((f"{feature}.{name}", value) for name, value in elements.items())


def _count(feature: str, elements: list[dict[str, str]], counted: dict[str, int], plain: Features) -> None:
    """One count for all devices of a kind, and what NFD makes labels of, under the same names."""
    kinds = _KINDS.get(feature)
    for each in elements:
        name, marks = kinds(each) if kinds else (feature, ())
        if name:
            counted[name] = counted.get(name, 0) + 1
        plain.update(dict.fromkeys(marks, "true"))
        if feature == "network.device" and each.get("speed", "").isdecimal():
            speed = f"{feature}.speed{_MOST}"
            counted[speed] = max(counted.get(speed, 0), int(each["speed"]))


_Kind = tuple[str, tuple[str, ...]]
"""(the name of its count, "" for none, names of what is true of the node)"""


def _pci(device: dict[str, str]) -> _Kind:
    name = f"pci.device.{device.get('class', '')}_{device.get('vendor', '')}"
    sriov = (f"{name}.sriov.capable",) if _positive(device, "sriov_totalvfs") else ()
    return name, (f"{name}.present", *sriov)


def _usb(device: dict[str, str]) -> _Kind:
    name = f"usb.device.{device.get('class', '')}_{device.get('vendor', '')}_{device.get('device', '')}"
    return name, (f"{name}.present",)


def _network(device: dict[str, str]) -> _Kind:
    attributes = {"capable": "sriov_totalvfs", "configured": "sriov_numvfs"}
    found = (name for name, attribute in attributes.items() if _positive(device, attribute))
    return "network.device", tuple(f"network.device.sriov.{name}" for name in found)


def _block(device: dict[str, str]) -> _Kind:
    """Not counted: volumes of pods come and go among them."""
    return "", ("storage.block.nonrotationaldisk",) if device.get("rotational") == "0" else ()


def _nv(device: dict[str, str]) -> _Kind:
    return f"memory.nv.{device.get('devtype', '')}", ("memory.nv.present",)


def _positive(device: dict[str, str], attribute: str) -> bool:
    value = device.get(attribute, "")
    return value.isdecimal() and int(value) > 0


_KINDS: dict[str, Callable[[dict[str, str]], _Kind]] = {
    "memory.nv": _nv,
    "network.device": _network,
    "pci.device": _pci,
    "storage.block": _block,
    "usb.device": _usb,
}
