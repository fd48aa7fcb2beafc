"""Whether the zones of a node are of the pods that are on it now. Pure.

Beside the zones, updaters write a fingerprint of the pods that their kubelet told them of. Where it is not
that of the pods that are bound to the node, the zones are of another moment: what a pod that has just been
bound will hold looks free. They are stale at once, as for the scheduler plugin, and not only after a while: a
pod too many is refused by its kubelet, and made anew without end, while it costs little to pass a node over
for the seconds until its updater writes again.

Source: k8stopologyawareschedwg/podfingerprint v001; scheduler-plugins pkg/noderesourcetopology, cache.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import xxhash

from agents.observe.rows import PodKey, PodRow

ATTRIBUTE = "nodeTopologyPodsFingerprint"
METHOD_ATTRIBUTE = "nodeTopologyPodsFingerprintMethod"
ANNOTATION = "topology.node.k8s.io/fingerprint"
_VERSION = "pfp0v001"
_READABLE = re.compile(_VERSION + "[0-9a-f]{16}")
_EXCLUSIVE_ONLY = {"": False, "all": False, "with-exclusive-resources": True}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """exclusive_only: of pods that hold something alone, and not of all."""

    text: str
    exclusive_only: bool = False

    def is_of(self, pods: Mapping[PodKey, PodRow], listed: frozenset[str]) -> bool:
        """pods: all that are bound to the node; listed: the resources of its zones.

        Finished pods count or not: kubelets told of them until 1.34, and some updaters drop them. They hold
        nothing, so that zones are right either way.
        """
        counted = {
            key: row for key, row in pods.items() if not self.exclusive_only or listed.intersection(row.held)
        }
        running = [key for key, row in counted.items() if not row.finished]
        if fingerprint(running) == self.text:
            return True
        return len(running) < len(counted) and fingerprint(counted) == self.text


def told(attributes: Mapping[str, str], annotations: Mapping[str, str]) -> Fingerprint | None:
    """The attribute goes before the annotation, which is of all pods. None: nothing that can be compared."""
    text, method = attributes.get(ATTRIBUTE), attributes.get(METHOD_ATTRIBUTE, "")
    if text is None:
        text, method = annotations.get(ANNOTATION, ""), ""
    exclusive_only = _EXCLUSIVE_ONLY.get(method)
    if exclusive_only is None or not _READABLE.fullmatch(text):
        return None
    return Fingerprint(text, exclusive_only)


def fingerprint(pods: Iterable[PodKey]) -> str:
    """The same in whatever order. Names are hashed with their namespace's hash as the seed."""
    hashes = sorted(
        xxhash.xxh64_intdigest(name.encode(), xxhash.xxh64_intdigest(namespace.encode()))
        for namespace, name in pods
    )
    return _VERSION + xxhash.xxh64_hexdigest(b"".join(each.to_bytes(8, "little") for each in hashes))
