"""Whatever stands in a plan of quota is answered or refused by its field, and never a fault of ours."""

import copy
import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.cli.quota_paper import as_data
from controlplane.quota.overview import Overview
from controlplane.quota.paper import NotPlanned, faults, on_paper
from controlplane.quota.what_if import WhatIf
from schemas.manifests import ManifestError
from schemas.manifests.quota_plan_reading import parse_quota_plan, read_quota_plan

PLAN: dict[str, Any] = {
    "cohorts": [
        {"name": "org", "weight": 2, "flavors": {"default": {"cpu": {"nominal": 4}}}},
        {"name": "team", "parent": "org", "flavors": {"default": {"cpu": {"borrowingLimit": 3}}}},
    ],
    "tenants": [
        {
            "name": "a",
            "cohort": "team",
            "weight": 1,
            "flavors": {"default": {"cpu": {"nominal": 4, "lendingLimit": 2, "usage": 3}}},
            "preemption": {"reclaimWithinCohort": "Any", "borrowWithinCohort": {"policy": "Never"}},
            "workloads": [{"name": "w", "priority": 1, "admittedAt": 5, "flavors": {"default": {"cpu": 2}}}],
        },
        {"name": "b", "cohort": "org", "resources": {"cpu": 3}, "usage": {"cpu": 9}},
        {"name": "c", "flavors": [{"name": "default", "resources": [{"name": "cpu", "nominalQuota": 1}]}]},
    ],
    "request": {"tenant": "a", "name": "r", "priority": 3, "flavors": {"default": {"cpu": 4}}},
}
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["a", "b", "org", "team", "default", "cpu", "1500m", "99E", "-1", "2026-01-31T08:00:00Z"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(cast(dict[Any, Any], value).items())
    elif isinstance(value, list):
        items = list(enumerate(cast(list[Any], value)))
    for key, each in items:
        found += places(each, (*path, key))
    return found


PLACES = places(PLAN)


def looked_at(plan: object) -> None:
    try:
        read = read_quota_plan(json.dumps(plan), "plan")
        assert read.spec is not None or read.problems
        if read.spec is not None:
            faults(read.spec, read.unsure)
        paper = on_paper(parse_quota_plan(json.dumps(plan), "plan"))
        what_if = WhatIf(paper)
        answer = as_data(Overview(paper.usage), set(), what_if.verdict(), what_if)
    except (ManifestError, NotPlanned):
        return
    json.dumps(answer, allow_nan=False)
    for each in (*answer["tenants"], *answer["cohorts"]):
        for resources in each["flavors"].values():
            for figures in resources.values():
                assert figures["integers"]["available"] >= 0


@given(st.sampled_from(PLACES), JUNK)
@settings(max_examples=400, deadline=None)
def test_junk_in_place_of_a_value(path: tuple[Any, ...], junk: Any) -> None:
    plan = copy.deepcopy(PLAN)
    at: Any = plan
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = junk
    looked_at(plan)


@given(st.sampled_from([path for path in PLACES if isinstance(path[-1], str)]), st.text(max_size=8), JUNK)
@settings(max_examples=200, deadline=None)
def test_a_field_more(path: tuple[Any, ...], name: str, junk: Any) -> None:
    plan = copy.deepcopy(PLAN)
    at: Any = plan
    for key in path[:-1]:
        at = at[key]
    at[name] = junk
    looked_at(plan)


@given(JUNK)
@settings(max_examples=100, deadline=None)
def test_junk_alone(junk: Any) -> None:
    looked_at(junk)


def test_the_plan_itself_is_answered() -> None:
    looked_at(PLAN)
    on_paper(parse_quota_plan(json.dumps(PLAN), "plan"))
