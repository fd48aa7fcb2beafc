"""Channels: one attempt to tell one receiver, bounded in time and size, with the vendor's own answer.

1. the integration that the notice names is found, its secrets are read
2. the message is made: in a thread where it is of many alerts, so that nobody else waits
3. it is sent, at most four at once to one integration: who is slow keeps no other waiting
4. what was answered becomes an Answer, with everything secret taken out
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from controlplane.alerts.configuration import Configuration, Integration
from controlplane.alerts.flushing import owners_emails
from controlplane.alerts.notice import Answer, Notice
from controlplane.alerts.rendering import Data, data_of
from controlplane.alerts.template_bounds import TemplateError
from controlplane.alerts.templates import Templates
from controlplane.channels import pagerduty, robots, services, slack, wechat
from controlplane.channels.answers import Reply, Undeliverable, quoted
from controlplane.channels.email import email, send_email
from controlplane.channels.http import Http, Outgoing
from controlplane.channels.letters import Letter
from controlplane.channels.secret_texts import Mask, secrets_of
from controlplane.channels.tail import Tail
from controlplane.channels.tls import TlsContexts
from controlplane.channels.webhook import webhook, webhook_answer
from schemas.manifests.alertmanager_channels import EmailConfig
from schemas.manifests.alertmanager_http import HttpConfig

_AT_ONCE = 4
_MANY_ALERTS = 50
_USER_AGENT = "Muster"
_log: Any = structlog.get_logger(__name__)

Build = Callable[[Letter], list[Outgoing]]
Read = Callable[[Reply, float], Answer]

_BY_HTTP: Mapping[str, tuple[Build, Read]] = {
    "webhook": (webhook, webhook_answer),
    "dingtalk": (robots.dingtalk, robots.dingtalk_answer),
    "feishu": (robots.feishu, robots.feishu_answer),
    "wecom": (robots.wecom, robots.wecom_answer),
    "slack": (slack.slack, slack.slack_answer),
    "pagerduty": (pagerduty.pagerduty, pagerduty.pagerduty_answer),
    "opsgenie": (services.opsgenie, webhook_answer),
    "victorops": (services.victorops, webhook_answer),
    "telegram": (services.telegram, services.telegram_answer),
    "discord": (services.discord, webhook_answer),
    "msteams": (services.msteams, services.msteams_answer),
    "msteamsv2": (services.msteamsv2, services.msteams_answer),
    "pushover": (services.pushover, webhook_answer),
    "webex": (services.webex, webhook_answer),
    "rocketchat": (services.rocketchat, services.rocketchat_answer),
}


class AsyncChannels:
    """Implements loops.alert_ports.Channels. Made inside of a running loop.

    templates: of this configuration, by controlplane.template_files.load_templates. now: Unix seconds.
    """

    def __init__(
        self,
        configuration: Configuration,
        templates: Templates,
        external_url: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._external_url, self._now = external_url, now
        self._ways = _Ways(configuration, templates)
        self._closing = set[asyncio.Task[None]]()

    async def send(self, notice: Notice) -> Answer:
        """One attempt. Never raises but CancelledError."""
        ways = self._ways
        try:
            async with ways:
                return await self._attempt(ways, notice)
        except Undeliverable as failed:
            return Answer(False, failed.retry, "", quoted(failed.detail))
        except Exception as error:
            _log.exception("a message could not be made", receiver=notice.receiver, way=notice.integration)
            return Answer(False, True, "", f"{type(error).__name__}: see the log of the service")

    def reconfigure(self, configuration: Configuration, templates: Templates) -> None:
        """From the next message on. What is under way ends as it began; then its connections are closed."""
        old, self._ways = self._ways, _Ways(configuration, templates)
        task = asyncio.create_task(old.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        await asyncio.gather(self._ways.close(), *self._closing)

    async def _attempt(self, ways: "_Ways", notice: Notice) -> Answer:
        integration = ways.integration(notice)
        if integration is None:
            return Answer(False, False, "", f"{notice.receiver} has no {notice.integration} any more")
        settings = integration.settings
        secrets = await secrets_of(settings)
        mask = ways.mask(notice, settings, secrets)
        async with ways.place(notice):
            now = self._now()
            data = await _read(notice, self._external_url, now)
            data = data.first(integration.limits.max_alerts or len(data.Alerts))
            letter = Letter(notice.key, data, settings, secrets, ways.templates, now)
            try:
                answer = await ways.deliver(integration.kind, letter)
            except (Undeliverable, TemplateError) as failed:
                retry = isinstance(failed, Undeliverable) and failed.retry
                answer = Answer(False, retry, "", quoted(str(failed)))
        detail = "; ".join(filter(None, (answer.detail, *letter.problems)))
        return replace(answer, code=mask.masked(answer.code), detail=mask.masked(detail))


class _Ways:
    """What belongs to one configuration: connections, places, tokens. Closed when nobody uses it any more."""

    def __init__(self, configuration: Configuration, templates: Templates) -> None:
        self.templates = templates
        self._configuration = configuration
        self._http, self._tls, self._tail = Http(_USER_AGENT), TlsContexts(), Tail()
        self._wechat = wechat.Wechat(self._http)
        self._places = {
            (receiver.name, integration.name): asyncio.Semaphore(_AT_ONCE)
            for receiver in configuration.receivers.values()
            for integration in receiver.integrations
        }
        self._masks: dict[tuple[str, str], tuple[dict[str, str], Mask]] = {}
        self._to_owners = asyncio.Semaphore(8 * _AT_ONCE)
        self._users, self._unused = 0, asyncio.Event()
        self._unused.set()

    async def __aenter__(self) -> None:
        self._users += 1
        self._unused.clear()

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if not self._users:
            self._unused.set()

    async def close(self) -> None:
        await self._unused.wait()
        await self._http.close()
        self._tail.close()

    def place(self, notice: Notice) -> asyncio.Semaphore:
        return self._places.get((notice.receiver, notice.integration), self._to_owners)

    def mask(self, notice: Notice, settings: Any, secrets: Mapping[str, str]) -> Mask:
        """Made anew when a file says something else."""
        way = notice.receiver, notice.integration
        known = self._masks.get(way)
        if known is None or known[0] != secrets:
            known = dict(secrets), Mask(settings, secrets)
            if way in self._places:
                self._masks[way] = known
        return known[1]

    def integration(self, notice: Notice) -> Integration | None:
        """Undeliverable: mail to owners, and nothing says by which server."""
        addresses = owners_emails(notice.receiver)
        if addresses:
            settings: EmailConfig | None = self._configuration.owners_email
            if settings is None:
                raise Undeliverable("mail to owners needs global.smtp_smarthost and global.smtp_from")
            if any("{" in address for address in addresses):
                raise Undeliverable("an owner's address is no template")
            return Integration("email", 0, True, settings.model_copy(update={"to": ", ".join(addresses)}))
        receiver = self._configuration.receivers.get(notice.receiver)
        named = (
            (each for each in receiver.integrations if each.name == notice.integration) if receiver else ()
        )
        return next(iter(named), None)

    async def deliver(self, kind: str, letter: Letter) -> Answer:
        if kind == "email":
            return await send_email(letter, await _made(email, letter), self._tls)
        if kind == "apprise":
            return await self._tail.send(letter)
        if kind == "wechat":
            return await self._wechat.send(letter, await _made(wechat.wechat, letter))
        if kind not in _BY_HTTP:
            raise Undeliverable(f"{kind} is not delivered by this service")
        build, read = _BY_HTTP[kind]
        config = letter.settings.http_config or HttpConfig()
        answer = Answer(delivered=False, detail="there was nothing to send")
        for outgoing in await _made(build, letter):
            reply = await self._http.send(outgoing, config, getattr(letter.settings, "timeout", 0.0))
            answer = read(reply, letter.now)
            if not answer.delivered:
                break
        return answer


async def _read(notice: Notice, external_url: str, now: float) -> Data:
    """What fires may be very much: nobody else, and no lease, waits for it."""
    if len(notice.alerts) < _MANY_ALERTS:
        return data_of(notice, external_url, now)
    return await asyncio.to_thread(data_of, notice, external_url, now)


async def _made(build: Callable[[Letter], Any], letter: Letter) -> Any:
    """Templates take their time; a webhook of few alerts has none and is not worth a thread."""
    if build is webhook and len(letter.data.Alerts) < _MANY_ALERTS:
        return build(letter)
    return await asyncio.to_thread(build, letter)
