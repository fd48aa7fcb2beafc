"""HTTP to receivers: bounded in time and size, redirects by hand, never led inside.

1. credentials and headers of http_config are read; files at every attempt, as they may change
2. the request goes out; a total timeout holds for all of it
3. up to 64 KiB of the answer are read, for at most 5 s: a status counts also when the body never ends
4. a redirect is followed up to 3 times: from outside to public addresses only, from inside not to metadata of
   clouds; what is secret stays with the first host
"""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from controlplane.channels.answers import Reply, Undeliverable, quoted
from controlplane.channels.guard import (
    GuardedResolver,
    InternalAddress,
    is_internal,
    is_literal,
    is_metadata,
    leads_inside,
)
from controlplane.channels.secret_texts import read_secret
from controlplane.channels.tls import TlsContexts
from schemas.manifests.alertmanager_http import HttpConfig

MOST_BODY_BYTES = 64 * 1024
MOST_REDIRECTS = 3
CONNECT_SECONDS = 10.0
TOTAL_SECONDS = 30.0
_BODY_SECONDS = 5.0
_MOST_CONNECTIONS = 1_000
_SAME_METHOD = frozenset((301, 302, 307, 308))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """host_is_filled_in: by a template, so by whoever sends the alert; it is kept outside then."""

    url: str
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    method: str = "POST"
    host_is_filled_in: bool = False


class Http:
    """One for all receivers of a configuration; made and closed inside of a running loop."""

    def __init__(self, user_agent: str) -> None:
        self._resolver = aiohttp.ThreadedResolver()
        self._open = _session(self._resolver, user_agent)
        self._guarded = _session(GuardedResolver(self._resolver), user_agent)
        self._inside = _session(GuardedResolver(self._resolver, inside=True), user_agent)
        self._tls = TlsContexts()

    async def close(self) -> None:
        await self._open.close()
        await self._guarded.close()
        await self._inside.close()
        await self._resolver.close()

    async def send(self, outgoing: Outgoing, config: HttpConfig, timeout_seconds: float = 0.0) -> Reply:
        """Undeliverable: nobody answered, or a redirect that is not followed."""
        total = timeout_seconds or TOTAL_SECONDS
        try:
            async with asyncio.timeout(total):
                return await self._followed(outgoing, config)
        except TimeoutError as error:
            raise Undeliverable(f"no answer within {total:g} s", retry=True) from error

    async def _followed(self, outgoing: Outgoing, config: HttpConfig) -> Reply:
        secret = await _credentials(config)
        url, inside = outgoing.url, None
        for hop in range(MOST_REDIRECTS + 1):
            if hop and inside is None:
                inside = await self._leads_inside(outgoing.url)
            session = self._open
            if not hop and outgoing.host_is_filled_in:
                await self._refuse_inside(url, config, inside=False)
                session = self._guarded
            elif hop:
                await self._refuse_inside(url, config, bool(inside))
                session = self._inside if inside else self._guarded
            reply = await self._once(url, outgoing, config, secret, session)
            location = reply.headers.get("Location", "")
            if not 300 <= reply.status < 400 or not config.follow_redirects:
                return reply
            if reply.status not in _SAME_METHOD or not location:
                raise Undeliverable(f"answers HTTP {reply.status}: a message is not sent again by GET")
            before, url = url, _redirected(url, location)
            secret = secret if _origin(url) == _origin(before) else {}
        raise Undeliverable(f"redirects more than {MOST_REDIRECTS} times")

    async def _leads_inside(self, url: str) -> bool:
        try:
            return await leads_inside(urlsplit(url).hostname or "", self._resolver)
        except OSError:
            return False

    async def _refuse_inside(self, url: str, config: HttpConfig, inside: bool) -> None:
        """An address in the URL meets no resolver; behind a proxy, no name does."""
        host = urlsplit(url).hostname or ""
        if is_literal(host):
            led = is_metadata(host) if inside else is_internal(host)
        else:
            led = not inside and bool(_proxy(url, config)) and await self._leads_inside(url)
        if led:
            raise Undeliverable("leads to an internal address, which nobody named: not followed")

    async def _once(
        self,
        url: str,
        outgoing: Outgoing,
        config: HttpConfig,
        secret: Mapping[str, str],
        session: aiohttp.ClientSession,
    ) -> Reply:
        tls = config.tls_config
        try:
            async with session.request(
                outgoing.method,
                URL(url, encoded=True),
                data=outgoing.body,
                headers={"Content-Type": outgoing.content_type, **outgoing.headers, **secret},
                allow_redirects=False,
                ssl=await self._tls.context(tls) if url.startswith("https:") else True,
                server_hostname=tls.server_name or None,
                proxy=_proxy(url, config),
            ) as response:
                return Reply(response.status, response.headers, await _body(response))
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, InternalAddress):
                raise Undeliverable(
                    "leads to an internal address, which nobody named: not followed"
                ) from error
            raise Undeliverable(_said(error), retry=True) from error
        except (aiohttp.InvalidURL, ValueError) as error:
            raise Undeliverable(f"no address that can be called: {type(error).__name__}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Undeliverable(_said(error), retry=True) from error


def _session(resolver: Any, user_agent: str) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=_MOST_CONNECTIONS, resolver=resolver, use_dns_cache=False)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )


async def _body(response: aiohttp.ClientResponse) -> str:
    """What is read of it before it is too much, too slow or broken."""
    read = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in response.content.iter_any():
                read += chunk
                if len(read) >= MOST_BODY_BYTES:
                    break
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    if not response.content.at_eof():
        response.close()
    return bytes(read[:MOST_BODY_BYTES]).decode(errors="replace")


async def _credentials(config: HttpConfig) -> dict[str, str]:
    headers = dict[str, str]()
    for name, given in config.http_headers.items():
        values = [*given.values, *given.secrets, *[await read_secret(path) for path in given.files]]
        if values:
            headers[name] = ", ".join(values)
    basic, bearer = config.basic_auth, config.bearer
    if basic is not None:
        name = await read_secret(basic.username_file) if basic.username_file else basic.username
        word = await read_secret(basic.password_file) if basic.password_file else basic.password
        headers["Authorization"] = f"Basic {base64.b64encode(f'{name}:{word}'.encode()).decode()}"
    elif bearer is not None:
        file = bearer.credentials_file
        headers["Authorization"] = f"{bearer.type} {await read_secret(file) if file else bearer.credentials}"
    return headers


def _proxy(url: str, config: HttpConfig) -> str | None:
    address = urlsplit(url)
    host = address.hostname or ""
    if config.proxy_from_environment:
        return None if proxy_bypass(host) else getproxies().get(address.scheme)
    left_out = (name.strip().lstrip(".") for name in config.no_proxy.split(","))
    if any(name and (host == name or host.endswith(f".{name}")) for name in left_out):
        return None
    return config.proxy_url or None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        scheme, host, _ = _origin(target)
    except ValueError as error:
        raise Undeliverable("redirects to what is no address") from error
    if scheme not in {"http", "https"} or not host:
        raise Undeliverable("redirects to what is no address of the web")
    if scheme == "http" and url.startswith("https:"):
        raise Undeliverable("redirects from https to http, which is not followed")
    return target


def _said(error: Exception) -> str:
    """An aiohttp error without the address that it may quote; the host is no secret."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return quoted(f"{error.host}:{error.port}: {error.os_error.strerror or error.os_error}")
    if isinstance(error, aiohttp.ClientResponseError):
        return quoted(f"what was answered is no HTTP: {' '.join(error.message.split())}")
    return quoted(f"{type(error).__name__}: {error}")
