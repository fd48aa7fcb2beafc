"""The demo itself: every scene played, and everything where it should be when it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

BOUND_SECONDS = 150
_MUSTER = "from controlplane.cli.main import main; main()"


def run_demo(folder: Path, *arguments: str, until: str = "") -> tuple[int, dict[str, Any], str]:
    """Exit code, the last line of stdout, and stderr. until: what is said before it is told to end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    said_path = folder / "said"
    with said_path.open("w") as said, (folder / "out").open("w+") as out:
        demo = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from controlplane.cli.main import main; main()",
                "demo",
                "--json",
                *arguments,
            ],
            env={**environment, "MUSTER_CONTEXT": str(folder / "context.json")},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=said,
        )
        try:
            deadline = time.monotonic() + BOUND_SECONDS
            while until and until not in said_path.read_text() and demo.poll() is None:
                assert time.monotonic() < deadline, said_path.read_text()
                time.sleep(0.2)
            if until:
                demo.send_signal(signal.SIGTERM)
            code = demo.wait(max(1.0, deadline - time.monotonic()))
        finally:
            demo.kill()
        out.seek(0)
        return code, json.loads(out.read().splitlines()[-1]), said_path.read_text()


@pytest.mark.timeout(BOUND_SECONDS + 30)
def test_every_scene_is_played_and_all_is_where_it_should_be(tmp_path: Path) -> None:
    _, ended, said = run_demo(tmp_path, until="is withdrawn from it")
    # One that is told to end does not wait for the last reports: they are no matter of the scenes.
    problems = [text for text in ended["problems"] if "last report" not in text]
    assert (ended["scenes_played"], problems) == (["kata", "amx", "quota", "alert", "edge"], []), said
    for text in (
        "cloud-eu: RuntimeClassMissing: has no runtime class kata",
        "24 of 24 lack feature cpu.cpuid.AMXTILE",
        "bookings: Preempted: ",
        "request 1 of demo is approved by demo-approver",
        "bookings runs again, by quota of travel's own",
        "tainted muster.dev/unreachable:NoExecute",
        "dashboard runs again in cloud-eu",
        "historian stays: HoldsData",
        "collector stays: Duplicated",
    ):
        assert text in said
    assert ended["orders_duplicated"] == 0


@pytest.mark.timeout(BOUND_SECONDS + 30)
def test_a_scene_that_does_not_fit_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    code, ended, said = run_demo(tmp_path, "--for", "14")
    assert (code, ended["ok"], ended["problems"]) == (0, True, []), said
    assert "edge" in ended["scenes_not_played"]
    assert "edge-07 goes dark" not in said
    if ended["scenes_played"]:
        assert "the scene edge takes 18 s, and --for 14 has no room for it: it is not played" in said
