"""E-mail: one message to all its addresses, over one connection that ends with it."""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import HeaderRegistry, MessageIDHeader
from email.message import EmailMessage
from email.policy import SMTP as WRITTEN
from email.utils import format_datetime, formataddr, getaddresses
from ipaddress import ip_address

import aiosmtplib
from aiosmtplib.errors import (
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from controlplane.alerts.notice import Answer
from controlplane.channels.answers import Undeliverable, quoted
from controlplane.channels.letters import Letter
from controlplane.channels.tls import TlsContexts
from schemas.manifests.alertmanager_channels import EmailConfig
from schemas.manifests.alertmanager_http import TlsConfig

_TOTAL_SECONDS = 60.0
_CONNECT_SECONDS = 10.0
_MOST_BYTES = 8 * 1024 * 1024
_IMPLICIT_TLS = "465"
_MOST_ADDRESSES = 100
_HEADERS = HeaderRegistry(use_default_map=False)
# As any other header, one that is longer than a line would be encoded, and be no id any more.
_HEADERS.map_to_type("message-id", MessageIDHeader)  # pyright: ignore[reportArgumentType]


def email(letter: Letter) -> tuple[str, list[str], bytes]:
    """From whom, to whom, the message. Undeliverable: addresses that are none."""
    settings: EmailConfig = letter.settings
    sender = _addresses("from", letter.exact("from", settings.from_))
    to = _addresses("to", letter.exact("to", settings.to))
    if len(sender) != 1:
        raise Undeliverable(f"from: one address is needed, there are {len(sender)}")
    message = EmailMessage(policy=WRITTEN.clone(header_factory=_HEADERS))
    for name, value in _headers(letter, settings, sender[0], to).items():
        try:
            message[name] = " ".join(value.split())
        except (ValueError, MessageError) as error:
            raise Undeliverable(f"headers.{name}: {error}") from error
    text = letter.text("text")
    html = letter.fitted("html", "email.default.html", _MOST_BYTES, html=True)
    if text or not html:
        message.set_content(text, cte="quoted-printable")
    if html and text:
        message.add_alternative(html, subtype="html", cte="quoted-printable")
    elif html:
        message.set_content(html, subtype="html", cte="quoted-printable")
    return sender[0][1], [address for _, address in to], message.as_bytes()


def _headers(
    letter: Letter, settings: EmailConfig, sender: tuple[str, str], to: list[tuple[str, str]]
) -> dict[str, str]:
    """Date and Message-Id follow from the notice: whoever gets it twice can tell."""
    host = sender[1].rpartition("@")[2]
    headers = {
        "Subject": letter.filled("subject", '{{ template("email.default.subject") }}'),
        "To": ", ".join(formataddr(address) for address in to),
        "From": formataddr(sender),
        "Date": format_datetime(datetime.fromtimestamp(letter.now, UTC)),
        "Message-Id": f"<{letter.key[:64]}@{host}>",
    }
    for name, source in settings.headers.items():
        headers[name.title()] = letter.filled(f"headers.{name}", source)
    return headers


def _addresses(field: str, text: str) -> list[tuple[str, str]]:
    found = getaddresses([text])
    wrong = [address for _, address in found if "@" not in address.strip("@") or " " in address]
    if not found or wrong or len(found) > _MOST_ADDRESSES:
        raise Undeliverable(f"{field}: NAME@HOST is needed, up to {_MOST_ADDRESSES}; it is {quoted(text)!r}")
    return found


async def send_email(letter: Letter, built: tuple[str, list[str], bytes], tls: TlsContexts) -> Answer:
    settings: EmailConfig = letter.settings
    sender, to, message = built
    config = settings.tls_config or TlsConfig()
    host, port = _smarthost(settings)
    context = await tls.context(config)
    implicit = port == _IMPLICIT_TLS
    client = aiosmtplib.SMTP(
        hostname=host,
        port=int(port),
        local_hostname=settings.hello or "localhost",
        timeout=_CONNECT_SECONDS,
        use_tls=implicit,
        start_tls=False,
        tls_context=context,
    )
    try:
        async with asyncio.timeout(_TOTAL_SECONDS):
            await client.connect()
            return await _spoken(client, letter, (sender, to, message), context, implicit)
    except SMTPRecipientsRefused as error:
        first = error.recipients[0]
        said = "; ".join(f"{each.recipient}: {each.code} {each.message}" for each in error.recipients)
        again = any(400 <= each.code < 500 for each in error.recipients)
        return Answer(False, again, f"SMTP {first.code}", quoted(said))
    except SMTPResponseException as error:
        return Answer(False, 400 <= error.code < 500, f"SMTP {error.code}", quoted(error.message))
    except (SMTPException, OSError, ValueError) as error:
        raise Undeliverable(quoted(f"{host}:{port}: {type(error).__name__}: {error}"), retry=True) from error
    finally:
        client.close()


async def _spoken(
    client: aiosmtplib.SMTP,
    letter: Letter,
    built: tuple[str, list[str], bytes],
    context: ssl.SSLContext,
    encrypted: bool,
) -> Answer:
    settings: EmailConfig = letter.settings
    await client.ehlo()
    if settings.require_tls is not False and not encrypted:
        if not client.supports_extension("starttls"):
            raise Undeliverable("the server offers no STARTTLS; require_tls: false sends without", retry=True)
        name = settings.tls_config.server_name if settings.tls_config else ""
        await client.starttls(tls_context=context, server_hostname=name or None)
        await client.ehlo()
        encrypted = True
    if settings.auth_username and client.supports_extension("auth"):
        await _authenticate(client, letter, encrypted)
    refused, said = await client.sendmail(*built)
    await client.quit()
    return Answer(delivered=True, code="SMTP 250", detail=_told(said, refused))


def _told(said: str, refused: Mapping[str, aiosmtplib.SMTPResponse]) -> str:
    some = "; ".join(f"not to {to}: {answer.code} {answer.message}" for to, answer in refused.items())
    return quoted(f"{some}; {said}" if some else said)


async def _authenticate(client: aiosmtplib.SMTP, letter: Letter, encrypted: bool) -> None:
    """The first way that the server offers and the settings allow, as Alertmanager chooses."""
    settings: EmailConfig = letter.settings
    user, password, secret = (
        settings.auth_username,
        letter.secret("auth_password"),
        letter.secret("auth_secret"),
    )
    refusals = list[str]()
    for way in client.supported_auth_methods:
        if way == "cram-md5" and secret:
            await client.auth_crammd5(user, secret)
            return
        if way == "plain" and password:
            if encrypted or _is_here(settings):
                said = f"{settings.auth_identity}\0{user}\0{password}".encode()
                answer = await client.execute_command(b"AUTH", b"PLAIN", base64.b64encode(said))
                if answer.code != aiosmtplib.SMTPStatus.auth_successful:
                    raise aiosmtplib.SMTPAuthenticationError(answer.code, answer.message)
                return
            refusals.append("a password is not sent by PLAIN without TLS")
        if way == "login" and password:
            await client.auth_login(user, password)
            return
    ways = ", ".join(client.supported_auth_methods)
    raise Undeliverable("; ".join(refusals) or f"of {ways} none goes with auth_password or auth_secret")


def _smarthost(settings: EmailConfig) -> tuple[str, str]:
    host, _, port = (settings.smarthost or "").rpartition(":")
    port = {"smtp": "25", "smtps": _IMPLICIT_TLS, "submission": "587"}.get(port, port)
    if not host or not port.isdigit():
        raise Undeliverable("smarthost: HOST:PORT is needed")
    return host.strip("[]"), port


def _is_here(settings: EmailConfig) -> bool:
    host = _smarthost(settings)[0]
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
