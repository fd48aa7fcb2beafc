"""Overrides by the API, and Karmada's files by the command: what is shown, refused, applied and deleted."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.installation import NatsInstallation
from tests.integration.api_world import World, api_world, deployment, workload
from tests.integration.test_cli import Muster, muster, write

__all__ = ["muster"]
Object = dict[str, Any]
DIVIDED = {"replicaScheduling": {"replicaSchedulingType": "Divided"}}
KARMADA = Path(__file__).parents[2] / "deploy" / "karmada"


@pytest_asyncio.fixture
async def world(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    """Two clusters, north and south, of three nodes with eight cores each."""
    async with api_world(database, nats_installation) as made:
        for name in ("north", "south"):
            made.report(await made.join(name, side=name), nodes=3, cpu=8000)
        yield made


def patch(path: str, value: Any, **target: Any) -> Object:
    overriders = {"plaintext": [{"path": path, "operator": "replace", "value": value}]}
    return {"name": "mine", "overriders": overriders} | ({"targetCluster": target} if target else {})


CPU = "/spec/template/spec/containers/0/resources/requests/cpu"
SOUTH = {"labelSelector": {"matchLabels": {"side": "south"}}}


class TestOverrides:
    async def explained(self, world: World, *overrides: Object, **spec: Any) -> dict[str, Object]:
        """Verdicts by cluster of a dry run."""
        given = workload("web", deployment("web", cpu="500m"), overrides=list(overrides), **spec)
        answer = await world.client.put("/api/v1/workloads/web", params={"dryRun": "true"}, json=given)
        assert answer.status_code == 200, answer.text
        return {each["cluster"]: each for each in answer.json()["clusters"]}

    async def test_room_is_counted_as_a_cluster_gets_it(self, world: World) -> None:
        seen = await self.explained(world, patch(CPU, "4", **SOUTH))
        assert (seen["north"]["available"], seen["south"]["available"]) == (42, 3)

    async def test_a_cluster_that_comes_later_and_where_a_rule_fails_is_left_out(self, world: World) -> None:
        given = workload("web", overrides=[patch("/metadata/labels/a", "b", clusterNames=["west"])])
        given["spec"]["manifests"][0]["metadata"]["labels"] = {"a": "x"}
        given["spec"]["overrides"].insert(
            0,
            {
                "overriders": {"labelsOverrider": [{"operator": "remove", "value": {"a": ""}}]},
                "targetCluster": {"labelSelector": {"matchLabels": {"side": "west"}}},
            },
        )
        answer = await world.client.put("/api/v1/workloads/web", json=given)
        assert answer.status_code == 201, answer.text
        world.report(await world.join("west", side="west"), nodes=3)
        await world.follow()
        explained = (await world.client.get("/api/v1/workloads/web/explain")).json()
        seen = {each["cluster"]: each for each in explained["clusters"]}
        assert seen["west"]["verdict"] == "LeftOut"
        assert seen["west"]["reasons"][0]["reason"] == "OverrideFails"
        assert seen["north"]["verdict"] == "Chosen"

    async def test_a_duplicated_workload_has_its_replicas_by_cluster(self, world: World) -> None:
        seen = await self.explained(world, patch("/spec/replicas", 5, **SOUTH))
        assert (seen["north"]["replicas"], seen["south"]["replicas"]) == (2, 5)

    @pytest.mark.parametrize(
        ("overrides", "placement", "field", "says"),
        [
            pytest.param(
                [patch("/spec/none", 1, **SOUTH)],
                {},
                "spec.overrides[0].overriders.plaintext[0]",
                "Deployment default/web: /spec/none is not there: it has no 'none' (mine); in cluster south",
                id="a-path-that-is-not-there",
            ),
            pytest.param(
                [patch("/spec/replicas", 7, **SOUTH)],
                DIVIDED,
                "spec.overrides[0]",
                "it makes 2 replicas 7, and spec.placement divides them",
                id="replicas-that-are-divided",
            ),
            pytest.param(
                [{"overriders": {"plaintext": [{"path": "/spec/x", "operator": "move"}]}}],
                {},
                "spec.overrides[0].overriders.plaintext[0].operator",
                "one of add, remove, replace",
                id="an-operator-that-is-none",
            ),
            pytest.param(
                [{"overrider": {}}], {}, "spec.overrides[0].overriders", "missing", id="a-field-misspelt"
            ),
        ],
    )
    async def test_what_would_fail_there_is_refused_and_nothing_is_stored(
        self, world: World, overrides: list[Object], placement: Object, field: str, says: str
    ) -> None:
        given = workload("web", overrides=overrides, placement=placement)
        answer = await world.client.put("/api/v1/workloads/web", json=given)
        assert answer.status_code == 422
        assert [
            each for each in answer.json()["errors"] if each["field"] == field and says in each["message"]
        ], answer.text
        assert (await world.store.load()).workloads == ()


def policy(**spec: Any) -> Object:
    selectors = [{"apiVersion": "apps/v1", "kind": "Deployment"}]
    return {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "PropagationPolicy",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"resourceSelectors": selectors, **spec},
    }


class TestKarmadasFiles:
    async def test_policies_and_objects_of_several_files_are_shown_applied_compared_and_deleted(
        self, muster: Muster, tmp_path: Path
    ) -> None:
        folder = tmp_path / "karmada"
        write(folder / "app" / "web.yaml", deployment("web", "shop"), deployment("api", "shop"))
        write(folder / "policy.yaml", policy(placement={"clusterAffinity": {"clusterNames": ["north"]}}))
        shown = await muster("apply", "-f", folder, "--dry-run")
        assert "web-deployment.shop: 2 replicas in 1 cluster" in shown.out
        assert "ClusterNotSelected" in shown.out
        await muster("diff", "-f", folder, expect=1)
        applied = await muster("apply", "-f", folder)
        assert "workload/web-deployment.shop created" in applied.out
        assert (await muster("diff", "-f", folder)).out == ""
        again = await muster("apply", "-f", folder)
        assert "workload/api-deployment.shop unchanged" in again.out

        write(folder / "policy.yaml", policy(conflictResolution="Overwrite"))
        changed = await muster("diff", "-f", folder, expect=1)
        assert "+  conflictResolution: Overwrite" in changed.out
        deleted = await muster("delete", "-f", folder, "--yes")
        assert "workload/web-deployment.shop is being withdrawn" in deleted.out
        gone = await muster("delete", "-f", folder, "--yes")
        assert "workload/web-deployment.shop is not there" in gone.out

    async def test_what_goes_nowhere_is_told(self, muster: Muster, tmp_path: Path) -> None:
        beside = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "beside", "namespace": "shop"},
        }
        said = await muster(
            "apply", "-f", write(tmp_path / "all.yaml", policy(), deployment("web", "shop"), beside)
        )
        assert "note: ConfigMap shop/beside is selected by no policy" in said.err

    @pytest.mark.parametrize(
        ("documents", "says"),
        [
            pytest.param(
                [deployment("web")],
                "'apps/v1': muster.dev/v1 is needed, or a PropagationPolicy of Karmada's beside it",
                id="an-object-without-a-policy",
            ),
            pytest.param([policy()], "selects none of the 0 objects in this apply", id="a-policy-alone"),
            pytest.param(
                [policy(schedulerName="mine"), deployment("web", "shop")],
                "spec.schedulerName: there is one scheduler here",
                id="a-field-without-meaning",
            ),
            pytest.param(
                [policy(), deployment("web", "shop"), {"apiVersion": "v1", "kind": "ConfigMap"}],
                "all.yaml[2] metadata: missing",
                id="an-object-that-is-none",
            ),
        ],
    )
    async def test_what_cannot_be_taken_is_named_and_nothing_is_sent(
        self, muster: Muster, world: World, tmp_path: Path, documents: list[Object], says: str
    ) -> None:
        said = await muster("apply", "-f", write(tmp_path / "all.yaml", *documents), expect=1)
        assert says in " ".join(said.err.split())
        assert "nothing was sent" in said.err
        assert (await world.store.load()).workloads == ()

    async def test_what_kubectl_got_from_karmada_is_taken(self, muster: Muster, tmp_path: Path) -> None:
        policies = {"apiVersion": "v1", "kind": "List", "items": [policy()], "metadata": {}}
        fetched = deployment("web", "shop") | {"status": {"replicas": 2}}
        fetched["metadata"] |= {
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        objects = {"apiVersion": "v1", "kind": "List", "items": [fetched], "metadata": {}}
        said = await muster("apply", "-f", write(tmp_path / "all.yaml", policies, objects))
        assert "workload/web-deployment.shop created" in said.out

    async def test_what_one_apply_brings_as_a_workload_of_its_own_is_not_missed(self, muster: Muster) -> None:
        said = await muster("apply", "-f", KARMADA)
        assert "created" in said.out
        assert "not among the manifests" not in said.err
        alone = await muster("apply", "-f", KARMADA, "--dry-run")
        assert "not among the manifests" not in alone.err

    async def test_delete_takes_names_or_files(self, muster: Muster, tmp_path: Path) -> None:
        said = await muster("delete", expect=2)
        assert "either KIND NAME..., or -f FILE" in said.err
