"""Whether a workload leaves something behind where it runs."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

_KINDS = ("StatefulSet", "PersistentVolumeClaim", "PersistentVolume", "DataVolume")
_TEMPLATES = ("volumeClaimTemplates", "dataVolumeTemplates")
_VOLUMES = ("persistentVolumeClaim", "hostPath", "local", "dataVolume", "hostDisk")
"""Sources of a volume that stay with the cluster. An `ephemeral` one goes with its pod, as emptyDir does."""


def held_data(manifests: Sequence[Mapping[str, Any]]) -> str:
    """What of it holds data, for people; "" where nothing does.

    By shape and not by kind, so that a pod template is found wherever a kind keeps it.
    """
    for manifest in manifests:
        name = f"{manifest.get('kind')} {manifest['metadata']['name']}"
        if manifest.get("kind") in _KINDS:
            return name
        found = _found_in(manifest.get("spec"))
        if found:
            return f"{name}: {found}"
    return ""


def _found_in(spec: Any) -> str:
    waiting: deque[Any] = deque([spec])
    while waiting:
        given = waiting.popleft()
        if isinstance(given, dict):
            fields = cast(dict[str, Any], given)
            for key in _TEMPLATES:
                if fields.get(key):
                    return key
            volume = _held_volume(fields.get("volumes"))
            if volume:
                return volume
            waiting.extend(fields.values())
        elif isinstance(given, list):
            waiting.extend(cast(list[Any], given))
    return ""


def _held_volume(volumes: Any) -> str:
    if not isinstance(volumes, list):
        return ""
    for each in cast(list[Any], volumes):
        if isinstance(each, dict):
            volume = cast(dict[str, Any], each)
            for source in _VOLUMES:
                if source in volume:
                    return f"volume {volume.get('name', '')} is {source}"
    return ""
