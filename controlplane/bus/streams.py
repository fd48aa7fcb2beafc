"""The five streams and the consumers of orders, without any feature by which one cluster reaches another."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError

from schemas.wire.codec import MAX_MESSAGE_BYTES
from schemas.wire.subjects import Subjects

STREAM_NAME_IN_USE = 10058
SHORTEST_DUPLICATE_WINDOW_SECONDS = 0.1
HEADROOM_BYTES = 4096
"""The server counts headers and subject into a message's size."""

MIB = 1024 * 1024


class _Names(msgspec.Struct):
    """A page of consumers' names."""

    total: int = 0
    consumers: list[str] = []
    error: dict[str, Any] | None = None


_decode_names = msgspec.json.Decoder(_Names).decode


@dataclass(frozen=True)
class StreamBounds:
    """What the streams may hold. clusters: consumers of ORDERS; the server allows 1,000 unless told."""

    state_bytes: int = 1024 * MIB
    usage_bytes: int = 1024 * MIB
    alert_bytes: int = 512 * MIB
    meter_bytes: int = 256 * MIB
    order_bytes: int = 1024 * MIB
    clusters: int = 20_000
    replicas: int = 1


def stream_names(subjects: Subjects) -> tuple[str, ...]:
    return (
        subjects.state_stream,
        subjects.usage_stream,
        subjects.alerts_stream,
        subjects.meter_stream,
        subjects.orders_stream,
    )


def stream_configs(subjects: Subjects, bounds: StreamBounds) -> list[StreamConfig]:
    """All five, as they must be."""
    prefix = subjects.prefix
    return [
        stream_config(stream, subject, last_value=last_value, size=size, bounds=bounds)
        for stream, subject, last_value, size in (
            (subjects.state_stream, f"{prefix}.state.*.>", True, bounds.state_bytes),
            (subjects.usage_stream, f"{prefix}.usage.*.>", True, bounds.usage_bytes),
            (subjects.alerts_stream, f"{prefix}.alert.*", False, bounds.alert_bytes),
            (subjects.meter_stream, f"{prefix}.meter.*", False, bounds.meter_bytes),
            (subjects.orders_stream, f"{prefix}.order.*.*", True, bounds.order_bytes),
        )
    ]


async def ensure_streams(jetstream: JetStreamContext, subjects: Subjects, bounds: StreamBounds) -> None:
    """Make the streams, or bring those that are there to this configuration. Raises nats' errors."""
    for config in stream_configs(subjects, bounds):
        try:
            await jetstream.add_stream(config)
        except APIError as error:
            if error.err_code != STREAM_NAME_IN_USE:
                raise
            await jetstream.update_stream(config)


def stream_config(
    name: str, subject: str, *, last_value: bool, size: int, bounds: StreamBounds
) -> StreamConfig:
    """Every header that acts on more than its own message stays without effect.

    The duplicate window cannot be closed, so it is the shortest that the server takes; no side of ours sends
    message ids.
    """
    return StreamConfig(
        name=name,
        subjects=[subject],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_msgs_per_subject=1 if last_value else -1,
        max_msgs=-1,
        max_bytes=size,
        max_msg_size=MAX_MESSAGE_BYTES + HEADROOM_BYTES,
        max_consumers=bounds.clusters,
        num_replicas=bounds.replicas,
        duplicate_window=SHORTEST_DUPLICATE_WINDOW_SECONDS,
        allow_rollup_hdrs=False,
        allow_direct=False,
        mirror_direct=False,
        allow_msg_ttl=False,
        allow_msg_schedules=False,
        allow_atomic=False,
        allow_batched=False,
        allow_msg_counter=False,
    )


def order_consumer(subjects: Subjects, cluster: str) -> ConsumerConfig:
    """The one consumer a cluster may pull from. On disk, so that it survives a restart of the server."""
    return ConsumerConfig(
        name=cluster,
        durable_name=cluster,
        filter_subject=f"{subjects.prefix}.order.{cluster}.*",
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=30.0,
        max_ack_pending=1000,
        max_waiting=16,
    )


async def order_consumers(client: Client, subjects: Subjects, timeout_seconds: float) -> set[str]:
    """Names of those that are there. How each stands would be much to say, and to read, of thousands."""
    found: set[str] = set()
    subject, offset = f"$JS.API.CONSUMER.NAMES.{subjects.orders_stream}", 0
    while True:
        asked = json.dumps({"offset": offset}).encode()
        page = _decode_names((await client.request(subject, asked, timeout=timeout_seconds)).data)
        if page.error is not None:
            raise APIError.from_error(page.error)
        found.update(page.consumers)
        offset += len(page.consumers)
        if not page.consumers or offset >= page.total:
            return found


def replay_consumer(after_sequence: int) -> ConsumerConfig:
    """A reader of its own, in memory, without acknowledgements, that goes when nobody reads."""
    fresh = after_sequence == 0
    return ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL if fresh else DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=None if fresh else after_sequence + 1,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30.0,
        mem_storage=True,
        num_replicas=1,
        max_waiting=4,
    )
