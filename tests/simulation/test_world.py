"""Seeds of the whole circle under faults, and those that have once found something before them.

More by hand: `make simulate`, 10,000. One in full: `python -m tests.simulation --seed N --trace`.
"""

import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation.quota_script import GRANTING
from tests.simulation.running import LONGEST_STEP_SECONDS, remembered_seeds, run_commands, run_seed
from tests.simulation.script import LOSSES, MISFORTUNES, ORDINARY

SEEDS = 96
CHUNKS = 8

pytestmark = [
    pytest.mark.promise(1),
    pytest.mark.promise(2),
    pytest.mark.promise(3),
    pytest.mark.promise(4),
    pytest.mark.promise(9),
]


@pytest.mark.parametrize("seed", remembered_seeds())
def test_a_seed_that_once_found_something(seed: int) -> None:
    run_seed(seed)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_promises_hold_under_faults_and_all_comes_together_after_them(chunk: int) -> None:
    for seed in set(range(chunk, SEEDS, CHUNKS)) - set(remembered_seeds()):
        run_seed(seed)


COMMANDS = sorted({name for _, name in (*ORDINARY, *MISFORTUNES, *LOSSES, *GRANTING)})
PAUSES = st.integers(1, int(10 * LONGEST_STEP_SECONDS)).map(lambda tenths: tenths / 10)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 1_000_000),
    commands=st.lists(st.tuples(PAUSES, st.sampled_from(COMMANDS)), min_size=1, max_size=40),
)
def test_promises_hold_whatever_is_done_in_whatever_order(
    seed: int, commands: list[tuple[float, str]]
) -> None:
    """Where it fails, hypothesis looks for the fewest commands that do."""
    run_commands(seed, commands, quota=True)


@pytest.mark.parametrize(
    ("seed", "quota"),
    [(7, False), (7, True), (4711, False)],
    ids=["", "with quota", "watches of several kinds end at once"],
)
def test_the_same_seed_is_the_same_world_byte_for_byte(seed: int, quota: bool) -> None:
    """In another process too, whose sets are in another order."""
    assert len({_digest_elsewhere(seed, quota, hashes) for hashes in ("0", "1")}) == 1


def _digest_elsewhere(seed: int, quota: bool, hashes: str) -> str:
    program = f"from tests.simulation.running import run_seed; print(run_seed({seed}, quota={quota}).digest)"
    other = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": hashes},
        capture_output=True,
        text=True,
        check=True,
    )
    return other.stdout.strip()
