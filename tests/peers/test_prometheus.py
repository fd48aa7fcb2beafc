"""A real Prometheus whose rule fires, pointed at Muster as at an Alertmanager; a webhook is told, and told of
the end."""

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from controlplane.embedded.processes import free_port
from tests.peers.conftest import start_muster, until
from tests.peers.debian import Peers

RULES = """\
groups:
- name: g
  interval: 200ms
  rules:
  - alert: Fires
    expr: vector(1) == {wanted}
    labels: {{severity: critical, "host": "h1"}}
    annotations: {{summary: "value {{{{ $value }}}}"}}
"""


class _Received(ThreadingHTTPServer):
    """Keeps the bodies that it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Received

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def webhook() -> Generator[_Received]:
    server = _Received()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder() -> Generator[Path]:
    made = Path(tempfile.mkdtemp(prefix="muster-prometheus-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.promise(4)
def test_a_rule_that_fires_is_listed_and_told_and_its_end_too(
    peers: Peers, webhook: _Received, folder: Path
) -> None:
    url = f"http://127.0.0.1:{webhook.server_address[1]}/hook"
    configuration = (
        "route: {receiver: hook, group_wait: 100ms, group_interval: 500ms}\n"
        f"receivers: [{{name: hook, webhook_configs: [{{url: '{url}'}}]}}]\n"
    )
    muster = start_muster(folder / "muster", configuration)
    try:
        prometheus = _start_prometheus(peers, folder, muster.url)
        try:
            _watch(muster.url, webhook, folder, prometheus)
        finally:
            prometheus.terminate()
            prometheus.wait(20)
    finally:
        muster.stop()


def _start_prometheus(peers: Peers, folder: Path, muster: str) -> "subprocess.Popen[bytes]":
    (folder / "rules.yml").write_text(RULES.format(wanted=1))
    target = muster.removeprefix("http://")
    (folder / "prometheus.yml").write_text(
        "global: {evaluation_interval: 200ms, external_labels: {cluster: c1}}\nrule_files: [rules.yml]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{target}']}}]}}]}}\n"
    )
    command = [str(peers.prometheus), f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{free_port()}"]
    command += ["--rules.alert.resend-delay=500ms"]
    with (folder / "prometheus.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)


def _watch(muster: str, webhook: _Received, folder: Path, prometheus: "subprocess.Popen[bytes]") -> None:
    def listed() -> list[dict[str, Any]]:
        assert prometheus.poll() is None, (folder / "prometheus.log").read_text()[-3000:]
        return httpx.get(f"{muster}/api/v2/alerts").json()

    (alert,) = until("the alert is listed", listed)
    assert alert["labels"] == {"alertname": "Fires", "cluster": "c1", "host": "h1", "severity": "critical"}
    assert alert["annotations"] == {"summary": "value 1"}
    assert alert["generatorURL"].startswith("http")

    until("the webhook is told", lambda: webhook.bodies)
    told = webhook.bodies[0]
    assert (told["status"], told["version"], told["receiver"]) == ("firing", "4", "hook")
    assert told["alerts"][0]["fingerprint"] == alert["fingerprint"]

    (folder / "rules.yml").write_text(RULES.format(wanted=2))
    prometheus.send_signal(signal.SIGHUP)
    until("the webhook is told of the end", lambda: webhook.bodies[-1]["status"] == "resolved", 30)
    assert not listed()
    assert [body["status"] for body in webhook.bodies].count("firing") == 1
