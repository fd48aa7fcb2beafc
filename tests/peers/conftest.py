"""Debian's Alertmanager and a real `muster serve` beside each other, one pair a session.

A machine that cannot get the packages skips and says why; under MUSTER_REQUIRE_KUBE=1 that is a failure.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from controlplane.access.tokens import Role, token_entry
from controlplane.client import Client, Context
from controlplane.embedded.processes import free_port
from tests.peers.debian import NoPeers, Peers, fetch

REQUIRE = "MUSTER_REQUIRE_KUBE"
START_SECONDS = 60.0
TOKEN = "peers-token-" + "p" * 24
CONFIGURATION = """\
route:
  receiver: default
  group_by: [alertname]
  group_wait: 100ms
  group_interval: 1s
  routes:
  - {receiver: team, matchers: ['team="db"'], continue: true}
  - {receiver: other, matchers: ['team="db"'], group_by: ['...']}
  - {receiver: muted, matchers: ['team="night"'], mute_time_intervals: [always]}
receivers: [{name: default}, {name: team}, {name: other}, {name: muted}]
inhibit_rules:
- {source_matchers: ['severity="critical"'], target_matchers: ['severity="warning"'], equal: [host]}
time_intervals:
- {name: always, time_intervals: [{weekdays: ['sunday:saturday']}]}
"""


@dataclass(frozen=True)
class Service:
    """Something that speaks API v2. log: what it wrote to stderr."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path
    configuration: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20)

    def muster(self) -> Client:
        return Client(Context(self.url, TOKEN))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def until(what: str, look, bound_seconds: float = 20.0):
    """What `look` gives once it is true."""
    deadline = time.monotonic() + bound_seconds
    while True:
        try:
            if found := look():
                return found
        except (httpx.HTTPError, OSError):
            found = None
        assert time.monotonic() < deadline, f"not within {bound_seconds:g} s: {what}. Seen last: {found!r}"
        time.sleep(0.05)


def start(command: list[str], folder: Path, port: int, configuration: Path, **environment: str) -> Service:
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, stdout=file, stderr=file, env={**os.environ, **environment}
        )
    service = Service(f"http://127.0.0.1:{port}", process, log, configuration)

    def ready() -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        return httpx.get(f"{service.url}/-/ready").status_code == 200

    try:
        until(f"{command[0]} is ready", ready, START_SECONDS)
    except BaseException:
        service.stop()
        raise
    return service


def start_muster(folder: Path, configuration: str, port: int = 0) -> Service:
    """`muster serve` with its own NATS and Postgres below `folder`."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    file, tokens = folder / "alertmanager.yml", folder / "tokens"
    file.write_text(configuration)
    tokens.touch(mode=0o600)
    tokens.write_text(f"{token_entry('ada', Role.ADMIN, TOKEN)}\n")
    port = port or free_port()
    command = [str(Path(sys.executable).with_name("muster")), "serve"]
    arguments = ["--alerts-config", str(file), "--web.listen-address", f"127.0.0.1:{port}"]
    arguments += ["--data-dir", str(folder / "data"), "--tokens-file", str(tokens)]
    return start([*command, *arguments], folder, port, file, MUSTER_POSTGRES_DURABLE="false")


@pytest.fixture(scope="session")
def peers() -> Peers:
    try:
        return fetch()
    except NoPeers as reason:
        if os.environ.get(REQUIRE):
            pytest.fail(f"{reason} ({REQUIRE} is set)")
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def muster_service(peers: Peers) -> Generator[Service]:
    # Postgres does not run as root: pytest's own folders are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="muster-peers-"))
    folder.chmod(0o755)
    service = start_muster(folder, CONFIGURATION)
    yield service
    service.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def alertmanager(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    folder, port = tmp_path_factory.mktemp("alertmanager"), free_port()
    file = folder / "alertmanager.yml"
    file.write_text(CONFIGURATION)
    command = [str(peers.alertmanager), f"--config.file={file}", f"--storage.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    for template in peers.templates.glob("*.tmpl"):
        shutil.copy(template, folder)
    service = start(command, folder, port, file)
    yield service
    service.stop()
