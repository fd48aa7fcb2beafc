"""What is shown of a tenant's limits: as they are ordered, or would be, and whose pods they refuse."""

import copy
from typing import Any

from controlplane.intent import WorkloadDraft
from controlplane.known.records import WorkloadRecord
from controlplane.queries.quota_limits import ClusterRow, NamespaceRow, TenantLimits, TenantLimitsRow
from schemas.reasons import Reason
from schemas.wire.reports import Foreign, Namespace, Namespaces, Refusal, Unset, Work, WorkState
from tests.conformance.store_worlds import ME
from tests.simulation.test_admitting import Centre
from tests.simulation.test_limits import KEY, LOWER_SECONDS, Member, limited


def shown(centre: Centre, tenant: str = "shop") -> TenantLimitsRow:
    looking = TenantLimits(centre.known, tenant)
    for _ in looking.steps():
        pass
    row = looking.row()
    assert row is not None
    return row


def only(row: TenantLimitsRow) -> tuple[ClusterRow, NamespaceRow]:
    (cluster,) = row.clusters
    (namespace,) = cluster.namespaces
    return cluster, namespace


def without_requests(record: WorkloadRecord) -> WorkloadDraft:
    manifest = copy.deepcopy(record.spec["manifests"][0])
    manifest["metadata"]["name"] = "bare"
    manifest["spec"]["template"]["spec"]["containers"] = [{"name": "c"}]
    return WorkloadDraft("bare", {}, {}, record.tenant, {**record.spec, "manifests": [manifest]})


def amounts(namespace: NamespaceRow) -> dict[str, tuple[Any, ...]]:
    return {
        each.name: (each.limit, each.ordered, each.share, each.surge, each.drift, each.foreign_now)
        for each in namespace.limits
    }


async def observed(mode: str = "Observe", **more: Any) -> Member:
    member = Member()
    await member.start(shop=limited(mode) | more)
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    return member


async def test_what_would_be_set_is_shown_and_what_it_is_made_of() -> None:
    member = await observed()
    member.tell(shop=3)
    row = shown(member)
    cluster, namespace = only(row)
    assert (row.limits, row.resources, row.uncounted) == ("Observe", ("cpu",), ())
    assert (cluster.cluster, cluster.state, cluster.waiting) == ("a", "NotSet", 0)
    assert amounts(namespace) == {"requests.cpu": (8000, None, 4000, 1000, 3000, 3000)}
    assert namespace.made


async def test_pods_that_ask_for_nothing_are_named_and_so_are_workloads_that_make_such() -> None:
    member = await observed()
    known = member.known
    bare = Unset("requests.cpu", 7, ["by-hand-1", "by-hand-2"])
    listed = Namespace("shop", [Foreign(0, 7, [0])], [bare, Unset("limits.cpu", 9, ["web-1"])])
    known.namespaces[member.cluster] = Namespaces(
        incarnation=1, sequence=1, profiles=[""], resources=["cpu"], namespaces=[listed]
    )
    _, namespace = only(shown(member))
    (refused,) = namespace.refused
    assert (refused.workload, refused.pods, refused.names) == ("", 7, ("by-hand-1", "by-hand-2"))
    assert "requests.cpu" in refused.message


async def test_a_workload_whose_containers_do_not_ask_is_told_before_its_pods_are_refused() -> None:
    member = Member()
    await member.start(shop=limited("Observe"))
    await member.submit("web", "shop", 4)
    store = member.fleet.around.store
    (record,) = (await store.load()).workloads
    await store.delete_workload("web", ME)
    await store.submit_workload(without_requests(record), ME)
    await member.decide()
    _, namespace = only(shown(member))
    (refused,) = namespace.refused
    assert (refused.workload, refused.pods) == ("bare", 0)
    assert "c asks for no cpu" in refused.message


async def test_while_limits_are_raised_it_is_said_that_orders_wait() -> None:
    member = await observed("Enforce")
    cluster, namespace = only(shown(member))
    assert (cluster.state, cluster.waiting) == ("Published", 1)
    assert amounts(namespace)["requests.cpu"][:2] == (5000, 5000)
    member.say(KEY)
    await member.pass_time()
    cluster, _ = only(shown(member))
    assert (cluster.state, cluster.waiting) == ("Applied", 0)


async def test_what_came_after_a_limit_was_set_is_seen_and_not_let_in() -> None:
    member = await observed("Enforce")
    member.say(KEY)
    member.tell(shop=2)
    await member.pass_time(LOWER_SECONDS)
    _, namespace = only(shown(member))
    assert amounts(namespace)["requests.cpu"] == (5000, 5000, 4000, 1000, 0, 2000)


async def test_what_the_agent_refuses_is_told() -> None:
    member = await observed("Enforce")
    order = member.order(KEY)
    assert order is not None
    refusal = Refusal(reason=Reason.OWNED_BY_OTHER, message="ResourceQuota shop/muster-shop exists")
    member.known.work[KEY] = {
        member.cluster: Work(
            incarnation=1, sequence=1, version=order.version, state=WorkState.REFUSED, refusals=[refusal]
        )
    }
    cluster, _ = only(shown(member))
    assert (cluster.state, cluster.refusals) == (
        "Refused",
        ("OwnedByOther: ResourceQuota shop/muster-shop exists",),
    )


async def test_limits_on_their_way_out_are_told_as_such() -> None:
    member = await observed("Enforce")
    member.say(KEY)
    await member.change("shop", limited("Off"))
    await member.decide()
    await member.pass_time(LOWER_SECONDS)
    row = shown(member)
    cluster, namespace = only(row)
    assert (row.limits, cluster.message) == ("Off", "they are being withdrawn")
    assert amounts(namespace)["requests.cpu"][:2] == (5000, None)


async def test_an_agent_that_tells_nothing_of_namespaces_is_named() -> None:
    member = Member()
    await member.start(shop=limited("Enforce"))
    del member.known.namespaces[member.cluster]
    await member.submit("web", "shop", 4)
    await member.decide()
    await member.pass_time()
    cluster, _ = only(shown(member))
    assert "has not told" in cluster.message


async def test_nobody_s_limits_are_none() -> None:
    member = await observed()
    looking = TenantLimits(member.known, "nobody")
    assert list(looking.steps()) == []
    assert looking.row() is None
