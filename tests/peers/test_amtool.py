"""Debian's amtool against a running Muster, and its routing beside `muster alerts route`."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.cli.main import run
from tests.peers.conftest import Service, until
from tests.peers.debian import Peers

Amtool = Callable[..., str]
HEAD = (
    "receivers: [{name: default}, {name: a}, {name: b}, {name: c}, {name: d}]\nroute:\n  receiver: default\n"
)

ROUTES: dict[str, tuple[str, list[str]]] = {
    "no routes": ("", ["alertname=x", "a="]),
    "the first that matches": (
        "  routes:\n  - {receiver: a, matchers: ['x=1']}\n  - {receiver: b, matchers: ['x=~\"1|2\"']}\n",
        ["x=1", "x=2", "x=3", "y=1"],
    ),
    "continue": (
        "  routes:\n  - {receiver: a, matchers: ['x=1'], continue: true}\n"
        "  - {receiver: b, matchers: ['x=1']}\n  - {receiver: c, matchers: ['x=1']}\n",
        ["x=1", "x=2"],
    ),
    "children before their parent": (
        "  routes:\n  - receiver: a\n    matchers: ['x=1']\n    routes:\n"
        "    - {receiver: b, matchers: ['y=1']}\n    - {receiver: c, matchers: ['y!=\"\"'], continue: true}\n"
        "  - {receiver: d}\n",
        ["x=1", "x=1 y=1", "x=1 y=2", "y=1", "z=1"],
    ),
    "continue of a child ends with its parent": (
        "  routes:\n  - receiver: a\n    matchers: ['x=1']\n    routes:\n"
        "    - {receiver: b, matchers: ['y=1'], continue: true}\n  - {receiver: d}\n",
        ["x=1 y=1", "x=1"],
    ),
    "continue of a parent": (
        "  routes:\n  - receiver: a\n    matchers: ['x=1']\n    continue: true\n    routes:\n"
        "    - {receiver: b, matchers: ['y=1']}\n  - {receiver: d}\n",
        ["x=1 y=1", "x=1", "y=1"],
    ),
    "an absent label is an empty one": (
        "  routes:\n  - {receiver: a, matchers: ['x=\"\"', 'w=1']}\n  - {receiver: b, matchers: ['x!=1']}\n"
        "  - {receiver: c, matchers: ['x=~\".*\"']}\n",
        ["w=1", "x=1", "x=2", "x=1 w=1", "z=1"],
    ),
    "anchored": (
        "  routes:\n  - {receiver: a, matchers: ['x=~\"b|cd\"']}\n"
        "  - {receiver: b, matchers: ['x!~\"b.+\"']}\n",
        ["x=b", "x=bb", "x=cd", "x=cde", "x=abc", "y=1"],
    ),
    "match and match_re": (
        "  routes:\n  - {receiver: a, match: {x: '1', y: '2'}}\n  - {receiver: b, match_re: {x: '[1-3]+'}}\n",
        ["x=1 y=2", "x=1", "x=321", "x=4"],
    ),
    "several in one string": (
        '  routes:\n  - {receiver: a, matchers: [\'{x="1",y=~"2|3"}\']}\n  - receiver: b\n'
        "    matchers: ['x = 1', 'y != \"a,b\"']\n",
        ["x=1 y=2", "x=1", "x=1 y=4"],
    ),
    "a receiver that is inherited": (
        "  routes:\n  - matchers: ['x=1']\n    routes:\n    - {matchers: ['y=1']}\n"
        "    - {receiver: c, matchers: ['y=2']}\n",
        ["x=1 y=1", "x=1 y=2", "x=1"],
    ),
}


@pytest.fixture
def amtool(peers: Peers, muster_service: Service, tmp_path: Path) -> Amtool:
    def call(*arguments: str, expect: int = 0) -> str:
        command = [
            str(peers.amtool),
            "--alertmanager.url",
            muster_service.url,
            "--no-version-check",
            *arguments,
        ]
        environment = {"HOME": str(tmp_path), "TZ": "UTC"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=environment)
        assert done.returncode == expect, (arguments, done.stdout, done.stderr)
        return done.stdout if expect == 0 else done.stderr

    return call


def test_alerts_are_added_and_queried(amtool: Amtool) -> None:
    amtool("alert", "add", "amtool", "node=n1", "severity=critical", "--annotation=summary=disk full")
    amtool("alert", "add", "amtool", "node=n2", "--end=2035-01-01T00:00:00Z", "--generator-url=http://g/")
    assert "disk full" in amtool("alert", "query", "alertname=amtool", "node=n1")
    found = json.loads(amtool("alert", "query", "-o", "json", "alertname=amtool", 'node=~"n.*"'))
    assert {each["labels"]["node"] for each in found} == {"n1", "n2"}
    assert "n2" in amtool("alert", "query", "-o", "extended", "alertname=amtool", "node!=n1")


def test_a_silence_is_added_queried_updated_and_expired(amtool: Amtool) -> None:
    amtool("alert", "add", "quiet", "node=n1")
    made = amtool(
        "silence", "add", "alertname=quiet", 'node=~"n.*"', "-a", "ada", "-c", "why not", "-d", "1h"
    ).strip()
    listed = json.loads(amtool("silence", "query", "-o", "json", "alertname=quiet"))
    assert [(each["id"], each["comment"], each["createdBy"]) for each in listed] == [(made, "why not", "ada")]
    assert "quiet" not in amtool("alert", "query", "alertname=quiet")
    assert "quiet" in amtool("alert", "query", "--silenced", "alertname=quiet")

    amtool("silence", "update", made, "-d", "2h", "-c", "still")
    (updated,) = json.loads(amtool("silence", "query", "-o", "json", "alertname=quiet"))
    assert (updated["id"], updated["comment"]) == (made, "still")

    amtool("silence", "expire", made)
    assert made not in amtool("silence", "query", "alertname=quiet")
    assert made in amtool("silence", "query", "--expired", "alertname=quiet")
    assert "quiet" in amtool("alert", "query", "alertname=quiet")


def test_silences_are_exported_and_imported(amtool: Amtool, tmp_path: Path) -> None:
    amtool("silence", "add", "import=me", "-c", "c")
    exported = tmp_path / "silences.json"
    exported.write_text(amtool("silence", "query", "-o", "json", "import=me"))
    amtool("silence", "expire", *amtool("silence", "query", "-q", "import=me").split())
    amtool("silence", "import", "--force", str(exported))
    assert len(amtool("silence", "query", "-q", "import=me").split()) == 1


def test_a_bad_silence_is_refused_with_a_cause(amtool: Amtool) -> None:
    assert "empty string" in amtool("silence", "add", 'a=~".*"', "-c", "c", expect=1)


def test_the_cluster_and_the_configuration_are_shown(amtool: Amtool) -> None:
    assert "Cluster Status:" in amtool("cluster", "show")
    shown = amtool("config", "show")
    assert "receiver: default" in shown
    assert "mute_time_intervals" in shown


def test_what_the_service_says_of_its_configuration_routes_as_its_file(
    amtool: Amtool, muster_service: Service, peers: Peers
) -> None:
    """`config.original` is read by amtool as a file of its own."""
    for labels in (["team=db"], ["team=night"], ["other=1"]):
        served = amtool("config", "routes", "test", *labels)
        file = str(muster_service.configuration)
        assert served == amtool("config", "routes", "test", f"--config.file={file}", *labels)
    assert "receiver: muted" in amtool("config", "routes", "show")


@pytest.mark.parametrize("name", ROUTES)
def test_routes_are_amtools(
    name: str, peers: Peers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    routes, tables = ROUTES[name]
    file = tmp_path / "alertmanager.yml"
    file.write_text(HEAD + routes)
    checked = subprocess.run([peers.amtool, "check-config", file], capture_output=True, timeout=20)
    assert checked.returncode == run(["alerts", "check", str(file)]) == 0, checked.stderr
    for labels in tables:
        command = [peers.amtool, "config", "routes", "test", f"--config.file={file}", *labels.split()]
        expected = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
        capsys.readouterr()
        assert run(["alerts", "route", "--config", str(file), *labels.split(), "-o", "json"]) == 0
        assert ",".join(json.loads(capsys.readouterr().out)["receivers"]) == expected, (labels, routes)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "  routes:\n  - {receiver: nobody}\n",
        HEAD + "  routes:\n  - {receiver: a, matchers: ['x']}\n",
        HEAD + "  routes:\n  - {receiver: a, matchers: ['x=~\"(\"']}\n",
        HEAD + "  group_wait: soon\n",
        HEAD + "  unknown: 1\n",
        "route: {receiver: a}\nreceivers: [{name: a}, {name: a}]\n",
        "receivers: [{name: a}]\n",
        HEAD + "  matchers: ['a=b']\n",
        HEAD + "  group_by: ['...', a]\n",
        HEAD + "  mute_time_intervals: [none]\n",
    ],
)
def test_what_amtool_refuses_is_refused(text: str, peers: Peers, tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(text)
    assert (
        subprocess.run([peers.amtool, "check-config", file], capture_output=True, timeout=20).returncode == 1
    )
    assert run(["alerts", "check", str(file)]) == 1


def test_a_new_file_is_taken_on_reload_and_a_bad_one_is_not(amtool: Amtool, muster_service: Service) -> None:
    before = muster_service.configuration.read_text()
    try:
        muster_service.configuration.write_text(
            before.replace("{name: muted}]", "{name: muted}, {name: new}]")
        )
        with muster_service.client() as ours:
            assert ours.post("/-/reload").status_code == 200
            until("the new receiver is there", lambda: "new" in ours.get("/api/v2/receivers").text)
            muster_service.configuration.write_text("route: {}\n")
            refused = ours.post("/-/reload")
            assert (refused.status_code, "route" in refused.text) == (500, True)
            assert {"name": "new"} in ours.get("/api/v2/receivers").json()
        assert "name: new" in amtool("config", "show")
    finally:
        muster_service.configuration.write_text(before)
        with muster_service.client() as ours:
            ours.post("/-/reload")
