"""What people send: read whole or refused, and never the end of the process."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.documents import MAX_DEPTH, Unreadable, check_nesting, read_json
from controlplane.queries.sealed import HIDDEN, BadSecret, hide, seal


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "line 1"),
        (b"{", "line 1 column 2"),
        (b'{"a": 1, "a": 2}', "'a' is given twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1e999}', "larger"),
        (b"\xff", "UTF-8"),
        (b'"\\ud800"', "half a character"),
        (b'{"\\ud800": 1}', "half a character"),
        (b"[" * 100_000, "deep"),
        (b"[" * 100 + b"]" * 100, "deep"),
        (b"[" + b"1," * 300_000 + b"1]", "200000"),
        (b"1" * 5000, "JSON"),
    ],
)
def test_what_cannot_be_read_says_why(text: bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        read_json(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_what_json_can_say_is_read(value: object) -> None:
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", [b"- " * 200_000, b"[" * 200_000, b"? " * 1000, b"{a: " * (MAX_DEPTH + 1)])
def test_yaml_that_would_exhaust_the_stack_is_refused_before_it_is_built(text: bytes) -> None:
    with pytest.raises(Unreadable, match="deep"):
        check_nesting(text)


@pytest.mark.parametrize("text", [b"a: 1", b"a: [1", b"\xff", b"", b"*nothing"])
def test_other_yaml_is_left_to_its_reader(text: bytes) -> None:
    check_nesting(text)


def spec(**secret: object) -> dict[str, object]:
    return {"manifests": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **secret}]}


def test_values_are_sealed_hidden_and_kept() -> None:
    stored = seal(spec(data={"a": "QQ=="}, stringData={"b": "B"}), None, lambda value: f"<{value.decode()}>")
    assert stored["manifests"][0]["data"] == {"a": "<A>", "b": "<B>"}
    shown = hide(stored)
    assert shown["manifests"][0]["data"] == {"a": HIDDEN, "b": HIDDEN}
    shown["manifests"][0]["data"]["c"] = "Qw=="
    again = seal(shown, stored, lambda value: f"[{value.decode()}]")
    assert again["manifests"][0]["data"] == {"a": "<A>", "b": "<B>", "c": "[C]"}


def test_only_secrets_are_touched() -> None:
    other = {"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": HIDDEN}}], "tenant": "t"}
    assert seal(other, None, lambda _: "no") == other
    assert hide(other) == other


def test_a_hidden_value_of_another_secret_is_not_taken() -> None:
    stored = seal(spec(stringData={"a": "A"}), None, lambda value: value.decode())
    renamed = hide(stored)
    renamed["manifests"][0]["metadata"] = {"name": "other"}
    with pytest.raises(BadSecret, match="none is stored"):
        seal(renamed, stored, lambda value: value.decode())
