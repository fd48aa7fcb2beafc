"""Named seams at which a test may kill the agent; nothing happens unless MUSTER_FAILPOINTS names one.

`MUSTER_FAILPOINTS=agent.after_record=kill` kills when the seam is first reached, `=3` at the third time.
"""

import os
import signal


def _armed() -> dict[str, int]:
    pairs = (pair.partition("=") for pair in os.environ.get("MUSTER_FAILPOINTS", "").split(",") if pair)
    return {name: int(count) if count.isdigit() else 1 for name, _, count in pairs}


_countdown = _armed()


def reached(name: str) -> None:
    """Say that the seam `name` was reached; where it is armed and counted down, SIGKILL ourselves."""
    if name not in _countdown:
        return
    _countdown[name] -= 1
    if _countdown[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
