"""One tenant's quota explained: what each thing waits for, what comes by itself, and what to ask for."""

from typing import Any

import pytest

from controlplane.known.known import Heard, Known
from controlplane.known.records import (
    BalanceRecord,
    ClusterRecord,
    DecisionRecord,
    DocumentRecord,
    Loaded,
    SpentRecord,
    Standing,
    WorkloadRecord,
)
from controlplane.queries.explain import Explaining
from controlplane.queries.paging import Query
from controlplane.queries.quota import QuotaListing
from controlplane.queries.quota_explained import ExplainingQuota
from controlplane.queries.quota_money import budget_row
from controlplane.queries.quota_rows import TenantQuotaExplained, WaitingRow
from controlplane.quota.budgets import GRAINS
from controlplane.quota.quota import Flavor
from schemas.manifests.quota import Budget
from schemas.reasons import Reason
from schemas.wire.beats import Beat
from schemas.wire.reports import Facts, profile_hash
from tests.unit.reports import LABELS, apply, inventory, profile, usage

NOON = 1_795_435_200.0
"""2026-11-23 12:00 UTC, a Monday."""
NIGHT = {"name": "night", "nominalQuota": 30, "opens": "22:00", "closes": "06:00"}


def document(name: str, **spec: Any) -> DocumentRecord:
    return DocumentRecord(name, spec, 1)


def tenant(name: str, cpu: int, *windows: Any, **more: Any) -> DocumentRecord:
    resource = {"name": "cpu", "nominalQuota": cpu, "windows": list(windows), **more.pop("limits", {})}
    quota = {"cohort": "org", "flavors": [{"name": "default", "resources": [resource]}], **more}
    return document(name, namespaces=[f"{name}-*"], quota=quota)


def workload(uid: str, of: str, cpu: str = "4", priority: int = 0, **requests: str) -> WorkloadRecord:
    container = {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": cpu, **requests}}}
    pods = {"metadata": {"labels": {"app": uid}}, "spec": {"containers": [container]}}
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": uid, "namespace": f"{of}-a"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": uid}}, "template": pods},
    }
    spec = {"manifests": [made], "tenant": of, "priority": priority}
    return WorkloadRecord(uid, uid, {}, {}, of, 1, 1, spec, False, NOON - 60, NOON - 60)


def charged(uid: str, of: str, cpu: int, *, drift: bool = False) -> BalanceRecord:
    return BalanceRecord(of, uid, "north", "default", "cpu", drift, cpu)


def known_of(
    tenants: list[DocumentRecord],
    workloads: list[WorkloadRecord],
    reasons: dict[str, Reason],
    balances: list[BalanceRecord] | None = None,
) -> Known:
    known = Known()
    documents = {"Tenant": tuple(tenants), "Cohort": (document("org"),), "Flavor": (document("default"),)}
    decisions = [
        DecisionRecord(uid, 1, 1, False, each.value, "why", {}, NOON - 30) for uid, each in reasons.items()
    ]
    known.replace_records(
        Loaded(
            clusters=(),
            documents=documents,
            workloads=tuple(workloads),
            placements=(),
            decisions=tuple(decisions),
            outbox=(),
            epochs=(),
            last_generation=0,
            alert_watermarks={},
            change_cursor=0,
            quota_version=1,
            balances=tuple(balances or ()),
        )
    )
    return known


def explained(known: Known, name: str, at: float = NOON) -> TenantQuotaExplained:
    explaining = ExplainingQuota(known, name, at)
    for _ in explaining.steps():
        pass
    return explaining.explained()


def put_clusters(known: Known, *names: str) -> None:
    """Each of two nodes of 4 cores, where nothing runs."""
    served = ["apps/v1/Deployment"]
    facts = Facts(incarnation=1, sequence=1, layout=1, kubernetes_version="v1.31.0", served=served)
    beat = Beat(incarnation=1, sequence=1, clock=NOON, agent_version="1")
    for each in names:
        known.put_cluster(
            ClusterRecord(each, each, {}, (), f"uid-{each}", "key", b"", Standing.JOINED, "", 1, 1, 0.0)
        )
        apply(known.fleet, each, "facts", facts)
        apply(known.fleet, each, f"profile.{profile_hash(LABELS)}", profile(LABELS))
        apply(known.fleet, each, "inventory.1-0", inventory("a b", memory=10**12))
        apply(known.fleet, each, "usage.1-0", usage(2))
        known.heard[each] = Heard(NOON, 1, beat)


def helps(row: WaitingRow) -> list[tuple[str, str]]:
    return [(each.kind, each.text) for each in row.helps]


def test_what_lacks_is_told_with_the_request_to_make() -> None:
    known = known_of([tenant("a", 2)], [workload("w", "a")], {"w": Reason.QUOTA_EXCEEDED})
    (row,) = explained(known, "a").waiting
    assert row.asked == {"default": {"cpu": 4_000}}
    assert row.missing == {"default": {"cpu": 2_000}}
    assert helps(row) == [
        ("Smaller", "2 cpu of flavor default is all it could ever have: ask for less, or for more quota"),
        ("Request", "ask for 2 cpu of flavor default"),
    ]
    assert row.helps[-1].command == "muster quota request --tenant a --add default:cpu=2 --why 'for w'"


@pytest.mark.parametrize(
    ("resource", "nominal", "asked", "help_", "command"),
    [
        pytest.param("cpu", 3, 4_000, "ask for 1 cpu of flavor default", "default:cpu=1", id="copies"),
        pytest.param(
            "objects", 1, 2, "ask for 1 objects of flavor default", "default:objects=1", id="objects"
        ),
    ],
)
def test_what_it_comes_to_where_it_is_placed_is_what_it_asks_for(
    resource: str, nominal: int, asked: int, help_: str, command: str
) -> None:
    """A copy in each of two clusters: one alone would not lack anything."""
    given = tenant("a", nominal, uncovered="Allow")
    given.spec["quota"]["flavors"][0]["resources"][0]["name"] = resource
    known = known_of([given], [workload("w", "a", cpu="2")], {"w": Reason.QUOTA_EXCEEDED})
    put_clusters(known, "north", "south")
    (row,) = explained(known, "a").waiting
    assert row.asked["default"] == {resource: asked}
    assert row.missing["default"] == {resource: asked - (nominal * 1_000 if resource == "cpu" else nominal)}
    assert helps(row)[-1] == ("Request", help_)
    assert row.helps[-1].command == f"muster quota request --tenant a --add {command} --why 'for w'"


def test_what_is_on_its_way_out_comes_by_itself() -> None:
    """Charged, and asked for by no placement any more."""
    known = known_of(
        [tenant("a", 4), tenant("b", 4)],
        [workload("w", "a"), workload("old", "b")],
        {"w": Reason.QUOTA_AWAITED},
        [charged("old", "b", 8_000)],
    )
    (row,) = explained(known, "a").waiting
    assert helps(row)[0] == (
        "Leaving",
        "8 cpu of flavor default is on its way out, until its pods are gone: old in north",
    )
    assert [(each.name, each.borrowed) for each in row.borrowers] == [("b", 4_000)]


@pytest.mark.parametrize(
    ("at", "open_", "changes_at", "says"),
    [
        (
            NOON,
            False,
            NOON + 10 * 3_600,
            "window night opens 2026-11-23 22:00Z: then 30 cpu of flavor default is nominal",
        ),
        (NOON + 11 * 3_600, True, NOON + 18 * 3_600, ""),
    ],
)
def test_windows(at: float, open_: bool, changes_at: float, says: str) -> None:
    known = known_of([tenant("a", 2, NIGHT)], [workload("w", "a")], {"w": Reason.QUOTA_EXCEEDED})
    body = explained(known, "a", at)
    (window,) = body.windows
    assert (window.window, window.open, window.changes_at) == ("night", open_, changes_at)
    assert body.tenant.quotas[0].nominal == (30_000 if open_ else 2_000)
    assert body.tenant.quotas[0].window == ("night" if open_ else "")
    assert [text for kind, text in helps(body.waiting[0]) if kind == "Window"] == ([says] if says else [])


def test_what_no_flavor_covers_is_asked_for_by_the_first() -> None:
    known = known_of([tenant("a", 8)], [workload("w", "a", memory="1Gi")], {"w": Reason.QUOTA_NOT_GRANTED})
    (row,) = explained(known, "a").waiting
    assert row.helps[0].command == "muster quota request --tenant a --add default:memory=1Gi --why 'for w'"


def test_what_no_flavor_covers_is_asked_for_by_the_one_in_which_others_have_it() -> None:
    cpu = [{"name": "cpu", "nominalQuota": 8}]
    flavors = [{"name": "default", "resources": cpu}, {"name": "large", "resources": cpu}]
    lender = document("b", namespaces=["b-*"], quota={"flavors": _flavors("large", memory="64Gi")})
    asker = document("a", namespaces=["a-*"], quota={"flavors": flavors})
    known = known_of([asker, lender], [workload("w", "a", memory="1Gi")], {"w": Reason.QUOTA_NOT_GRANTED})
    (row,) = explained(known, "a").waiting
    assert row.helps[0].command == "muster quota request --tenant a --add large:memory=1Gi --why 'for w'"


@pytest.mark.parametrize(
    ("limits", "asks"),
    [
        pytest.param({"default": 1, "large": 3}, "large:cpu=1", id="the second lacks less"),
        pytest.param({"default": 3, "large": 1}, "default:cpu=1", id="the first lacks less"),
        pytest.param({"default": 2, "large": 2}, "default:cpu=2", id="of equals the first"),
        pytest.param({"default": 1, "nowhere": 3}, "default:cpu=3", id="of the one that has a place"),
    ],
)
def test_of_two_flavors_the_smallest_change_is_advised(limits: dict[str, int], asks: str) -> None:
    flavors = [each for name, cpu in limits.items() for each in _flavors(name, cpu=cpu)]
    given = document("a", namespaces=["a-*"], quota={"flavors": flavors})
    known = known_of([given], [workload("w", "a")], {"w": Reason.QUOTA_EXCEEDED})
    nowhere = document("nowhere", nodeLabels={"is": "nowhere"})
    known.documents["Flavor"].replace([document("default"), document("large"), nowhere])
    put_clusters(known, "north")
    (row,) = explained(known, "a").waiting
    assert row.helps[-1].command == f"muster quota request --tenant a --add {asks} --why 'for w'"
    explaining = Explaining(known, known.workloads["w"], NOON)
    for _ in explaining.steps():
        pass
    flavor, _, amount = asks.partition(":cpu=")
    change = explaining.explanation().changes[0]
    assert change.text == f"ask for {amount} cpu of flavor {flavor} more: muster quota request"


def _flavors(name: str, **nominal: Any) -> list[dict[str, Any]]:
    resources = [{"name": each, "nominalQuota": amount} for each, amount in nominal.items()]
    return [{"name": name, "resources": resources}]


def test_what_is_stuck_in_a_lost_cluster_is_told_with_what_to_do() -> None:
    known = known_of(
        [tenant("a", 8)],
        [workload("w", "a"), workload("old", "a")],
        {"w": Reason.QUOTA_EXCEEDED},
        [charged("old", "a", 8_000)],
    )
    put_clusters(known, "north", "south")
    known.begin_watch(NOON)
    for second in range(0, 60, 5):
        beat = Beat(incarnation=1, sequence=1, clock=NOON + second, agent_version="1")
        known.heard["south"] = Heard(NOON + second, 1, beat)
        known.watch(NOON + second)
    body = explained(known, "a", NOON + 60)
    (row,) = body.charged
    assert (row.cluster, row.lost_since) == ("north", NOON + 45)
    (stuck,) = [each for each in body.waiting[0].helps if each.kind == "Lost"]
    assert stuck.text == (
        "8 cpu of flavor default is stuck in north, lost since 2026-11-23 12:00Z: old; free once that is back"
        " and those pods are reported gone, or once you give the cluster up"
    )
    assert stuck.command == "muster clusters remove north"
    assert "Leaving" not in [each.kind for each in body.waiting[0].helps]


def test_a_budget_that_is_spent_begins_anew() -> None:
    budget = {"amount": 10, "currency": "EUR", "period": "Day"}
    known = known_of([tenant("a", 8, budget=budget)], [workload("w", "a")], {"w": Reason.BUDGET_EXHAUSTED})
    day = NOON - 12 * 3_600
    known.spending.take([SpentRecord("a", "EUR", day, NOON, 10 * 10**6 * GRAINS)])
    body = explained(known, "a")
    assert body.tenant.budget is not None
    assert (body.tenant.budget.state, body.tenant.budget.spent) == ("Exhausted", "10")
    assert helps(body.waiting[0]) == [("Budget", "the next day begins 2026-11-24 00:00Z, with 10 EUR")]
    assert body.waiting[0].helps[0].at == day + 86_400


def test_the_highest_priority_comes_first_and_then_the_oldest() -> None:
    names = {"low": 0, "high": 10, "middle": 5}
    known = known_of(
        [tenant("a", 1)],
        [workload(uid, "a", priority=priority) for uid, priority in names.items()],
        dict.fromkeys(names, Reason.QUOTA_EXCEEDED),
    )
    assert [row.workload for row in explained(known, "a").waiting] == ["high", "middle", "low"]


@pytest.mark.parametrize(
    ("amount", "spent", "cpu", "state", "share", "per_hour", "gone_in_hours"),
    [
        ("100", "0", 0, "Within", 0.0, "0", 0),
        ("100", "79.999999", 10_000, "Within", 0.8, "1", 20),
        ("100", "80", 10_000, "Warned", 0.8, "1", 20),
        ("100", "100", 10_000, "Exhausted", 1.0, "1", 0),
        ("0", "0", 0, "Exhausted", 1.0, "0", 0),
        ("100000", "1.5", 1, "Within", 0.0, "0.0001", 0),
    ],
)
def test_budgets(
    amount: str, spent: str, cpu: int, state: str, share: float, per_hour: str, gone_in_hours: int
) -> None:
    budget = Budget(amount=amount, currency="EUR", period="Year")
    record = SpentRecord("a", "EUR", 0.0, NOON, int(float(spent) * 10**6 + 0.5) * GRAINS)
    flavors = {"default": Flavor("default", currency="EUR", prices={"cpu": 100_000})}
    row = budget_row(budget, record, flavors, {("default", "cpu"): cpu}, NOON)
    assert (row.amount, row.spent, row.state, row.per_hour) == (amount, spent, state, per_hour)
    assert row.share == pytest.approx(share, abs=1e-4)
    assert row.exhausted_at == pytest.approx(NOON + gone_in_hours * 3_600 if gone_in_hours else 0.0, abs=1.0)


def test_a_tree_that_changes_while_it_is_looked_at_is_looked_at_anew() -> None:
    known = known_of([tenant(f"t{index:03}", 1) for index in range(200)], [], {})
    listing = QuotaListing(known, Query(limit=500), NOON)
    steps = listing.steps()
    for _ in range(4):
        next(steps)
    known.documents["Tenant"].replace([tenant("only", 1)])
    known.quotas.refresh(known.documents, NOON)
    for _ in steps:
        pass
    assert [row.name for row in listing.page().items] == ["org", "only"]
