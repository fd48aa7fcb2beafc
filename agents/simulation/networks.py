"""Multus and Whereabouts of a simulated cluster: addresses of ranges, for pods that name attachments.

A pod that names one that is not there, or whose range has none left, does not start, and tries again.
Sources: github.com/k8snetworkplumbingwg/whereabouts pkg/allocate, pkg/storage/kubernetes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import msgspec

from agents.simulation import catalogue
from agents.simulation.bodies import Body, annotations_of, part
from agents.simulation.store import Kind, Name, Objects, Stored

NETWORKS = "k8s.v1.cni.cncf.io/networks"
RESOURCE = "k8s.v1.cni.cncf.io/resourceName"
POOLS_NAMESPACE = "kube-system"
_ATTACHMENTS = Kind(catalogue.ATTACHMENTS.group, catalogue.ATTACHMENTS.plural)
_POOLS = Kind(catalogue.IP_POOLS.group, catalogue.IP_POOLS.plural)
_PODS = Kind(catalogue.PODS.group, catalogue.PODS.plural)
_FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Network:
    """One attachment. range: of Whereabouts, "" for none. taken: addresses that others' pods hold."""

    namespace: str
    name: str
    type: str
    resource: str = ""
    range: str = ""
    exclude: tuple[str, ...] = ()
    taken: int = 0

    def manifest(self) -> Body:
        config: Body = {"cniVersion": "0.3.1", "name": self.name, "type": self.type}
        config["ipam"] = (
            {"type": "whereabouts", "range": self.range, "exclude": list(self.exclude)}
            if self.range
            else {"type": "dhcp"}
        )
        return {
            "apiVersion": catalogue.ATTACHMENTS.api_version,
            "kind": catalogue.ATTACHMENTS.kind,
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                **({"annotations": {RESOURCE: self.resource}} if self.resource else {}),
            },
            "spec": {"config": msgspec.json.encode(config).decode()},
        }

    def pool_manifest(self, pods: list[Body]) -> Body:
        """Its range, with an address for each of these pods."""
        body = _new_pool(self.range)
        free = _addresses(self.range, self.exclude)
        for pod, offset in zip(pods, free, strict=False):
            _allocate(body, offset, _ref(pod["metadata"]), "net1")
        return body


class Networks:
    """What the network plugins of all nodes do. `create` gives a new object uid and times, and stores it."""

    def __init__(self, objects: Objects, create: Callable[[Kind, Body], Body]) -> None:
        self._objects = objects
        self._create = create
        self._leftover = True
        objects.on_change(self._changed, _PODS)

    def _changed(self, _: Kind, __: Name, before: Stored | None, after: Stored | None) -> None:
        if before is not None and NETWORKS in annotations_of(before.body):
            self._leftover |= after is None or after.body["status"]["phase"] in _FINISHED

    def attach(self, pod: Body) -> str:
        """Why the pod cannot start, "" where each of its attachments has given it what it gives."""
        pools: dict[str, Body] = {}
        ref, given = _ref(pod["metadata"]), False
        for number, (namespace, name) in enumerate(_named(pod), start=1):
            attachment = self._objects.peek(_ATTACHMENTS, Name(namespace, name))
            if attachment is None:
                return f"cannot find a network-attachment-definition ({name}) in namespace ({namespace})"
            ipam = part(msgspec.json.decode(attachment["spec"]["config"]), "ipam")
            if ipam.get("type") != "whereabouts":
                continue
            pool = self._pool(ipam["range"], pools)
            held, interface = part(pool, "spec", "allocations"), f"net{number}"
            if any((each["podref"], each["ifname"]) == (ref, interface) for each in held.values()):
                continue
            free = (one for one in _addresses(ipam["range"], ipam.get("exclude") or ()) if one not in held)
            offset = next(free, None)
            if offset is None:
                return f"Could not allocate IP in range: {ipam['range']}"
            _allocate(pool, offset, ref, interface)
            given = True
        for pool in pools.values() if given else ():
            if "uid" in pool["metadata"]:
                self._objects.put(_POOLS, pool)
            else:
                self._create(_POOLS, pool)
        return ""

    def _pool(self, cidr: str, seen: dict[str, Body]) -> Body:
        """A copy of the range's pool, a new one where it gives its first address; kept in `seen`."""
        name = _pool_name(cidr)
        if name not in seen:
            seen[name] = self._objects.get(_POOLS, Name(POOLS_NAMESPACE, name)) or _new_pool(cidr)
        return seen[name]

    def release(self) -> None:
        """Give back what pods held that are gone."""
        if not self._leftover:
            return
        self._leftover = False
        for stored in self._objects.of(_POOLS):
            held = part(stored.body, "spec", "allocations")
            left = {offset: each for offset, each in held.items() if self._is_there(each["podref"])}
            if left != held:
                copy: Body = msgspec.json.decode(stored.raw)
                copy["spec"]["allocations"] = left
                self._objects.put(_POOLS, copy)

    def _is_there(self, ref: str) -> bool:
        pod = self._objects.peek(_PODS, Name(*ref.split("/", 1)))
        return pod is not None and pod["status"]["phase"] not in _FINISHED


def _named(pod: Body) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the attachments that the pod asks for, in either form that Multus reads."""
    text, own = annotations_of(pod).get(NETWORKS, "").strip(), pod["metadata"]["namespace"]
    if text.startswith("["):
        entries: list[dict[str, Any]] = msgspec.json.decode(text)
        yield from ((each.get("namespace") or own, each["name"]) for each in entries)
    elif text:
        for each in text.split(","):
            namespace, slash, name = each.strip().partition("@")[0].rpartition("/")
            yield (namespace if slash else own), name


def _addresses(cidr: str, exclude: list[str] | tuple[str, ...]) -> Iterator[str]:
    """Offsets from the network's own address, as allocations are keyed, in the order of giving."""
    network = IPv4Network(cidr)
    left_out: list[IPv4Network | IPv6Network] = [ip_network(each) for each in exclude]
    for host in network.hosts():
        if not any(host in each for each in left_out):
            yield str(int(host) - int(network.network_address))


def _new_pool(cidr: str) -> Body:
    return {
        "apiVersion": catalogue.IP_POOLS.api_version,
        "kind": catalogue.IP_POOLS.kind,
        "metadata": {"name": _pool_name(cidr), "namespace": POOLS_NAMESPACE},
        "spec": {"range": cidr, "allocations": {}},
    }


def _pool_name(cidr: str) -> str:
    return cidr.replace("/", "-")


def _allocate(pool: Body, offset: str, ref: str, interface: str) -> None:
    allocations = pool["spec"].setdefault("allocations", {})
    allocations[offset] = {"id": f"{ref}/{interface}", "podref": ref, "ifname": interface}


def _ref(metadata: Body) -> str:
    return f"{metadata['namespace']}/{metadata['name']}"
