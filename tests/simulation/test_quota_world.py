"""The seeded world where tenants have quotas that change: promise 2 at every commit and every step.

More by hand: `python -m tests.simulation --seeds 1000 --quota`.
"""

import pytest

from tests.simulation.running import run_seed

SEEDS = 10
FOUND = (5147, 7023, 7046, 102037)
"""What waited behind another that asks for as much at least, and comes to more, was never looked at again.
What a cohort had granted to a tenant elsewhere counted as its own still when a quota below it was cut.
A cluster was heard while the decision to leave it was on its way to the database: the witness was wrong.
What was refused more kept what it had, and in a recovered cluster that was never ordered anew.
"""
CALM_SEEDS = (0, 1, 7, 18)
"""In the last two a quota is changed just while something is decided on it, and that would show."""

pytestmark = pytest.mark.promise(2)


@pytest.mark.parametrize("seed", [*range(SEEDS), *FOUND])
def test_nobody_is_charged_beyond_the_tree_and_all_that_runs_is_charged(seed: int) -> None:
    run_seed(seed, quota=True)


@pytest.mark.parametrize("seed", CALM_SEEDS)
def test_where_nothing_goes_wrong_either(seed: int) -> None:
    run_seed(seed, faults=False, quota=True)
