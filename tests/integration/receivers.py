"""Receivers of a test's own: HTTP and SMTP servers that keep what they are sent and answer as told."""

import asyncio
import base64
import hmac
import json
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Sent:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class HttpReceiver:
    """answer: of every request; says 200 until it is set."""

    answer: Handler
    got: list[Sent] = field(default_factory=list[Sent])
    host: str = "127.0.0.1"
    port: int = 0
    scheme: str = "http"
    _runner: web.AppRunner | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{rest:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, ssl_context=tls)
        await site.start()
        self.scheme = "https" if tls else "http"
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def url(self, path: str = "/", host: str = "") -> str:
        return f"{self.scheme}://{host or self.host}:{self.port}{path}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.got.append(Sent(request.method, request.path, dict(request.query), dict(request.headers), body))
        return await self.answer(request, body)


def says(status: int = 200, text: str = "ok", **headers: str) -> Handler:
    """`Retry_After` is the header Retry-After."""

    async def answer(_: web.Request, __: bytes) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=named)

    return answer


def says_json(body: Any, status: int = 200) -> Handler:
    async def answer(_: web.Request, __: bytes) -> web.Response:
        return web.json_response(body, status=status)

    return answer


@dataclass
class Mail:
    sender: str = ""
    to: list[str] = field(default_factory=list[str])
    content: str = ""
    encrypted: bool = False
    user: str = ""


@dataclass
class SmtpReceiver:
    """refused: the answer by recipient. ways: of AUTH that it offers. at_data: the answer to the message.

    tls: what STARTTLS needs; None: it is not offered.
    """

    users: dict[str, str] = field(default_factory=dict[str, str])
    ways: str = ""
    refused: dict[str, str] = field(default_factory=dict[str, str])
    at_data: str = "250 queued as 42"
    tls: ssl.SSLContext | None = None
    got: list[Mail] = field(default_factory=list[Mail])
    port: int = 0
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mail = Mail()

        async def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())
            await writer.drain()

        async def heard() -> str:
            return (await reader.readline()).decode().rstrip("\r\n")

        try:
            await say("220 here")
            while line := await heard():
                verb = line.split()[0].upper()
                if verb == "EHLO":
                    offers = [f"AUTH {self.ways}"] if self.ways else []
                    offers += ["STARTTLS"] if self.tls and not mail.encrypted else []
                    for offer in ["here", *offers]:
                        await say(f"250-{offer}")
                    await say("250 8BITMIME")
                elif verb == "STARTTLS" and self.tls:
                    await say("220 go on")
                    await writer.start_tls(self.tls)
                    mail.encrypted = True
                elif verb == "AUTH":
                    await say(await self._authenticated(line, mail, say, heard))
                elif verb == "MAIL":
                    mail.sender = line.partition("<")[2].partition(">")[0]
                    await say("250 ok")
                elif verb == "RCPT":
                    to = line.partition("<")[2].partition(">")[0]
                    answer = self.refused.get(to, "250 ok")
                    mail.to += [to] if answer.startswith("250") else []
                    await say(answer)
                elif verb == "DATA":
                    await say("354 go on")
                    mail.content = await _message(reader)
                    if self.at_data.startswith("250"):
                        self.got.append(mail)
                    await say(self.at_data)
                else:
                    await say("221 bye" if verb == "QUIT" else "250 ok")
                    if verb == "QUIT":
                        break
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _authenticated(
        self,
        line: str,
        mail: Mail,
        say: Callable[[str], Awaitable[None]],
        heard: Callable[[], Awaitable[str]],
    ) -> str:
        _, way, *given = line.split()
        if way.upper() == "PLAIN":
            _, user, word = base64.b64decode(given[0]).decode().split("\0")
        elif way.upper() == "LOGIN":
            if not given:
                await say("334 VXNlcm5hbWU6")
            user = base64.b64decode(given[0] if given else await heard()).decode()
            await say("334 UGFzc3dvcmQ6")
            word = base64.b64decode(await heard()).decode()
        else:
            challenge = "<1@here>"
            await say(f"334 {base64.b64encode(challenge.encode()).decode()}")
            user, digest = base64.b64decode(await heard()).decode().split()
            known = hmac.new(self.users.get(user, "").encode(), challenge.encode(), "md5").hexdigest()
            word = self.users.get(user, "") if digest == known else ""
        mail.user = user
        return "235 welcome" if self.users.get(user) == word else "535 wrong password"


async def _message(reader: asyncio.StreamReader) -> str:
    lines = list[bytes]()
    while (line := await reader.readline()) not in {b".\r\n", b""}:
        lines.append(line[1:] if line.startswith(b"..") else line)
    return b"".join(lines).decode()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Of localhost, signed by itself: its file, and the context of a server that has it."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(cert), "-addext", names]
    subprocess.run(["openssl", "req", "-x509", *curve.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context
