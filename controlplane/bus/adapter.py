"""`loops.ports.Bus` on NATS."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager

import structlog
from msgspec import MsgspecError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from controlplane import tracing
from controlplane.bus.following import follow
from controlplane.bus.session import Away, Credentials, Session
from controlplane.bus.streams import (
    StreamBounds,
    ensure_streams,
    order_consumer,
    order_consumers,
    stream_names,
)
from controlplane.identity import accounts, jwt
from controlplane.identity.keys import Keys
from controlplane.identity.nkey import NKey
from controlplane.loops.ports import BusUnavailable, NewerStored, OrdersState, StoredOrder, StreamBatch
from schemas.wire.subjects import Subjects
from schemas.wire.traces import TRACEPARENT

REQUEST_TIMEOUT_SECONDS = 2.0
CONSUMER_TIMEOUT_SECONDS = 15.0
"""They are files: with thousands of agents that arrive at once, the server takes a while for each."""
REACH_SECONDS = 1
BEATS_AT_ONCE = 8_192
WRONG_LAST_SEQUENCE = (10071, 10164)

_log = structlog.get_logger()

Answer = Callable[[str, bytes], Awaitable[bytes | None]]


class NatsBus:
    """The centre's connection, and the system account's, by which accounts of clusters are pushed.

    now: Unix seconds; JWTs are issued at that time. returned_at: when NATS was back last, 0 for never away.
    """

    def __init__(
        self,
        servers: Sequence[str],
        keys: Keys,
        subjects: Subjects,
        now: Callable[[], float],
        bounds: StreamBounds | None = None,
    ) -> None:
        self._keys, self._subjects, self._now = keys, subjects, now
        self._bounds = bounds or StreamBounds()
        centre = self._credentials(keys.centre_account, keys.centre_user, "centre")
        system = self._credentials(keys.system_account, keys.system_user, "pusher")
        away = Away()
        self._centre = Session(servers, centre, "centre", away)
        self._system = Session(servers, system, "pusher", away)
        self._centre.on_connect.append(self._subscribe_beats)
        self._centre.on_return += [self._ensure_streams, self._note_return]
        self.returned_at = 0.0
        self._answer: Answer | None = None
        self._beats: Subscription | None = None
        self._answering: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Push the centre's account, connect, make the streams. Raises BusUnavailable; may be tried again."""
        await self.push_account(accounts.centre_account_jwt(self._keys, (self._subjects,), self._issued_at()))
        await self._ensure_streams()

    async def _ensure_streams(self) -> None:
        async with self._jetstream() as jetstream:
            await ensure_streams(jetstream, self._subjects, self._bounds)

    async def _note_return(self) -> None:
        self.returned_at = self._now()

    async def delete_streams(self) -> None:
        """The end of an installation: everything in its streams is gone."""
        async with self._jetstream() as jetstream:
            for stream in stream_names(self._subjects):
                await jetstream.delete_stream(stream)

    async def reach(self) -> None:
        """Returns when the server has answered. Raises BusUnavailable."""
        try:
            await (await self._client()).flush(timeout=REACH_SECONDS)
        except (NatsError, OSError, TimeoutError) as error:
            raise BusUnavailable(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        for task in self._answering:
            task.cancel()
        await self._centre.close()
        await self._system.close()

    def follow_reports(self, *, usage: bool) -> AsyncIterator[StreamBatch]:
        return follow(self._centre, self._subjects.usage_stream if usage else self._subjects.state_stream)

    def follow_alerts(self) -> AsyncIterator[StreamBatch]:
        return follow(self._centre, self._subjects.alerts_stream)

    async def purge_alerts(self, cluster: str, up_to_sequence: int) -> None:
        await self._purge(self._subjects.alerts_stream, self._subjects.alert(cluster), up_to_sequence)

    async def purge_report(self, subject: str) -> None:
        """Raises ValueError for a subject that is no report's."""
        for kind, stream in (("state", self._subjects.state_stream), ("usage", self._subjects.usage_stream)):
            if subject.startswith(f"{self._subjects.prefix}.{kind}.") and not set(subject) & {"*", ">"}:
                return await self._purge(stream, subject, None)
        raise ValueError(f"{subject!r} is no report's subject")

    async def purge_cluster(self, cluster: str) -> None:
        subjects, prefix = self._subjects, self._subjects.prefix
        for stream, pattern in (
            (subjects.state_stream, f"{prefix}.state.{cluster}.>"),
            (subjects.usage_stream, f"{prefix}.usage.{cluster}.>"),
            (subjects.alerts_stream, subjects.alert(cluster)),
            (subjects.meter_stream, subjects.meter(cluster)),
        ):
            await self._purge(stream, pattern, None)

    async def orders_state(self) -> OrdersState:
        async with self._jetstream() as jetstream:
            info = await jetstream.stream_info(self._subjects.orders_stream)
        return OrdersState(info.created.timestamp() if info.created else 0.0, info.state.last_seq)

    async def last_order(self, cluster: str, workload: str) -> StoredOrder | None:
        subject = self._subjects.order(cluster, workload)
        async with self._jetstream() as jetstream:
            try:
                stored = await jetstream.get_last_msg(self._subjects.orders_stream, subject)
            except NotFoundError:
                return None
        return StoredOrder(sequence=stored.seq or 0, body=stored.data or b"")

    async def publish_order(self, cluster: str, workload: str, body: bytes, *, expected_sequence: int) -> int:
        subject = self._subjects.order(cluster, workload)
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected_sequence)}
        if trace := tracing.current():
            headers[TRACEPARENT] = trace
        async with self._jetstream() as jetstream:
            try:
                return (await jetstream.publish(subject, body, headers=headers)).seq
            except APIError as error:
                if error.err_code not in WRONG_LAST_SEQUENCE:
                    raise
        stored = await self.last_order(cluster, workload)
        raise NewerStored(stored.sequence if stored else 0)

    async def purge_order(self, cluster: str, workload: str, up_to_sequence: int) -> None:
        subject = self._subjects.order(cluster, workload)
        await self._purge(self._subjects.orders_stream, subject, up_to_sequence)

    async def renew_consumer(self, cluster: str) -> None:
        await self.drop_consumer(cluster)
        async with self._jetstream(CONSUMER_TIMEOUT_SECONDS) as jetstream:
            await jetstream.add_consumer(
                self._subjects.orders_stream, order_consumer(self._subjects, cluster)
            )

    async def drop_consumer(self, cluster: str) -> None:
        async with self._jetstream(CONSUMER_TIMEOUT_SECONDS) as jetstream:
            try:
                await jetstream.delete_consumer(self._subjects.orders_stream, cluster)
            except NotFoundError:
                pass

    async def order_consumers(self) -> Collection[str]:
        try:
            return await order_consumers(await self._client(), self._subjects, REQUEST_TIMEOUT_SECONDS)
        except (NatsError, OSError, TimeoutError, MsgspecError) as error:
            raise BusUnavailable(str(error) or type(error).__name__) from error

    async def serve_beats(self, answer: Answer) -> None:
        """A second call replaces the first. At most BEATS_AT_ONCE are answered at a time, the others wait."""
        self._answer = answer
        client = await self._client()
        if self._beats is None:
            await self._subscribe_beats(client)

    async def admit(self, account: accounts.ClusterAccount) -> None:
        """Let a cluster speak: push its account with its imports. Again after `cut_off`, too."""
        await self.push_account(
            accounts.cluster_account_jwt(self._keys, account, self._subjects, self._issued_at())
        )

    async def readmit(self, account: accounts.ClusterAccount) -> None:
        """As `admit`, where the server does not know it so already.

        To push an account makes all its imports anew, under the server's locks: thousands at once, just when
        their agents come back, would keep them out for minutes.
        """
        wanted = accounts.cluster_account_jwt(self._keys, account, self._subjects, self._issued_at())
        if not await self._is_known(account.id, wanted):
            await self.push_account(wanted)

    async def _is_known(self, account: str, wanted: str) -> bool:
        """Whether the server's answer, or that of the first of several, says the same."""
        try:
            client = await self._system.client()
            lookup = f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP"
            stored = (await client.request(lookup, timeout=REQUEST_TIMEOUT_SECONDS)).data.decode()
            return bool(stored) and jwt.decode(stored)["nats"] == jwt.decode(wanted)["nats"]
        except (NatsError, OSError, TimeoutError, ValueError, KeyError):
            return False

    async def cut_off(self, cluster: str) -> None:
        await self.push_account(accounts.cut_off_account_jwt(self._keys, cluster, self._issued_at()))

    async def push_account(self, account_jwt: str) -> None:
        """Give an account to every server that answers. Raises BusUnavailable when none takes it."""
        try:
            client = await self._system.client()
            reply = await client.request(
                "$SYS.REQ.CLAIMS.UPDATE", account_jwt.encode(), timeout=REQUEST_TIMEOUT_SECONDS
            )
        except NoRespondersError as error:
            raise BusUnavailable(
                "this server does not trust Muster's operator: `muster nats init` writes what it must include"
            ) from error
        except (NatsError, OSError, TimeoutError) as error:
            raise BusUnavailable(f"the account was not pushed: {error}") from error
        if b'"error"' in reply.data:
            raise BusUnavailable(f"the account was refused: {reply.data.decode(errors='replace')[:300]}")

    async def _purge(self, stream: str, subject: str, up_to_sequence: int | None) -> None:
        async with self._jetstream() as jetstream:
            keep_from = None if up_to_sequence is None else up_to_sequence + 1
            await jetstream.purge_stream(stream, seq=keep_from, subject=subject)

    @asynccontextmanager
    async def _jetstream(
        self, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
    ) -> AsyncGenerator[JetStreamContext]:
        try:
            client = await self._client()
            yield client.jetstream(timeout=timeout_seconds)
        except (NatsError, OSError, TimeoutError) as error:
            raise BusUnavailable(str(error) or type(error).__name__) from error

    async def _client(self) -> Client:
        return await self._centre.client()

    async def _subscribe_beats(self, client: Client) -> None:
        if self._answer is not None:
            self._beats = await client.subscribe(f"{self._subjects.prefix}.beat.*", cb=self._on_beat)

    async def _on_beat(self, message: Msg) -> None:
        # Waiting here holds back the subscription, whose queue the client bounds.
        if len(self._answering) >= BEATS_AT_ONCE:
            await asyncio.wait(self._answering, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._answer_beat(message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer_beat(self, message: Msg) -> None:
        cluster, _ = self._subjects.of_cluster(message.subject)
        if self._answer is None or not message.reply:
            return
        try:
            reply = await self._answer(cluster, message.data)
            if reply is not None:
                await message.respond(reply)
        except Exception as error:
            # The agent's request times out and it beats again: one bad beat ends nothing.
            _log.warning("beat_not_answered", cluster=cluster, error=str(error) or type(error).__name__)

    def _credentials(self, account: NKey, user: NKey, name: str) -> Credentials:
        return Credentials(accounts.service_user_jwt(account, user, name, self._issued_at()), user)

    def _issued_at(self) -> int:
        return int(self._now())
