"""Laws of what is rendered: what is ordered is understood as it was decided, nothing else moves."""

import copy
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from controlplane.interpreters import KINDS, NotUnderstood, compiled_kind, interpret, render, uses
from schemas.manifests import InterpreterSpec
from schemas.paths import Path, find
from tests.unit.test_autoscaling import autoscaler, deployment
from tests.unit.test_kinds import written

DIVISIBLE = ("knative-service", "function", "rollout")
WHOLE = ("virtual-machine", "pytorch-job", "ray-cluster", "flink-deployment", "volcano-job")
counts = st.integers(1, 10_000)


@given(st.sampled_from(DIVISIBLE), counts)
def test_a_share_is_read_as_the_share_that_it_is(name: str, share: int) -> None:
    rendered = render([written(name)], "uid", share)
    again = interpret(rendered.objects)
    assert again.replicas == share
    assert [each.template for each in again.components] == list(rendered.templates.values())
    assert [each.demand for each in again.components] == [
        each.demand for each in interpret([written(name)]).components
    ]


@given(st.sampled_from(WHOLE), counts)
def test_a_set_is_the_same_whatever_is_asked(name: str, share: int) -> None:
    manifest = written(name)
    assert render([manifest], "uid", share).objects == render([manifest], "uid", 1).objects
    assert interpret(render([manifest], "uid", share).objects).components == interpret([manifest]).components


@given(st.integers(0, 50), st.integers(1, 200), st.integers(1, 200))
def test_bounds_of_an_autoscaler_never_cross(least: int, more: int, share: int) -> None:
    objects = [deployment(), autoscaler(minReplicas=least, maxReplicas=least + more)]
    web, scaler = render(objects, "uid", share).objects
    spec = scaler["spec"]
    assert spec["minReplicas"] <= spec["maxReplicas"] == share
    assert spec["minReplicas"] == min(least, share)
    assert "replicas" not in web["spec"]
    assert interpret([web, scaler]).replicas == share


@given(st.sampled_from([*DIVISIBLE, *WHOLE]), counts)
def test_nothing_but_labels_and_the_share_differs(name: str, share: int) -> None:
    manifest = written(name)
    (rendered,) = render([manifest], "uid", share).objects
    kind = KINDS[f"{manifest['apiVersion'].rpartition('/')[0]}/{manifest['kind']}"]
    for path, value in leaves(manifest):
        if path not in (kind.scaled, kind.minimum):
            assert value in [each for _, each in find(rendered, path)], path


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """What stands in it, by path; items of lists under `[*]`."""
    if isinstance(value, dict):
        for key, inner in cast(dict[str, Any], value).items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for inner in cast(list[Any], value):
            yield from leaves(inner, (*path, None))
    else:
        yield path, value


JUNK: tuple[Any, ...] = (
    None,
    "x",
    "",
    7,
    -1,
    2**40,
    True,
    [],
    {},
    [1],
    {"a": 1},
    1.5,
    "9" * 30,
    {"a": {"b": []}},
)
GANG = compiled_kind(
    InterpreterSpec.model_validate(
        {
            "group": "example.com",
            "kind": "Gang",
            "divisible": True,
            "minimum": "spec.size.least",
            "components": [{"at": "spec.pods", "replicas": "size.most", "labels": "marks.labels"}],
            "stoppedWhen": [{"path": "spec.off", "in": [True]}],
        }
    )
)
GANG_OBJECT = {
    "apiVersion": "example.com/v1",
    "kind": "Gang",
    "metadata": {"name": "x", "namespace": "x"},
    "spec": {"pods": {"size": {"most": 3}, "marks": {"labels": {"a": "b"}}}, "size": {"least": 1}},
}


@given(st.sampled_from([*DIVISIBLE, *WHOLE, "gang", "scaled"]), st.data())
def test_whatever_stands_there_is_understood_or_refused_by_name(name: str, data: st.DataObject) -> None:
    objects: list[dict[str, Any]] = copy.deepcopy(
        [GANG_OBJECT]
        if name == "gang"
        else [deployment(), autoscaler()]
        if name == "scaled"
        else [written(name)]
    )
    path, _ = data.draw(st.sampled_from(list(branches(objects[-1]["spec"]))))
    put_anywhere(objects[-1]["spec"], path, data.draw(st.sampled_from(JUNK)))
    kinds = {**KINDS, GANG[0]: GANG[1]}
    refused = ""
    try:
        uses(interpret(objects, kinds).components)
        render(objects, "uid", data.draw(counts), kinds)
    except NotUnderstood as error:
        refused = str(error)
    assert not refused or refused.startswith("spec.manifests[")


def branches(value: Any, where: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value below `value`, with its place."""
    items = (
        cast(dict[str, Any], value).items()
        if isinstance(value, dict)
        else enumerate(cast(list[Any], value))
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield (*where, key), inner
        yield from branches(inner, (*where, key))


def put_anywhere(root: Any, where: tuple[str | int, ...], value: Any) -> None:
    for step in where[:-1]:
        root = root[step]
    root[where[-1]] = copy.deepcopy(value)
