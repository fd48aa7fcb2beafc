"""HTTP to what stands in the cluster, in bounds of time and size: local receivers, and exporters."""

import asyncio

import aiohttp

from agents.alerts.fallback import Answer
from agents.alerts.fallback_file import FallbackReceiver
from agents.observe.gpus import ScrapeFailed

POST_SECONDS = 10.0
SCRAPE_SECONDS = 5.0
LARGEST_SCRAPE_BYTES = 8 * 1024 * 1024
_ANSWER_BYTES = 1024
_RETRIED = {408, 425, 429}


class Reaching:
    """One session. Redirects are not followed: a receiver is where the file says it is."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, receiver: FallbackReceiver, key: str, body: bytes) -> Answer:
        """One attempt; implements `agents.alerts.fallback.Post`."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            if receiver.bearer_token_file is not None:
                token = receiver.bearer_token_file.read_text(encoding="utf-8").strip()
                headers["Authorization"] = f"Bearer {token}"
            timeout = aiohttp.ClientTimeout(total=POST_SECONDS)
            async with self._opened().post(
                receiver.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                text = (await response.content.read(_ANSWER_BYTES)).decode(errors="replace")[:200]
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Answer(False, True, str(error)[:200] or type(error).__name__)
        detail = f"HTTP {status}" + (f": {text}" if text and status >= 300 else "")
        return Answer(200 <= status < 300, status >= 500 or status in _RETRIED, detail)

    async def scrape(self, url: str) -> str:
        """The body of an exporter. Raises ScrapeFailed."""
        timeout = aiohttp.ClientTimeout(total=SCRAPE_SECONDS)
        try:
            async with self._opened().get(url, timeout=timeout, allow_redirects=False) as response:
                if response.status != 200:
                    raise ScrapeFailed(f"{url}: HTTP {response.status}")
                body = bytearray()
                async for part in response.content.iter_chunked(65_536):
                    body += part
                    if len(body) > LARGEST_SCRAPE_BYTES:
                        raise ScrapeFailed(f"{url}: more than {LARGEST_SCRAPE_BYTES} bytes")
                    await asyncio.sleep(0)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ScrapeFailed(f"{url}: {str(error) or type(error).__name__}") from error
        return body.decode(errors="replace")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16))
        return self._session
