"""Requests for quota by the API, on a real Postgres: who may do what, what is shown before it is decided."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from controlplane.known.records import Cause, LedgerLine, RequestState
from controlplane.loops.expiring import Expiring
from controlplane.loops.ports import NewDecision
from schemas.reasons import Reason
from tests.circle import eventually
from tests.installation import NatsInstallation
from tests.integration.api_world import (
    ADMIN,
    APPROVER,
    ASKER,
    VIEWER,
    World,
    api_world,
    deployment,
    tenant,
    workload,
)

AT = "/api/v1/quota/requests"
BODY = {"tenant": "shop", "amounts": {"default": {"cpu": "6"}}, "why": "the sale"}


@pytest_asyncio.fixture
async def world(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    """shop has 4 cores and bank 10, in one cohort; neither borrows from the other more than it may."""
    async with api_world(database, nats_installation) as made:
        flavor = {
            "apiVersion": "muster.dev/v1",
            "kind": "Flavor",
            "metadata": {"name": "default"},
            "spec": {},
        }
        cohort = {"apiVersion": "muster.dev/v1", "kind": "Cohort", "metadata": {"name": "all"}, "spec": {}}
        await ok(await made.client.put("/api/v1/flavors/default", json=flavor), 201)
        await ok(await made.client.put("/api/v1/cohorts/all", json=cohort), 201)
        for name, cpu in (("shop", "4"), ("bank", "10")):
            resource = {"name": "cpu", "nominalQuota": cpu, "borrowingLimit": 0}
            quota = {
                "cohort": "all",
                "uncovered": "Allow",
                "flavors": [{"name": "default", "resources": [resource]}],
            }
            await ok(
                await made.client.put(f"/api/v1/tenants/{name}", json=tenant(name, f"{name}-*", quota=quota)),
                201,
            )
        await fresh(made)
        yield made


async def fresh(world: World) -> None:
    """As a leader that begins, and then looks at the quota."""
    world.known.replace_records(await world.store.load())
    world.known.quotas.refresh(world.known.documents, time.time())


async def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


async def call(world: World, method: str, path: str, token: str, body: Any = None, **headers: str) -> Any:
    return await world.client.request(
        method, AT + path, json=body, headers={"Authorization": f"Bearer {token}", **headers}
    )


async def asked(world: World, **more: Any) -> dict[str, Any]:
    return await ok(await call(world, "POST", "", ASKER, {**BODY, **more}), 201)


async def decided(world: World, name: str, of: str, *, waits_for: Reason | None = None, cpu: int = 0) -> None:
    """A workload, and the leader's decision of it: it waits, or it is charged."""
    lease = await world.store.take_lease("deciding", "test", 30.0)
    assert lease is not None
    manifest = workload(name, deployment(name, f"{of}-a", replicas=1, cpu="2"), tenant=of)
    await ok(await world.client.put(f"/api/v1/workloads/{name}", json=manifest), 201)
    record = world.known.workload(name)
    assert record is not None
    lines = [LedgerLine(of, record.uid, "north", "default", "cpu", cpu, Cause.PLACED)] if cpu else []
    new = NewDecision(
        record.uid,
        record.resource_version,
        record.revision,
        waits_for is None,
        waits_for.value if waits_for else "",
        "",
        {},
        (),
        tuple(lines),
    )
    version = (await world.store.read_quota()).version
    assert not await world.store.commit_decisions(lease, [new], version)


class TestWhoMay:
    @pytest.mark.parametrize(
        ("token", "statuses"),
        [
            # read, ask for shop, ask for bank, refuse, withdraw another's, give back another's (not granted)
            (ADMIN, (200, 201, 201, 200, 403, 409)),
            (VIEWER, (200, 403, 403, 403, 403, 403)),
            (APPROVER, (200, 403, 403, 200, 403, 403)),
            (ASKER, (200, 201, 403, 403, 403, 403)),
        ],
    )
    async def test_a_role(self, world: World, token: str, statuses: tuple[int, ...]) -> None:
        of_bank = await world.store.request_quota(*_draft("bank"))
        other = await world.store.request_quota(*_draft("bank"))
        answers = [
            await call(world, "GET", f"/{of_bank.id}", token),
            await call(world, "POST", "", token, BODY),
            await call(world, "POST", "", token, {**BODY, "tenant": "bank"}),
            await call(world, "POST", f"/{of_bank.id}/refuse", token, {"why": "no"}),
            await call(world, "POST", f"/{other.id}/withdraw", token),
            await call(world, "POST", f"/{other.id}/give-back", token, {}),
        ]
        assert tuple(each.status_code for each in answers) == statuses

    async def test_without_a_token_nobody(self, world: World) -> None:
        for method, path in (("GET", ""), ("POST", ""), ("GET", "/1"), ("POST", "/1/approve")):
            answer = await world.client.request(
                method, AT + path, json={}, headers={"Authorization": "Bearer x"}
            )
            assert answer.status_code == 401

    @pytest.mark.parametrize("act", ["approve", "refuse"])
    async def test_who_asks_does_not_decide_not_even_an_admin(self, world: World, act: str) -> None:
        made = await ok(await call(world, "POST", "", ADMIN, BODY), 201)
        body = {"why": "no"} if act == "refuse" else {}
        answer = await call(world, "POST", f"/{made['id']}/{act}", ADMIN, body)
        assert answer.status_code == 403
        assert answer.json()["reason"] == "Unauthorised"
        assert "somebody else decides" in answer.json()["detail"]
        decided = await ok(await call(world, "POST", f"/{made['id']}/{act}", APPROVER, body))
        assert (decided["requested_by"], decided["decided_by"]) == ("ada", "max")

    async def test_asking_and_deciding_are_no_right_to_write(self, world: World) -> None:
        for token in (ASKER, APPROVER):
            answer = await world.client.put(
                "/api/v1/workloads/web",
                json=workload("web"),
                headers={"Authorization": f"Bearer {token}"},
            )
            assert answer.status_code == 403


def _draft(of: str) -> tuple[Any, Any]:
    from controlplane.intent import QuotaDraft, Write

    return QuotaDraft(of, {"default": {"cpu": "1"}}, 0.0, "why"), Write("carol")


class TestTheWay:
    async def test_asked_seen_granted_given_back_in_part_and_whole(self, world: World) -> None:
        made = await asked(world, until=4_000_000_000)
        assert made | {"id": 0, "requested_at": 0, "resource_version": 0} == {
            "id": 0,
            "tenant": "shop",
            "amounts": {"default": {"cpu": "6"}},
            "until": 4_000_000_000.0,
            "why": "the sale",
            "state": "Pending",
            "requested_by": "bob",
            "requested_at": 0,
            "decided_by": "",
            "decided_at": 0.0,
            "decision": "",
            "taken_from": "",
            "resource_version": 0,
        }
        path = f"/{made['id']}"
        seen = await call(world, "GET", path, VIEWER)
        assert (await ok(seen))["request"] == made
        body = {"taken_from": "tenant/bank", "comment": "until the sale is over"}
        stale = await call(world, "POST", f"{path}/approve", APPROVER, body, **{"If-Match": '"1"'})
        assert stale.status_code == 412
        granted = await ok(
            await call(world, "POST", f"{path}/approve", APPROVER, body, **{"If-Match": seen.headers["etag"]})
        )
        assert (granted["state"], granted["taken_from"]) == ("Granted", "tenant/bank")
        assert (granted["decided_by"], granted["decision"]) == ("max", "until the sale is over")
        await world.follow()
        world.known.quotas.refresh(world.known.documents, time.time())
        key = ("default", "cpu")
        limits = {name: world.known.quotas.tenants[name].limits[key].nominal for name in ("shop", "bank")}
        assert limits == {"shop": 10_000, "bank": 4_000}
        part = {"amounts": {"default": {"cpu": "2"}}}
        left = await ok(await call(world, "POST", f"{path}/give-back", ASKER, part))
        assert (left["state"], left["amounts"]) == ("Granted", {"default": {"cpu": "4"}})
        gone = await ok(await call(world, "POST", f"{path}/give-back", ASKER, {}))
        assert gone["state"] == "GivenBack"
        assert (await ok(await call(world, "GET", path, VIEWER)))["effect"] is None
        changes = await ok(await world.client.get("/api/v1/changes?limit=500"))
        steps = [(each["what"], each["by"]) for each in changes["items"] if each["kind"] == "QuotaRequest"]
        assert steps == [
            ("Requested", "bob"),
            ("Granted", "max"),
            ("GivenBack", "bob"),
            ("GivenBack", "bob"),
        ]

    async def test_the_list_is_paged_and_filtered(self, world: World) -> None:
        made = [await asked(world) for _ in range(5)]
        await ok(await call(world, "POST", f"/{made[1]['id']}/withdraw", ASKER))
        ids = [each["id"] for each in reversed(made)]
        first = await ok(await call(world, "GET", "?limit=3", VIEWER))
        assert [each["id"] for each in first["items"]] == ids[:3]
        rest = await ok(await call(world, "GET", f"?limit=3&continue={first['next']}", VIEWER))
        assert ([each["id"] for each in rest["items"]], rest["next"]) == (ids[3:], "")
        found = await ok(await call(world, "GET", "?state=Withdrawn,Refused", VIEWER))
        assert [each["id"] for each in found["items"]] == [made[1]["id"]]
        assert (await ok(await call(world, "GET", "?tenant=bank", VIEWER)))["items"] == []

    async def test_the_same_key_asks_once(self, world: World) -> None:
        answers = [
            await ok(await call(world, "POST", "", ASKER, BODY, **{"Idempotency-Key": "k1"}), 201)
            for _ in range(2)
        ]
        assert answers[0] == answers[1]

    async def test_two_that_approve_at_once(self, world: World) -> None:
        made = await asked(world)
        answers = await asyncio.gather(
            *(call(world, "POST", f"/{made['id']}/approve", token, {}) for token in (ADMIN, APPROVER) * 3)
        )
        assert sorted(each.status_code for each in answers) == [200, 409, 409, 409, 409, 409]
        grants = (await world.store.read_quota()).grants
        assert [each.id for each in grants] == [made["id"]]

    @pytest.mark.promise(2)
    async def test_it_ends_by_itself(self, world: World) -> None:
        """One that was granted until soon, by the clock of the database."""
        made = await asked(world, until=time.time() + 1.5)
        await ok(await call(world, "POST", f"/{made['id']}/approve", APPROVER, {}))
        version = (await world.store.read_quota()).version
        lease = await world.store.take_lease("deciding", "test", 30.0)
        assert lease is not None
        expiring = Expiring(world.store, lease)

        async def state() -> str:
            await expiring.run_pass()
            return (await ok(await call(world, "GET", f"/{made['id']}", VIEWER)))["request"]["state"]

        await eventually("it has run out", state, lambda seen: seen == RequestState.EXPIRED)
        quota = await world.store.read_quota()
        assert (quota.version, list(quota.grants)) == (version + 1, [])


class TestTheEffect:
    async def effect(self, world: World, id_: int, taken_from: str = "") -> dict[str, Any]:
        query = f"?takenFrom={taken_from}" if taken_from else ""
        return (await ok(await call(world, "GET", f"/{id_}{query}", APPROVER)))["effect"]

    async def test_who_gets_and_who_gives(self, world: World) -> None:
        await decided(world, "books", "bank", cpu=5_000)
        made = await asked(world)
        await fresh(world)
        found = await self.effect(world, made["id"], "tenant/bank")
        shifts = {each["name"]: each for each in found["shifts"]}
        assert shifts["bank"] == {
            "kind": "Tenant",
            "name": "bank",
            "flavor": "default",
            "resource": "cpu",
            "used": 5_000,
            "before": {"nominal": 10_000, "available": 5_000, "potential": 10_000, "borrowed": 0},
            "after": {"nominal": 4_000, "available": 0, "potential": 4_000, "borrowed": 1_000},
        }
        assert shifts["shop"]["after"] == {
            "nominal": 10_000,
            "available": 9_000,
            "potential": 10_000,
            "borrowed": 0,
        }
        assert (found["taken_from"], found["borrowing"]) == ("tenant/bank", ["bank"])
        assert found["problems"] == [
            "tenant bank uses 5 cpu of flavor default: that would be 1 more than it may"
        ]
        refused = await call(world, "POST", f"/{made['id']}/approve", APPROVER, {"taken_from": "tenant/bank"})
        assert refused.status_code == 422
        assert refused.json()["errors"] == [
            {"field": "taken_from", "message": found["problems"][0]},
        ]
        less = {"taken_from": "tenant/bank", "amounts": {"default": {"cpu": "5"}}}
        await ok(await call(world, "POST", f"/{made['id']}/approve", APPROVER, less))

    async def test_what_waits_and_would_come_in(self, world: World) -> None:
        """As far as the grant goes, where there is a cluster for it."""
        made = await asked(world, amounts={"default": {"cpu": "3"}})
        await decided(world, "front", "shop", cpu=4_000)
        await decided(world, "checkout", "shop", waits_for=Reason.QUOTA_EXCEEDED)
        await decided(world, "search", "shop", waits_for=Reason.QUOTA_EXCEEDED)
        await decided(world, "other", "bank", waits_for=Reason.QUOTA_EXCEEDED)
        await fresh(world)
        assert (await self.effect(world, made["id"]))["admissible"] == []
        world.report(await world.join("north"), 3)
        found = await self.effect(world, made["id"])
        assert [(each["workload"], each["victims"]) for each in found["admissible"]] == [("checkout", [])]
        assert (found["waiting"], found["judged"], found["problems"]) == (3, 3, [])

    async def test_from_whom_has_not_so_much(self, world: World) -> None:
        made = await asked(world, amounts={"default": {"cpu": "11"}})
        found = await self.effect(world, made["id"], "tenant/bank")
        assert found["problems"] == ["tenant 'bank' has 10 cpu of flavor default: 11 are wanted"]
        found = await self.effect(world, made["id"], "cohort/none")
        assert found["problems"] == ["there is no cohort 'none' with a quota"]


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("", {**BODY, "tenant": "ghost"}, 422, "tenant"),
        ("", {**BODY, "tenant": ""}, 422, "tenant"),
        ("", {**BODY, "amounts": {}}, 422, "amounts"),
        ("", {**BODY, "amounts": []}, 422, "amounts"),
        ("", {**BODY, "amounts": {"default": "6"}}, 422, "amounts.default"),
        ("", {**BODY, "amounts": {"default": {"cpu": 6}}}, 422, "amounts.default.cpu"),
        ("", {**BODY, "amounts": {"default": {"cpu": "-6"}}}, 422, "amounts.default.cpu"),
        ("", {**BODY, "amounts": {"default": {"cpu": "1e40"}}}, 422, "amounts.default.cpu"),
        ("", {**BODY, "amounts": {"a100": {"cpu": "6"}}}, 422, "amounts.a100"),
        ("", {**BODY, "until": "tomorrow"}, 422, "until"),
        ("", {**BODY, "until": 5}, 422, "until"),
        ("", {**BODY, "until": True}, 422, "until"),
        ("", {**BODY, "why": ""}, 422, "why"),
        ("", {**BODY, "who": "me"}, 422, "who"),
        ("/1/approve", {"taken_from": "bank"}, 422, "taken_from"),
        ("/1/approve", {"taken_from": 3}, 422, "taken_from"),
        ("/1/approve", {"taken_from": "flavor/bank"}, 422, "taken_from"),
        ("/1/approve", {"taken_from": "tenant/shop"}, 422, "taken_from"),
        ("/1/approve", {"amounts": {"default": {"cpu": "7"}}}, 422, "amounts.default.cpu"),
        ("/1/approve", {"until": 5}, 422, "until"),
        ("/1/refuse", {}, 422, "why"),
        ("/1/give-back", {"amounts": {"default": 3}}, 422, "amounts.default"),
        ("/99/approve", {}, 404, None),
        ("/x/approve", {}, 404, None),
        ("/99999999999999999999/refuse", {"why": "no"}, 404, None),
        ("/1/give-back", {}, 409, None),
    ],
)
async def test_what_is_wrong_is_named(
    world: World, path: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    if path:
        made = await asked(world)
        path = path.replace("/1/", f"/{made['id']}/")
    token = APPROVER if path.endswith(("approve", "refuse")) else ADMIN
    answer = await call(world, "POST", path, token, body)
    assert answer.status_code == status, answer.text
    if field is not None:
        assert [each["field"] for each in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("query", "field"),
    [("?state=Open", "state"), ("?continue=zz", "continue"), ("?limit=0", "limit")],
)
async def test_a_parameter_that_is_wrong_is_named(world: World, query: str, field: str) -> None:
    answer = await call(world, "GET", query, VIEWER)
    assert answer.status_code == 400
    assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_it_is_in_the_documentation(world: World) -> None:
    paths = (await ok(await world.client.get("/openapi.json")))["paths"]
    found = {path: set(each) for path, each in paths.items() if "/quota/requests" in path}
    one = f"{AT}/{{id}}"
    assert found == {
        AT: {"get", "post"},
        one: {"get"},
        **{f"{one}/{act}": {"post"} for act in ("approve", "refuse", "withdraw", "give-back")},
    }
