"""`muster serve` as an Alertmanager: where it listens, reload, namespaces, a NATS that is none of ours."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from controlplane.embedded import nats as embedded_nats
from controlplane.embedded.processes import ServerProcess, free_port, port_answers
from tests.circle import eventually
from tests.served import NO_NATS, Served, Webhook, webhook

CONFIGURATION = """
route:
  receiver: {receiver}
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
receivers:
  - name: {receiver}
    webhook_configs: [{{url: "{url}"}}]
"""


COMMAND = "import sys; from controlplane.cli.main import main; sys.exit(main())"


def firing(name: str, **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": name, "instance": "one", **labels}, "endsAt": "2036-01-01T00:00:00Z"}


@pytest_asyncio.fixture
async def receiver() -> AsyncGenerator[Webhook]:
    async with webhook() as taken:
        yield taken


@pytest_asyncio.fixture
async def served(database: str, tmp_path: Path, receiver: Webhook) -> AsyncGenerator[Served]:
    path = tmp_path / "alertmanager.yml"
    path.write_text(CONFIGURATION.format(receiver="ops", url=receiver.url))
    environment = {"MUSTER_POSTGRES_DSN": database, "MUSTER_ALERTS_CONFIG": str(path)}
    made = Served(tmp_path / "centre", environment)
    yield made
    await made.stop()


async def test_it_says_once_where_it_listens_and_serves_without_a_nats(
    served: Served, receiver: Webhook
) -> None:
    await served.start()
    await served.post([firing("Down")])
    await eventually("it is told of", lambda: receiver.messages)
    (message,) = receiver.messages
    assert (message.body["receiver"], message.status) == ("ops", "firing")
    assert len(served.addresses()) == 1
    async with httpx.AsyncClient(verify=False) as client:
        # Nobody else could answer better.
        ready = await eventually(
            "it is ready", lambda: client.get(f"{served.url}/readyz"), lambda seen: seen.status_code == 200
        )
        assert {each["what"] for each in ready.json()["lacks"]} == {"bus", "streams"}
        assert (await client.get(f"{served.url}/api/v1/clusters")).status_code == 401
    assert "no_alerts_config" not in served.log()


async def test_a_plain_nats_is_said_to_be_none_of_ours(served: Served, tmp_path: Path) -> None:
    port = free_port()
    binary = embedded_nats.find_nats_server()
    plain = ServerProcess(
        "nats",
        [str(binary), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(tmp_path)],
        tmp_path,
        signal.SIGTERM,
    )
    await plain.start(lambda: port_answers(port), asyncio.get_running_loop().time() + 30)
    try:
        await served.start(MUSTER_NATS_URL=f"nats://127.0.0.1:{port}")
        await served.post([firing("Down")])
        await eventually("it says so", lambda: "bus_not_open" in served.log())
    finally:
        await plain.stop()


async def test_hangup_reloads_and_a_bad_file_keeps_the_one_before(
    served: Served, receiver: Webhook, tmp_path: Path
) -> None:
    path = tmp_path / "alertmanager.yml"
    await served.start()
    assert served.process is not None

    path.write_text("route:\n  receiver: nobody\n  group_wait: soon\nreceivers: []\n")
    os.kill(served.process.pid, signal.SIGHUP)
    await eventually("it is refused", lambda: "alerts_config_kept" in served.log())
    refused = served.log()
    assert f"{path}:2: route.receiver" in refused
    assert f"{path}:3: route.group_wait" in refused
    await served.post([firing("Before")])
    await eventually("the one before tells", lambda: receiver.messages)

    path.write_text(CONFIGURATION.format(receiver="others", url=receiver.url))
    os.kill(served.process.pid, signal.SIGHUP)
    await eventually("it is read", lambda: served.log().count("alerts_config_loaded") == 2)
    await served.post([firing("After")])
    await eventually(
        "the new one tells",
        lambda: {message.body["receiver"] for message in receiver.messages},
        {"others"}.issubset,
    )


async def test_without_a_file_alerts_are_kept_and_listed(database: str, tmp_path: Path) -> None:
    served = Served(tmp_path / "centre", {"MUSTER_POSTGRES_DSN": database})
    await served.start()
    try:
        await served.post([firing("Down")])
        (listed,) = await served.get("/api/v2/alerts")
        assert listed["labels"]["alertname"] == "Down"
        assert "no_alerts_config" in served.log()
    finally:
        await served.stop()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--alerts-config", "{folder}/none.yml"], "cannot be read"),
        (["--alerts-config", "{folder}/bad.yml"], "line 1: route.receiver"),
        (["--namespace", "a b"], "MUSTER_NAMESPACE: 1 to 40"),
        (["--web.listen-address", "nowhere"], "HOST:PORT or :PORT"),
        (["--web.listen-address", ":1", "--listen", "127.0.0.1:2"], "name one of them"),
    ],
)
def test_what_cannot_be_done_is_said_at_the_start(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "bad.yml").write_text("route: {receiver: x}\nreceivers: []\n")
    given = [each.format(folder=tmp_path) for each in arguments]
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            COMMAND,
            "serve",
            *given,
        ],
        env={**os.environ, "MUSTER_DATA_DIR": str(tmp_path), "MUSTER_NATS_URL": NO_NATS, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode in (1, 2)
    assert says in " ".join(ended.stderr.split())


async def test_namespaces_begun_at_once_on_a_fresh_database_know_nothing_of_each_other(
    empty_database: str, tmp_path: Path, receiver: Webhook
) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(CONFIGURATION.format(receiver="ops", url=receiver.url))
    names = ["", "one", "Two.2", "x" * 40]
    async with AsyncExitStack() as stack:
        services: list[Served] = []
        for number, name in enumerate(names):
            environment = {
                "MUSTER_POSTGRES_DSN": empty_database,
                "MUSTER_ALERTS_CONFIG": str(path),
                "MUSTER_NAMESPACE": name,
                # One folder of keys: they begin at the same instant, too.
                "MUSTER_KEYS_DIR": str(tmp_path / "keys"),
            }
            services.append(Served(tmp_path / f"centre-{number}", environment))
            stack.push_async_callback(services[-1].stop)
        await asyncio.gather(*(service.start() for service in services))
        for number, service in enumerate(services):
            await service.post([firing(f"Down{number}")])
        for number, service in enumerate(services):
            (listed,) = await service.get("/api/v2/alerts")
            assert listed["labels"]["alertname"] == f"Down{number}"
        await eventually("each tells", lambda: receiver.messages, lambda told: len(told) == len(names))
        assert len({message.group for message in receiver.messages}) == len(names)
