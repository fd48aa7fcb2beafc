"""Runtime classes and networks of the fleet, from what clusters say of themselves beside their nodes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from controlplane.fleet import Fleet
from controlplane.fleet.classes import ClassSum
from controlplane.fleet.traits import HANDLER, value_of
from controlplane.placement.hardware import SANDBOXES
from controlplane.queries.inventory_rows import MOST_NAMED, NetworkIn, NetworkRow, RuntimeIn, RuntimeRow
from schemas.wire.hardware import Attachment, Hardware, Pool, RuntimeClass

ATTACHMENT = "Attachment"
POOL = "Pool"


class Runtimes:
    """By name and handler. A cluster that has not reported its hardware neither has nor lacks any."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[RuntimeIn]] = defaultdict(list)
        self._reported: list[str] = []

    def take(self, fleet: Fleet, cluster: str, name: str) -> None:
        hardware = fleet.hardware(cluster)
        if hardware is None:
            return
        self._reported.append(name)
        classes = fleet.classes(cluster, lambda _: False)
        for runtime in hardware.runtime_classes:
            nodes = _running(classes, runtime)
            part = RuntimeIn(name, nodes, runtime.overhead, runtime.node_selector)
            self._found[runtime.name, runtime.handler].append(part)

    def rows(self) -> Iterable[RuntimeRow]:
        handlers: dict[str, set[str]] = defaultdict(set)
        having: dict[str, set[str]] = defaultdict(set)
        for (name, handler), parts in self._found.items():
            handlers[name].add(handler)
            having[name].update(part.cluster for part in parts)
        for (name, handler), parts in self._found.items():
            others = tuple(sorted(handlers[name] - {handler}))
            lacking = _without(self._reported, having[name])
            yield RuntimeRow(
                name=name,
                handler=handler,
                sandboxed=handler.startswith(SANDBOXES),
                conflict=bool(others),
                other_handlers=others,
                nodes=sum(part.nodes for part in parts),
                clusters=len(parts),
                clusters_lacking=len(lacking),
                where=tuple(sorted(parts, key=lambda part: (-part.nodes, part.cluster))),
                lacking=lacking,
            )


def _running(classes: Iterable[ClassSum], runtime: RuntimeClass) -> int:
    """Nodes that the scheduler would send a pod of this class to."""
    return sum(
        each.nodes
        for each in classes
        if all(each.labels.get(key) == value for key, value in runtime.node_selector.items())
        and value_of(f"{HANDLER}{runtime.handler}", each.labels, each.features, each.handlers) is not None
    )


class Networks:
    """Attachments and pools by name."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[NetworkIn]] = defaultdict(list)
        self._reported: list[str] = []

    def take(self, fleet: Fleet, cluster: str, name: str) -> None:
        hardware = fleet.hardware(cluster)
        if hardware is None:
            return
        self._reported.append(name)
        interfaces = _interfaces(fleet, cluster, hardware)
        pools = {pool.name: (pool, fleet.addresses_free(cluster, pool.name)) for pool in hardware.pools}
        for each in hardware.attachments:
            part = _attachment_in(name, each, pools.get(each.pool), interfaces)
            self._found[ATTACHMENT, each.key].append(part)
        for pool, free in pools.values():
            giving = tuple(sorted(each.key for each in hardware.attachments if each.pool == pool.name))
            giving = giving[:MOST_NAMED]
            part = NetworkIn(name, "", "", pool.name, pool.range, giving, pool.total, free, None, None)
            self._found[POOL, pool.name].append(part)

    def rows(self) -> Iterable[NetworkRow]:
        for (kind, name), parts in self._found.items():
            lacking = _without(self._reported, {part.cluster for part in parts})
            exhausted = tuple(sorted(part.cluster for part in parts if is_exhausted(part)))
            yield NetworkRow(
                kind=kind,
                name=name,
                types=_distinct(part.type for part in parts),
                resources=_distinct(part.resource for part in parts),
                addresses=_total(part.addresses for part in parts),
                addresses_free=_total(part.addresses_free for part in parts),
                interfaces=_total(part.interfaces for part in parts),
                interfaces_free=_total(part.interfaces_free for part in parts),
                clusters=len(parts),
                clusters_lacking=len(lacking),
                clusters_exhausted=len(exhausted),
                where=tuple(sorted(parts, key=_most_free)),
                exhausted=exhausted,
                lacking=lacking,
            )


def is_exhausted(part: NetworkIn) -> bool:
    """No pod more can have an interface of it there."""
    return part.addresses_free == 0 or part.interfaces_free == 0


def _interfaces(fleet: Fleet, cluster: str, hardware: Hardware) -> Mapping[str, tuple[int, int]]:
    """(all, free) by resource."""
    wanted = {each.resource for each in hardware.attachments if each.resource}
    found: dict[str, tuple[int, int]] = dict.fromkeys(wanted, (0, 0))
    for each in fleet.classes(cluster, wanted.__contains__) if wanted else ():
        for resource, amount in each.allocatable.items():
            before, free = found[resource]
            found[resource] = before + amount, free + each.free[resource]
    return found


def _attachment_in(
    cluster: str,
    attachment: Attachment,
    pool: tuple[Pool, int] | None,
    interfaces: Mapping[str, tuple[int, int]],
) -> NetworkIn:
    count, free = interfaces.get(attachment.resource, (None, None))
    return NetworkIn(
        cluster=cluster,
        type=attachment.type,
        resource=attachment.resource,
        pool=attachment.pool,
        range=pool[0].range if pool else "",
        attachments=(),
        addresses=pool[0].total if pool else None,
        addresses_free=pool[1] if pool else None,
        interfaces=count,
        interfaces_free=free,
    )


def _most_free(part: NetworkIn) -> tuple[int, str]:
    free = [each for each in (part.addresses_free, part.interfaces_free) if each is not None]
    return -min(free, default=0), part.cluster


def _without(reported: Sequence[str], having: set[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in reported if name not in having))


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name}))


def _total(amounts: Iterable[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
