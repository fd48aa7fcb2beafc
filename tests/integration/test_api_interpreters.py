"""Kinds declared by the API, on a real Postgres: written, read, used, kept while they are used."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.installation import NatsInstallation
from tests.integration.api_world import VIEWER, World, api_world, deployment, workload


@pytest_asyncio.fixture
async def world(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    async with api_world(database, nats_installation) as made:
        yield made


def interpreter(name: str = "widget", **spec: Any) -> dict[str, Any]:
    given = {
        "group": "example.com",
        "kind": "Widget",
        "divisible": True,
        "components": [{"replicas": "spec.size", "template": "spec.template"}],
    }
    return {
        "apiVersion": "muster.dev/v1",
        "kind": "Interpreter",
        "metadata": {"name": name},
        "spec": given | spec,
    }


def widget(size: int | str = 3, **template: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"},
        "spec": {"size": size, "template": {"spec": {"containers": [{"name": "c"}], **template}}},
    }


async def put(world: World, manifest: dict[str, Any], **headers: str) -> httpx.Response:
    path = f"/api/v1/{manifest['kind'].lower()}s/{manifest['metadata']['name']}"
    return await world.client.put(path, json=manifest, headers=headers)


class TestInterpreters:
    async def test_one_is_made_changed_listed_and_deleted(self, world: World) -> None:
        made = await put(world, interpreter())
        assert made.status_code == 201, made.text
        assert (await put(world, interpreter())).headers["etag"] == made.headers["etag"]
        changed = await put(world, interpreter(divisible=False), **{"If-Match": made.headers["etag"]})
        assert changed.status_code == 200
        assert changed.json()["divisible"] is False
        (row,) = (await world.client.get("/api/v1/interpreters?filter=kind=Widget")).json()["items"]
        assert (row["name"], row["group"], row["workloads"]) == ("widget", "example.com", 0)
        read = await world.client.get("/api/v1/interpreters/widget")
        assert read.json()["manifest"]["spec"]["components"][0]["replicas"] == "spec.size"
        stale = {"If-Match": made.headers["etag"]}
        gone = await world.client.delete("/api/v1/interpreters/widget", headers=stale)
        assert gone.status_code == 412
        assert (await world.client.delete("/api/v1/interpreters/widget")).status_code == 204
        assert (await world.client.get("/api/v1/interpreters/widget")).status_code == 404

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"group": "apps"}, "spec"),
            ({"components": []}, "spec.components"),
            ({"components": [{"template": "a..b"}]}, "spec.components[0].template"),
            ({"colour": "red"}, "spec.colour"),
        ],
    )
    async def test_a_wrong_field_is_named_and_nothing_is_stored(
        self, world: World, spec: dict[str, Any], field: str
    ) -> None:
        refused = await put(world, interpreter(**spec))
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == field
        assert (await world.client.get("/api/v1/interpreters")).json()["items"] == []

    async def test_of_one_kind_there_is_one(self, world: World) -> None:
        await put(world, interpreter())
        refused = await put(world, interpreter("other"))
        assert refused.status_code == 409
        assert "declared by interpreter 'widget' already" in refused.json()["detail"]

    async def test_a_viewer_may_read_and_not_write(self, world: World) -> None:
        await put(world, interpreter())
        headers = {"Authorization": f"Bearer {VIEWER}"}
        assert (await world.client.get("/api/v1/interpreters", headers=headers)).status_code == 200
        refused = await world.client.delete("/api/v1/interpreters/widget", headers=headers)
        assert refused.status_code == 403

    async def test_who_uses_it_is_read_by_it_and_keeps_it(self, world: World) -> None:
        await put(world, interpreter())
        wrong = await put(world, workload("w", widget("many")))
        assert wrong.status_code == 422
        assert wrong.json()["errors"][0]["field"] == "spec.manifests[0].spec.size"
        assert (await put(world, workload("w", widget()))).status_code == 201
        refused = await world.client.delete("/api/v1/interpreters/widget")
        assert refused.status_code == 409
        assert "is used by workloads: w" in refused.json()["detail"]
        assert (await world.client.get("/api/v1/interpreters/widget")).json()["workloads"] == 1


class TestWarnings:
    async def test_what_a_pod_needs_and_the_manifests_lack(self, world: World) -> None:
        web = deployment("web")
        web["spec"]["template"]["spec"]["serviceAccountName"] = "robot"
        path = "spec.manifests[0].spec.template.spec.serviceAccountName"
        expected = [
            f"{path}: ServiceAccount default/robot is not among the manifests: "
            "it must be there already, in every cluster"
        ]
        tried = await world.client.put("/api/v1/workloads/web?dryRun=true", json=workload("web", web))
        assert tried.json()["warnings"] == expected
        assert (await put(world, workload("web", web))).json()["warnings"] == expected
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
        assert (await put(world, workload("web", web, account))).json()["warnings"] == []
        assert (await world.client.get("/api/v1/workloads/web")).json()["warnings"] == []

    async def test_of_clusters_that_are_not_there_and_pods_that_are_not_counted(self, world: World) -> None:
        named = {"clusterAffinity": {"clusterNames": ["north", "gone"]}}
        path = "spec.placement.clusterAffinity.clusterNames"
        uncounted = (
            "spec.manifests[0]: kind Widget is not understood: its pods are not counted; apply an Interpreter"
        )
        made = await put(world, workload("w", widget(), placement=named))
        assert made.json()["warnings"] == [
            f"{path}: there is no cluster 'north'",
            f"{path}: there is no cluster 'gone'",
            uncounted,
        ]
        await world.join("north")
        tried = await world.client.put("/api/v1/workloads/w?dryRun=true", json=made.json()["manifest"])
        assert tried.json()["warnings"] == [f"{path}: there is no cluster 'gone'", uncounted]
        await put(world, interpreter())
        again = await put(world, workload("w", widget(), placement=named))
        assert again.json()["warnings"] == [f"{path}: there is no cluster 'gone'"]

    async def test_of_a_declared_kind_too(self, world: World) -> None:
        await put(world, interpreter())
        made = await put(world, workload("w", widget(imagePullSecrets=[{"name": "registry"}])))
        assert "Secret default/registry" in made.json()["warnings"][0]
