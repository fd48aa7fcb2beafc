"""Bad input: each a clear answer that names the field; nothing is stored, nothing stops."""

import copy
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.installation import NatsInstallation
from tests.integration.api_world import VIEWER, World, api_world, deployment, tenant, workload

JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}


@pytest_asyncio.fixture
async def world(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    async with api_world(database, nats_installation) as made:
        yield made


@dataclass(frozen=True)
class Case:
    """A request, and what it is answered. field: of the first error; says: stands in its message."""

    name: str
    method: str
    path: str
    status: int
    reason: str
    field: str
    says: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    manifest = copy.deepcopy(workload("web"))
    change(manifest)
    return json.dumps(manifest).encode()


def put(name: str, status: int, reason: str, field: str, says: str, body: bytes, **headers: str) -> Case:
    given = tuple((key.replace("_", "-"), value) for key, value in headers.items())
    return Case(
        name, "PUT", "/api/v1/workloads/web", status, reason, field, says, body, (*JSON.items(), *given)
    )


def yaml(name: str, status: int, reason: str, field: str, says: str, body: bytes) -> Case:
    return Case(name, "PUT", "/api/v1/workloads/web", status, reason, field, says, body, tuple(YAML.items()))


GOOD = json.dumps(workload("web")).encode()
CONTAINER = "spec.manifests[0].spec.template.spec.containers[0]"


def set_cpu(amount: object) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["spec"]["manifests"] = [deployment("web")]
        pod = manifest["spec"]["manifests"][0]["spec"]["template"]["spec"]
        pod["containers"][0]["resources"]["requests"]["cpu"] = amount

    return change


CASES = [
    put(
        "unknown kind",
        422,
        "Invalid",
        "kind",
        "Workload",
        changed(lambda m: m.update(kind="Deployment")),
    ),
    put(
        "another version",
        422,
        "Invalid",
        "apiVersion",
        "muster.dev/v1",
        changed(lambda m: m.update(apiVersion="v2")),
    ),
    put(
        "unknown field of the spec",
        422,
        "Invalid",
        "spec.manifest",
        "no such field",
        changed(lambda m: m["spec"].update(manifest=[])),
    ),
    put(
        "unknown field of placement",
        422,
        "Invalid",
        "spec.placement.clusterAfinity",
        "no such field",
        changed(lambda m: m["spec"].update(placement={"clusterAfinity": {}})),
    ),
    put(
        "field of Karmada's that is not decided on yet",
        422,
        "Invalid",
        "spec.placement",
        "workloadAffinity",
        changed(lambda m: m["spec"].update(placement={"workloadAffinity": {}})),
    ),
    put(
        "quantity", 422, "Invalid", f"{CONTAINER}.resources.requests.cpu", "1.1.M", changed(set_cpu("1.1.M"))
    ),
    put(
        "quantity below zero",
        422,
        "Invalid",
        f"{CONTAINER}.resources.requests.cpu",
        "-1",
        changed(set_cpu("-1")),
    ),
    put(
        "no manifests",
        422,
        "Invalid",
        "spec.manifests",
        "1",
        changed(lambda m: m["spec"].update(manifests=[])),
    ),
    put(
        "an object without a name",
        422,
        "Invalid",
        "spec.manifests[0].metadata.name",
        "missing",
        changed(lambda m: m["spec"]["manifests"][0]["metadata"].pop("name")),
    ),
    put(
        "replicas that are no number",
        422,
        "Invalid",
        "spec.manifests[0].spec.replicas",
        "two",
        changed(lambda m: m["spec"]["manifests"][0]["spec"].update(replicas="two")),
    ),
    put(
        "another name than the address",
        422,
        "Invalid",
        "metadata.name",
        "web",
        json.dumps(workload("api")).encode(),
    ),
    put(
        "a tenant that is not there",
        422,
        "TenantMayNot",
        "spec.tenant",
        "nobody",
        changed(lambda m: m["spec"].update(tenant="nobody")),
    ),
    put(
        "half a character",
        400,
        "Malformed",
        "",
        "half a character",
        changed(lambda m: m["metadata"].update(annotations={"a": "x\ud800"})),
    ),
    put("malformed JSON", 400, "Malformed", "", "line 1", b'{"kind": "Workload",'),
    put("JSON with a key twice", 400, "Malformed", "", "twice", b'{"kind": "Workload", "kind": "Tenant"}'),
    put("NaN", 400, "Malformed", "", "NaN", b'{"kind": NaN}'),
    put("JSON too deep", 400, "Malformed", "", "deep", b"[" * 50_000),
    put("bytes that are no text", 400, "Malformed", "", "UTF-8", b'{"kind": "\xff\xfe"}'),
    put("an empty body", 400, "Malformed", "", "empty", b""),
    put("a list", 400, "Malformed", "", "object", b"[1, 2]"),
    yaml("malformed YAML", 400, "Malformed", "", "line 2", b"kind: Workload\n  metadata: [\n"),
    yaml("YAML too deep", 400, "Malformed", "", "deep", b"- " * 300_000 + b"a"),
    yaml("two documents", 400, "Malformed", "", "2", GOOD + b"\n---\n" + GOOD),
    yaml(
        "YAML bomb",
        400,
        "Malformed",
        "",
        "",
        b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + b"".join(
            b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(9)
        ),
    ),
    yaml(
        "a tag that would make an object",
        400,
        "Malformed",
        "",
        "tag",
        b"!!python/object/apply:os.system [id]",
    ),
    put("2 MB", 413, "BodyTooLarge", "", "1,048,576", b"x" * 2_000_000),
    put("If-Match of somebody else's", 400, "Invalid", "If-Match", "abc", GOOD, If_Match='"abc"'),
    put(
        "If-None-Match beside If-Match",
        400,
        "Invalid",
        "If-None-Match",
        "*",
        GOOD,
        If_Match='"1"',
        If_None_Match="*",
    ),
    put("If-Match of what is not there", 412, "Conflict", "If-Match", '"0"', GOOD, If_Match='"7"'),
    put("Idempotency-Key with spaces", 400, "Invalid", "Idempotency-Key", "200", GOOD, Idempotency_Key="a b"),
    put("no bearer", 401, "Unauthorised", "Authorization", "Bearer", GOOD, Authorization=""),
    put(
        "a bearer that nobody has",
        401,
        "Unauthorised",
        "Authorization",
        "not known",
        GOOD,
        Authorization="Bearer x",
    ),
    put(
        "a viewer who writes",
        403,
        "Unauthorised",
        "Authorization",
        "viewer",
        GOOD,
        Authorization=f"Bearer {VIEWER}",
    ),
    Case("a sort that is none", "GET", "/api/v1/clusters?sort=colour", 400, "Invalid", "sort", "colour"),
    Case(
        "a filter that is none",
        "GET",
        "/api/v1/placements?filter=colour=red",
        400,
        "Invalid",
        "filter",
        "colour",
    ),
    Case(
        "a filter that cannot be read",
        "GET",
        "/api/v1/nodes?filter=cpu>many",
        400,
        "Invalid",
        "filter",
        "many",
    ),
    Case("a limit above the bound", "GET", "/api/v1/nodes?limit=501", 400, "Invalid", "limit", "500"),
    Case("a cursor made up", "GET", "/api/v1/nodes?continue=abc", 400, "Invalid", "continue", "cursor"),
    Case(
        "a boolean that is none",
        "PUT",
        "/api/v1/workloads/web?dryRun=perhaps",
        400,
        "Invalid",
        "dryRun",
        "bool",
        GOOD,
    ),
    Case(
        "an event id that is none",
        "GET",
        "/api/v1/events",
        400,
        "Invalid",
        "Last-Event-ID",
        "last",
        None,
        (("Last-Event-ID", "last"),),
    ),
    Case(
        "an invitation without a name",
        "POST",
        "/api/v1/cluster-invitations",
        422,
        "Invalid",
        "name",
        "missing",
        b"{}",
    ),
    Case(
        "an invitation with a field too many",
        "POST",
        "/api/v1/cluster-invitations",
        422,
        "Invalid",
        "nmae",
        "known",
        b'{"nmae": "x"}',
    ),
    Case(
        "a taint of no effect",
        "POST",
        "/api/v1/cluster-invitations",
        422,
        "Invalid",
        "taints[0].effect",
        "NoSchedule",
        b'{"name": "x", "taints": [{"key": "a", "effect": "Never"}]}',
    ),
    Case(
        "a label that is none",
        "POST",
        "/api/v1/cluster-invitations",
        422,
        "Invalid",
        "labels.a b",
        "label key",
        b'{"name": "x", "labels": {"a b": "c"}}',
    ),
    Case("a join without a token", "POST", "/api/v1/join", 422, "Invalid", "token", "missing", b"{}"),
    Case(
        "a join with a token that is none",
        "POST",
        "/api/v1/join",
        422,
        "Invalid",
        "token",
        "mj1_",
        b'{"token": "x"}',
    ),
    Case(
        "a revision that is no number",
        "POST",
        "/api/v1/workloads/web/rollback",
        422,
        "Invalid",
        "revision",
        "whole number",
        b'{"revision": "one"}',
    ),
]


def asking(name: str, field: str, says: str, **spec: Any) -> Case:
    """A workload whose `spec` says this as well."""
    return put(name, 422, "Invalid", field, says, changed(lambda m: m["spec"].update(spec)))


def features(**expressions: Any) -> list[dict[str, Any]]:
    return [{"feature": "cpu.cpuid", "matchExpressions": expressions}]


BELOW = [
    asking(
        "features: an operator that is none",
        "spec.features[0].matchExpressions.A.op",
        "of In, ",
        features=features(A={"op": "Has"}),
    ),
    asking("features: no expressions", "spec.features[0].matchExpressions", "1", features=features()),
    asking(
        "features: a number that is none",
        "spec.features[0].matchExpressions.A",
        "whole numbers",
        features=features(A={"op": "Gt", "value": ["x"]}),
    ),
    asking(
        "features: a pattern that is none",
        "spec.features[0].matchExpressions.A.value",
        "missing )",
        features=features(A={"op": "InRegexp", "value": ["("]}),
    ),
    asking(
        "features: bounds the wrong way round",
        "spec.features[0].matchExpressions.A",
        "lower number first",
        features=features(A={"op": "GtLt", "value": ["9", "1"]}),
    ),
    asking(
        "features: no feature of NFD",
        "spec.features[0].feature",
        "cpu.cpuid",
        features=[{"feature": "amx", "matchExpressions": {"A": {"op": "Exists"}}}],
    ),
    asking("topology: asks for nothing", "spec.topology", "singleNUMA", topology={}),
    asking(
        "networks: attachment and pool",
        "spec.networks[0]",
        "not both",
        networks=[{"attachment": "a", "pool": "b"}],
    ),
    asking("gpus: how many", "spec.gpus", "count", gpus={}),
    asking("gpus: none", "spec.gpus.count", "1", gpus={"count": 0}),
    asking(
        "gpus: a class and a product",
        "spec.gpus",
        "leave one out",
        gpus={"deviceClass": "a", "product": "T4"},
    ),
    asking("gpus: product of none", "spec.gpus.count", "how many", gpus={"product": "T4"}),
    asking("isolation: no name", "spec.isolation", "name", isolation="Kata Containers"),
    asking(
        "placement: minimum above maximum",
        "spec.placement.replicaScheduling.replicaBounds[0]",
        "above maxReplicas",
        placement={"replicaScheduling": {"replicaBounds": [{"minReplicas": 3, "maxReplicas": 2}]}},
    ),
    asking(
        "placement: an operator that is none",
        "spec.placement.clusterAffinity.labelSelector.matchExpressions[0].operator",
        "of In, ",
        placement={
            "clusterAffinity": {
                "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}
            }
        },
    ),
]


@pytest.mark.parametrize("case", [*CASES, *BELOW], ids=lambda case: case.name)
async def test_is_answered_with_a_problem_that_names_the_field(world: World, case: Case) -> None:
    answer = await world.client.request(case.method, case.path, content=case.body, headers=dict(case.headers))
    assert answer.status_code == case.status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == case.status
    assert problem["reason"] == case.reason
    assert problem["type"].startswith("https://muster.dev/problems/")
    assert problem["title"]
    assert problem["errors"][0]["field"] == case.field
    assert case.says in problem["errors"][0]["message"]
    assert "Traceback" not in answer.text
    assert (await world.client.get("/api/v1/workloads")).json()["items"] == []
    assert (await world.store.load()).workloads == ()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/workloads/nothing", 404),
        ("DELETE", "/api/v1/workloads/nothing", 404),
        ("GET", "/api/v1/workloads/nothing/explain", 404),
        ("GET", "/api/v1/workloads/nothing/revisions", 404),
        ("GET", "/api/v1/clusters/nothing", 404),
        ("DELETE", "/api/v1/clusters/nothing", 404),
        ("GET", "/api/v1/clusters/nothing/nodes/a", 404),
        ("GET", "/api/v1/fleet?cluster=nothing", 404),
        ("GET", "/api/v1/fleet?workload=nothing", 404),
        ("GET", "/api/v1/tenants/nothing", 404),
        ("DELETE", "/api/v1/tenants/nothing", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("PUT", "/api/v1/clusters", 405),
    ],
)
async def test_what_is_not_there_is_a_problem_too(world: World, method: str, path: str, status: int) -> None:
    answer = await world.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_everything_but_join_and_health_needs_a_bearer(world: World) -> None:
    document = (await world.client.get("/openapi.json")).json()
    open_paths = {"/api/v1/join", "/healthz", "/readyz"}
    asked = 0
    for path, operations in document["paths"].items():
        for method in operations:
            answer = await world.client.request(
                method.upper(),
                path.replace("{name}", "x").replace("{cluster}", "y"),
                headers={"Authorization": ""},
            )
            assert (answer.status_code == 401) == (path not in open_paths), (method, path)
            asked += 1
    assert asked > 20


async def test_a_chunked_body_is_refused_before_it_was_read_whole(world: World) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 65536
            yield b"x" * 65536

    answer = await world.client.put("/api/v1/workloads/web", content=chunks(), headers=YAML)
    assert answer.status_code == 413
    assert "1,048,576" in answer.json()["detail"]
    assert sent <= 1024 * 1024 + 2 * 65536


async def test_an_order_that_would_not_go_through_the_stream_is_refused_by_name(world: World) -> None:
    filler = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "big"},
        "data": {"x": "y" * 600_000},
    }
    answer = await world.client.put("/api/v1/workloads/big", json=workload("big", deployment("big"), filler))
    assert answer.status_code == 422
    assert answer.json()["reason"] == "OrderTooLarge"
    assert "'big'" in answer.json()["detail"]
    assert "524,288" in answer.json()["detail"]


async def test_a_workload_outside_its_tenant_is_refused_naming_the_namespace(world: World) -> None:
    assert (await world.client.put("/api/v1/tenants/shop", json=tenant("shop", "shop-*"))).status_code == 201
    inside = workload("web", deployment("web", "shop-web"), tenant="shop")
    assert (await world.client.put("/api/v1/workloads/web", json=inside)).status_code == 201
    outside = workload("bad", deployment("bad", "bank"), tenant="shop")
    answer = await world.client.put("/api/v1/workloads/bad", json=outside)
    assert answer.status_code == 422
    assert answer.json()["reason"] == "TenantMayNot"
    assert "'bank'" in answer.json()["errors"][0]["message"]
    assert "shop-*" in answer.json()["errors"][0]["message"]


async def test_a_tenant_has_nothing_that_belongs_to_a_whole_cluster(world: World) -> None:
    await world.client.put("/api/v1/tenants/shop", json=tenant("shop", "*"))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "all"},
        "rules": [],
    }
    answer = await world.client.put(
        "/api/v1/workloads/web", json=workload("web", deployment("web"), role, tenant="shop")
    )
    assert answer.status_code == 422
    assert "ClusterRole all" in answer.json()["errors"][0]["message"]


async def test_two_tenants_may_not_claim_one_namespace_in_one_cluster(world: World) -> None:
    await world.join("eu-1")
    await world.client.put("/api/v1/tenants/one", json=tenant("one", "team-*"))
    answer = await world.client.put("/api/v1/tenants/two", json=tenant("two", "*-shared"))
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["reason"] == "NamespaceClaimed"
    assert problem["errors"][0]["field"] == "spec.namespaces"
    for part in ("eu-1", "team-*", "*-shared", "'one'"):
        assert part in problem["errors"][0]["message"]


async def test_a_tenant_with_workloads_stays(world: World) -> None:
    await world.client.put("/api/v1/tenants/shop", json=tenant("shop", "shop"))
    await world.client.put(
        "/api/v1/workloads/web", json=workload("web", deployment("web", "shop"), tenant="shop")
    )
    answer = await world.client.delete("/api/v1/tenants/shop")
    assert answer.status_code == 409
    assert "web" in answer.json()["detail"]
    assert (await world.client.delete("/api/v1/workloads/web")).status_code == 202
    assert (await world.client.delete("/api/v1/tenants/shop")).status_code == 204


async def test_a_database_that_is_away_is_said_to_be(world: World) -> None:
    await world.store.close()
    answer = await world.client.put("/api/v1/workloads/web", json=workload("web"))
    assert answer.status_code == 503
    assert answer.json()["reason"] == "Unavailable"
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("text", ["metadata", "sealing_key"])
async def test_join_names_the_field_of_a_key_that_is_none(world: World, text: str) -> None:
    invited = await world.client.post("/api/v1/cluster-invitations", json={"name": "eu-1"})
    body = {
        "token": invited.json()["token"],
        "agent_key": "not-a-key",
        "sealing_key": "AAAA" if text == "sealing_key" else "A" * 43 + "=",
        "cluster_uid": "u",
    }
    answer = await world.client.post("/api/v1/join", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == ("sealing_key" if text == "sealing_key" else "agent_key")
