"""Where a redirect may lead: never to an address inside, which whoever answers must not make us ask."""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64 = IPv6Network("64:ff9b::/96")
_AZURE = ip_address("168.63.129.16")
"""Azure's metadata service has a public address."""
_AWS = ip_address("fd00:ec2::254")


class InternalAddress(OSError):
    """A name or address that leads inside."""


def is_internal(address: str) -> bool:
    """Loopback, private, link-local (metadata of clouds), shared, multicast, reserved; also inside IPv6."""
    try:
        known = ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return True
    return any(_inside(each) for each in _embedded(known))


def is_metadata(address: str) -> bool:
    """Where a machine's own credentials are told: nobody redirects there, whoever asks from inside either."""
    try:
        known = ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return True
    return any(each.is_link_local or each in (_AZURE, _AWS) for each in _embedded(known))


def _embedded(address: IPv4Address | IPv6Address) -> Iterable[IPv4Address | IPv6Address]:
    yield address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            yield address.ipv4_mapped
        if address.sixtofour:
            yield address.sixtofour
        if address.teredo:
            yield from address.teredo
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFFFFFF)


def _inside(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in _NAT64):
        return False
    return not address.is_global or address.is_multicast or address == _AZURE


def is_literal(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return False
    return True


async def leads_inside(host: str, resolver: AbstractResolver) -> bool:
    """Whether any address of it is internal. OSError: not known."""
    if is_literal(host):
        return is_internal(host)
    return any(is_internal(found["host"]) for found in await resolver.resolve(host, 0, socket.AF_UNSPEC))


class GuardedResolver(AbstractResolver):
    """What connects through it connects to an address that was checked: a name cannot change in between.

    inside: whether it may be internal, but for those of metadata.
    """

    def __init__(self, resolver: AbstractResolver, *, inside: bool = False) -> None:
        self._resolver = resolver
        self._inside = inside

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        refused = is_metadata if self._inside else is_internal
        if any(refused(each["host"]) for each in found):
            raise InternalAddress(f"{host} leads to an internal address")
        return found

    async def close(self) -> None:
        """The resolver belongs to whoever gave it."""
        await asyncio.sleep(0)
