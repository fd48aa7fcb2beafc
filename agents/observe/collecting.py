"""Kinds that a cluster may serve or not: each is kept as long as it is served, and quiet while it is not.

1. Discovery says that one of the kind's versions is served: list and watch it.
2. It is not served any more: forget its rows, and wait for the next discovery.
3. RBAC does not let us: say it once, and try again at the next resync.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import structlog

from agents.observe.below import Below, runtime_class_row
from agents.observe.device_shapes import SliceRows, claim_row, class_row
from agents.observe.features import FeatureRows
from agents.observe.keyed import Rows
from agents.observe.networks import attachment_row, pool_row
from agents.observe.topology import topology_row
from agents.observe.watching import Decode, Watching
from agents.ports import Clock, Kube, Resource
from agents.timing import signalled

NEVER_SERVED_SECONDS = 86_400.0
RETRY_SECONDS = 30.0
Served = Mapping[tuple[str, str], Resource]
_log = structlog.get_logger()


class Table(Protocol):
    """How the objects of one kind are decoded."""

    def begin(self) -> None:
        """A list begins."""
        ...

    @property
    def row(self) -> Decode[Any, Any]:
        """Raises msgspec.MsgspecError."""
        ...


@dataclass(frozen=True)
class Plain:
    """Objects that are decoded one by one."""

    row: Decode[Any, Any]

    def begin(self) -> None:
        pass


@dataclass(frozen=True)
class Kind:
    """versions: (apiVersion, kind), the one that is preferred first; `table` is made for the one that is."""

    versions: tuple[tuple[str, str], ...]
    rows: Rows[Any, Any]
    table: Callable[[Resource], Table]


def kinds_below(below: Below) -> tuple[Kind, ...]:
    """What the agent would know of a cluster, beyond nodes and pods."""
    return (
        Kind(
            (("node.k8s.io/v1", "RuntimeClass"),),
            below.runtime_classes,
            lambda _: Plain(runtime_class_row),
        ),
        Kind(
            (("nfd.k8s-sigs.io/v1alpha1", "NodeFeature"),),
            below.features,
            lambda _: FeatureRows(),
        ),
        Kind(
            tuple(
                (f"topology.node.k8s.io/{each}", "NodeResourceTopology") for each in ("v1alpha2", "v1alpha1")
            ),
            below.topologies,
            lambda _: Plain(topology_row),
        ),
        Kind(
            (("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition"),),
            below.attachments,
            lambda _: Plain(attachment_row),
        ),
        Kind(_dra("DeviceClass"), below.devices.classes, lambda _: Plain(class_row)),
        Kind(_dra("ResourceSlice"), below.devices.slices, lambda _: SliceRows()),
        Kind(_dra("ResourceClaim"), below.devices.claims, lambda _: Plain(claim_row)),
        Kind((("whereabouts.cni.cncf.io/v1alpha1", "IPPool"),), below.pools, lambda _: Plain(pool_row)),
    )


def _dra(kind: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"resource.k8s.io/{version}", kind) for version in ("v1", "v1beta2", "v1beta1"))


class Collecting:
    """Keeps the rows of all kinds. `settled`: all of them have been tried, be it in vain."""

    def __init__(
        self, kube: Kube, clock: Clock, random: Random, kinds: tuple[Kind, ...], *, resync_seconds: float
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._random = random
        self._kinds = kinds
        self._resync_seconds = resync_seconds
        self._served: Served | None = None
        self._news = [asyncio.Event() for _ in kinds]
        self._unsettled = set(range(len(kinds)))
        self.settled = asyncio.Event()

    def discovered(self, served: Served) -> None:
        self._served = served
        for news in self._news:
            news.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number, kind in enumerate(self._kinds):
                group.create_task(self._keep(number, kind))

    async def _keep(self, number: int, kind: Kind) -> None:
        said = ""
        while True:
            resource = self._resource(kind)
            version = resource.api_version if resource is not None else ""
            if version != said:
                said = version
                _log.info("kind_served", kind=kind.versions[0][1], version=version or "none")
            if resource is None:
                kind.rows.replace({})
                if self._served is not None:
                    self._settle(number)
                await signalled(self._clock, self._news[number], NEVER_SERVED_SECONDS)
                continue
            table = kind.table(resource)
            watching = Watching(
                self._kube,
                self._clock,
                self._random,
                resource,
                kind.rows,
                table.row,
                resync_seconds=self._resync_seconds,
                begin=table.begin,
                tried=lambda: self._settle(number),
            )
            await watching.run()
            self._news[number].clear()
            await signalled(self._clock, self._news[number], RETRY_SECONDS)

    def _resource(self, kind: Kind) -> Resource | None:
        found = (self._served.get(each) for each in kind.versions) if self._served is not None else ()
        return next((each for each in found if each is not None), None)

    def _settle(self, number: int) -> None:
        self._unsettled.discard(number)
        if not self._unsettled:
            self.settled.set()
