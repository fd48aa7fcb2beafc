"""What bounds quota, as the leader remembers it: it goes on though something stored is not understood."""

from typing import Any

import pytest

from controlplane.known.claiming import Claiming
from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord, QuotaRequestRecord, RequestState
from controlplane.known.views import Views

pytestmark = pytest.mark.promise(2)
CPU = ("default", "cpu")
WINDOW = {"name": "night", "timezone": "UTC", "opens": "20:00", "closes": "22:00"}


def cpu(nominal: object, **more: Any) -> dict[str, Any]:
    return {"flavors": [{"name": "default", "resources": [{"name": "cpu", "nominalQuota": nominal, **more}]}]}


def known_of(**documents: Any) -> Known:
    """By kind, then name, their specs; tenant shop, of 10 cores, is always there."""
    known = Known()
    shop: dict[str, Any] = {"shop": {"namespaces": ["shop"], "quota": cpu(10)}}
    default: dict[str, Any] = {"default": {}}
    documents["Tenant"] = shop | documents.get("Tenant", {})
    documents["Flavor"] = default | documents.get("Flavor", {})
    for kind, specs in documents.items():
        for version, (name, spec) in enumerate(specs.items(), start=1):
            known.documents[kind].put(DocumentRecord(name, spec, version))
    return known


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Tenant", {"namespaces": ["bad"], "quota": cpu(10), "ofAnotherRelease": 1}),
        ("Tenant", {"namespaces": ["bad"], "quota": cpu("ten")}),
        ("Cohort", cpu(10) | {"ofAnotherRelease": 1}),
        ("Cohort", cpu("ten")),
        ("Flavor", {"ofAnotherRelease": 1}),
        ("Flavor", {"features": [{"matchExpressions": {"nonsense": {"op": "Exists"}}}]}),
    ],
)
def test_what_is_not_understood_leaves_the_others_as_they_are(kind: str, spec: dict[str, Any]) -> None:
    known = known_of(**{kind: {"bad": spec}})
    assert known.quotas.refresh(known.documents, 0.0)
    assert known.quotas.usage.available("shop", CPU) == 10_000
    if kind == "Tenant":
        assert known.quotas.tree.tenants["bad"].limits == {}, "it is bounded, and has nothing"


def test_a_grant_that_is_not_understood_grants_nothing() -> None:
    known = known_of()
    grant = QuotaRequestRecord(
        1, "shop", {"default": {"cpu": "ten"}}, 0.0, "", RequestState.GRANTED, "ann", 0.0
    )
    known.quotas.take(1, [grant])
    known.quotas.refresh(known.documents, 0.0)
    assert known.quotas.usage.available("shop", CPU) == 10_000


def test_cohorts_that_go_round_lend_each_other_nothing() -> None:
    cohorts = {"one": cpu(5) | {"parent": "two"}, "two": cpu(7) | {"parent": "one"}}
    member = {"namespaces": ["in-one"], "quota": cpu(0) | {"cohort": "one"}}
    known = known_of(Cohort=cohorts, Tenant={"in-one": member})
    known.quotas.refresh(known.documents, 0.0)
    assert known.quotas.usage.available("in-one", CPU) == 5_000


def test_whose_a_namespace_is_is_found_beside_a_tenant_that_is_not_understood() -> None:
    known = known_of(Tenant={"bad": {"namespaces": ["shop"], "ofAnotherRelease": 1}})
    claiming = Claiming(known, Views(known))
    assert not claiming.may("bad", None)
    assert claiming.may("shop", None)


def test_a_budget_that_is_not_understood_is_none() -> None:
    spec = {"namespaces": ["bad"], "quota": cpu(1) | {"budget": {"ofAnotherRelease": 1}}}
    known = known_of(Tenant={"bad": spec})
    assert known.spending.budget(known.tenants["bad"]) is None


def test_a_clock_that_was_set_back_closes_what_it_had_opened() -> None:
    known = known_of(
        Tenant={"shop": {"namespaces": ["shop"], "quota": cpu(1, windows=[WINDOW | {"nominalQuota": 9}])}}
    )
    noon, evening = 12 * 3600.0, 21 * 3600.0
    for now, cores in ((noon, 1), (evening, 9), (noon, 1), (evening, 9)):
        assert known.quotas.refresh(known.documents, now)
        assert known.quotas.usage.available("shop", CPU) == cores * 1000


def test_a_change_of_one_tenant_leaves_what_the_others_have_as_it_is() -> None:
    known = known_of(Tenant={"other": {"namespaces": ["other"], "quota": cpu(1)}})
    known.quotas.refresh(known.documents, 0.0)
    shop, flavors = known.quotas.tenants["shop"], known.quotas.flavors
    spec = {"namespaces": ["other"], "quota": cpu(2)}
    known.documents["Tenant"].put(DocumentRecord("other", spec, 9))
    assert known.quotas.refresh(known.documents, 1.0)
    assert known.quotas.usage.available("other", CPU) == 2_000
    assert known.quotas.tenants["shop"] is shop, "a thousand of them are not worked out anew"
    assert known.quotas.flavors is flavors
