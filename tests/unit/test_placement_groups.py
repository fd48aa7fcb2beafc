"""Choosing regions in polynomial time gives what walking every combination gives."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.placement.groups import Group, choose_groups


def walked(groups: list[Group], least: int, most: int, target: int) -> list[str]:
    """Karmada's way: depth first, recorded as soon as there is enough, the best of all that is recorded."""
    order = sorted(groups, key=lambda group: (group.clusters, -group.score, group.name))
    recorded: list[list[Group]] = []

    def walk(path: list[Group], begin: int) -> None:
        enough = sum(group.clusters for group in path) >= target
        if enough and least <= len(path) <= most:
            recorded.append(path)
        elif len(path) < most:
            for index in range(begin, len(order)):
                walk([*path, order[index]], index + 1)

    walk([], 0)
    ranked = sorted(
        recorded, key=lambda path: (-sum(each.score for each in path), -sum(each.clusters for each in path))
    )
    named = [
        [group.name for group in sorted(path, key=lambda group: (-group.score, group.name))]
        for path in ranked
    ]
    best = named[0] if named else []
    for each in named:
        if len(each) < len(best) and best[: len(each)] == each:
            best = each
    return best


@pytest.mark.parametrize(
    ("groups", "least", "most", "target", "expected"),
    [
        ([("a", 10, 1), ("b", 9, 1), ("c", 8, 1)], 2, 3, 0, "ab"),
        # Two of the best have too few clusters: the second best that has enough.
        ([("a", 10, 1), ("b", 9, 1), ("c", 8, 3)], 2, 2, 4, "ac"),
        # More groups where two are never enough.
        ([("a", 10, 1), ("b", 9, 1), ("c", 8, 1)], 1, 3, 3, "abc"),
        # A beginning of the best that has enough already.
        ([("a", 10, 3), ("b", 9, 1)], 1, 2, 3, "a"),
        # The same score: more clusters.
        ([("a", 5, 1), ("b", 5, 2), ("c", 5, 2)], 1, 1, 1, "b"),
        ([("a", 5, 1)], 2, 2, 0, ""),
        ([("a", 5, 1), ("b", 5, 1)], 1, 2, 3, ""),
        ([], 1, 2, 0, ""),
    ],
)
def test_groups(
    groups: list[tuple[str, int, int]], least: int, most: int, target: int, expected: str
) -> None:
    found = choose_groups([Group(*each) for each in groups], least, most, target)
    assert "".join(group.name for group in found) == expected


GROUPS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 5, 8, 1000, 3_000_100]), st.integers(1, 5)), max_size=8
).map(lambda rows: [Group(f"r{index}", *row) for index, row in enumerate(rows)])


@settings(max_examples=1000)
@given(GROUPS, st.integers(1, 5), st.integers(0, 5), st.integers(0, 16))
def test_as_walking_every_combination(groups: list[Group], least: int, more: int, target: int) -> None:
    found = choose_groups(groups, least, least + more, target)
    assert [group.name for group in found] == walked(groups, least, least + more, target)


@given(GROUPS, st.integers(1, 4), st.integers(1, 12))
def test_scores_beyond_64_bits_change_nothing(groups: list[Group], least: int, target: int) -> None:
    large = [Group(group.name, group.score << 80, group.clusters) for group in groups]
    names = [group.name for group in choose_groups(groups, least, 6, target)]
    assert [group.name for group in choose_groups(large, least, 6, target)] == names
