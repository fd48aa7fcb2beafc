"""The recorded orders of one cluster, in ConfigMaps: read at the start, written before acting."""

from typing import Any

import msgspec
import structlog

from agents.fence import SELECTOR, BadRecord, Entry, from_manifest, record_ref, to_manifest
from agents.namespace import NAMESPACE, ensure_namespace
from agents.ports import AlreadyExists, Conflict, Kube, KubeError, Resource
from schemas.wire.orders import Version

_CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True)
_log = structlog.get_logger()


class _List(msgspec.Struct):
    items: list[dict[str, Any]] | None = None


_decode_list = msgspec.json.Decoder(_List)


class Superseded(Exception):
    """A newer order is recorded: what is under way belongs to an older one."""


class Records:
    """`entries` is what this agent knows to be recorded, by workload."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._places: dict[str, tuple[str, str]] = {}
        self._is_housed = False
        self.entries: dict[str, Entry] = {}

    @property
    def highest(self) -> Version | None:
        return max((entry.version for entry in self.entries.values()), default=None)

    async def load(self) -> None:
        """Read all of them. Raises KubeError. A damaged one stops its own workload only."""
        await self._ensure_house()
        # Of no other namespace: whoever may write there shall not write our fence.
        async for body in self._kube.list(_CONFIG_MAPS, label_selector=SELECTOR, namespace=NAMESPACE):
            for manifest in _decode_list.decode(body).items or ():
                try:
                    self._remember(manifest)
                except BadRecord:
                    continue

    async def reread(self, workload: str) -> Entry | None:
        """What is recorded now, None for nothing. Raises KubeError and BadRecord."""
        manifest = await self._kube.get(record_ref(workload))
        if manifest is None:
            self.entries.pop(workload, None)
            self._places.pop(workload, None)
            return None
        held, metadata = self.entries.get(workload), manifest["metadata"]
        if held is not None and self._places.get(workload) == (metadata["resourceVersion"], metadata["uid"]):
            return held
        return self._remember(manifest)

    async def write(self, entry: Entry) -> None:
        """Record. Raises Conflict when another has written meanwhile (read again), and KubeError."""
        place = self._places.get(entry.workload)
        wanted = to_manifest(entry, *(place or ()))
        try:
            if place is None:
                await self._ensure_house()
                stored = await self._kube.create(wanted)
            else:
                stored = await self._kube.replace(wanted)
        except AlreadyExists as error:
            raise Conflict(str(error)) from error
        except KubeError:
            # It may be the namespace that went: looked for before the next one is made.
            self._is_housed = False
            raise
        # What came back as it was sent is known without being read.
        self._remember(stored, entry if stored.get("data") == wanted["data"] else None)

    async def _ensure_house(self) -> None:
        if not self._is_housed:
            await ensure_namespace(self._kube)
            self._is_housed = True

    async def check(self, workload: str, version: Version) -> None:
        """Raises Superseded when this version is not the recorded one any more, and KubeError."""
        entry = await self.reread(workload)
        if entry is None or entry.version != version:
            raise Superseded(workload)

    def _remember(self, manifest: dict[str, Any], entry: Entry | None = None) -> Entry:
        """entry: what the manifest says, where that is known."""
        try:
            entry = entry or from_manifest(manifest)
        except BadRecord as error:
            _log.error("record_damaged", detail=str(error))
            raise
        metadata = manifest["metadata"]
        self._places[entry.workload] = metadata["resourceVersion"], metadata["uid"]
        self.entries[entry.workload] = entry
        return entry
