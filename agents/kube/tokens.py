"""Bearer tokens: fixed, from a file that is changed under us, or printed by a command."""

import asyncio
import os
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

TOKEN_REREAD_SECONDS = 60.0
EXEC_TIMEOUT_SECONDS = 30.0


class AccessError(Exception):
    """There is no way to the API server; the text names the file and the field."""


Token = Callable[[], Awaitable[str]]
"""Returns the bearer token of now, "" for none. Raises AccessError."""


class ExecVariable(msgspec.Struct):
    name: str
    value: str


class ExecCommand(msgspec.Struct, rename="camel"):
    """`user.exec` of a kubeconfig, client.authentication.k8s.io/v1."""

    command: str
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    api_version: str = "client.authentication.k8s.io/v1"


class _ExecStatus(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""


class _ExecCredential(msgspec.Struct):
    status: _ExecStatus


def fixed_token(token: str) -> Token:
    async def current() -> str:
        return token

    return current


def token_from_file(path: Path) -> Token:
    """Kubernetes changes a mounted token about every hour: read again every minute."""
    known, read_at = "", float("-inf")

    async def current() -> str:
        nonlocal known, read_at
        if time.monotonic() - read_at >= TOKEN_REREAD_SECONDS:
            known, read_at = _read_token(path), time.monotonic()
        return known

    return current


def _read_token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise AccessError(f"token {path}: {error.strerror}") from None


def token_from_command(command: ExecCommand, tls: ssl.SSLContext | None) -> Token:
    """A command prints the credential, a token or a certificate; it is asked once a minute at most."""
    known, read_at = "", float("-inf")
    asking = asyncio.Lock()

    async def current() -> str:
        nonlocal known, read_at
        async with asking:
            if time.monotonic() - read_at >= TOKEN_REREAD_SECONDS:
                status = await _run(command)
                if tls is not None:
                    show_certificate(tls, status.client_certificate_data, status.client_key_data)
                known, read_at = status.token, time.monotonic()
        return known

    return current


async def _run(command: ExecCommand) -> _ExecStatus:
    asked = {"apiVersion": command.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {
        **os.environ,
        **{one.name: one.value for one in command.env or ()},
        "KUBERNETES_EXEC_INFO": msgspec.json.encode(asked).decode(),
    }
    try:
        child = await asyncio.create_subprocess_exec(
            command.command,
            *(command.args or ()),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise AccessError(f"user.exec.command {command.command}: {error.strerror}") from None
    try:
        async with asyncio.timeout(EXEC_TIMEOUT_SECONDS):
            printed, _ = await child.communicate()
        return msgspec.json.decode(printed, type=_ExecCredential).status
    except TimeoutError:
        child.kill()
        await child.wait()
        message = f"user.exec.command {command.command} took over {EXEC_TIMEOUT_SECONDS:.0f} s"
        raise AccessError(message) from None
    except msgspec.MsgspecError:
        raise AccessError(f"user.exec.command {command.command} printed no ExecCredential") from None


def show_certificate(tls: ssl.SSLContext, certificate: str, key: str) -> None:
    """OpenSSL reads a key from a file only: a private one, gone again at once."""
    if not certificate or not key:
        return
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_text(f"{certificate}\n{key}")
        try:
            tls.load_cert_chain(pair)
        except ssl.SSLError as error:
            raise AccessError(f"client-certificate and client-key do not fit: {error.reason}") from None
