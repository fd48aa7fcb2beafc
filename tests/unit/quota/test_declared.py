"""From manifests to what is decided on; and what is wrong within one document, and between several."""

from typing import Any

import pytest

from controlplane.fleet.demand import Operator, Requirement, Toleration
from controlplane.known.records import DocumentRecord, QuotaRequestRecord, RequestState
from controlplane.quota.changing import SpecCache, declared_of, problems_of_change
from controlplane.quota.declared import cohort_quota, flavor_of, granted, next_change, tenant_quota
from controlplane.quota.problems import (
    Declared,
    cohort_problems,
    flavor_problems,
    problems,
    tenant_problems,
)
from controlplane.quota.quota import Amounts, Group, Limits, Reclaim, Within
from schemas.manifests import CohortSpec, FlavorSpec
from schemas.manifests.quota import QuotaSpec

NOW = 1_795_435_200.0
"""Monday 2026-11-23, 12:00 UTC"""


def resource(name: str = "cpu", nominal: Any = 10, **fields: Any) -> dict[str, Any]:
    return {"name": name, "nominalQuota": nominal, **fields}


def of(name: str, *resources: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "resources": list(resources)}


def quota(*flavors: dict[str, Any], **fields: Any) -> QuotaSpec:
    return QuotaSpec.model_validate({"flavors": list(flavors), **fields})


def cohort(*flavors: dict[str, Any], **fields: Any) -> CohortSpec:
    return CohortSpec.model_validate({"flavors": list(flavors), **fields})


def flavor(**fields: Any) -> FlavorSpec:
    return FlavorSpec.model_validate(fields)


class TestFlavor:
    def test_all_of_it(self) -> None:
        feature = {"feature": "cpu.cpuid", "matchExpressions": {"AMXTILE": {"op": "Exists"}}}
        found = flavor_of(
            "amx",
            flavor(
                nodeLabels={"class": "a"},
                features=[feature],
                clusters={"clusterNames": ["north"]},
                tolerations=[{"key": "gpu", "operator": "Exists"}],
                prices={"currency": "EUR", "perHour": {"cpu": 0.035, "memory": "0.004"}},
            ),
        )
        assert found.node_labels == {"class": "a"}
        assert found.requirements == (Requirement("feature:cpu.cpuid.AMXTILE", Operator.EXISTS),)
        assert found.clusters.names == {"north"}
        assert found.tolerations == (Toleration("gpu", "Exists"),)
        assert (found.currency, found.prices) == ("EUR", {"cpu": 35_000, "memory": 4_000})


class TestTenant:
    def test_limits_and_groups_in_the_order_of_flavors(self) -> None:
        found = tenant_quota(
            "shop",
            quota(
                of("spot", resource(), resource("memory", "1Gi")),
                of("gpu", resource("nvidia.com/gpu", 8, borrowingLimit=2, lendingLimit=0)),
                of("general", resource("memory", "2Gi"), resource("cpu", "500m")),
                cohort="all",
                weight=0.5,
                uncovered="Allow",
                queueing="StrictFIFO",
            ),
            NOW,
        )
        assert found.groups == (
            Group(frozenset({"cpu", "memory"}), ("spot", "general")),
            Group(frozenset({"nvidia.com/gpu"}), ("gpu",)),
        )
        assert found.limits["general", "cpu"] == Limits(500)
        assert found.limits["gpu", "nvidia.com/gpu"] == Limits(8, 2, 0)
        assert (found.cohort, found.weight, found.refuses_uncovered, found.strict) == (
            "all",
            500,
            False,
            True,
        )

    def test_preemption(self) -> None:
        policy = {
            "reclaimWithinCohort": "LowerPriority",
            "borrowWithinCohort": {"policy": "LowerPriority", "maxPriorityThreshold": 10},
            "withinTenant": "Never",
        }
        found = tenant_quota("shop", quota(preemption=policy), NOW).preemption
        assert (found.reclaim, found.borrow) == (Reclaim.LOWER_PRIORITY, Reclaim.LOWER_PRIORITY)
        assert (found.borrow_below, found.within) == (10, Within.NEVER)

    def test_the_window_that_is_open_stands_in_place_of_the_rest(self) -> None:
        night = {"name": "night", "opens": "20:00", "closes": "06:00", "nominalQuota": 100}
        spec = quota(of("cpu", resource(windows=[night])))
        assert tenant_quota("shop", spec, NOW).limits["cpu", "cpu"] == Limits(10_000)
        opens = next_change([spec, cohort()], NOW)
        assert opens is not None
        assert opens == NOW + 8 * 3600
        assert tenant_quota("shop", spec, opens).limits["cpu", "cpu"] == Limits(100_000)
        assert next_change([spec], opens) == NOW + 18 * 3600
        assert next_change([quota(of("cpu", resource()))], NOW) is None


def grant(
    amounts: dict[str, dict[str, str]],
    *,
    tenant: str = "shop",
    until: float = 0.0,
    state: RequestState = RequestState.GRANTED,
    taken_from: tuple[str, str] | None = None,
) -> QuotaRequestRecord:
    return QuotaRequestRecord(1, tenant, amounts, until, "", state, "ann", 0.0, taken_from=taken_from)


class TestGrants:
    def granted(self, *grants: QuotaRequestRecord) -> dict[str, dict[str, int]]:
        tenants = {
            "shop": tenant_quota("shop", quota(of("cpu", resource())), NOW),
            "bank": tenant_quota("bank", quota(of("cpu", resource(lendingLimit=8)), cohort="all"), NOW),
        }
        cohorts = {"all": cohort_quota("all", cohort(of("cpu", resource(nominal=3))), NOW)}
        found = granted(tenants, cohorts, grants, NOW)
        return {
            name: {f"{flavor}/{resource}": each.nominal for (flavor, resource), each in one.limits.items()}
            for those in found
            for name, one in those.items()
        }

    @pytest.mark.parametrize(
        ("given", "shop", "bank", "all_"),
        [
            (grant({"cpu": {"cpu": "2"}}), 12_000, 10_000, 3000),
            (grant({"cpu": {"cpu": "2"}}, taken_from=("Tenant", "bank")), 12_000, 8_000, 3000),
            (grant({"cpu": {"cpu": "2"}}, taken_from=("Cohort", "all")), 12_000, 10_000, 1000),
            (grant({"cpu": {"cpu": "5"}}, taken_from=("Cohort", "all")), 15_000, 10_000, 0),
            (grant({"cpu": {"cpu": "2"}}, until=NOW + 1), 12_000, 10_000, 3000),
            (grant({"cpu": {"cpu": "2"}}, until=NOW), 10_000, 10_000, 3000),
            (grant({"cpu": {"cpu": "2"}}, state=RequestState.PENDING), 10_000, 10_000, 3000),
            (grant({"cpu": {"cpu": "2"}}, tenant="ghost"), 10_000, 10_000, 3000),
        ],
    )
    def test_nominal_quota_with_what_is_granted(
        self, given: QuotaRequestRecord, shop: int, bank: int, all_: int
    ) -> None:
        found = self.granted(given)
        assert (found["shop"]["cpu/cpu"], found["bank"]["cpu/cpu"], found["all"]["cpu/cpu"]) == (
            shop,
            bank,
            all_,
        )

    def test_a_flavor_that_it_had_not_can_be_used(self) -> None:
        tenants = {"shop": tenant_quota("shop", quota(of("cpu", resource())), NOW)}
        given = grant({"gpu": {"nvidia.com/gpu": "2"}, "spot": {"cpu": "5"}})
        found, _ = granted(tenants, {}, [given], NOW)
        assert found["shop"].groups == (
            Group(frozenset({"cpu"}), ("cpu", "spot")),
            Group(frozenset({"nvidia.com/gpu"}), ("gpu",)),
        )

    def test_a_donor_lends_no_more_than_is_left(self) -> None:
        tenants = {
            "shop": tenant_quota("shop", quota(of("cpu", resource())), NOW),
            "bank": tenant_quota("bank", quota(of("cpu", resource(lendingLimit=8)), cohort="all"), NOW),
        }
        found, _ = granted(tenants, {}, [grant({"cpu": {"cpu": "5"}}, taken_from=("Tenant", "bank"))], NOW)
        assert found["bank"].limits["cpu", "cpu"] == Limits(5000, None, 5000)


ALONE = {
    "nothing": (quota(of("cpu", resource(lendingLimit=10, borrowingLimit=0)), cohort="all"), "", ""),
    "no quantity": (quota(of("cpu", resource(nominal="ten"))), "nominalQuota", "no quantity"),
    "negative": (quota(of("cpu", resource(nominal=-1))), "nominalQuota", "negative"),
    "in a window": (
        quota(of("cpu", resource(windows=[{"name": "night", "nominalQuota": "-1"}]))),
        "windows[0].nominalQuota",
        "negative",
    ),
    "too large": (quota(of("cpu", resource("memory", "8Ei"))), "nominalQuota", "below 2^63 - 1"),
    "lends more than it has": (
        quota(of("cpu", resource(lendingLimit="10001m")), cohort="all"),
        "lendingLimit",
        "10001m is more than the nominalQuota, 10",
    ),
    "a limit of pods": (quota(of("cpu", resource("limits.cpu"))), "name", "not their limits: say cpu"),
    "a request of pods": (quota(of("cpu", resource("requests.memory"))), "name", "say memory"),
    "a count": (quota(of("cpu", resource("count/pods"))), "name", "say pods"),
    "no domain": (quota(of("cpu", resource("gpu"))), "name", "'gpu': no workload can be charged that"),
    "no pool": (quota(of("cpu", resource("addresses"))), "name", "of which pool? addresses/POOL"),
    "lends to nobody": (quota(of("cpu", resource(lendingLimit=1))), "lendingLimit", "no cohort"),
}


@pytest.mark.parametrize(("spec", "field", "said"), ALONE.values(), ids=ALONE.keys())
def test_what_is_wrong_within_a_tenant(spec: QuotaSpec, field: str, said: str) -> None:
    found = tenant_problems("shop", spec)
    if not said:
        assert found == []
        return
    assert [each.path for each in found] == [f"spec.quota.flavors[0].resources[0].{field}"]
    assert said in found[0].message


@pytest.mark.parametrize(
    "name",
    [
        "cpu",
        "ephemeral-storage",
        "hugepages-2Mi",
        "nvidia.com/gpu",
        "pods",
        "objects",
        "addresses/10.1.0.0-24",
    ],
)
def test_what_a_workload_can_be_charged_may_be_named(name: str) -> None:
    assert tenant_problems("shop", quota(of("cpu", resource(name)))) == []


def test_what_is_wrong_within_others() -> None:
    (found,) = cohort_problems("all", cohort(of("cpu", resource(borrowingLimit=1))))
    assert found.path == "spec.flavors[0].resources[0].borrowingLimit"
    (found,) = cohort_problems("all", cohort(of("cpu", resource(), resource())))
    assert str(found) == (
        "Cohort all spec.flavors[0].resources[1].name: cpu of flavor cpu stands there more than once"
    )


def test_a_feature_that_is_none_is_refused() -> None:
    bad = {"feature": "cpu.cpuid", "matchExpressions": {"A": {"op": "InRegexp", "value": ["("]}}}
    (found,) = flavor_problems("amx", flavor(features=[bad]))
    assert found.path == "spec.features[0].matchExpressions.A.value"


CPU = flavor()
EUR = flavor(prices={"currency": "EUR", "perHour": {"cpu": 1}})
USD = flavor(prices={"currency": "USD", "perHour": {"cpu": 1}})
BUDGET = {"amount": 1, "currency": "EUR"}
BETWEEN: dict[str, tuple[Declared, list[str]]] = {
    "nothing": (
        Declared(
            {"shop": quota(of("cpu", resource()), cohort="a", budget=BUDGET)},
            {"a": cohort(parent="b")},
            {"cpu": EUR},
        ),
        [],
    ),
    "a cycle, wherever it is entered": (
        Declared(cohorts={"a": cohort(parent="b"), "b": cohort(parent="a"), "c": cohort(parent="a")}),
        ["Cohort a spec.parent: a > b > a", "Cohort b spec.parent: b > a > b"],
    ),
    "flavors that are not there": (
        Declared({"shop": quota(of("x", resource()))}, {"all": cohort(of("y", resource()))}),
        ["Cohort all spec.flavors[0].name: there is no flavor 'y'", "Tenant shop spec.quota.flavors[0].name"],
    ),
    "two currencies": (
        Declared(
            {"shop": quota(of("cpu", resource()), of("usd", resource()), budget=BUDGET)},
            flavors={"cpu": EUR, "usd": USD},
        ),
        ["Tenant shop spec.quota.budget.currency: flavor usd has prices in USD"],
    ),
    "no prices": (
        Declared({"shop": quota(of("cpu", resource()), budget=BUDGET)}, flavors={"cpu": CPU}),
        ["Tenant shop spec.quota.budget.currency: no flavor of this tenant has prices in EUR"],
    ),
    "more than can be counted, over the tree": (
        Declared(
            {
                "shop": quota(of("cpu", resource("memory", "4Ei")), cohort="a"),
                "bank": quota(of("cpu", resource("memory", "4Ei")), cohort="b"),
            },
            {"a": cohort(parent="b")},
            {"cpu": CPU},
        ),
        ["Cohort b: the nominal quota of memory in flavor cpu comes to 8388608Ti"],
    ),
}


@pytest.mark.parametrize(("declared", "expected"), BETWEEN.values(), ids=BETWEEN.keys())
def test_what_is_wrong_between_documents(declared: Declared, expected: list[str]) -> None:
    found = [str(each) for each in problems(declared)]
    assert len(found) == len(expected), found
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(start)


def test_what_is_granted_on_has_to_be_there() -> None:
    declared = Declared({"bank": quota(of("cpu", resource()))}, flavors={"cpu": CPU})
    given = grant({"cpu": {"cpu": "11"}}, taken_from=("Tenant", "bank"))
    (found,) = problems(declared, [given], NOW)
    assert str(found).startswith("Tenant bank spec.quota.flavors: 11 cpu of flavor cpu is granted out of it")


class TestChanges:
    USED: dict[str, Amounts] = {"shop": {("cpu", "cpu"): 8000}}

    def test_what_was_wrong_before_is_nobodys_fault(self) -> None:
        before = Declared({"shop": quota(of("gone", resource()))})
        after = Declared({**before.tenants, "bank": quota()})
        assert problems_of_change(before, after, {}, [], NOW) == []

    def test_a_borrower_is_named_and_not_who_lends(self) -> None:
        def declared(nominal: int) -> Declared:
            return Declared(
                {
                    "shop": quota(of("cpu", resource(nominal=2)), cohort="all"),
                    "bank": quota(of("cpu", resource(nominal=nominal)), cohort="all"),
                },
                {"all": cohort()},
                {"cpu": CPU},
            )

        used = {**self.USED, "bank": {("cpu", "cpu"): 2000}}
        assert problems_of_change(declared(8), declared(8), used, [], NOW) == []
        found = problems_of_change(declared(8), declared(6), used, [], NOW)
        assert [(each.name, each.is_of_use) for each in found] == [("shop", True)]

    def test_what_another_release_has_stored_is_left_out(self) -> None:
        records = [DocumentRecord("a", {"parent": "b"}, 1), DocumentRecord("c", {"colour": "red"}, 1)]
        cache = SpecCache()
        assert set(declared_of({"Cohort": records}, cache).cohorts) == {"a"}
        again = declared_of({"Cohort": [DocumentRecord("a", {}, 2)]}, cache)
        assert again.cohorts["a"].parent is None
