"""A quota that comes to name pods, objects or addresses is refused below what runs, as any other is."""

from typing import Any

import pytest

from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord, OutboxRecord, PlacementRecord
from controlplane.queries.quota_uncounted import Naming
from schemas.manifests import Tenant
from schemas.wire.orders import Verb, Version
from schemas.wire.reports import Work, WorkState
from tests.unit.test_quota_explained import NOON, document, known_of, put_clusters, workload


def running(*tenants: DocumentRecord) -> Known:
    """Three pods of one Deployment of tenant a in north, and two in south."""
    known = known_of(list(tenants), [workload("w", "a", cpu="1")], {})
    put_clusters(known, "north", "south")
    known.placements["w"] = {
        cluster: PlacementRecord("w", cluster, replicas, 1, Version(1, 1), "")
        for cluster, replicas in (("north", 3), ("south", 2))
    }
    return known


def quota(*resources: tuple[str, int], **more: Any) -> dict[str, Any]:
    named = [{"name": name, "nominalQuota": nominal} for name, nominal in resources]
    return {"uncovered": "Allow", "flavors": [{"name": "default", "resources": named}], **more}


def given(name: str, spec: dict[str, Any]) -> Tenant:
    return Tenant.model_validate(
        {"metadata": {"name": name}, "spec": {"namespaces": [f"{name}-*"], "quota": spec}}
    )


def said(known: Known, spec: dict[str, Any]) -> list[str]:
    naming = Naming(known, given("a", spec), NOON)
    for _ in naming.steps():
        pass
    return [str(each) for each in naming.overdrawn()]


USES = "Tenant a spec.quota: tenant a uses"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            quota(("pods", 4)),
            [f"{USES} 5 pods of flavor default: that would be 1 more than it may"],
            id="pods",
        ),
        pytest.param(quota(("pods", 5)), [], id="as many as run"),
        pytest.param(
            quota(("objects", 1)),
            [f"{USES} 2 objects of flavor default: that would be 1 more than it may"],
            id="objects, in each cluster",
        ),
        pytest.param(quota(("cpu", 1)), [], id="of cpu the ledger knows"),
        pytest.param(quota(("addresses/blue", 0)), [], id="addresses that nothing asks for"),
        pytest.param(
            quota(("pods", 2), cohort="all"),
            [],
            id="what others under the root leave may be borrowed",
        ),
    ],
)
def test_naming_what_runs_already(spec: dict[str, Any], expected: list[str]) -> None:
    lender = document("b", namespaces=["b-*"], quota=quota(("pods", 10), cohort="all"))
    known = running(document("a", namespaces=["a-*"]), lender)
    assert said(known, spec) == expected


def test_what_was_named_before_is_the_ledgers() -> None:
    known = running(document("a", namespaces=["a-*"], quota=quota(("pods", 9))))
    assert said(known, quota(("pods", 1))) == []


def test_what_has_run_to_its_end_takes_none() -> None:
    known = running(document("a", namespaces=["a-*"]))
    for cluster in ("north", "south"):
        known.put_order(OutboxRecord(cluster, "w", Verb.APPLY, Version(1, 1), b"{}", b""))
    ended = Work(
        incarnation=1,
        sequence=1,
        version=Version(1, 1),
        carried_out=Version(1, 1),
        state=WorkState.APPLIED,
        finished=True,
    )
    known.work["w"] = {"north": ended}
    assert said(known, quota(("pods", 1))) == [
        f"{USES} 2 pods of flavor default: that would be 1 more than it may"
    ]
    known.work["w"]["south"] = ended
    assert said(known, quota(("pods", 1))) == []
