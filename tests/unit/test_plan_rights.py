"""What agents may do, on paper: a plan says what would not be sent before anything is stored."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.observe.rights import VERBS
from controlplane.cli.planning import as_data
from controlplane.fleet import Fleet
from controlplane.placement import ClusterView, fleet_manifest, plan
from controlplane.placement.rights import AgentRights
from schemas.manifests import Fleet as FleetManifest
from schemas.manifests import parse_manifest
from schemas.reasons import Reason
from schemas.wire.reports import Right
from tests.unit.test_plan import fleet, workload

SEEING = {"namespaces": ["*"], "kinds": ["*"], "verbs": ["get", "list", "watch"]}
WRITING = {"kinds": ["Deployment.apps"], "verbs": ["create", "delete", "patch"]}
EVERYWHERE = {**WRITING, "namespaces": ["*"]}
NOT_HERE = "its agent may not create, delete, patch Deployment.apps in namespace default"


def planned(*rights: dict[str, Any], placed: int = 0) -> dict[str, Any]:
    """The verdict on cluster `a`, beside which there is one where all may be done."""
    a = {"name": "a", "available": 20, "rights": list(rights)}
    spec: dict[str, Any] = {"placed": {"a": placed}} if placed else {}
    paper = fleet(a, {"name": "b", "available": 20}, **spec)
    answer = as_data("web", plan(workload(), paper), ["a", "b"])
    return next(each for each in answer["clusters"] if each["cluster"] == "a")


@pytest.mark.promise(7)
def test_a_cluster_whose_agent_may_not_is_left_out_by_name_and_what_would_help_is_told() -> None:
    row = planned(SEEING)
    assert row["verdict"] == "LeftOut"
    assert row["reasons"] == [{"reason": Reason.AGENT_MAY_NOT.value, "message": NOT_HERE}]
    (change,) = row["changes"]
    assert [each["kind"] for each in change["steps"]] == ["GrantAgent"]


def test_one_whose_agent_may_is_not() -> None:
    assert planned(SEEING, EVERYWHERE)["verdict"] == "Chosen"


@pytest.mark.promise(7)
def test_what_runs_there_stays_and_that_a_change_would_not_be_sent_is_told() -> None:
    row = planned(SEEING, placed=9)
    assert (row["verdict"], row["replicas"] > 0) == ("Chosen", True)
    assert row["reasons"] == [{"reason": Reason.AGENT_MAY_NOT.value, "message": NOT_HERE}]


RIGHTS = st.lists(
    st.builds(
        Right,
        st.lists(st.sampled_from(["*", "shop", "blog"]), min_size=1, unique=True),
        st.lists(st.sampled_from(["*", "*.apps", "Service", "Deployment.apps"]), min_size=1, unique=True),
        st.lists(st.sampled_from(VERBS), min_size=1, unique=True),
    ),
    max_size=4,
)


@given(RIGHTS)
def test_rights_that_are_written_down_are_read_back(given_rights: list[Right]) -> None:
    held = AgentRights.of(given_rights)
    assert held is not None
    written = fleet_manifest(Fleet(), [ClusterView("c", "c", rights=held), ClusterView("d", "d")])
    document = written.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for each in document["spec"]["clusters"]:
        each.pop("nodes", None)
        each["available"] = 1
    found = parse_manifest({"apiVersion": "muster.dev/v1", "kind": "Fleet"} | document, "fleet.yaml")
    assert isinstance(found, FleetManifest)
    c, d = found.spec.clusters
    assert d.rights is None
    assert c.rights is not None
    back = AgentRights.of(Right(each.namespaces, each.kinds, each.verbs) for each in c.rights)
    assert back == held
