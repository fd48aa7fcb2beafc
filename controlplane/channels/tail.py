"""The long tail: the 180 services that Apprise speaks. It blocks, so it works in a few threads of its own."""

import asyncio
import importlib
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from controlplane.alerts.notice import Answer
from controlplane.channels.answers import Undeliverable, quoted
from controlplane.channels.letters import Letter, in_characters
from schemas.manifests.alertmanager_channels import AppriseConfig

_THREADS = 8
_TOTAL_SECONDS = 60.0
_STATUS = re.compile(r"error[=: ]+(\d{3})\b")
_DEFAULTS = {
    "text": "muster.default.text_body",
    "markdown": "muster.default.markdown_body",
    "html": "email.default.html",
}


class Tail:
    """The library is loaded at the first message: who does not use it does not wait for it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="apprise")

    async def send(self, letter: Letter) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                return await loop.run_in_executor(self._threads, _send, letter)
        except TimeoutError as error:
            raise Undeliverable(f"not done within {_TOTAL_SECONDS:g} s", retry=True) from error

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _send(letter: Letter) -> Answer:
    settings: AppriseConfig = letter.settings
    apprise: Any = importlib.import_module("apprise")
    memory = apprise.PersistentStoreMode.MEMORY
    asset = apprise.AppriseAsset(secure_logging=True, storage_mode=memory, app_id="Muster")
    service: Any = apprise.Apprise.instantiate(letter.secret("url"), asset=asset, suppress_exceptions=True)
    if service is None:
        raise Undeliverable("url is no address that Apprise knows, or a part of it is missing")
    most = max(int(getattr(service, "body_maxlen", 0)) or 30_000, 20)
    html = settings.format == "html"
    body = letter.fitted("body", _DEFAULTS[settings.format], most, in_characters, html=html)
    title = letter.title("title", "muster.default.title", int(getattr(service, "title_maxlen", 0)) or 250)
    said = list[Any]()
    sender: Any = apprise.Apprise(asset=asset)
    sender.add(service)
    result: Any = sender.notify(
        body=body.strip() or title,
        title=title,
        notify_type=apprise.NotifyType.FAILURE if letter.fires else apprise.NotifyType.SUCCESS,
        body_format=settings.format,
        log_callback=lambda entry, *_: said.append(entry),  # pyright: ignore[reportUnknownLambdaType]
        log_level=logging.WARNING,
    )
    messages = [str(entry.message) for entry in said if entry.level in {"WARNING", "ERROR", "CRITICAL"}]
    if result:
        return Answer(delivered=True, code=service.service_name or "")
    return _refused(messages)


def _refused(messages: list[str]) -> Answer:
    """Apprise says the status in its log only."""
    detail = quoted("; ".join(messages[-3:]) or "not delivered; no reason was given")
    found = _STATUS.search(" ".join(messages))
    if found is None:
        return Answer(False, True, "", detail)
    status = int(found.group(1))
    return Answer(False, status >= 500 or status in {408, 429}, f"HTTP {status}", detail)
