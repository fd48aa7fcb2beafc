"""What the plan makes of an ordered object and of what is there under its name."""

from typing import Any

import pytest

from agents.plan import (
    Adopt,
    Apply,
    BadManifest,
    Create,
    Delete,
    Disown,
    EnsureNamespace,
    Refuse,
    check_ordered,
    namespaces_of,
    plan_object,
    plan_removal,
    ref_of,
)
from schemas.reasons import Reason
from schemas.wire.orders import WORKLOAD_LABEL, ObjectRef

UID = "w1"


def manifest(kind: str = "Deployment", *, label: str | None = UID, **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "web", "namespace": "shop"}
    if label:
        metadata["labels"] = {WORKLOAD_LABEL: label}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def live(*managers: tuple[str, dict[str, Any]], label: str | None = UID, **spec: Any) -> dict[str, Any]:
    found = manifest(label=label, **spec)
    found["metadata"] |= {
        "uid": "u-1",
        "resourceVersion": "7",
        "managedFields": [
            {
                "manager": name,
                "operation": "Update",
                "time": f"2026-01-0{index}T00:00:00Z",
                "fieldsV1": fields,
            }
            for index, (name, fields) in enumerate(managers, start=1)
        ],
    }
    return found


REPLICAS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
STATUS: dict[str, Any] = {"f:status": {"f:replicas": {}}}


def test_what_is_missing_is_created() -> None:
    assert plan_object(UID, manifest(), None) == Create(ref_of(manifest()), manifest())


def test_what_is_ours_is_applied_onto_what_was_read() -> None:
    step = plan_object(UID, manifest(replicas=2), live(("muster", REPLICAS), replicas=5))
    assert step == Apply(ref_of(manifest()), manifest(replicas=2), "u-1", "7")


@pytest.mark.parametrize(
    ("ordered", "there", "sent"),
    [
        pytest.param(2, live(("muster", REPLICAS), replicas=5), 2, id="ours-only"),
        pytest.param(2, live(("muster", STATUS), ("hpa", REPLICAS), replicas=5), None, id="autoscaler-owns"),
        pytest.param(2, live(("muster", REPLICAS), ("hpa", REPLICAS), replicas=5), None, id="both-own"),
        pytest.param(2, live(("muster", REPLICAS), ("kcm", STATUS), replicas=5), 2, id="another-owns-status"),
        pytest.param(None, live(("muster", REPLICAS), replicas=5), 5, id="left-out-and-ours-it-stays"),
        pytest.param(None, live(("hpa", REPLICAS), replicas=5), None, id="left-out-and-anothers"),
    ],
)
def test_replicas_are_sent_only_while_nobody_else_owns_them(
    ordered: int | None, there: dict[str, Any], sent: int | None
) -> None:
    wanted = manifest() if ordered is None else manifest(replicas=ordered)
    step = plan_object(UID, wanted, there)
    assert isinstance(step, Apply)
    assert step.manifest["spec"].get("replicas") == sent


@pytest.mark.parametrize(
    ("there", "named"),
    [
        pytest.param(live(("helm", {}), ("kubectl", {}), label=None), "kubectl, helm", id="newest-first"),
        pytest.param(live(label=None), "somebody who is not noted", id="nobody-noted"),
        pytest.param(live(("muster", {}), label="w2"), "workload w2", id="another-workload-of-ours"),
    ],
)
def test_what_is_not_ours_is_refused_by_name(there: dict[str, Any], named: str) -> None:
    step = plan_object(UID, manifest(), there)
    assert isinstance(step, Refuse)
    assert step.refusal.reason is Reason.OWNED_BY_OTHER
    assert named in step.refusal.message


KUBECTL = ("kubectl", REPLICAS)


def scaled(*managers: tuple[str, dict[str, Any]], **spec: Any) -> dict[str, Any]:
    """Foreign, and the last of the managers wrote through the scale subresource."""
    found = live(*managers, label=None, **spec)
    found["metadata"]["managedFields"][-1]["subresource"] = "scale"
    return found


@pytest.mark.parametrize(
    ("there", "replicas"),
    [
        pytest.param(live(KUBECTL, label=None, replicas=5), 2, id="its-maker-gives-the-replicas-up"),
        pytest.param(scaled(KUBECTL, ("hpa", REPLICAS), replicas=5), None, id="its-autoscaler-keeps-them"),
        pytest.param(live(label=None), 2, id="nobody-noted"),
    ],
)
def test_what_is_nobodys_of_ours_is_taken_over_where_the_order_says_so(
    there: dict[str, Any], replicas: int | None
) -> None:
    step = plan_object(UID, manifest(replicas=2), there, overwrite=True)
    assert isinstance(step, Adopt)
    assert (step.uid, step.resource_version) == ("u-1", "7")
    assert step.manifest["spec"].get("replicas") == replicas


def test_what_another_workload_owns_is_never_taken_over() -> None:
    step = plan_object(UID, manifest(), live(("muster", {}), label="w2"), overwrite=True)
    assert isinstance(step, Refuse)
    assert step.refusal.reason is Reason.OWNED_BY_OTHER
    assert "Overwrite takes nothing from another workload" in step.refusal.message


def test_a_refusal_says_how_to_take_over() -> None:
    step = plan_object(UID, manifest(), live(KUBECTL, label=None))
    assert isinstance(step, Refuse)
    assert "conflictResolution: Overwrite" in step.refusal.message


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        pytest.param(live(), Disown(ref_of(manifest()), "u-1", "7"), id="ours"),
        pytest.param(live(label="w2"), None, id="another-workloads"),
        pytest.param(live(label=None), None, id="done-already"),
        pytest.param(None, None, id="gone"),
    ],
)
def test_what_is_preserved_is_let_go_and_not_deleted(
    there: dict[str, Any] | None, expected: Disown | None
) -> None:
    assert plan_removal(UID, ref_of(manifest()), there, preserve=True) == expected


@pytest.mark.parametrize(
    ("ref", "there", "expected"),
    [
        pytest.param(ref_of(manifest()), live(), True, id="ours"),
        pytest.param(ref_of(manifest()), None, False, id="gone"),
        pytest.param(ref_of(manifest()), live(label=None), False, id="somebody-elses-by-now"),
        pytest.param(ref_of(manifest()), live(label="w2"), False, id="another-workloads"),
        pytest.param(ObjectRef("v1", "Namespace", "", "shop"), live(), False, id="namespaces-never"),
    ],
)
def test_only_what_is_ours_is_deleted(ref: ObjectRef, there: dict[str, Any] | None, expected: bool) -> None:
    step = plan_removal(UID, ref, there)
    assert step == (Delete(ref, "u-1", "7") if expected else None)


def test_namespaces_are_made_unless_the_order_brings_them() -> None:
    refs = (
        ObjectRef("v1", "Namespace", "", "own"),
        ObjectRef("v1", "ConfigMap", "own", "a"),
        ObjectRef("v1", "ConfigMap", "shop", "b"),
        ObjectRef("v1", "ConfigMap", "shop", "c"),
        ObjectRef("rbac.authorization.k8s.io/v1", "ClusterRole", "", "d"),
    )
    assert namespaces_of(refs) == (EnsureNamespace("shop"),)


@pytest.mark.parametrize(
    ("manifests", "says"),
    [
        pytest.param([manifest(label=None)], "lacks the label", id="no-label"),
        pytest.param([manifest(label="w2")], "lacks the label", id="another-workloads-label"),
        pytest.param([manifest(), manifest()], "twice", id="twice"),
        pytest.param([{"kind": "ConfigMap"}], r"objects\[0\]: metadata", id="no-metadata"),
        pytest.param([{"kind": "ConfigMap", "metadata": {"name": "a"}}], "apiVersion", id="no-api-version"),
        pytest.param([manifest() | {"metadata": {"name": 7}}], "metadata.name", id="name-is-a-number"),
    ],
)
def test_an_order_with_a_wrong_object_says_which_and_why(manifests: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(BadManifest, match=says):
        check_ordered(UID, manifests)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_promise_3_nothing_goes_where_the_agent_keeps_its_records(overwrite: bool, is_there: bool) -> None:
    record = manifest("ConfigMap")
    record["metadata"] |= {"name": "order-w2", "namespace": "muster-system"}
    there = live(("muster", {}), label=None)
    there["metadata"] |= {"name": "order-w2", "namespace": "muster-system"}
    step = plan_object(UID, record, there if is_there else None, overwrite=overwrite)
    assert isinstance(step, Refuse)
    assert step.refusal.reason is Reason.OWNED_BY_OTHER
    assert "muster-system is the agent's own" in step.refusal.message
