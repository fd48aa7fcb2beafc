"""Paths into objects: what they find, and what is no path."""

from typing import Any

import pytest

from schemas.paths import MOST_FOUND, drop, find, first, parse_path, parse_product, path_text, put

OBJECT: dict[str, Any] = {
    "spec": {"tasks": [{"name": "a", "n": 1}, {"name": "b"}], "groups": {"x": {"n": 3}, "y": {"n": 4}}},
    "metadata": {"annotations": {"a.b/c": "7"}},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", [OBJECT]),
        ("spec.tasks[*].name", ["a", "b"]),
        ("spec.tasks[*].n", [1]),
        ("spec.groups[*].n", [3, 4]),
        ('metadata.annotations["a.b/c"]', ["7"]),
        ("spec.absent.more", []),
        ("spec.tasks.name", []),
    ],
)
def test_what_is_found(path: str, expected: list[Any]) -> None:
    parsed = parse_path(path)
    assert [value for _, value in find(OBJECT, parsed)] == expected
    assert first(OBJECT, parsed) == (expected[0] if expected else None)
    assert path_text(parsed) == path


def test_where_it_is_found() -> None:
    found = [where for where, _ in find(OBJECT, parse_path("spec.tasks[*].name"))]
    assert [path_text(where) for where in found] == ["spec.tasks[0].name", "spec.tasks[1].name"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".spec", "is no path"),
        ("spec..x", "is no path"),
        ("spec.x y", "is no path"),
        ("spec[0]", "is no path"),
        ("spec[?(@.x)]", "is no path"),
        ("__import__('os')", "is no path"),
        ("a" * 301, "up to 300"),
        (".".join("a" * 17), "up to 16"),
    ],
)
def test_what_is_no_path(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_path(path)


def test_products() -> None:
    assert [operator for operator, _ in parse_product("a.b * c / d")] == ["*", "*", "/"]
    with pytest.raises(ValueError, match="one field is needed"):
        parse_product("a * b[*]")


def test_too_much_is_not_gathered() -> None:
    with pytest.raises(ValueError, match="more than 1,000"):
        find({"x": list(range(MOST_FOUND + 1))}, parse_path("x[*]"))


def test_a_field_is_set_and_taken_out() -> None:
    root: dict[str, Any] = {"a": None}
    put(root, parse_path("a.b.c"), 1)
    assert root == {"a": {"b": {"c": 1}}}
    drop(root, parse_path("a.b.c"))
    drop(root, parse_path("x.y"))
    assert root == {"a": {"b": {}}}
    with pytest.raises(ValueError, match=r"a\.b: an object is needed"):
        put({"a": {"b": 3}}, parse_path("a.b.c"), 1)
