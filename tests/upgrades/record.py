"""`python -m tests.upgrades.record NAME`: what a real agent and a real centre say to each other, as it was.

Writes `recorded/NAME/`: a line for each message, in the order in which NATS carried them, and who joined how.
Run it once a release, and on nothing but what is released. It needs of a checkout only `tests.circle`, so
that it can be run on an older one.
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from controlplane.client import Refused
from tests.circle import Circle, config_map, deployment, eventually, only, running_circle, workload

RECORDED = Path(__file__).parent / "recorded"
CLUSTER, MAKE = "recorded", "datacentre"
FEW = 6
"""Messages of one subject that are kept: the first of them and the last."""
SEEN_AGAIN = 20
"""A message is carried over the border of accounts, and to the stream: it may be seen at both."""


@dataclass
class Tape:
    """exchanges: requests to join, with their answers. replies: subjects of answers, by what they answer."""

    lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    exchanges: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    replies: dict[str, str] = field(default_factory=dict[str, str])

    async def take(self, message: Msg) -> None:
        subject = message.subject
        if subject.startswith("muster."):
            line = line_of(subject, message.data)
            if line not in self.lines[-SEEN_AGAIN:]:
                self.lines.append(line)
            if subject.startswith("muster.beat.") and message.reply:
                self.replies[message.reply] = subject
        elif answered := self.replies.pop(subject, ""):
            self.lines.append(line_of(answered.replace(".beat.", ".beat-reply."), message.data))

    def kinds(self) -> set[str]:
        return {each["subject"].split(".")[1] for each in self.lines}


def line_of(subject: str, body: bytes) -> dict[str, Any]:
    """As text where it is text: a difference between two releases can be read."""
    try:
        return {"subject": subject, "text": body.decode()}
    except UnicodeDecodeError:
        return {"subject": subject, "base64": base64.b64encode(body).decode()}


@asynccontextmanager
async def between(centre_url: str, tape: Tape) -> AsyncIterator[str]:
    """An address that hands on to the centre, and keeps what is said while joining."""

    async def hand_on(request: web.Request) -> web.Response:
        asked = await request.json()
        async with httpx.AsyncClient(timeout=30.0) as client:
            told = await client.post(f"{centre_url}{request.path}", json=asked)
        tape.exchanges.append({"asked": asked, "answered": told.json()})
        return web.Response(body=told.content, status=told.status_code, content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/v1/join", hand_on)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def secret(name: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {"password": "not a secret"},
    }


async def join(circle: Circle, tape: Tape, client: NatsClient) -> None:
    await client.subscribe(">", cb=tape.take)
    await client.flush()
    invite = circle.installation.invite

    async with between(circle.installation.url, tape) as url:

        def invited(*arguments: Any) -> list[str]:
            return [url if part.startswith("http") else part for part in invite(*arguments)]

        circle.installation.invite = invited  # type: ignore[method-assign]
        await circle.join(CLUSTER, ["--simulate", MAKE])
        circle.installation.invite = invite  # type: ignore[method-assign]


async def play(circle: Circle, tape: Tape) -> None:
    """Everything that either side says: applied, changed, dropped, sealed, refused, withdrawn, released."""
    web_objects = (deployment("web", "web", 2), config_map("settings", "web", colour="red"))
    circle.apply(workload("web", *web_objects, secret("token", "web"), **only(CLUSTER)))
    circle.apply(workload("gone", config_map("gone", "gone"), **only(CLUSTER)))
    await circle.until_running("web")
    await eventually("gone is there", lambda: circle.placement("gone", CLUSTER).get("state") == "Running")
    circle.apply(workload("web", deployment("web", "web", 3), secret("token", "web"), **only(CLUSTER)))
    await circle.until_running("web", revision=2)
    circle.apply(workload("rival", config_map("token", "web"), deployment("web", "web", 1), **only(CLUSTER)))
    await eventually(
        "the rival is refused", lambda: circle.placement("rival", CLUSTER).get("state") == "Refused"
    )
    await circle.delete("gone")
    if limited(circle):
        await eventually("limits are sent", lambda: any(".limits-" in each["subject"] for each in tape.lines))
    circle.client.post(f"/clusters/{CLUSTER}/release", {})
    node = next(iter(circle.objects(CLUSTER, "nodes", "")))
    await circle.set_node(CLUSTER, node, down=True)
    await eventually("an alert is sent", lambda: "alert" in tape.kinds(), bound_seconds=60)
    await eventually("the release is sent", lambda: any("_release" in each["subject"] for each in tape.lines))


def limited(circle: Circle) -> bool:
    """Limits of a tenant, where the release knows of quota."""
    cpu = {"name": "cpu", "nominalQuota": "4"}
    quota = {"uncovered": "Allow", "limits": "Enforce", "flavors": [{"name": "any", "resources": [cpu]}]}
    try:
        for kind, name, spec in (
            ("Flavor", "any", {}),
            ("Tenant", "team", {"namespaces": ["team"], "quota": quota}),
        ):
            circle.apply(
                {"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
            )
    except Refused as error:
        print(f"without limits: {error}", file=sys.stderr)
        return False
    theirs = workload("theirs", deployment("theirs", "team", 1), **only(CLUSTER))
    theirs["spec"]["tenant"] = "team"
    circle.apply(theirs)
    return True


def thinned(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each subject's first and last messages; every order."""
    places: dict[str, list[int]] = {}
    for place, each in enumerate(lines):
        places.setdefault(each["subject"], []).append(place)
    kept = {
        place
        for subject, held in places.items()
        for place in (held if ".order." in subject else [*held[: FEW // 2], *held[-FEW // 2 :]])
    }
    return [each for place, each in enumerate(lines) if place in kept]


async def record(folder: Path) -> None:
    tape = Tape()
    async with running_circle() as circle:
        async with circle.nats() as client:
            await join(circle, tape, client)
            await play(circle, tape)
        state = circle.state(CLUSTER)
        sealing_key = json.loads((state / "keys.json").read_text())["sealing_key"]
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs
    # Keys of an installation that is gone: they open nothing but what lies beside them.
    joined = {
        "version": version("muster"),
        "recorded_at": time.time(),
        "cluster": tape.exchanges[0]["answered"]["cluster_id"],
        "sealing_key": sealing_key,
        "join": tape.exchanges,
    }
    (folder / "joined.json").write_text(json.dumps(joined, indent=1) + "\n")
    lines = thinned(tape.lines)
    (folder / "messages.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    print(f"{folder}: {len(lines)} of {len(tape.lines)} messages, {sorted(tape.kinds())}")


if __name__ == "__main__":
    asyncio.run(record(RECORDED / sys.argv[1]))
