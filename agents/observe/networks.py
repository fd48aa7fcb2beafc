"""Further networks of pods: attachments of Multus, and how many addresses ranges of Whereabouts still give.

Free is counted as Whereabouts gives: from `range_start` to `range_end` within the range, never its first and
last address, without what is excluded, without what any range of the same network name has given already.
Attachments whose addresses are cut up by node (node_slice_size) or come otherwise are not counted.

Sources: github.com/k8snetworkplumbingwg/whereabouts pkg/config, pkg/allocate, pkg/iphelpers,
pkg/storage/kubernetes; multus-cni docs/configuration.md.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

import msgspec

from agents.observe.rows import PodKey, PodRow
from agents.observe.shapes import Metadata
from schemas.wire.hardware import Attachment, Pool

RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"
MOST_COUNTED = 2**53
"""Of an IPv6 range there are more than anybody counts."""

NamedKey = tuple[str, str]
"""(namespace, name)"""


class _Annotated(msgspec.Struct):
    name: str
    namespace: str = ""
    annotations: dict[str, str] | None = None


class _AttachmentSpec(msgspec.Struct):
    config: str = ""


class _AttachmentShape(msgspec.Struct):
    metadata: _Annotated
    spec: _AttachmentSpec = msgspec.field(default_factory=_AttachmentSpec)


class _Range(msgspec.Struct):
    range: str = ""
    range_start: str = ""
    range_end: str = ""
    exclude: list[str] | None = None


class _Ipam(_Range):
    type: str = ""
    ranges: list[_Range] | None = msgspec.field(default=None, name="ipRanges")
    network_name: str = ""
    node_slice_size: str = ""


class _Plugin(msgspec.Struct):
    type: str = ""
    ipam: _Ipam | None = None


class _Config(_Plugin):
    plugins: list[_Plugin] | None = None


class _Allocation(msgspec.Struct):
    podref: str = ""


class _PoolSpec(msgspec.Struct):
    range: str = ""
    allocations: dict[str, _Allocation] | None = None


class _PoolShape(msgspec.Struct):
    metadata: Metadata
    spec: _PoolSpec = msgspec.field(default_factory=_PoolSpec)


_decode_attachment = msgspec.json.Decoder(_AttachmentShape)
_decode_config = msgspec.json.Decoder(_Config)
_decode_pool = msgspec.json.Decoder(_PoolShape)


@dataclass(frozen=True, slots=True)
class Addresses:
    """What one range may give: from first to last, both included, as numbers, without what is excluded."""

    network: str
    version: int
    first: int
    last: int
    excluded: tuple[tuple[int, int], ...] = ()

    @property
    def total(self) -> int:
        """Excluded ones are apart from each other, and in order."""
        out = sum(high - low + 1 for low, high in self.excluded)
        return min(MOST_COUNTED, max(0, self.last - self.first + 1 - out))

    def gives(self, address: int) -> bool:
        return self.first <= address <= self.last and not any(
            low <= address <= high for low, high in self.excluded
        )


@dataclass(frozen=True, slots=True)
class AttachmentRow:
    """ranges: by the name of their pools."""

    attachment: Attachment
    network_name: str = ""
    ranges: tuple[tuple[str, Addresses], ...] = ()


@dataclass(frozen=True, slots=True)
class PoolRow:
    """given: (address as a number, namespace/name of the pod that has it)."""

    version: int
    given: tuple[tuple[int, str], ...]


def attachment_row(raw: bytes | msgspec.Raw) -> tuple[NamedKey, AttachmentRow]:
    """Raises msgspec.MsgspecError for what is no attachment; a config that cannot be read has type ""."""
    found = _decode_attachment.decode(raw)
    metadata = found.metadata
    try:
        config = _decode_config.decode(found.spec.config or "{}")
    except (msgspec.MsgspecError, UnicodeError):
        config = _Config()
    plugins = config.plugins or [config]
    attachment = Attachment(
        namespace=metadata.namespace,
        name=metadata.name,
        type=plugins[0].type,
        resource=(metadata.annotations or {}).get(RESOURCE_NAME, ""),
    )
    ipam = next((each.ipam for each in plugins if each.ipam is not None), None)
    key = metadata.namespace, metadata.name
    if ipam is None or ipam.type != "whereabouts" or ipam.node_slice_size:
        return key, AttachmentRow(attachment)
    try:
        ranges = tuple(_ranges(ipam))
    except ValueError:
        # Whereabouts refuses it as well: no pod gets an address of it.
        return key, AttachmentRow(attachment)
    return key, AttachmentRow(attachment, ipam.network_name, ranges)


def _ranges(ipam: _Ipam) -> Iterator[tuple[str, Addresses]]:
    """By pool. Raises ValueError for what is no range."""
    for each in [ipam, *(ipam.ranges or ())] if ipam.range else ipam.ranges or ():
        addresses = _addresses(each)
        yield pool_name(addresses.network, ipam.network_name), addresses


def _addresses(given: _Range) -> Addresses:
    """`10.0.0.0/24`, or `10.0.0.5-10.0.0.9/24`, whose ends go before range_start and range_end."""
    low, dash, high = given.range.partition("-")
    network = ip_network(high if dash else low, strict=False)
    start, end = (low, high.partition("/")[0]) if dash else (given.range_start, given.range_end)
    first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
    if first <= (number := _number(start)) <= last:
        first = number
    if first <= (number := _number(end)) <= last:
        last = number
    excluded = (
        (max(first, int(one.network_address)), min(last, int(one.broadcast_address)))
        for one in (ip_interface(each).network for each in given.exclude or ())
        if one.version == network.version
    )
    return Addresses(str(network), network.version, first, last, tuple(_apart(excluded)))


def _number(address: str) -> int:
    """-1 for what is none: Whereabouts passes over it."""
    try:
        return int(ip_address(address.partition("/")[0]))
    except ValueError:
        return -1


def _apart(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers in spans that do not meet, in order; one that is empty is none."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(span for span in spans if span[0] <= span[1]):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


def pool_name(network: str, network_name: str = "") -> str:
    """As Whereabouts calls the IPPool of a range."""
    text = f"{network}0" if network.endswith(":") else network
    text = text.replace(":", "-").replace("/", "-")
    return f"{network_name}-{text}" if network_name else text


def pool_row(raw: bytes | msgspec.Raw) -> tuple[NamedKey, PoolRow]:
    """Allocations are keyed by their distance from the address that the range begins with.

    Raises msgspec.MsgspecError.
    """
    found = _decode_pool.decode(raw)
    try:
        begin = ip_interface(found.spec.range)
    except ValueError as error:
        raise msgspec.ValidationError(f"spec.range: {error}") from None
    given = sorted(
        (int(begin.ip) + int(offset), each.podref)
        for offset, each in (found.spec.allocations or {}).items()
        if offset.isdecimal() and len(offset) <= 20
    )
    return (found.metadata.namespace, found.metadata.name), PoolRow(begin.version, tuple(given))


def attachments(
    rows: Mapping[NamedKey, AttachmentRow],
    pools: Mapping[NamedKey, PoolRow],
    pods: Mapping[PodKey, PodRow],
) -> tuple[list[Attachment], list[Pool]]:
    """Of an attachment with several ranges a pod takes one address of each: the scarcest is its pool."""
    network_names = {pool: row.network_name for row in rows.values() for pool, _ in row.ranges}
    given = _given(pools, network_names)
    held = _held(pools, pods)
    nobody = Counter[str]()
    counted: dict[str, Pool] = {}
    found: list[Attachment] = []
    for _, row in sorted(rows.items()):
        for name, addresses in row.ranges:
            taken = given.get((row.network_name, addresses.version), [])
            # Ranges of one network name share what is given: only what lies in this one is looked at.
            lying = taken[bisect_left(taken, addresses.first) : bisect_right(taken, addresses.last)]
            pool = Pool(
                name=name,
                range=addresses.network,
                total=addresses.total,
                free=max(0, addresses.total - sum(map(addresses.gives, lying))),
                held=dict(sorted(held.get(name, nobody).items())),
            )
            # Attachments may cut one range differently: it is as large as the smallest cut.
            counted[name] = min((counted.get(name, pool), pool), key=lambda each: each.free)
    for _, row in sorted(rows.items()):
        names = sorted((name for name, _ in row.ranges), key=lambda name: (counted[name].free, name))
        found.append(msgspec.structs.replace(row.attachment, pool=names[0] if names else ""))
    return found, [counted[name] for name in sorted(counted)]


def _given(
    pools: Mapping[NamedKey, PoolRow], network_names: Mapping[str, str]
) -> dict[tuple[str, int], list[int]]:
    """By network name, ascending: an address is given once in all ranges that it lies in."""
    given: dict[tuple[str, int], set[int]] = {}
    for (_, name), row in pools.items():
        known = given.setdefault((network_names.get(name, ""), row.version), set())
        known.update(address for address, _ in row.given)
    return {key: sorted(addresses) for key, addresses in given.items()}


def _held(pools: Mapping[NamedKey, PoolRow], pods: Mapping[PodKey, PodRow]) -> dict[str, Counter[str]]:
    """By pool and workload. Who is on the way out holds an address, but its successor needs one, too."""
    held: dict[str, Counter[str]] = {}
    for (_, name), row in pools.items():
        counted = held.setdefault(name, Counter())
        for _, ref in row.given:
            namespace, _, pod_name = ref.partition("/")
            pod = pods.get((namespace, pod_name))
            if pod is not None and pod.workload and not pod.deleting and not pod.finished:
                counted[pod.workload] += 1
    return held


def holders(rows: Iterable[PoolRow]) -> set[PodKey]:
    """The pods that have addresses."""
    parts = (ref.partition("/") for row in rows for _, ref in row.given)
    return {(namespace, name) for namespace, _, name in parts}
