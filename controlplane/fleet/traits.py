"""What a node is said to have, under one name over all versions of NFD: raw features, labels, handlers.

A feature is `<domain>.<feature>.<element>`, as NodeFeatureRules name it (`cpu.cpuid.AMXTILE`). NFD writes
many of them as labels too, under names that differ from version to version.
Source: GetLabels of NFD's sources; cpu-rdt.* labels went in v0.16, cpu-sgx and cpu-se in v0.15.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache

FEATURE = "feature:"
HANDLER = "handler:"
_NFD = "feature.node.kubernetes.io/"

_FLAGS = ("cpu.cpuid.", "kernel.loadedmodule.", "kernel.enabledmodule.")
"""Sets of flags: what is in them has no value. A label of NFD says `true` for it."""
_BOOLEANS = ("cpu.rdt.", "pci.device.", "usb.device.", "network.device.", "storage.block.", "memory.nv.")
"""`true` in newer versions or as labels, flags in others."""
_RENAMED: dict[str, tuple[str, ...]] = {
    "cpu.topology.hardware_multithreading": ("cpu-hardware_multithreading",),
    "cpu.security.sgx.enabled": ("cpu-security.sgx.enabled", "cpu-sgx.enabled"),
    "cpu.security.se.enabled": ("cpu-security.se.enabled", "cpu-se.enabled"),
    "memory.numa.is_numa": ("memory-numa",),
    "memory.swap.enabled": ("memory-swap",),
    "cpu.pstate.scaling": ("cpu-pstate.scaling_governor",),
}
_PREFIXES: tuple[tuple[str, str], ...] = (
    ("cpu.sst.", "cpu-power.sst_"),
    ("system.osrelease.", "system-os_release."),
    ("pci.device.", "pci-"),
    ("usb.device.", "usb-"),
    ("network.device.", "network-"),
    ("storage.block.", "storage-"),
    ("memory.nv.", "memory-nv."),
)
_NO_FEATURES: Mapping[str, str] = {}


@lru_cache(maxsize=16_384)
def labels_of(feature: str) -> tuple[str, ...]:
    """Labels under which versions of NFD may say it, the newest spelling first: all of one meaning."""
    names = _RENAMED.get(feature)
    if names is None:
        for prefix, written in _PREFIXES:
            if feature.startswith(prefix):
                names = (f"{written}{feature.removeprefix(prefix)}",)
                break
        else:
            names = (feature.replace(".", "-", 1),)
    return tuple(f"{_NFD}{name}" for name in names)


_SPELT = {label: feature for feature, labels in _RENAMED.items() for label in labels}


@lru_cache(maxsize=16_384)
def feature_of(label: str) -> str | None:
    """The feature that a label of NFD says, of whatever version; None for any other label."""
    if not label.startswith(_NFD):
        return None
    name = label.removeprefix(_NFD)
    spelt = _SPELT.get(name)
    if spelt is not None:
        return spelt
    for prefix, written in _PREFIXES:
        if name.startswith(written):
            return f"{prefix}{name.removeprefix(written)}"
    return name.replace("-", ".", 1)


def is_flag(key: str, value: str) -> bool:
    """Whether a trait of that key is only there, without a value that could be compared."""
    return not value and key.startswith(FEATURE) and key.removeprefix(FEATURE).startswith(_FLAGS)


def value_of(
    key: str,
    labels: Mapping[str, str],
    features: Mapping[str, str] = _NO_FEATURES,
    handlers: Collection[str] = (),
) -> str | None:
    """Of one trait or label; "" for a flag, None for what is not there.

    A handler is taken to be there where the node lists none at all: then nothing is known.
    """
    if key.startswith(FEATURE):
        return _feature(key.removeprefix(FEATURE), labels, features)
    if key.startswith(HANDLER):
        return "" if not handlers or key.removeprefix(HANDLER) in handlers else None
    return labels.get(key)


def untold(features: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, str]:
    """Of raw features, those that the labels do not tell anyway."""
    return {
        name: value
        for name, value in features.items()
        if _feature(name, labels, _NO_FEATURES) != _normal(name, value)
    }


def _feature(name: str, labels: Mapping[str, str], features: Mapping[str, str]) -> str | None:
    raw = features.get(name)
    if raw is not None:
        return _normal(name, raw)
    for label in labels_of(name):
        said = labels.get(label)
        if said is not None:
            return "" if said == "true" and name.startswith(_FLAGS) else said
    return None


def _normal(name: str, value: str) -> str:
    return "true" if not value and name.startswith(_BOOLEANS) else value
