"""The inventory of a running circle: what simulated clusters have below their sums is reported and listed."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from httpx import AsyncClient

from controlplane.cli.main import run
from controlplane.client import Refused
from tests.circle import Circle, eventually, only, running_circle, workload

Rows = dict[str, dict[str, Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def circle() -> AsyncGenerator[Circle]:
    """A data centre and a cloud region, of whose hardware everything has been heard."""
    async with running_circle() as circle:
        for seed, make in enumerate(("datacentre", "cloud"), start=1):
            await circle.join(make, ["--simulate", make, "--seed", str(seed)])
        await eventually(
            "both have told of their runtime classes",
            lambda: rows(circle, "runtimes"),
            lambda seen: set(seen) == {"kata", "gvisor"},
        )
        await eventually(
            "raw features have come",
            lambda: rows(circle, "features"),
            lambda seen: "cpu.rdt.RDTMBA" in seen,
        )
        yield circle


def rows(circle: Circle, what: str, **parameters: str) -> Rows:
    """By name, or by product and part of GPUs."""
    found = circle.client.pages(f"/inventory/{what}", **parameters)
    return {row["name"] if "name" in row else f"{row['product']} {row['mig']}".strip(): row for row in found}


@pytest.mark.asyncio(loop_scope="module")
class TestApi:
    async def test_runtime_classes_say_who_has_them_on_how_many_nodes_and_who_lacks_them(
        self, circle: Circle
    ) -> None:
        kata = rows(circle, "runtimes")["kata"]
        assert (kata["handler"], kata["sandboxed"], kata["conflict"]) == ("kata-qemu", True, False)
        assert kata["where"][0]["overhead"] == {"cpu": 250, "memory": 320 * 2**20}
        assert (kata["where"][0]["cluster"], kata["nodes"]) == ("datacentre", 4)
        assert kata["lacking"] == ["cloud"]

    async def test_networks_say_what_is_free(self, circle: Circle) -> None:
        found = rows(circle, "networks", filter="kind=Attachment")
        data = found["default/sriov-data"]
        assert (data["types"], data["interfaces"]) == (["sriov"], 8 * 16)
        assert 0 < data["addresses_free"] < data["addresses"]
        assert found["default/storage"]["addresses"] is None
        assert data["lacking"] == ["cloud"]

    async def test_gpus_are_told_apart_by_what_a_pod_gets_of_one(self, circle: Circle) -> None:
        found = rows(circle, "gpus")
        whole, slices = found["NVIDIA-H100-80GB-HBM3"], found["NVIDIA-H100-80GB-HBM3 1g.10gb"]
        assert (whole["count"], whole["free"], whole["nodes"]) == (28, 28, 4)
        assert (slices["count"], slices["resource"]) == (28, "nvidia.com/mig-1g.10gb")
        assert slices["memory"] < whole["memory"]

    async def test_features_are_those_that_a_workload_may_ask_for(self, circle: Circle) -> None:
        found = rows(circle, "features", filter="domain=cpu")
        assert found["cpu.cpuid.AMXTILE"]["where"] == [{"cluster": "datacentre", "nodes": 12}]
        assert found["cpu.rdt.RDTMBA"]["values"] == {"true": 12}
        assert found["cpu.cpuid.AVX512F"]["clusters"] == 2

    async def test_a_gpu_that_is_taken_is_not_free(self, circle: Circle) -> None:
        pod = {
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example/train:1",
                    "resources": {"limits": {"nvidia.com/gpu": "8"}},
                }
            ],
        }
        template = {"metadata": {"labels": {"app": "train"}}, "spec": pod}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "train", "namespace": "train"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "train"}}, "template": template},
        }
        circle.apply(workload("train", deployment, **only("datacentre")))
        await eventually(
            "eight of them are taken",
            lambda: rows(circle, "gpus")["NVIDIA-H100-80GB-HBM3"]["free"],
            lambda free: free == 20,
        )
        await circle.delete("train")

    async def test_of_one_cluster_only_what_it_has_is_told(self, circle: Circle) -> None:
        assert set(rows(circle, "runtimes", cluster="cloud")) == {"gvisor"}
        assert rows(circle, "gpus", cluster="cloud") == {}

    async def test_a_cluster_that_nobody_knows_is_said_to_be_none(self, circle: Circle) -> None:
        with pytest.raises(Refused, match="cluster 'nowhere'"):
            rows(circle, "gpus", cluster="nowhere")

    async def test_a_page_ends_where_the_next_begins(self, circle: Circle) -> None:
        first = circle.client.get("/inventory/features", limit=2, sort="-nodes").body
        second = circle.client.get(
            "/inventory/features", limit=2, sort="-nodes", **{"continue": first["next"]}
        )
        names = [row["name"] for row in (*first["items"], *second.body["items"])]
        assert len(set(names)) == 4

    @pytest.mark.parametrize("what", ["runtimes", "networks", "gpus", "features"])
    async def test_who_has_no_token_sees_nothing(self, circle: Circle, what: str) -> None:
        async with AsyncClient(base_url=circle.installation.url, trust_env=False) as stranger:
            assert (await stranger.get(f"/api/v1/inventory/{what}")).status_code == 401
            document = (await stranger.get("/openapi.json")).json()
        operation = document["paths"][f"/api/v1/inventory/{what}"]["get"]
        assert {each["name"] for each in operation["parameters"]} == {
            "cluster",
            "filter",
            "sort",
            "limit",
            "continue",
        }
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]


@pytest.mark.asyncio(loop_scope="module")
class TestCommand:
    @pytest.fixture(autouse=True)
    def environment(self, circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MUSTER_URL", circle.installation.url)
        monkeypatch.setenv("MUSTER_TOKEN", circle.installation.token)
        for name in ("FORCE_COLOR", "COLUMNS"):
            monkeypatch.delenv(name, raising=False)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["runtimes"], ["NAME", "kata-qemu", "250m 320Mi", "datacentre:4", "cloud"]),
            (["networks"], ["default/sriov-data", "sriov", "/15", "128/128", "pool"]),
            (["gpus"], ["NVIDIA-H100-80GB-HBM3", "80Gi", "whole", "MIG 1g.10gb", "datacentre:28/28"]),
            (["features", "--filter", "name=cpu.cpuid.AMXTILE"], ["cpu.cpuid.AMXTILE", "12/36"]),
        ],
    )
    @pytest.mark.parametrize("width", [80, 160])
    async def test_a_table_is_read_by_people(
        self,
        arguments: list[str],
        words: list[str],
        width: int,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("controlplane.cli.output.PIPE_WIDTH", width)
        assert await asyncio.to_thread(run, ["inventory", *arguments]) == 0
        said = capsys.readouterr().out
        assert [word for word in words if word not in said] == []
        assert "…" not in said
        assert all(len(line) <= width for line in said.splitlines())

    async def test_programs_get_all_of_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        code = await asyncio.to_thread(run, ["inventory", "gpus", "--cluster", "datacentre", "-o", "json"])
        assert code == 0
        items = json.loads(capsys.readouterr().out)["items"]
        assert {item["product"] for item in items} == {"NVIDIA-H100-80GB-HBM3"}

    async def test_what_is_not_there_is_said_on_the_side(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert await asyncio.to_thread(run, ["inventory", "gpus", "--cluster", "cloud"]) == 0
        said = capsys.readouterr()
        assert (said.out, said.err.strip()) == ("", "no gpus in cloud")

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (["disks"], 2, "runtimes"),
            (["gpus", "--cluster", "nowhere"], 1, "nowhere"),
            (["gpus", "--filter", "colour=red"], 1, "'colour' is no field here"),
            (["features", "--sort", "cluster"], 1, "'cluster' is no field to sort by"),
        ],
    )
    async def test_what_is_not_understood_is_named(
        self, arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert await asyncio.to_thread(run, ["inventory", *arguments]) == code
        assert says in capsys.readouterr().err.replace("\n", " ")
