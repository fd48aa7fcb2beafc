"""`muster doctor` beside a real installation: well, with parts of it broken, and with its centre dead."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats.js.api import DiscardPolicy

from controlplane import certificates
from controlplane.client import Client, Context, Refused
from controlplane.embedded.nats import find_nats_server
from controlplane.embedded.processes import ServerProcess, free_port, port_answers
from controlplane.examining import PART_SECONDS, examine, place_of
from controlplane.identity import keys
from controlplane.settings import Settings
from tests.circle import Circle, deployment, running_circle, workload

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLUSTER = "lone"


@dataclass(frozen=True)
class Said:
    checks: list[dict[str, Any]]

    @property
    def findings(self) -> set[tuple[str, str]]:
        """(finding, about) of what is not ok."""
        for each in self.checks:
            assert bool(each["finding"]) == bool(each["do"]) == (each["level"] != "ok"), each
        return {(each["finding"], each["about"]) for each in self.checks if each["level"] != "ok"}


def doctor(circle: Circle, *arguments: str) -> Said:
    """The command, as somebody types it where the centre runs."""
    context = circle.client.context
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")},
        "MUSTER_URL": context.url,
        "MUSTER_TOKEN": context.token,
        "MUSTER_DATA_DIR": str(circle.home),
    }
    command = [Path(sys.executable).parent / "muster", "doctor", "-o", "json", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert done.returncode == {"ok": 0, "warn": 1, "fail": 2}[told["level"]]
    return Said(told["checks"])


async def look(circle: Circle, **settings: Any) -> Said:
    """What it finds from the settings alone, without the start of a program."""
    place = place_of(Settings(data_dir=circle.home, **settings))
    return Said([check.as_data() for check in await examine(place)])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def circle() -> AsyncGenerator[Circle]:
    """Durable, since a doctor complains of anything else."""
    async with running_circle(durable=True) as circle:
        await circle.join(CLUSTER, ["--simulate", "edge"])
        circle.apply(workload("web", deployment("web", "web", 1)))
        await circle.until_running("web")
        yield circle


UNTOLD = ("AlertsUnconfigured", "")
"""The one complaint about an installation of tests: nobody is told of its alerts."""


async def test_of_what_is_well_each_part_is_told(circle: Circle) -> None:
    said = doctor(circle)
    assert said.findings == {UNTOLD}
    assert {each["check"] for each in said.checks} >= {
        "api", "centre.loop", "keys", "postgres", "postgres.migrations", "postgres.clock", "lease.deciding",
        "replicas", "lease.alerting", "outbox", "ledger", "dead-letters", "nats", "nats.clock", "nats.stream",
        "nats.consumers", "nats.accounts", "disk", "clusters",
    }  # fmt: skip
    assert (await look(circle)).findings == {UNTOLD}
    with Client(Context(circle.client.context.url)) as nobody, pytest.raises(Refused, match="token"):
        nobody.get("/doctor")


async def test_what_somebody_changed_is_found(circle: Circle) -> None:
    state = circle.subjects.state_stream
    async with circle.nats() as client:
        jetstream = client.jetstream()
        config = (await jetstream.stream_info(state)).config
        await jetstream.update_stream(config.evolve(discard=DiscardPolicy.OLD))
        await jetstream.delete_consumer(circle.subjects.orders_stream, circle.cluster_id(CLUSTER))
    await circle.rows("insert into dead_letter (cluster, subject, reason, body) values ('x', 's', 'bad', '')")
    said = await look(circle)
    assert said.findings == {
        UNTOLD,
        ("StreamDiffers", state),
        ("ConsumerMissing", CLUSTER),
        ("DeadLetters", "x"),
    }
    (circle.home / "keys" / "master.key").chmod(0o644)
    assert ("KeysOpen", "") in (await look(circle)).findings
    (circle.home / "keys" / "master.key").chmod(0o600)


async def test_other_keys_than_the_databases_are_found(circle: Circle, tmp_path: Path) -> None:
    keys.init(tmp_path / "keys")
    found = (await look(circle, keys_dir=tmp_path / "keys")).findings
    assert found >= {("KeysOfAnother", ""), ("NatsRefuses", "")}


async def test_what_answers_nothing_is_told_within_the_bound(circle: Circle) -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as hole:
        there = f"127.0.0.1:{hole.getsockname()[1]}"
        said = await look(circle, postgres_dsn=f"postgresql://a@{there}/b", nats_url=f"nats://{there}")
    assert {name for name, _ in said.findings} >= {"PostgresUnreachable", "NatsUnreachable"}
    assert time.monotonic() - began < 2 * PART_SECONDS


async def test_a_dead_centre_is_told_of_by_what_it_left(circle: Circle) -> None:
    await circle.programs["centre"].stop()
    said = doctor(circle)
    assert {name for name, _ in said.findings} >= {"ApiUnreachable", "PostgresUnreachable", "NatsUnreachable"}
    told = next(each["message"] for each in said.checks if each["finding"] == "PostgresUnreachable")
    assert "postgres.log" in told
    assert "database system is shut down" in told
    shutil.rmtree(circle.home / "keys")
    assert ("KeysMissing", "") in (await look(circle)).findings


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of nobody's, for localhost, with its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "30", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem"


async def test_the_certificate_of_a_nats_is_dated_whether_it_is_trusted_or_not(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    tls = (
        f'port: {port}\ntls {{cert_file: "{certificate}", key_file: "{certificate.with_name("key.pem")}"}}\n'
    )
    (tmp_path / "nats.conf").write_text(tls)
    command = [str(find_nats_server()), "-c", str(tmp_path / "nats.conf")]
    server = ServerProcess("nats", command, tmp_path, signal.SIGTERM)
    await server.start(lambda: port_answers(port), time.monotonic() + 10)
    try:
        url = f"tls://localhost:{port}"
        untrusted = await asyncio.to_thread(certificates.look, url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusted = await asyncio.to_thread(certificates.look, url)
    finally:
        await server.stop()
    assert untrusted is not None
    assert trusted is not None
    assert untrusted.error
    assert not trusted.error
    assert round(untrusted.left_days) == round(trusted.left_days) == 30
    assert await asyncio.to_thread(certificates.look, url) is None, "who is away has none"
