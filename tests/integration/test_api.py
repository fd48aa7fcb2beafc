"""The API on a real Postgres: what is written is read, listed, paged, explained, rolled back and deleted."""

import base64
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from controlplane.api.ports import NotReady
from tests.installation import NatsInstallation
from tests.integration.api_world import VIEWER, World, api_world, deployment, tenant, workload


@pytest_asyncio.fixture
async def world(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    async with api_world(database, nats_installation) as made:
        yield made


async def ok(answer: httpx.Response | Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def put(world: World, manifest: dict[str, Any], **headers: str) -> httpx.Response:
    path = f"/api/v1/{manifest['kind'].lower()}s/{manifest['metadata']['name']}"
    return await world.client.put(path, json=manifest, headers=headers)


class TestWrites:
    async def test_a_workload_is_made_once_changed_by_what_differs_and_seen_at_once(
        self, world: World
    ) -> None:
        made = await put(world, workload("web"))
        assert made.status_code == 201
        assert made.headers["location"] == "/api/v1/workloads/web"
        again = await put(world, workload("web"))
        assert again.status_code == 200
        assert again.headers["etag"] == made.headers["etag"]
        changed = await put(world, workload("web", deployment("web", replicas=5)))
        assert changed.json()["status"]["revision"] == 2
        read = await ok(await world.client.get("/api/v1/workloads/web"))
        assert read["manifest"]["spec"]["manifests"][0]["spec"]["replicas"] == 5
        assert read["status"]["state"] == "Deciding"

    async def test_yaml_is_taken_as_well(self, world: World) -> None:
        text = (
            "apiVersion: muster.dev/v1\nkind: Workload\nmetadata: {name: web, labels: {made: 2024-01-01}}\n"
            "spec:\n  manifests:\n  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}\n"
        )
        answer = await world.client.post(
            "/api/v1/workloads", content=text, headers={"Content-Type": "application/yaml"}
        )
        status = (await ok(answer, 201))["status"]
        assert status["labels"] == {"made": "2024-01-01"}
        assert status["kinds"] == ["ConfigMap"]

    async def test_a_write_over_what_somebody_else_wrote_is_refused(self, world: World) -> None:
        first = await put(world, workload("web"))
        await put(world, workload("web", deployment("web", replicas=3)))
        late = await put(
            world, workload("web", deployment("web", replicas=9)), **{"If-Match": first.headers["etag"]}
        )
        assert late.status_code == 412
        current = late.headers["etag"]
        assert current != first.headers["etag"]
        assert (
            await put(world, workload("web", deployment("web", replicas=9)), **{"If-Match": current})
        ).status_code == 200

    async def test_a_name_that_must_be_new(self, world: World) -> None:
        assert (await put(world, workload("web"), **{"If-None-Match": "*"})).status_code == 201
        assert (await put(world, workload("web"), **{"If-None-Match": "*"})).status_code == 412

    async def test_one_idempotency_key_is_one_write(self, world: World) -> None:
        key = {"Idempotency-Key": "k-1"}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": "x"}}
        first = await put(world, workload("web", secret), **key)
        await put(world, workload("web", deployment("web", replicas=7)))
        repeated = await put(world, workload("web", secret), **key)
        assert repeated.json()["status"]["resource_version"] == first.json()["status"]["resource_version"]
        assert (await ok(await world.client.get("/api/v1/workloads/web")))["status"]["revision"] == 2
        other = await put(world, workload("web", deployment("web", replicas=1)), **key)
        assert other.status_code == 409

    async def test_history_and_rollback(self, world: World) -> None:
        await put(world, workload("web", deployment("web", replicas=1)))
        await put(world, workload("web", deployment("web", replicas=2)))
        rows = (await ok(await world.client.get("/api/v1/workloads/web/revisions")))["items"]
        assert [(row["revision"], row["current"], row["created_by"]) for row in rows] == [
            (2, True, "ada"),
            (1, False, "ada"),
        ]
        back = await ok(await world.client.post("/api/v1/workloads/web/rollback", json={"revision": 1}))
        assert back["status"]["revision"] == 3
        assert back["manifest"]["spec"]["manifests"][0]["spec"]["replicas"] == 1
        missing = await world.client.post("/api/v1/workloads/web/rollback", json={"revision": 9})
        assert missing.status_code == 404

    async def test_a_deleted_name_is_free_at_once(self, world: World) -> None:
        first = await ok(await put(world, workload("web")), 201)
        assert (await world.client.delete("/api/v1/workloads/web")).status_code == 202
        assert (await world.client.get("/api/v1/workloads/web")).status_code == 404
        second = await ok(await put(world, workload("web")), 201)
        assert second["status"]["uid"] != first["status"]["uid"]


class TestSecrets:
    SECRET = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db", "namespace": "default"},
        "data": {"user": base64.b64encode(b"root-user").decode()},
        "stringData": {"password": "correct horse"},
    }

    async def test_values_are_neither_stored_nor_shown(self, world: World) -> None:
        await put(world, workload("db", self.SECRET))
        await put(world, workload("db", deployment("db"), self.SECRET))
        stored = msgspec.json.encode((await world.store.load()).workloads).decode()
        shown = "".join(
            [
                (await world.client.get(f"/api/v1/workloads/db{path}")).text
                for path in ("", "/revisions", "/explain")
            ]
        )
        for value in (
            "correct horse",
            base64.b64encode(b"correct horse").decode(),
            self.SECRET["data"]["user"],
        ):
            assert value not in stored
            assert value not in shown
        manifest = (await ok(await world.client.get("/api/v1/workloads/db")))["manifest"]
        assert manifest["spec"]["manifests"][1]["data"] == {
            "user": "***sealed***",
            "password": "***sealed***",
        }
        assert "stringData" not in manifest["spec"]["manifests"][1]

    async def test_what_was_shown_can_be_sent_back_and_keeps_the_values(self, world: World) -> None:
        made = await put(world, workload("db", self.SECRET))
        shown = (await ok(await world.client.get("/api/v1/workloads/db")))["manifest"]
        back = await put(world, shown)
        assert back.headers["etag"] == made.headers["etag"]
        shown["spec"]["manifests"][0]["data"]["more"] = base64.b64encode(b"new").decode()
        before = (await world.store.load()).workloads[0].spec["manifests"][0]["data"]
        await ok(await put(world, shown))
        after = (await world.store.load()).workloads[0].spec["manifests"][0]["data"]
        assert {key: after[key] for key in before} == before
        assert set(after) == {"user", "password", "more"}

    async def test_the_same_values_again_are_no_new_revision(self, world: World) -> None:
        await put(world, workload("db", self.SECRET))
        assert (await ok(await put(world, workload("db", self.SECRET))))["status"]["revision"] == 1

    @pytest.mark.parametrize(
        ("secret", "field"),
        [
            ({"data": {"a": "***sealed***"}}, "spec.manifests[0].data.a"),
            ({"data": {"a": "not base64!"}}, "spec.manifests[0].data.a"),
            ({"stringData": {"a": 1}}, "spec.manifests[0].stringData.a"),
            ({"data": ["a"]}, "spec.manifests[0].data"),
        ],
    )
    async def test_a_value_that_cannot_be_kept_is_named(
        self, world: World, secret: dict[str, Any], field: str
    ) -> None:
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, **secret}
        answer = await put(world, workload("db", manifest))
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field


class TestDecisions:
    async def test_a_dry_run_answers_for_every_cluster_and_stores_nothing(self, world: World) -> None:
        for name, region in (("eu-1", "eu"), ("us-1", "us"), ("empty", "eu")):
            cluster = await world.join(name)
            if name != "empty":
                world.report(cluster, nodes=3, region=region)
        manifest = workload(
            "web",
            placement={
                "clusterAffinity": {
                    "fieldSelector": {
                        "matchExpressions": [{"key": "region", "operator": "In", "values": ["eu"]}]
                    }
                }
            },
        )
        body = await ok(
            await world.client.put("/api/v1/workloads/web", params={"dryRun": "true"}, json=manifest)
        )
        verdicts = {each["cluster"]: each for each in body["clusters"]}
        assert verdicts["eu-1"]["verdict"] == "Chosen"
        assert verdicts["eu-1"]["replicas"] == 2
        assert verdicts["eu-1"]["node_counts"]["nodes"] == 3
        assert "3 fit" in verdicts["eu-1"]["nodes"]
        assert verdicts["us-1"]["reasons"][0]["reason"] == "ClusterNotSelected"
        assert verdicts["empty"]["verdict"] == "LeftOut"
        assert verdicts["empty"]["reasons"][0]["reason"] in {"ClusterUnknown", "ClusterNotSelected"}
        assert body["placed"]
        assert (await world.store.load()).workloads == ()

    async def test_explain_says_why_there_is_no_room(self, world: World) -> None:
        world.report(await world.join("eu-1"), nodes=2, cpu=2000)
        big = workload(
            "big",
            deployment("big", replicas=4, cpu="900m"),
            placement={
                "replicaScheduling": {
                    "replicaSchedulingType": "Divided",
                    "weightPreference": {"dynamicWeight": "AvailableReplicas"},
                }
            },
        )
        await put(world, big)
        body = await ok(await world.client.get("/api/v1/workloads/big/explain"))
        assert not body["placed"]
        assert body["clusters"][0]["available"] == 2
        assert body["clusters"][0]["reasons"]

    async def test_the_fleet_is_written_as_a_file_for_plans(self, world: World) -> None:
        world.report(await world.join("eu-1"), nodes=3)
        fleet = await ok(await world.client.get("/api/v1/fleet"))
        assert fleet["kind"] == "Fleet"
        assert fleet["spec"]["clusters"][0]["name"] == "eu-1"
        assert fleet["spec"]["clusters"][0]["nodes"][0]["count"] == 3


class TestClusters:
    async def test_a_token_joins_one_cluster_once(self, world: World) -> None:
        from tests.integration.api_world import join_body

        invited = await ok(
            await world.client.post(
                "/api/v1/cluster-invitations",
                json={
                    "name": "eu-1",
                    "labels": {"site": "a"},
                    "taints": [{"key": "k", "effect": "NoSchedule"}],
                },
            ),
            201,
        )
        body = join_body(invited["token"])
        joined = await ok(await world.client.post("/api/v1/join", json=body, headers={"Authorization": ""}))
        assert joined["cluster_id"].startswith("A")
        assert joined["user_jwt"].count(".") == 2
        assert len(base64.b64decode(joined["order_key"])) == 32
        await world.follow()
        row = await ok(await world.client.get("/api/v1/clusters/eu-1"))
        assert (row["labels"], row["taints"]) == (
            {"site": "a"},
            [{"key": "k", "effect": "NoSchedule", "value": ""}],
        )
        assert row["status"] == "ClusterUnknown"
        other = await world.client.post("/api/v1/join", json=join_body(invited["token"]))
        assert other.status_code == 403
        assert invited["token"] not in other.text

    async def test_labels_are_merged_and_taints_replaced(self, world: World) -> None:
        await world.join("eu-1", site="a", tier="gold")
        before = await world.client.get("/api/v1/clusters/eu-1")
        body = {"labels": {"tier": None, "rack": "7"}, "taints": [{"key": "k", "effect": "NoExecute"}]}
        changed = await ok(await world.client.patch("/api/v1/clusters/eu-1", json=body))
        assert changed["labels"] == {"site": "a", "rack": "7"}
        assert changed["taints"][0]["effect"] == "NoExecute"
        stale = await world.client.patch(
            "/api/v1/clusters/eu-1", json={"labels": {}}, headers={"If-Match": before.headers["etag"]}
        )
        assert stale.status_code == 412

    async def test_a_removed_cluster_is_gone_from_the_list(self, world: World) -> None:
        await world.join("eu-1")
        await ok(await world.client.delete("/api/v1/clusters/eu-1"))
        assert (await ok(await world.client.get("/api/v1/clusters")))["items"] == []
        assert (await world.client.get("/api/v1/clusters/eu-1")).status_code == 404

    async def test_a_cluster_shows_what_it_reported(self, world: World) -> None:
        world.report(await world.join("eu-1"), nodes=4, cpu=8000)
        row = (await ok(await world.client.get("/api/v1/clusters")))["items"][0]
        assert row["status"] == "Ready"
        assert (row["nodes"], row["nodes_ready"], row["region"], row["zones"]) == (
            4,
            4,
            "eu",
            ["eu-1", "eu-2"],
        )
        assert row["allocatable"]["cpu"] == 32000
        assert row["requested"]["cpu"] == 4000
        assert row["used"]["cpu"] == 2000


class TestLists:
    async def test_nodes_are_paged_over_clusters_without_losing_or_repeating_one(self, world: World) -> None:
        for name, nodes in (("a", 7), ("a-b", 5), ("b", 3)):
            world.report(await world.join(name), nodes=nodes)
        for sort in ("", "-name,cluster", "cpu_free,-name"):
            seen: list[tuple[str, str]] = []
            cursor = ""
            while True:
                page = await ok(
                    await world.client.get(
                        "/api/v1/nodes", params={"limit": 4, "sort": sort, "continue": cursor}
                    )
                )
                seen += [(row["cluster"], row["name"]) for row in page["items"]]
                cursor = page["next"]
                if not cursor:
                    break
            assert len(seen) == 15
            assert len(set(seen)) == 15

    async def test_filters_know_fields_labels_and_features(self, world: World) -> None:
        world.report(
            await world.join("amx"), nodes=2, **{"feature.node.kubernetes.io/cpu-cpuid.AMXTILE": "true"}
        )
        world.report(await world.join("plain"), nodes=3, disk="ssd")

        async def count(text: str) -> int:
            return len((await ok(await world.client.get("/api/v1/nodes", params={"filter": text})))["items"])

        assert await count("cluster=amx") == 2
        assert await count("cluster in (amx,plain),ready=true") == 5
        assert await count("feature=cpu-cpuid.AMXTILE") == 2
        assert await count("feature.node.kubernetes.io/cpu-cpuid.AMXTILE=true") == 2
        assert await count("disk=ssd") == 3
        assert await count("!disk") == 2
        assert await count("cpu_free>=3000,cpu_free<3001") == 5
        assert await count("cpu_free>3000") == 0

    async def test_pages_stay_right_while_rows_come_and_go(self, world: World) -> None:
        for name in ("b", "d", "f", "h"):
            await put(world, workload(name))
        first = await ok(await world.client.get("/api/v1/workloads", params={"limit": 2}))
        assert [row["name"] for row in first["items"]] == ["b", "d"]
        await put(world, workload("a"))
        await put(world, workload("e"))
        await world.client.delete("/api/v1/workloads/d")
        second = await ok(
            await world.client.get("/api/v1/workloads", params={"limit": 9, "continue": first["next"]})
        )
        assert [row["name"] for row in second["items"] if row["state"] != "Deleting"] == ["e", "f", "h"]

    async def test_tenants_are_listed_with_what_they_have(self, world: World) -> None:
        owners = [{"name": "ann"}]
        await put(world, tenant("shop", "shop-*", environments=["prod"], owners=owners))
        await put(world, workload("web", deployment("web", "shop-a"), tenant="shop"))
        row = (await ok(await world.client.get("/api/v1/tenants", params={"filter": "owner=ann"})))["items"][
            0
        ]
        assert (row["name"], row["namespaces"], row["workloads"]) == ("shop", ["shop-*"], 1)

    async def test_a_viewer_reads_everything(self, world: World) -> None:
        await put(world, workload("web"))
        for path in ("clusters", "nodes", "workloads", "placements", "tenants", "changes", "fleet"):
            answer = await world.client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {VIEWER}"})
            assert answer.status_code == 200, path


class TestHealth:
    async def test_ready_says_what_is_not(self, world: World) -> None:
        assert (await world.client.get("/healthz")).status_code == 200
        assert (await world.client.get("/readyz")).status_code == 200
        world.waits.append(NotReady("streams", "STATE is being replayed"))
        answer = await world.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["waiting_for"] == [{"what": "streams", "message": "STATE is being replayed"}]

    async def test_what_all_of_them_lack_is_said_and_what_is_read_is_said_to_be_of_before(
        self, world: World
    ) -> None:
        assert "Warning" not in (await world.client.get("/api/v1/clusters")).headers
        world.waits.append(NotReady("postgres", "Postgres has not answered for 9 s", answers=True))
        ready = await world.client.get("/readyz")
        assert (ready.status_code, ready.json()["waiting_for"]) == (200, [])
        assert [each["what"] for each in ready.json()["lacks"]] == ["postgres"]
        read = await world.client.get("/api/v1/clusters")
        said = '110 muster "Postgres has not answered for 9 s"'
        assert (read.status_code, read.headers["Warning"]) == (200, said)

    async def test_metrics_are_by_route_and_not_by_name(self, world: World) -> None:
        for name in ("one", "two"):
            await world.client.get(f"/api/v1/workloads/{name}")
            await world.client.get(f"/nowhere/{name}")
        text = (await world.client.get("/metrics")).text
        line = 'muster_http_requests_total{method="GET",route="/api/v1/workloads/{name}",status="4xx"} 2.0'
        assert line in text
        assert 'route="unmatched",status="4xx"} 2.0' in text
        assert "one" not in text.replace("None", "")

    async def test_openapi_describes_every_operation(self, world: World) -> None:
        document = await ok(await world.client.get("/openapi.json"))
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                assert operation["responses"], (method, path)
                assert "default" in operation["responses"], (method, path)
        body = document["paths"]["/api/v1/workloads/{name}"]["put"]["requestBody"]
        assert "application/yaml" in body["content"]
