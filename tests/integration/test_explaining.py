"""Scores, shares and what would help, over the API and by the command; placing anew; what is not taken."""

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.fleet import Demand, Promise
from controlplane.fleet.slack import LEAST_SAMPLES, UsedShare
from controlplane.known.records import PlacementRecord
from schemas.wire.codec import pack_column
from schemas.wire.orders import Version
from schemas.wire.reports import Bound, Usage
from schemas.wire.subjects import shard_name
from tests.integration.api_world import VIEWER, World, deployment, workload
from tests.integration.test_cli import Muster, muster, world, write

__all__ = ["muster", "world"]

DYNAMIC = {
    "replicaDivisionPreference": "Weighted",
    "weightPreference": {"dynamicWeight": "AvailableReplicas"},
}
PRICE = "muster.dev/price-per-core-hour"


def divided(replicas: int, cpu: str = "1", **placement: Any) -> dict[str, Any]:
    stanza = {"replicaScheduling": DYNAMIC, **placement}
    return workload("web", deployment("web", replicas=replicas, cpu=cpu), placement=stanza)


async def fleet_of(world: World) -> None:
    """14 cores are free in eu-1, 6 in us-1."""
    world.report(await world.join("eu-1", site="north"), nodes=2, cpu=8000, region="eu")
    world.report(await world.join("us-1"), nodes=2, cpu=4000, region="us")


async def explained(world: World, wanted: dict[str, Any]) -> dict[str, Any]:
    answer = await world.client.put("/api/v1/workloads/web?dryRun=true", json=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


def by_name(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["cluster"]: row for row in body["clusters"]}


class TestExplain:
    async def test_shares_are_told(self, world: World) -> None:
        await fleet_of(world)
        body = await explained(world, divided(10))
        assert body["division"] == {
            "mode": "DynamicWeight",
            "how": "by room",
            "shares": [
                {"cluster": "eu-1", "weight": 14, "had": 0, "gets": 7},
                {"cluster": "us-1", "weight": 6, "had": 0, "gets": 3},
            ],
        }
        assert (body["changes"], body["affinity"]) == ([], "")

    async def test_every_part_of_a_score_is_told_and_why_it_is_none(self, world: World) -> None:
        await fleet_of(world)
        await world.client.patch("/api/v1/clusters/eu-1", json={"labels": {PRICE: "0.04"}})
        await world.follow()
        eu = next(record.id for record in world.known.clusters.values() if record.name == "eu-1")
        for minute in range(LEAST_SAMPLES):
            world.known.slacks.sample(eu, UsedShare(0.25, 0.1), minute * 60.0)
        rows = by_name(await explained(world, divided(4, scoreWeights={"slack": 2, "balance": 1})))
        parts = {name: {each["part"]: each for each in row["scores"]} for name, row in rows.items()}
        assert parts["eu-1"]["slack"] == {
            "part": "slack",
            "value": 75.0,
            "weight": 2.0,
            "adds": 150.0,
            "lacks": "",
        }
        assert parts["eu-1"]["balance"]["value"] == pytest.approx(100 * 10 / 16)
        assert rows["eu-1"]["score"] == pytest.approx(150 + 62.5)
        assert (parts["us-1"]["slack"]["value"], parts["us-1"]["slack"]["adds"]) == (None, 0)
        assert "metrics" in parts["us-1"]["slack"]["lacks"]
        assert (parts["eu-1"]["cost"]["value"], parts["us-1"]["cost"]["value"]) == (0.0, None)
        assert PRICE in parts["us-1"]["cost"]["lacks"]

    async def test_what_would_help_is_told_for_clusters_and_for_the_workload(self, world: World) -> None:
        await fleet_of(world)
        taint = {"key": "maintenance", "value": "", "effect": "NoSchedule"}
        await world.client.patch("/api/v1/clusters/us-1", json={"taints": [taint]})
        await world.follow()
        body = await explained(world, divided(16))
        assert (body["placed"], body["reason"]) == (False, "InsufficientCapacity")
        tolerate = {
            "kind": "TolerateClusterTaint",
            "field": "spec.placement.clusterTolerations",
            "text": "tolerate the clusters' taint maintenance:NoSchedule",
            "cluster": "",
        }
        assert {"text": tolerate["text"], "replicas": 16, "steps": [tolerate], "but": ""} in body["changes"]
        assert "14 replicas instead of 16" in [each["text"] for each in body["changes"]]
        assert by_name(body)["us-1"]["changes"] == [
            {"text": tolerate["text"], "replicas": 6, "steps": [tolerate], "but": ""}
        ]
        helped = divided(16, clusterTolerations=[{"key": "maintenance", "operator": "Exists"}])
        assert (await explained(world, helped))["placed"]

    async def test_an_api_that_is_not_served_is_to_be_installed_by_name(self, world: World) -> None:
        await fleet_of(world)
        strange = {"apiVersion": "acme.io/v1", "kind": "Rocket", "metadata": {"name": "r", "namespace": "a"}}
        wanted = workload("web", deployment("web"), strange)
        (row, _) = (await explained(world, wanted))["clusters"]
        assert [each["reason"] for each in row["reasons"]] == ["ApiNotServed"]
        (change,) = row["changes"]
        assert (change["steps"][0]["kind"], change["steps"][0]["cluster"]) == ("InstallApi", "eu-1")
        assert "acme.io/v1/Rocket" in change["text"]


class TestReschedule:
    async def test_it_is_written_and_told_by_whom(self, world: World) -> None:
        await world.client.put("/api/v1/workloads/web", json=divided(2))
        asked = await world.client.post("/api/v1/workloads/web/reschedule")
        assert asked.status_code == 200
        assert asked.json()["status"]["state"] == "Deciding"
        changes = (await world.client.get("/api/v1/changes")).json()["items"]
        assert (changes[-1]["what"], changes[-1]["by"]) == ("RescheduleRequested", "ada")
        (record,) = (await world.store.load()).workloads
        assert record.rescheduled == record.resource_version

    async def test_who_may_only_read_may_not(self, world: World) -> None:
        await world.client.put("/api/v1/workloads/web", json=divided(2))
        reader = {"Authorization": f"Bearer {VIEWER}"}
        refused = await world.client.post("/api/v1/workloads/web/reschedule", headers=reader)
        assert refused.status_code == 403
        assert (await world.store.load()).workloads[0].rescheduled == 0

    async def test_conditions_hold_and_what_is_not_there_is_not_found(self, world: World) -> None:
        await world.client.put("/api/v1/workloads/web", json=divided(2))
        stale = await world.client.post("/api/v1/workloads/web/reschedule", headers={"If-Match": '"999"'})
        assert stale.status_code == 412
        assert (await world.client.post("/api/v1/workloads/other/reschedule")).status_code == 404

    async def test_by_the_command(self, muster: Muster, world: World, tmp_path: Path) -> None:
        await muster("apply", "-f", write(tmp_path / "w.yaml", divided(2)))
        assert "workload/web is being placed anew" in (await muster("reschedule", "web")).out
        (record,) = (await world.store.load()).workloads
        assert record.rescheduled
        assert "no workload" in (await muster("reschedule", "other", expect=1)).err


MAKE = {"count": 3, "labels": {"pool": "x"}, "allocatable": {"cpu": 8, "memory": "16Gi"}}


class TestHeadroom:
    async def test_it_is_room_told_apart_and_outlives_the_process(self, world: World) -> None:
        await fleet_of(world)
        changed = await world.client.patch("/api/v1/clusters/us-1", json={"headroom": [MAKE]})
        assert changed.status_code == 200, changed.text
        assert [(each["count"], each["left"]) for each in changed.json()["headroom"]] == [(3, 3)]
        await world.follow()
        row = by_name(await explained(world, divided(4)))["us-1"]
        assert row["available"] == 6 + 24
        assert row["nodes"] == "2 fit: 6 replicas now; 24 more by headroom of 3 nodes"
        counts = row["node_counts"]
        assert (counts["replicas"], counts["headroom"], counts["to_come"]) == (6, 24, 3)
        (stored,) = [each for each in (await world.store.load()).clusters if each.name == "us-1"]
        assert [(each.count, each.labels, each.present) for each in stored.headroom] == [
            (3, {"pool": "x"}, 0)
        ]
        labelled = await world.client.patch("/api/v1/clusters/us-1", json={"labels": {"a": "b"}})
        assert len(labelled.json()["headroom"]) == 1, "another change leaves it"
        written = (await world.client.get("/api/v1/fleet?cluster=us-1")).json()["spec"]["clusters"][0]
        assert written["headroom"][0]["count"] == 3

    @pytest.mark.parametrize(
        ("headroom", "field"),
        [
            ([{"count": 0, "allocatable": {"cpu": 1}}], "headroom[0].count"),
            ([{"count": 1}], "headroom[0].allocatable"),
            ([{"count": 1, "allocatable": {"cpu": "-1"}}], "headroom[0].allocatable.cpu"),
            ([{"count": 1, "allocatable": {"cpu": 1}, "size": 2}], "headroom[0].size"),
            ([{"count": 9_999, "allocatable": {"cpu": 1}}] * 2, "headroom"),
            ("many", "headroom"),
            (None, "headroom"),
        ],
    )
    async def test_what_is_not_taken(self, world: World, headroom: Any, field: str) -> None:
        await fleet_of(world)
        refused = await world.client.patch("/api/v1/clusters/us-1", json={"headroom": headroom})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
        assert all(not each.headroom for each in (await world.store.load()).clusters)

    async def test_by_the_command(self, muster: Muster, world: World, tmp_path: Path) -> None:
        await fleet_of(world)
        for document in ([MAKE], {"headroom": [MAKE]}):
            made = write(tmp_path / "makes.yaml", document)
            assert "headroom declared" in (await muster("clusters", "headroom", "us-1", "-f", made)).out
        said = (await muster("clusters", "headroom", "us-1")).out
        assert "cpu=8, memory=16Gi, pods=110" in said
        assert "pool=x" in said
        assert "no headroom" in (await muster("clusters", "headroom", "us-1", "--none")).out
        assert "none declared" in (await muster("clusters", "headroom", "us-1")).err
        wrong = write(tmp_path / "wrong.yaml", [{"count": 0, "allocatable": {"cpu": 1}}])
        said = await muster("clusters", "headroom", "us-1", "-f", wrong, expect=1)
        assert "headroom[0].count" in said.err


class TestNotTaken:
    @pytest.mark.parametrize(
        ("weights", "field"),
        [
            ({"speed": 1}, "spec.placement.scoreWeights.speed"),
            ({"cost": -1}, "spec.placement.scoreWeights.cost"),
            ({"slack": "much"}, "spec.placement.scoreWeights.slack"),
        ],
    )
    async def test_weights(self, world: World, weights: dict[str, Any], field: str) -> None:
        refused = await world.client.put("/api/v1/workloads/web", json=divided(1, scoreWeights=weights))
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
        assert (await world.store.load()).workloads == ()

    @pytest.mark.parametrize("price", ["cheap", "-1", "inf"])
    async def test_prices(self, world: World, price: str) -> None:
        await fleet_of(world)
        refused = await world.client.patch("/api/v1/clusters/eu-1", json={"labels": {PRICE: price}})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == f"labels.{PRICE}"
        invited = {"name": "new", "labels": {PRICE: "cheap"}}
        assert (await world.client.post("/api/v1/cluster-invitations", json=invited)).status_code == 422


class TestReads:
    @pytest.mark.parametrize("width", [80, 160])
    async def test_no_line_is_wider_than_the_terminal(
        self,
        muster: Muster,
        world: World,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        width: int,
    ) -> None:
        await fleet_of(world)
        monkeypatch.setattr("controlplane.cli.output.PIPE_WIDTH", width)
        wanted = divided(40, scoreWeights={"slack": 1, "cost": 1})
        said = await muster("apply", "--dry-run", "--quiet", "-f", write(tmp_path / "w.yaml", wanted))
        lines = said.out.splitlines()
        assert max(map(len, lines)) <= width
        assert lines[0].startswith("web: InsufficientCapacity: 40 replicas are wanted")
        text = " ".join(said.out.split())
        assert "it would run with any one of: - ask for cpu 500m instead of 1 (40 replicas)" in text
        assert "2 fit: 14 replicas" in text
        assert "score 0: locality 0, no slack (its metrics were never read)" in text


class TestPlanOfAChange:
    """`muster plan` over `muster get fleet --workload` decides as the service does."""

    async def placed(self, world: World, where: str, replicas: int, cpu: int) -> None:
        """As the loop would have it: ordered there, and promised."""
        record = world.known.workload("web")
        assert record is not None
        cluster = next(each.id for each in world.known.clusters.values() if each.name == where)
        template = "t"
        world.known.placements[record.uid] = {
            cluster: PlacementRecord(record.uid, cluster, replicas, record.revision, Version(1, 1), template)
        }
        asked = {"cpu": cpu, "pods": 1}
        world.known.fleet.promise(cluster, record.uid, Promise.of(template, Demand.of(asked), replicas))
        # Two nodes: one pod on the first, all others on the second.
        bound = [Bound(record.uid, template, 0, 1, 0), Bound(record.uid, template, 1, replicas - 1, 0)]
        zeros = pack_column([0, 0])
        usage = Usage(
            incarnation=1,
            sequence=9,
            epoch=1,
            nodes=2,
            resources=["cpu"],
            foreign=[zeros],
            requests=[asked],
            bound=[each for each in bound if each.replicas],
        )
        world.known.fleet.apply_usage(cluster, shard_name(1, 0), usage)

    @pytest.mark.parametrize(
        ("cpu", "says"),
        [
            ("1", {"us-1": 3}),
            ("3", {"eu-1": 1, "us-1": 2}),
            ("7", {"eu-1": 2}),
            ("9", {}),
        ],
        ids=["as it runs", "one no longer fits", "only fewer fit elsewhere", "fits nowhere"],
    )
    async def test_as_the_service(
        self, world: World, muster: Muster, tmp_path: Path, cpu: str, says: dict[str, int]
    ) -> None:
        await fleet_of(world)
        await world.client.put("/api/v1/workloads/web", json=divided(3, "1"))
        await self.placed(world, "us-1", 3, 1000)
        changed = divided(2 if cpu == "7" else 3, cpu)
        body = await explained(world, changed)
        decided = {row["cluster"]: row["replicas"] for row in body["clusters"] if row["replicas"]}
        said = await muster("get", "fleet", "--workload", "web", "-o", "json")
        paper = write(tmp_path / "fleet.yaml", json.loads(said.out))
        file = write(tmp_path / "web.yaml", changed)
        planned = await muster("plan", "-f", file, "--fleet", paper, "-o", "json", expect=0 if says else 1)
        assert json.loads(planned.out)["assignments"] == decided == says
        assert json.loads(planned.out)["message"] == body["message"]

    async def test_what_runs_nowhere_is_a_fleet_as_any(self, world: World, muster: Muster) -> None:
        await fleet_of(world)
        await world.client.put("/api/v1/workloads/web", json=divided(3, "1"))
        spec = json.loads((await muster("get", "fleet", "--workload", "web", "-o", "json")).out)["spec"]
        assert spec.keys() == {"clusters", "uid"}
        refused = await muster("get", "nodes", "--workload", "web", expect=2)
        assert "--workload is for" in refused.err
