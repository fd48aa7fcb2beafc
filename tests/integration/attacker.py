"""A hostile agent on NATS: it speaks and it listens.

The attacker holds its cluster's account with every right inside it: what must stop it is the border between
accounts, not the manners of a client or the permissions of a user.
"""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from controlplane.bus import Credentials
from controlplane.bus.tolerant import TolerantClient
from controlplane.identity import jwt
from controlplane.identity.nkey import KeyKind, NKey
from schemas.wire.subjects import Subjects
from tests.installation import JoinedCluster

ANSWER_SECONDS = 0.25
NO_RESPONDERS = "503"


async def connect(
    url: str, credentials: Credentials, on_error: Callable[[str], None] = lambda _: None
) -> Client:
    """A client that checks nothing of what it is told to send."""
    client = TolerantClient()

    async def on_client_error(error: Exception) -> None:
        on_error(str(error))

    await client.connect(
        servers=[url],
        user_jwt_cb=lambda: bytearray(credentials.user_jwt.encode()),
        signature_cb=lambda nonce: base64.b64encode(credentials.user.sign(nonce.encode())),
        allow_reconnect=False,
        skip_subject_validation=True,
        error_cb=on_client_error,
    )
    return client


def anything_inside(cluster: JoinedCluster) -> Credentials:
    """A user with every right inside the cluster's account: more than the centre ever issues."""
    user = NKey.from_random(KeyKind.USER, secrets.token_bytes(32))
    nats = {"type": "user", "issuer_account": cluster.id, "subs": -1, "data": -1, "payload": -1}
    return Credentials(jwt.encode(user.public, "any", nats, cluster.account.signing, int(time.time())), user)


@dataclass
class Attacker:
    """`own` and `victim` are cluster ids. `heard` is everything that reached the attacker, whole."""

    client: Client
    subjects: Subjects
    own: str
    victim: str
    centre_account: str
    heard: list[bytes] = field(default_factory=list[bytes])

    async def say(
        self,
        subject: str,
        body: bytes | Mapping[str, object] = b"{}",
        headers: dict[str, str] | None = None,
        reply: str | None = None,
    ) -> None:
        """Publish and take in whatever is answered. reply: where the answer shall go instead of to us."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        if reply is not None:
            await self.client.publish(subject, payload, reply=reply, headers=headers)
            await self.client.flush()
            return
        inbox = self.client.new_inbox()
        answered = asyncio.Event()

        async def hear(message: Msg) -> None:
            self._take(message)
            answered.set()

        subscription = await self.client.subscribe(inbox, cb=hear)
        await self.client.publish(subject, payload, reply=inbox, headers=headers)
        await self.client.flush()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await answered.wait()
        except TimeoutError:
            pass
        await subscription.unsubscribe()

    async def send_raw(self, subject: bytes, header: bytes | None = None, body: bytes = b"{}") -> None:
        """A publish whose bytes are put on the line as they are."""
        if header is None:
            line = b"PUB %s %d\r\n%s\r\n" % (subject, len(body), body)
        else:
            size = len(header) + len(body)
            line = b"HPUB %s %d %d\r\n%s%s\r\n" % (subject, len(header), size, header, body)
        await self.client._send_command(line)  # pyright: ignore[reportPrivateUsage]

    async def listen(self, subject: str) -> None:
        async def hear(message: Msg) -> None:
            self._take(message)

        try:
            await self.client.subscribe(subject, cb=hear)
            await self.client.flush()
        except NatsError:
            pass

    def _take(self, message: Msg) -> None:
        headers = dict(message.headers or {})
        if headers.get("Status") == NO_RESPONDERS and not message.data:
            # The server says the attacker's own words back to it.
            headers = {"Status": NO_RESPONDERS}
        parts = (message.subject.encode(), message.reply.encode(), json.dumps(headers).encode(), message.data)
        self.heard.append(b"\n".join(parts))


Attack = Callable[[Attacker], Awaitable[None]]


def saying(
    subject: str,
    body: bytes | Mapping[str, object] = b"{}",
    headers: Mapping[str, str] | None = None,
    reply: str | None = None,
) -> Attack:
    """One publish. In every text `{own}`, `{victim}`, `{prefix}` and the streams are filled in."""

    async def attack(attacker: Attacker) -> None:
        def filled(text: str) -> str:
            return fill(text, attacker)

        payload = body if isinstance(body, bytes) else json.loads(filled(json.dumps(body)))
        await attacker.say(
            filled(subject),
            payload,
            {name: filled(value) for name, value in headers.items()} if headers else None,
            filled(reply) if reply else None,
        )

    return attack


def listening(*subjects: str) -> Attack:
    async def attack(attacker: Attacker) -> None:
        for subject in subjects:
            await attacker.listen(fill(subject, attacker))

    return attack


def raw(subject: bytes, header: bytes | None = None) -> Attack:
    async def attack(attacker: Attacker) -> None:
        filled = subject.replace(b"{own}", attacker.own.encode())
        await attacker.send_raw(filled.replace(b"{prefix}", attacker.subjects.prefix.encode()), header)
        await attacker.client.flush()

    return attack


def fill(text: str, attacker: Attacker) -> str:
    subjects = attacker.subjects
    for name, value in {
        "prefix": subjects.prefix,
        "own": attacker.own,
        "victim": attacker.victim,
        "centre": attacker.centre_account,
        "STATE": subjects.state_stream,
        "ALERTS": subjects.alerts_stream,
        "ORDERS": subjects.orders_stream,
    }.items():
        text = text.replace("{" + name + "}", value)
    return text
