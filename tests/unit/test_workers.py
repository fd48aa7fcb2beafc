"""Who runs which tests: the longest group first, what waits in one worker, and nothing left over."""

from tests.workers import LONGEST, WAITING, group_of, next_of


def test_the_last_worker_begins_with_what_waits_and_the_others_end_with_it() -> None:
    left = dict.fromkeys(("one", "documented", LONGEST, "two", "killed"))
    for is_last, expected in (
        (False, LONGEST),
        (True, "killed"),
        (False, "one"),
        (True, "documented"),
        (True, "two"),
    ):
        group = next_of(left, is_last=is_last)
        assert group == expected
        del left[group]
    assert next_of(dict.fromkeys(["lost"]), is_last=False) == "lost"


def test_a_test_that_shares_nothing_is_a_group_of_its_own() -> None:
    assert group_of("tests/crash/test_killed_agent.py::test_x") in WAITING
    assert group_of("tests/unit/test_x.py::test_y") == "tests/unit/test_x.py::test_y"
