"""What a doctor wants to know of NATS, asked by two connections of its own: the centre's, the system's.

Each question is bounded. A question that is not answered leaves its part out; only no connection at all, or
one that is refused, ends the look.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from controlplane.bus.session import Credentials, Session
from controlplane.bus.streams import StreamBounds, stream_configs
from controlplane.doctor.nats import NatsFacts, ServerFacts, StreamFacts
from controlplane.identity import accounts
from controlplane.identity.keys import Keys
from controlplane.identity.nkey import NKey
from schemas.wire.subjects import Subjects

ASK_SECONDS = 2.0
GATHER_SECONDS = 0.25
"""After one server has answered, so long for each of the others."""
CONSUMERS_A_PAGE = 256
COMPARED = (
    "subjects",
    "retention",
    "storage",
    "discard",
    "max_msgs_per_subject",
    "max_bytes",
    "max_msg_size",
    "num_replicas",
    "allow_rollup_hdrs",
    "allow_direct",
    "mirror_direct",
    "allow_msg_ttl",
)


async def look(
    servers: Sequence[str],
    keys: Keys,
    subjects: Subjects,
    now: Callable[[], float],
    bounds: StreamBounds | None = None,
) -> NatsFacts:
    """Raises BusUnavailable."""
    began = time.monotonic()
    centre = _session(servers, keys.centre_account, keys.centre_user, now)
    system = _session(servers, keys.system_account, keys.system_user, now)
    try:
        client, asking = await asyncio.gather(centre.client(), system.client())
        took = time.monotonic() - began
        described, pushed, (enabled, streams, consumers) = await asyncio.gather(
            _servers(asking, now), _accounts(asking), _jetstream(client, subjects, bounds or StreamBounds())
        )
        return NatsFacts(
            url=client.connected_url.netloc if client.connected_url else servers[0],
            took_seconds=took,
            servers=described,
            streams=streams,
            consumers=consumers,
            accounts=pushed,
            jetstream=enabled,
        )
    finally:
        await asyncio.gather(centre.close(), system.close(), return_exceptions=True)


def _session(servers: Sequence[str], account: NKey, user: NKey, now: Callable[[], float]) -> Session:
    user_jwt = accounts.service_user_jwt(account, user, "doctor", int(now()))
    return Session(servers, Credentials(user_jwt, user), "doctor")


async def _servers(client: Client, now: Callable[[], float]) -> tuple[ServerFacts, ...]:
    asked = now()
    told = await _asked(client, "$SYS.REQ.SERVER.PING.VARZ")
    at = (asked + now()) / 2
    found: list[ServerFacts] = []
    for answer in told:
        server, varz = answer.get("server", {}), answer.get("data", {})
        config = varz.get("jetstream", {}).get("config", {})
        stats = varz.get("jetstream", {}).get("stats", {})
        found.append(
            ServerFacts(
                name=str(server.get("name", "")),
                version=str(server.get("ver", "")),
                jetstream=bool(config),
                skew_seconds=_unix(str(varz.get("now", ""))) - at if varz.get("now") else 0.0,
                connections=int(varz.get("connections", 0)),
                store_bytes=int(stats.get("storage", 0)),
                store_most=int(config.get("max_storage", 0)),
            )
        )
    return tuple(sorted(found, key=lambda each: each.name))


async def _accounts(client: Client) -> frozenset[str] | None:
    """On every server that tells; None where none does."""
    told = await _asked(client, "$SYS.REQ.CLAIMS.LIST")
    lists: list[set[str]] = [{str(each) for each in answer["data"]} for answer in told if "data" in answer]
    return frozenset(set[str].intersection(*lists)) if lists else None


async def _asked(client: Client, subject: str) -> list[dict[str, Any]]:
    """What all servers answer that do so in time."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    found: list[dict[str, Any]] = []
    try:
        await client.publish(subject, b"", reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=GATHER_SECONDS if found else ASK_SECONDS)
            found.append(json.loads(message.data))
    except (NatsError, ValueError, TimeoutError):
        return found
    finally:
        await subscription.unsubscribe()


async def _jetstream(
    client: Client, subjects: Subjects, bounds: StreamBounds
) -> tuple[bool, dict[str, StreamFacts | None], dict[str, int] | None]:
    jetstream = client.jetstream(timeout=ASK_SECONDS)
    streams: dict[str, StreamFacts | None] = {}
    consumers: dict[str, int] | None = None
    try:
        await jetstream.account_info()
        for wanted in stream_configs(subjects, bounds):
            assert wanted.name is not None  # noqa: S101 - ours have names
            try:
                streams[wanted.name] = _stream(wanted, await jetstream.stream_info(wanted.name))
            except NotFoundError:
                streams[wanted.name] = None
        if streams[subjects.orders_stream] is not None:
            consumers = await _consumers(jetstream, subjects.orders_stream)
    except (NatsError, JetStreamError, TimeoutError):
        return bool(streams), streams, consumers
    return True, streams, consumers


async def _consumers(jetstream: JetStreamContext, stream: str) -> dict[str, int]:
    found: dict[str, int] = {}
    while True:
        page = await jetstream.consumers_info(stream, offset=len(found))
        found |= {each.name: each.num_pending or 0 for each in page}
        if len(page) < CONSUMERS_A_PAGE:
            return found


def _stream(wanted: StreamConfig, info: StreamInfo) -> StreamFacts:
    differs = [
        f"{name}: {_plain(theirs)}, not {_plain(ours)}"
        for name in COMPARED
        if (ours := getattr(wanted, name)) != (theirs := getattr(info.config, name))
        and (_plain(ours) or _plain(theirs))
    ]
    replicas = info.cluster.replicas if info.cluster and info.cluster.replicas else []
    return StreamFacts(
        name=wanted.name or "",
        messages=info.state.messages,
        bytes=info.state.bytes,
        bytes_most=info.config.max_bytes or 0,
        replicas=info.config.num_replicas or 1,
        differs=tuple(differs),
        lagging=tuple(each.name or "" for each in replicas if not each.current),
    )


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)


def _unix(text: str) -> float:
    """Of RFC 3339 with nanoseconds."""
    head, _, tail = text.partition(".")
    fraction = "".join(character for character in tail if character.isdigit())[:6] if tail else "0"
    zone = "+00:00" if text.endswith("Z") else ""
    return datetime.fromisoformat(f"{head.rstrip('Z')}.{fraction:0<6}{zone}").timestamp()
