"""`muster quota what-if`: each formula once, Kueue's own examples, the decision, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.cli.main import run
from controlplane.cli.quota_paper import as_data
from controlplane.quota.lending import split
from controlplane.quota.overview import Overview
from controlplane.quota.paper import on_paper
from controlplane.quota.quota import Admitted, CohortQuota, Limits, TenantQuota
from controlplane.quota.tree import Tree
from controlplane.quota.usage import Usage
from controlplane.quota.what_if import WhatIf
from schemas.manifests.quota_plan_reading import parse_quota_plan

CPU = ("default", "cpu")


def answered(plan: object) -> dict[str, Any]:
    paper = on_paper(parse_quota_plan(json.dumps(plan), "plan"))
    what_if = WhatIf(paper)
    declared = {each.name for each in paper.spec.cohorts}
    return as_data(Overview(paper.usage), declared, what_if.verdict(), what_if)


def tenant(name: str, cohort: str | None = "org", weight: Any = 1, **cpu: Any) -> dict[str, Any]:
    body = {"name": name, "weight": weight, "flavors": {"default": {"cpu": cpu}}}
    return body | ({"cohort": cohort} if cohort else {})


def of(answer: dict[str, Any], name: str, kind: str = "tenants") -> dict[str, Any]:
    return next(each for each in answer[kind] if each["name"] == name)


def cpu_of(answer: dict[str, Any], name: str, kind: str = "tenants") -> dict[str, Any]:
    return of(answer, name, kind)["flavors"]["default"]["cpu"]


@pytest.mark.parametrize(
    ("tenants", "cohorts", "expected"),
    [
        pytest.param(
            [tenant("a", None, nominal=10, usage=4)],
            [],
            {"available": "6", "potential": "10", "borrowed": "0", "lent": "0"},
            id="without a cohort, what is left of its own",
        ),
        pytest.param(
            [tenant("a", nominal=10, usage=4), tenant("b", nominal=5, usage=1)],
            [],
            {"available": "10", "potential": "15", "borrowed": "0"},
            id="in a cohort, what anybody leaves",
        ),
        pytest.param(
            [tenant("a", nominal=10, usage=4, borrowingLimit=2), tenant("b", nominal=5)],
            [],
            {"available": "8", "potential": "12"},
            id="no more is borrowed than the borrowing limit",
        ),
        pytest.param(
            [tenant("a", nominal=10, usage=11, borrowingLimit=2), tenant("b", nominal=5)],
            [],
            {"available": "1", "borrowed": "1"},
            id="what is borrowed counts to the borrowing limit",
        ),
        pytest.param(
            [tenant("a", nominal=10), tenant("b", nominal=5, lendingLimit=2)],
            [],
            {"available": "12", "potential": "12"},
            id="no more is lent than the lending limit",
        ),
        pytest.param(
            [tenant("a", nominal=10), tenant("b", nominal=5, lendingLimit=2, usage=4)],
            [],
            {"available": "11"},
            id="what is used comes first of what is not lent",
        ),
        pytest.param(
            [tenant("a", nominal=10, lendingLimit=3, usage=5), tenant("b", nominal=0, usage=3)],
            [],
            {"available": "2", "potential": "10", "lent": "3"},
            id="what it does not lend is its own, whatever others take",
        ),
        pytest.param(
            [tenant("a", nominal=1, usage="500m")],
            [{"name": "org", "flavors": {"default": {"cpu": 4}}}],
            {"available": "4500m", "potential": "5"},
            id="what is a cohort's own is for all below it",
        ),
        pytest.param(
            [tenant("a", "team", nominal=1), tenant("b", "org", nominal=7)],
            [
                {"name": "org"},
                {"name": "team", "parent": "org", "flavors": {"default": {"cpu": {"borrowingLimit": 3}}}},
            ],
            {"available": "4", "potential": "4"},
            id="a cohort's borrowing limit binds all below it",
        ),
        pytest.param(
            [tenant("a", "team", nominal=1), tenant("b", "other", nominal=7)],
            [
                {"name": "team", "parent": "org"},
                {"name": "other", "parent": "org", "flavors": {"default": {"cpu": {"lendingLimit": 2}}}},
            ],
            {"available": "3", "potential": "3"},
            id="a cohort's lending limit bounds what comes from below it, above its own nominal too",
        ),
        pytest.param(
            [tenant("a", nominal=2, usage=9), tenant("b", nominal=3, usage=3)],
            [],
            {"available": "0", "borrowed": "7"},
            id="what is shown is never below 0",
        ),
    ],
)
def test_formulas(tenants: list[Any], cohorts: list[Any], expected: dict[str, str]) -> None:
    found = cpu_of(answered({"cohorts": cohorts, "tenants": tenants}), "a")
    assert {name: found[name] for name in expected} == expected


TEAM_A = {"cpu": {"nominalQuota": 9}, "memory": {"nominalQuota": "36Gi"}}
TEAM_B = {"cpu": {"nominalQuota": 12}, "memory": {"nominalQuota": "48Gi"}}


@pytest.mark.parametrize(
    ("a", "b", "potential_of_a", "potential_of_b"),
    [
        (TEAM_A, TEAM_B, {"cpu": "21", "memory": "84Gi"}, {"cpu": "21", "memory": "84Gi"}),
        ({"cpu": {"nominalQuota": 9, "borrowingLimit": 1}}, {"cpu": 12}, {"cpu": "10"}, {"cpu": "21"}),
        ({"cpu": 9}, {"cpu": {"nominalQuota": 12, "lendingLimit": 1}}, {"cpu": "10"}, {"cpu": "21"}),
    ],
    ids=["borrowing", "borrowingLimit", "lendingLimit"],
)
def test_the_examples_of_kueues_documentation(
    a: object, b: object, potential_of_a: dict[str, str], potential_of_b: dict[str, str]
) -> None:
    answer = answered(
        {
            "tenants": {
                "team-a-cq": {"cohort": "team-ab", "flavors": {"default-flavor": a}},
                "team-b-cq": {"cohort": "team-ab", "flavors": {"default-flavor": b}},
            }
        }
    )
    for name, potential in (("team-a-cq", potential_of_a), ("team-b-cq", potential_of_b)):
        found = of(answer, name)["flavors"]["default-flavor"]
        assert {resource: each["potential"] for resource, each in found.items()} == potential
        assert {resource: each["available"] for resource, each in found.items()} == potential


@pytest.mark.parametrize(
    ("tenants", "share", "resource"),
    [
        ([tenant("a", nominal=10, usage=10), tenant("b", nominal=10)], 0, ""),
        ([tenant("a", nominal=10, usage=12), tenant("b", nominal=10)], 100, "cpu"),
        ([tenant("a", weight=2, nominal=10, usage=12), tenant("b", nominal=10)], 50, "cpu"),
        ([tenant("a", weight="0.5", nominal=10, usage=12), tenant("b", nominal=10)], 200, "cpu"),
        ([tenant("a", weight=0, nominal=10, usage=12), tenant("b", nominal=10)], "infinite", "cpu"),
        ([tenant("a", weight=0, nominal=10, usage=9), tenant("b", nominal=10)], 0, ""),
        ([tenant("a", nominal=10, usage=12), tenant("b", nominal=10, lendingLimit=5)], 134, "cpu"),
        ([tenant("a", None, nominal=10, usage=12)], 0, ""),
    ],
)
def test_shares(tenants: list[Any], share: int | str, resource: str) -> None:
    found = of(answered({"tenants": tenants}), "a")
    assert (found["share"], found["dominantResource"]) == (share, resource)
    assert found["shares"] == ({resource: share} if resource else {})


def test_the_dominant_resource_is_that_of_the_greatest_share_over_all_flavors() -> None:
    flavors = {
        "spot": {"cpu": {"nominal": 0, "usage": 2}, "memory": {"nominal": 0, "usage": "1Gi"}},
        "reserved": {"cpu": {"nominal": 2, "usage": 3}, "memory": {"nominal": "1Gi", "usage": "3Gi"}},
    }
    others = {"spot": {"cpu": 8, "memory": "8Gi"}, "reserved": {"cpu": 10, "memory": "3Gi"}}
    answer = answered(
        {
            "tenants": [
                {"name": "a", "cohort": "org", "flavors": flavors},
                {"name": "b", "cohort": "org", "flavors": others},
            ]
        }
    )
    found = of(answer, "a")
    assert (found["share"], found["dominantResource"]) == (250, "memory")
    assert found["shares"] == {"cpu": 150, "memory": 250}


RECLAIM = {
    "tenants": [
        tenant("lender", nominal=10),
        tenant("borrower", nominal=2)
        | {
            "workloads": [
                {"name": "old", "flavors": {"default": {"cpu": 2}}},
                {"name": "batch", "flavors": {"default": {"cpu": 4}}},
                {"name": "later", "flavors": {"default": {"cpu": 4}}},
            ]
        },
    ]
}


@pytest.mark.parametrize(
    ("asked", "changes", "mode", "borrowing", "victims", "missing"),
    [
        pytest.param(2, {}, "Fit", False, [], {}, id="there is room"),
        pytest.param(5, {}, "Preempt", False, ["later"], {"default": {"cpu": "3"}}, id="the last goes first"),
        pytest.param(
            10, {}, "Preempt", False, ["later", "batch"], {"default": {"cpu": "8"}}, id="all that is its own"
        ),
        pytest.param(11, {}, "NoFit", False, [], {"default": {"cpu": "9"}}, id="not to borrow itself"),
        pytest.param(20, {}, "NoFit", False, [], {"default": {"cpu": "18"}}, id="more than there ever is"),
        pytest.param(
            5,
            {"preemption": {"reclaimWithinCohort": "Never"}},
            "NoFit",
            False,
            [],
            {"default": {"cpu": "3"}},
            id="by a tenant that reclaims nothing",
        ),
    ],
)
def test_decisions(
    asked: int, changes: dict[str, Any], mode: str, borrowing: bool, victims: list[str], missing: object
) -> None:
    lender, borrower = RECLAIM["tenants"]
    request = {"tenant": "lender", "name": "mine", "flavors": {"default": {"cpu": asked}}}
    decision = answered({"tenants": [lender | changes, borrower], "request": request})["decision"]
    assert decision["mode"] == mode
    assert decision["admitted"] == (mode != "NoFit")
    assert decision["borrowing"] == borrowing
    assert sorted(each["name"] for each in decision["victims"]) == sorted(victims)
    assert decision["missing"] == missing
    assert (
        decision["reason"] == {"Fit": "Admitted", "Preempt": "QuotaAwaited", "NoFit": "QuotaExceeded"}[mode]
    )


def test_a_request_that_borrows_says_so_and_what_its_share_becomes() -> None:
    request = {"tenant": "a", "flavors": {"default": {"cpu": 4}}}
    tenants = [tenant("a", nominal=2), tenant("b", nominal=6)]
    decision = answered({"tenants": tenants, "request": request})["decision"]
    assert (decision["mode"], decision["borrowing"]) == ("Fit", True)
    assert (decision["share"], decision["shareAfter"]) == (0, 250)


@pytest.mark.parametrize(
    ("spot", "reserved", "resources", "flavors", "mode"),
    [
        (4, 8, {"cpu": 3}, {"spot": {"cpu": "3"}}, "Fit"),
        (4, 8, {"cpu": 6}, {"reserved": {"cpu": "6"}}, "Fit"),
        (4, 8, {"cpu": 9}, {"spot": {"cpu": "9"}}, "NoFit"),
    ],
)
def test_without_flavors_those_of_the_tenant_are_tried_in_their_order(
    spot: int, reserved: int, resources: dict[str, int], flavors: object, mode: str
) -> None:
    tenants = [{"name": "a", "flavors": {"spot": {"cpu": spot}, "reserved": {"cpu": reserved}}}]
    plan = {"tenants": tenants, "request": {"tenant": "a", "resources": resources}}
    decision = answered(plan)["decision"]
    assert (decision["flavors"], decision["mode"]) == (flavors, mode)


def test_a_flavor_that_the_tenant_was_not_granted_does_not_fit() -> None:
    request = {"tenant": "a", "flavors": {"a100": {"nvidia.com/gpu": 1}}}
    decision = answered({"tenants": [tenant("a", nominal=4)], "request": request})["decision"]
    assert (decision["mode"], decision["reason"]) == ("NoFit", "QuotaNotGranted")
    assert decision["missing"] == {"a100": {"nvidia.com/gpu": "1"}}
    assert "no nvidia.com/gpu of flavor a100" in decision["message"]


FORMS = {
    "plain": """\
        tenants:
          - {name: b, cohort: org, flavors: {default: {cpu: {nominal: 9}}}}
          - {name: a, cohort: org, flavors: {default: {cpu: {nominal: 10, borrowingLimit: 5, usage: 3}}}}
    """,
    "names as keys, resources without flavors": """\
        tenants:
          a: {cohort: org, resources: {cpu: {nominal: 10, borrowingLimit: 5}}, usage: {cpu: 3}}
          b: {cohort: org, resources: {cpu: 9}}
    """,
    "as Kueue writes it": """\
        tenants:
          - name: a
            cohortName: org
            fairSharing: {weight: 1}
            flavors:
              - name: default
                resources: [{name: cpu, nominalQuota: "10", borrowingLimit: 5000m, usage: 3}]
          - {name: b, cohortName: org, flavors: [{name: default, resources: [{name: cpu, nominalQuota: 9}]}]}
    """,
    "as a manifest": """\
        apiVersion: muster.dev/v1
        kind: QuotaPlan
        metadata: {name: mine}
        spec:
          tenants:
            - name: a
              cohort: org
              flavors: {default: {cpu: {nominal: "10", borrowingLimit: 5.0, usage: "3"}}}
            - {name: b, cohort: org, flavors: {default: {cpu: {nominal: 9}}}}
    """,
    "amounts by kind": """\
        tenants:
          - name: a
            cohort: org
            nominal: {default: {cpu: 10}}
            borrowingLimit: {default: {cpu: 5}}
            usage: {default: {cpu: 3}}
          - {name: b, cohort: org, nominalQuota: {cpu: 9}}
    """,
    "resources below each flavor": """\
        tenants:
          a: {cohort: org, flavors: {default: {resources: {cpu: {nominal: 10, borrowingLimit: 5, usage: 3}}}}}
          b: {cohort: org, flavors: {default: {resources: [{name: cpu, nominal: 9}]}}}
    """,
    "one flavor, named beside its resources": """\
        tenants:
          - name: a
            cohort: org
            flavor: default
            resources: {cpu: {nominal: 10, borrowingLimit: 5, used: 3}}
          - {name: b, cohort: org, resources: [{name: cpu, nominal: 9}]}
    """,
    "usage by workloads": """\
        tenants:
          - name: a
            cohort: org
            flavors: {default: {cpu: {nominal: 10, borrowingLimit: 5}}}
            workloads: [{name: w, flavors: {default: {cpu: 1}}}, {name: x, resources: {cpu: 2}}]
          - {name: b, cohort: org, flavors: {default: {cpu: {nominal: 9}}}}
    """,
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_forms_that_mean_the_same(text: str) -> None:
    answer = cpu_of(answered(yaml.safe_load(text)), "a")
    assert answer["integers"] == {
        "nominal": 10_000,
        "borrowingLimit": 5_000,
        "lendingLimit": None,
        "subtree": 10_000,
        "usage": 3_000,
        "available": 12_000,
        "potential": 15_000,
        "borrowed": 0,
        "lent": 0,
    }
    assert answer["available"] == "12"


@pytest.mark.parametrize(
    "asked", [{"flavor": "default", "resources": {"cpu": 4}}, {"flavors": {"default": {"cpu": 4}}}]
)
def test_a_request_of_one_flavor(asked: dict[str, Any]) -> None:
    plan = {"tenants": [tenant("a", nominal=4)], "request": {"tenant": "a", **asked}}
    assert answered(plan)["decision"]["flavors"] == {"default": {"cpu": "4"}}


def of_memory(**memory: Any) -> dict[str, Any]:
    return {"tenants": [{"name": "a", "flavors": {"default": {"memory": memory}}}]}


def test_amounts_are_exact() -> None:
    found = of(answered(of_memory(nominal="7Ei", usage=1)), "a")["flavors"]["default"]["memory"]
    assert found["integers"]["available"] == 7 * 2**60 - 1
    assert found["available"] == str(7 * 2**60 - 1)
    with pytest.raises(ValueError, match="overflows"):
        answered(of_memory(nominal="8Ei"))


@pytest.mark.parametrize(
    ("plan", "field", "says"),
    [
        ({"tenants": [tenant("a", nominal=-1)]}, "tenants[0].flavors.default.cpu.nominal", "negative"),
        ({"tenants": [tenant("a", nominal="99E")]}, "tenants[0].flavors.default.cpu.nominal", "overflows"),
        ({"tenants": [tenant("a", nominal="ten")]}, "tenants[0].flavors.default.cpu.nominal", "no quantity"),
        (
            {"tenants": [tenant("a", nominal=1, lendingLimit=2)]},
            "tenants[0].flavors.default.cpu.lendingLimit",
            "above nominal",
        ),
        ({"tenants": [tenant("a", limit=2)]}, "tenants[0].flavors.default.cpu.limit", "no such field"),
        ({"tenants": [tenant("a"), tenant("a")]}, "tenants[0].name", "more than once"),
        ({"tenants": [tenant("a", weight=-1)]}, "tenants[0].weight", "negative"),
        (
            {
                "cohorts": [{"name": "x", "parent": "y"}, {"name": "y", "parent": "x"}],
                "tenants": [tenant("a", "x")],
            },
            "cohorts[0].parent",
            "cycle: x -> y -> x",
        ),
        (
            {"tenants": [tenant("a")], "request": {"tenant": "b", "flavors": {"default": {"cpu": 1}}}},
            "request.tenant",
            "b: no such tenant",
        ),
        ({"tenants": [tenant("a")], "request": {"tenant": "a"}}, "request", "flavors"),
        (
            {"tenants": [tenant("a")], "request": {"tenant": "a", "flavors": {"default": {"cpu": "-1"}}}},
            "request.flavors.default.cpu",
            "negative",
        ),
        (
            {
                "tenants": [
                    tenant("a", usage=1) | {"workloads": [{"name": "w", "flavors": {"default": {"cpu": 2}}}]}
                ]
            },
            "tenants[0].flavors.default.cpu.usage",
            "below what its workloads use, 2",
        ),
        (
            {"tenants": [tenant("a") | {"workloads": [{"name": "w", "admittedAt": "yesterday"}]}]},
            "tenants[0].workloads[0].admittedAt",
            "no time",
        ),
        ({"tenants": []}, "tenants", "at least 1"),
        (
            {"tenants": [tenant("a", nominal=1) | {"nominal": {"default": {"cpu": 2}}}]},
            "tenants[0].nominal.default.cpu",
            "stands in flavors, too",
        ),
        (
            {"cohorts": [{"name": "c"}], "tenants": [tenant(each, "c", nominal="5e15") for each in "ab"]},
            "cohorts[0]",
            "nominal cpu of flavor default comes to 10000000000000000 under Cohort c: that overflows",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_field(
    plan: object, field: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(plan))
    assert run(["quota", "what-if", "-f", str(file), "-o", "json"]) == 1
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert [each["field"] for each in answer["errors"]][:1] == [field]
    assert field in answer["error"]
    assert says in answer["error"]
    assert printed.err.startswith("error: ")


@pytest.mark.parametrize("is_manifest", [False, True])
def test_all_that_is_wrong_is_told_at_once(
    is_manifest: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan: dict[str, Any] = {
        "cohorts": [{"name": "x", "parent": "y"}, {"name": "y", "parent": "x", "weight": -1}],
        "tenants": [
            tenant("a", "x", nominal=True) | {"colour": "red"},
            tenant("b", nominal=1, lendingLimit=2, usage="-3"),
            tenant("c", nominal=4, usage=1)
            | {
                "workloads": [
                    {"name": "w", "flavors": {"default": {"cpu": 2}}},
                    {"name": "w", "admittedAt": "yesterday"},
                ]
            },
            tenant("c", nominal=1, lendingLimit=2),
            {"resources": {"pods": 0.5, "cpu": 1}},
        ],
        "request": {"tenant": "d", "priority": "high", "createdAt": "now"},
    }
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump({"kind": "QuotaPlan", "spec": plan} if is_manifest else plan))
    assert run(["quota", "what-if", "-f", str(file), "-o", "json"]) == 1
    told = [each["field"] for each in json.loads(capsys.readouterr().out)["errors"]]
    at = "spec." if is_manifest else ""
    assert sorted(told) == sorted(
        at + path
        for path in (
            "cohorts[0].parent",
            "cohorts[1].weight",
            "tenants[0].colour",
            "tenants[0].flavors.default.cpu.nominal",
            "tenants[1].flavors.default.cpu.lendingLimit",
            "tenants[1].flavors.default.cpu.usage",
            "tenants[2].flavors.default.cpu.usage",
            "tenants[2].name",
            "tenants[2].workloads[1].admittedAt",
            "tenants[2].workloads[1].name",
            "tenants[3].flavors.default.cpu.lendingLimit",
            "tenants[3].name",
            "tenants[4].flavors.default.pods.nominal",
            "tenants[4].name",
            "request",
            "request.createdAt",
            "request.priority",
        )
    )


def test_what_is_taken_out_to_read_on_is_not_missed_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan: dict[str, Any] = {
        "tenants": [tenant("a", nominal="ten", lendingLimit=2), tenant("B")],
        "request": {"tenant": "B", "flavors": 3},
    }
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(plan))
    assert run(["quota", "what-if", "-f", str(file), "-o", "json"]) == 1
    told = {each["field"] for each in json.loads(capsys.readouterr().out)["errors"]}
    assert told == {
        "tenants[0].flavors.default.cpu.nominal",
        "tenants[1].name",
        "request.tenant",
        "request.flavors",
    }


def test_json_yaml_and_a_table_of_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.yaml"
    request = {"tenant": "lender", "name": "mine", "flavors": {"default": {"cpu": 5}}}
    file.write_text(yaml.safe_dump({**RECLAIM, "request": request}))
    assert run(["quota", "what-if", "-f", str(file), "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert run(["quota", "what-if", "-f", str(file), "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == answer
    assert run(["quota", "what-if", "-f", str(file)]) == 0
    printed = capsys.readouterr()
    assert "lends 8" in printed.out
    assert "borrows 8" in printed.out
    assert "lender/mine: Preempt: gets in once later gave way" in printed.out
    assert "cohort org is only named" in printed.err
    assert max(map(len, printed.out.splitlines())) <= 100


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["quota", "what-if", "-f", str(tmp_path / "none.yaml"), "-o", "json"]) == 1
    printed = capsys.readouterr()
    assert "none.yaml: No such file or directory" in " ".join(printed.err.split())
    assert json.loads(printed.out)["error"] == "No such file or directory"


AMOUNT = st.integers(0, 40)
LIMIT = st.none() | st.integers(0, 20)


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """A tree of cohorts without a cycle, tenants in them or beside them."""
    names = [f"c{index}" for index in range(draw(st.integers(0, 4)))]
    cohorts: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        limits = {"nominal": draw(AMOUNT), "borrowingLimit": draw(LIMIT), "lendingLimit": draw(LIMIT)}
        body: dict[str, Any] = {"name": name, "flavors": {"default": {"cpu": limits}}}
        if index and draw(st.booleans()):
            body["parent"] = draw(st.sampled_from(names[:index]))
        cohorts.append(body)
    tenants: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 5))):
        nominal = draw(AMOUNT)
        lending = draw(st.none() | st.integers(0, nominal))
        cohort = draw(st.sampled_from([None, *names]))
        limits = {
            "nominal": nominal,
            "usage": draw(AMOUNT),
            "borrowingLimit": draw(LIMIT),
            "lendingLimit": lending,
        }
        tenants.append(tenant(f"t{index}", cohort, draw(st.integers(0, 3)), **limits))
    return {"cohorts": cohorts, "tenants": tenants}


def _limits(body: dict[str, Any]) -> dict[tuple[str, str], Limits]:
    found = body["flavors"]["default"]["cpu"]
    nominal, borrowing, lending = (
        None if found.get(name) is None else found[name] * 1000
        for name in ("nominal", "borrowingLimit", "lendingLimit")
    )
    return {CPU: Limits(nominal or 0, borrowing, lending)}


@given(plans())
@settings(max_examples=150, deadline=None)
def test_the_answer_is_what_the_tree_says(plan: dict[str, Any]) -> None:
    cohorts = [
        CohortQuota(each["name"], each.get("parent", ""), 1000, _limits(each)) for each in plan["cohorts"]
    ]
    tenants = [
        TenantQuota(each["name"], each.get("cohort") or "", each["weight"] * 1000, _limits(each))
        for each in plan["tenants"]
    ]
    usage = Usage(Tree.of(tenants, cohorts))
    for each in plan["tenants"]:
        usage.add(each["name"], {CPU: each["flavors"]["default"]["cpu"]["usage"] * 1000})
    answer = answered(plan)
    for each in plan["tenants"]:
        name, found = each["name"], cpu_of(answer, each["name"])["integers"]
        assert found["usage"] == usage.of(name).get(CPU, 0)
        assert found["available"] == max(0, usage.available(name, CPU))
        assert found["potential"] == usage.potential(name, CPU)
        share = usage.share(name)
        assert of(answer, name)["share"] == ("infinite" if share.infinite else share.value)


@given(plans())
@settings(max_examples=150, deadline=None)
def test_what_is_borrowed_is_somebodys(plan: dict[str, Any]) -> None:
    """Below each cohort: lent there, or the cohort's own, or from above it, or more than there is."""
    answer = answered(plan)
    for cohort in answer["cohorts"]:
        below = [
            each["flavors"]
            .get("default", {})
            .get("cpu", {"integers": {"borrowed": 0, "lent": 0}})["integers"]
            for each in answer["tenants"] + answer["cohorts"]
            if each.get("cohort", each.get("parent")) == cohort["name"]
        ]
        own = cohort["flavors"].get("default", {}).get("cpu")
        if own is None:
            continue
        own = own["integers"]
        lent, borrowed = (sum(each[name] for each in below) for name in ("lent", "borrowed"))
        over = max(0, own["usage"] - own["subtree"])
        assert borrowed + own["lent"] <= lent + own["nominal"] + over
        assert lent <= borrowed + own["lent"]
        for each in below:
            assert not (each["borrowed"] and each["lent"])


@given(st.lists(st.integers(0, 1000), max_size=12), st.data())
def test_a_split_is_whole_and_gives_nobody_more_than_its_part(parts: list[int], data: st.DataObject) -> None:
    amount = data.draw(st.integers(0, sum(parts)))
    given_ = split(amount, parts)
    assert sum(given_) == amount
    assert all(0 <= each <= part for each, part in zip(given_, parts, strict=True))


def test_usage_that_no_workload_accounts_for_does_not_give_way() -> None:
    request = {"tenant": "a", "flavors": {"default": {"cpu": 5}}}
    tenants = [tenant("a", nominal=5), tenant("b", nominal=5, usage=10)]
    decision = answered({"tenants": tenants, "request": request})["decision"]
    assert (decision["mode"], decision["victims"]) == ("NoFit", [])


def test_victims_are_told_with_whose_they_are() -> None:
    request = {"tenant": "lender", "flavors": {"default": {"cpu": 5}}}
    decision = answered({**RECLAIM, "request": request})["decision"]
    assert decision["victims"] == [
        {"name": "later", "tenant": "borrower", "priority": 0, "flavors": {"default": {"cpu": "4"}}}
    ]


def test_workloads_without_a_time_are_admitted_in_the_order_of_the_file() -> None:
    plan = {"tenants": RECLAIM["tenants"]}
    paper = on_paper(parse_quota_plan(json.dumps(plan), "plan"))
    held: tuple[Admitted, ...] = paper.workloads["borrower"]
    assert sorted(held, key=lambda each: each.admitted_at) == list(held)
