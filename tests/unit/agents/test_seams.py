"""kill -9 of an agent at every seam between record, acknowledgement, apply and mark; the next one goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agents.simulated import SimulatedCluster
from schemas.wire.orders import ObjectRef

SEAMS = (
    "agent.after_record",
    "agent.after_acknowledge",
    "agent.between_objects",
    "agent.after_apply",
    "agent.after_mark",
)
SETTINGS = ObjectRef("v1", "ConfigMap", "shop", "settings")


def run(folder: Path, verb: str, generation: int, seam: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.unit.agents.dying_agent", str(folder), verb, str(generation)]
    environment = {**os.environ, "MUSTER_FAILPOINTS": f"{seam}=kill" if seam else ""}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, cwd=os.getcwd(), check=False
    )


@pytest.mark.promise(3)
@pytest.mark.parametrize("seam", SEAMS)
def test_an_order_cut_off_at_a_seam_is_carried_out_by_the_next_agent(tmp_path: Path, seam: str) -> None:
    killed = run(tmp_path, "apply", 1, seam)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = run(tmp_path, "apply", 1)
    assert again.stdout.splitlines()[-1].startswith("Applied 1"), again.stderr
    cluster = SimulatedCluster(tmp_path / "cluster.sqlite")
    settings = cluster.look(SETTINGS)
    assert settings is not None
    assert settings["data"] == {"colour": "number-1"}


@pytest.mark.promise(3)
def test_a_withdrawal_cut_off_before_it_acted_fences_and_is_finished(tmp_path: Path) -> None:
    assert run(tmp_path, "apply", 1).returncode == 0
    killed = run(tmp_path, "withdraw", 2, "agent.after_record")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    cluster = SimulatedCluster(tmp_path / "cluster.sqlite")
    assert cluster.look(SETTINGS) is not None, "recorded, not yet acted on"
    cluster.close()
    finished = run(tmp_path, "withdraw", 2)
    assert finished.returncode == 0, finished.stderr
    cluster = SimulatedCluster(tmp_path / "cluster.sqlite")
    assert cluster.look(SETTINGS) is None
