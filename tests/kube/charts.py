"""The charts, rendered by Helm: what it prints, and what it says when it refuses."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kube.build import helm_binary

CHARTS = Path(__file__).parents[2] / "deploy" / "charts"
CENTRE, AGENT = CHARTS / "muster", CHARTS / "muster-agent"
REQUIRE = "MUSTER_REQUIRE_KUBE"
Object = dict[str, Any]

CENTRE_VALUES: Object = {
    "nats": {"urls": ["nats://nats-0.nats:4222", "nats://nats-1.nats:4222", "nats://nats-2.nats:4222"]},
    "postgres": {"existingSecret": "muster-postgres"},
    "keys": {"existingSecret": "muster-keys"},
    "tokens": {"existingSecret": "muster-tokens"},
}
"""The least that the chart of the centre wants."""
AGENT_VALUES: Object = {"centre": {"url": "https://muster.example.com"}, "join": {"token": "mj1_once"}}


class Refused(Exception):
    """Helm's own words."""


class Helm:
    """`folder`: for values files, and in place of a home."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder

    def lint(self, chart: Path, namespace: str, values: Object) -> str:
        return self._run("lint", "--strict", str(chart), "-n", namespace, "-f", self._file(values))

    def template(self, chart: Path, namespace: str, *values: Object) -> list[Object]:
        """Every object, in the order of the templates. Raises Refused."""
        files = [argument for each in values for argument in ("-f", self._file(each))]
        text = self._run("template", "muster", str(chart), "-n", namespace, *files)
        return [each for each in yaml.safe_load_all(text) if each]

    def _file(self, values: Object) -> str:
        path = self._folder / f"values-{len(list(self._folder.glob('values-*')))}.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(values))
        return str(path)

    def _run(self, *arguments: str) -> str:
        home = str(self._folder)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "XDG_CACHE_HOME": home,
            "XDG_CONFIG_HOME": home,
        }
        done = subprocess.run(
            [str(self._binary), *arguments], capture_output=True, text=True, env=environment, timeout=60
        )
        if done.returncode != 0:
            raise Refused(done.stdout + done.stderr)
        return done.stdout


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    binary = helm_binary()
    found = binary if binary.is_file() else Path(shutil.which("helm") or "")
    if not found.is_file():
        why = f"no helm at {binary} or on PATH: `python -m tests.kube.build` builds it once"
        if os.environ.get(REQUIRE):
            pytest.fail(f"{why} ({REQUIRE} is set)", pytrace=False)
        pytest.skip(why)
    return Helm(found, tmp_path_factory.mktemp("helm"))
