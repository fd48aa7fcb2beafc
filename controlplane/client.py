"""The one HTTP client under the command, the demo and the tests: problem details become errors to act on."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from schemas.wire.traces import TRACEPARENT, traceparent

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:8420"
TIMEOUT_SECONDS = 30.0
PREFIX = "/api/v1"


class ClientError(Exception):
    """Something that a person can act on; `hint` says how."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadContext(ClientError):
    """The context file is not what it should be."""


class Unreachable(ClientError):
    """Nobody answered at the address."""


class Refused(ClientError):
    """The service said no. errors: (field, message)."""

    def __init__(
        self, status: int, reason: str, detail: str, errors: tuple[tuple[str, str], ...], hint: str = ""
    ) -> None:
        super().__init__(detail, hint)
        self.status, self.reason, self.errors = status, reason, errors


@dataclass(frozen=True)
class Context:
    """Where the service is, and who asks. token: "" for none. others: tokens of others by their names."""

    url: str
    token: str = field(default="", repr=False)
    others: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True)
class Answer:
    """body: as JSON says. etag: for If-Match, "" where the answer has none."""

    status: int
    body: Any
    etag: str = ""


def context_path(environment: Mapping[str, str] = os.environ) -> Path:
    """MUSTER_CONTEXT, else muster/context.json under XDG_CONFIG_HOME, else under ~/.config."""
    if named := environment.get("MUSTER_CONTEXT"):
        return Path(named)
    config = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "muster" / "context.json"


def read_context(environment: Mapping[str, str] = os.environ, name: str = "") -> Context:
    """MUSTER_URL and MUSTER_TOKEN over the context file over loopback. Raises BadContext.

    name: of one of the others in the context file, who asks then instead.
    """
    path = context_path(environment)
    url, token = environment.get("MUSTER_URL", ""), environment.get("MUSTER_TOKEN", "")
    others: Mapping[str, str] = {}
    if (name or not (url and token)) and path.exists():
        held = _read_context_file(path)
        # A token is for the service it was made for: an address from elsewhere does not get it.
        if not url or url.rstrip("/") == held.url.rstrip("/"):
            url, token, others = url or held.url, token or held.token, held.others
    if name and name not in others:
        known = f"it knows {', '.join(sorted(others))}" if others else "it knows nobody else"
        raise BadContext(f"{path}: there is no {name!r}: {known}", "or set MUSTER_TOKEN to a token of theirs")
    return Context((url or DEFAULT_URL).rstrip("/"), others[name] if name else token, others)


def write_context(context: Context, environment: Mapping[str, str] = os.environ) -> Path:
    """Makes it what the command uses from now on; only the owner may read it."""
    path = context_path(environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        others = {"others": dict(context.others)} if context.others else {}
        json.dump({"url": context.url, "token": context.token, **others}, file)
        file.write("\n")
    partial.replace(path)
    return path


def _read_context_file(path: Path) -> Context:
    try:
        held = cast(object, json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise BadContext(f"{path}: {error}", "remove it, or set MUSTER_URL and MUSTER_TOKEN") from error
    fields = cast(dict[str, object], held) if isinstance(held, dict) else {}
    url, token, others = fields.get("url"), fields.get("token", ""), fields.get("others", {})
    if not isinstance(url, str) or not isinstance(token, str) or not _are_tokens(others):
        raise BadContext(f'{path}: {{"url": ..., "token": ...}} is expected', "remove it, or write it anew")
    return Context(url, token, others)


def _are_tokens(others: object) -> TypeGuard[dict[str, str]]:
    held = cast(dict[object, object], others) if isinstance(others, dict) else {None: None}
    return all(isinstance(part, str) for each in held.items() for part in each)


class Client:
    """Synchronous. Raises Refused and Unreachable."""

    def __init__(
        self,
        context: Context,
        timeout_seconds: float = TIMEOUT_SECONDS,
        transport: "httpx.BaseTransport | None" = None,
    ) -> None:
        import httpx

        headers = {"User-Agent": "muster"}
        # A pipeline that traces says so to what it starts; what comes of the command is in its trace then.
        if trace := traceparent(os.environ.get(TRACEPARENT.upper())):
            headers[TRACEPARENT] = trace
        if context.token:
            headers["Authorization"] = f"Bearer {context.token}"
        self.context = context
        self._is_warned = False
        self._http = httpx.Client(
            base_url=context.url,
            headers=headers,
            timeout=timeout_seconds,
            transport=transport,
            # Without TLS, reading all certificates would cost each command time for nothing.
            verify=context.url.startswith("https:"),
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, path: str, **parameters: str | int) -> Answer:
        """A path under `/api/v1`."""
        return self._request("GET", path, parameters)

    def find(self, path: str) -> Answer | None:
        """None where it is not there."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def pages(self, path: str, **parameters: str | int) -> Iterator[dict[str, Any]]:
        """Every row of a list, page by page."""
        following = ""
        while True:
            more = {"continue": following} if following else {}
            body = self._request("GET", path, {**parameters, **more}).body
            yield from body["items"]
            following = body["next"]
            if not following:
                return

    def put(
        self, path: str, body: object, *, if_match: str = "", idempotency_key: str = "", **parameters: str
    ) -> Answer:
        return self._request("PUT", path, parameters, body, _conditions(if_match, idempotency_key))

    def post(
        self, path: str, body: object, *, if_match: str = "", idempotency_key: str = "", **parameters: str
    ) -> Answer:
        return self._request("POST", path, parameters, body, _conditions(if_match, idempotency_key))

    def patch(self, path: str, body: object, *, if_match: str = "") -> Answer:
        return self._request("PATCH", path, {}, body, _conditions(if_match, ""))

    def delete(self, path: str, *, if_match: str = "") -> Answer:
        return self._request("DELETE", path, {}, None, _conditions(if_match, ""))

    def ready(self) -> dict[str, Any]:
        """What `/readyz` says, ready or not."""
        return self._send("GET", "/readyz", {}, None, {}).json()

    def events(self, after: int | None = None) -> Iterator[dict[str, Any]]:
        """Changes as they come, each with its `id`, until the service ends the stream."""
        import httpx

        headers = {"Last-Event-ID": str(after)} if after is not None else {}
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=60.0)
        try:
            with self._http.stream("GET", f"{PREFIX}/events", headers=headers, timeout=timeout) as response:
                if response.status_code != 200:
                    response.read()
                    raise _refusal(response)
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line.removeprefix("data: "))
        except httpx.HTTPError as error:
            raise Unreachable(f"the stream of events from {self.context.url} broke: {error}") from error

    def _request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str | int],
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        response = self._send(method, PREFIX + path, parameters, body, headers or {})
        self._warn(response.headers.get("warning", ""))
        if response.status_code >= 400:
            raise _refusal(response)
        content = response.json() if response.content else None
        return Answer(response.status_code, content, response.headers.get("etag", ""))

    def _warn(self, said: str) -> None:
        """To people, once: as a rule, that what is answered is of before."""
        if said and not self._is_warned:
            self._is_warned = True
            sys.stderr.write(f"muster: {said.removeprefix('110 muster ')}\n")

    def _send(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str | int],
        body: object,
        headers: Mapping[str, str],
    ) -> "httpx.Response":
        import httpx

        try:
            return self._http.request(method, path, params=dict(parameters), json=body, headers=dict(headers))
        except httpx.InvalidURL as error:
            raise Unreachable(f"{self.context.url}: {error}", "set MUSTER_URL to http://HOST:PORT") from error
        except httpx.UnsupportedProtocol as error:
            raise Unreachable(f"{self.context.url}: {error}", "set MUSTER_URL to http://HOST:PORT") from error
        except httpx.HTTPError as error:
            raise Unreachable(
                f"no answer from {self.context.url}: {error}",
                "is it running (`muster serve` or `muster demo`), and does MUSTER_URL name it?",
            ) from error


def _conditions(if_match: str, idempotency_key: str) -> dict[str, str]:
    headers = {"If-Match": if_match, "Idempotency-Key": idempotency_key}
    return {name: value for name, value in headers.items() if value}


def _refusal(response: "httpx.Response") -> Refused:
    try:
        problem = response.json()
        errors = tuple((each["field"], each["message"]) for each in problem.get("errors", ()))
        refused = Refused(response.status_code, problem["reason"], problem["detail"], errors)
    except (ValueError, KeyError, TypeError):
        text = response.text[:200] or response.reason_phrase
        refused = Refused(response.status_code, "", f"{response.status_code}: {text}", ())
    if refused.status == 401:
        refused.hint = (
            "set MUSTER_TOKEN to one that the service knows; the demo writes its own into the context file"
        )
    elif refused.status == 412:
        refused.hint = "somebody else wrote meanwhile: look at the difference and apply again"
    return refused
