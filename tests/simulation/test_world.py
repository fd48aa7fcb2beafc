"""96 seeds of the whole circle under faults, and the seeds that have once found something before them.

More by hand: `python -m tests.simulation --seeds 10000`. One in full: `--seed N --trace`.
"""

import pytest

from tests.simulation.running import remembered_seeds, run_seed

SEEDS = 96
CHUNKS = 8

pytestmark = [pytest.mark.promise(1), pytest.mark.promise(3), pytest.mark.promise(9)]


@pytest.mark.parametrize("seed", remembered_seeds())
def test_a_seed_that_once_found_something(seed: int) -> None:
    run_seed(seed)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_promises_hold_under_faults_and_all_comes_together_after_them(chunk: int) -> None:
    for seed in set(range(chunk, SEEDS, CHUNKS)) - set(remembered_seeds()):
        run_seed(seed)


def test_the_same_seed_is_the_same_world() -> None:
    assert run_seed(7) == run_seed(7)
