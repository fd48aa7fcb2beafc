"""The command `muster` against the API over a real socket: what it prints, and what it exits with."""

import asyncio
import io
import json
import socket
import stat
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
import yaml

from controlplane.cli.main import run
from controlplane.client import BadContext, Context, read_context, write_context
from tests.installation import NatsInstallation
from tests.integration.api_world import ADMIN, VIEWER, World, api_world, deployment, tenant, workload

WIDTH = 100


@pytest_asyncio.fixture
async def world(database: str, nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    async with api_world(database, nats_installation) as made:
        yield made


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


class Muster:
    """Runs one command in a thread: the API is served by the loop meanwhile."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def __call__(self, *arguments: str | Path, expect: int = 0) -> Said:
        self._capsys.readouterr()
        code = await asyncio.to_thread(run, [str(each) for each in arguments])
        said = self._capsys.readouterr()
        assert code == expect, (arguments, said.out, said.err)
        return Said(code, said.out, said.err)


@pytest_asyncio.fixture
async def muster(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncGenerator[Muster, None]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(world.app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by a flag only
        await asyncio.sleep(0.01)
    monkeypatch.setenv("MUSTER_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setenv("MUSTER_TOKEN", ADMIN)
    monkeypatch.setenv("MUSTER_CONTEXT", str(tmp_path / "context.json"))
    for name in ("FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    yield Muster(capsys)
    server.should_exit = True
    await serving


def write(path: Path, *documents: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all(documents))
    return path


async def fleet_of(world: World) -> None:
    world.report(await world.join("eu-1", site="north"), nodes=3, cpu=8000, region="eu")
    world.report(await world.join("us-1"), nodes=2, cpu=4000, region="us")


class TestApply:
    async def test_files_folders_and_stdin_tenants_first_with_a_difference(
        self, muster: Muster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "manifests"
        write(folder / "a" / "web.yaml", workload("web", deployment("web", "shop-a"), tenant="shop"))
        write(folder / "z.yml", tenant("shop", "shop-*"))
        (folder / "notes.txt").write_text("not: [yaml")
        said = await muster("apply", "-f", folder)
        assert said.out.index("tenant/shop created") < said.out.index("workload/web created")
        assert "namespace: shop-a" not in said.out

        again = await muster("apply", "-f", folder)
        assert "workload/web unchanged" in again.out
        assert "+++" not in again.out

        changed = workload("web", deployment("web", "shop-a", replicas=4), tenant="shop")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(yaml.safe_dump(changed).encode())))
        said = await muster("apply", "-f", "-")
        assert [line.split() for line in said.out.splitlines() if "replicas" in line] == [
            ["-", "replicas:", "2"],
            ["+", "replicas:", "4"],
        ]
        assert "workload/web configured" in said.out

    async def test_a_kind_is_declared_shown_and_taken_back_and_a_warning_is_printed(
        self, muster: Muster, tmp_path: Path
    ) -> None:
        widget = {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "metadata": {"name": "w", "namespace": "shop"},
            "spec": {"pod": {"spec": {"containers": [{"name": "c"}], "serviceAccountName": "robot"}}},
        }
        declared = {
            "apiVersion": "muster.dev/v1",
            "kind": "Interpreter",
            "metadata": {"name": "widget"},
            "spec": {"group": "example.com", "kind": "Widget", "components": [{"template": "spec.pod"}]},
        }
        said = await muster("apply", "-f", write(tmp_path / "all.yaml", workload("w", widget), declared))
        assert said.out.index("interpreter/widget created") < said.out.index("workload/w created")
        assert "warning: spec.manifests[0].spec.pod.spec.serviceAccountName" in said.err
        listed = await muster("get", "interpreters")
        assert ["widget", "example.com", "Widget", "pods", "no", "1"] in [
            line.split() for line in listed.out.splitlines()
        ]
        refused = await muster("delete", "interpreter", "widget", expect=1)
        assert "is used by workloads: w" in refused.err
        await muster("delete", "workload", "w", "--yes")
        assert "interpreter/widget deleted" in (await muster("delete", "interpreter", "widget")).out

    async def test_a_dry_run_shows_the_decision_and_stores_nothing(
        self, muster: Muster, world: World, tmp_path: Path
    ) -> None:
        await fleet_of(world)
        said = await muster("apply", "--dry-run", "-f", write(tmp_path / "w.yaml", workload("web")))
        assert "eu-1" in said.out
        assert "Chosen" in said.out
        assert (await world.store.load()).workloads == ()

    async def test_nothing_is_sent_while_one_file_is_wrong(
        self, muster: Muster, world: World, tmp_path: Path
    ) -> None:
        good = write(tmp_path / "good.yaml", workload("good"))
        bad = write(tmp_path / "bad.yaml", workload("bad", placement={"colour": "red"}))
        said = await muster("apply", "-f", good, "-f", bad, expect=1)
        assert "spec.placement.colour" in said.err
        assert "nothing was sent" in said.err
        assert (await world.store.load()).workloads == ()

    async def test_one_that_is_refused_is_named_and_the_others_go_on(
        self, muster: Muster, tmp_path: Path
    ) -> None:
        orphan = workload("orphan", tenant="nobody")
        said = await muster("apply", "-f", write(tmp_path / "w.yaml", orphan, workload("web")), expect=1)
        assert "workload/orphan" in said.err
        assert "no tenant 'nobody'" in said.err
        assert "workload/web created" in said.out
        assert "1 of 2 failed" in said.err

    async def test_waiting_ends_at_its_bound_and_says_what_is_missing(
        self, muster: Muster, tmp_path: Path
    ) -> None:
        said = await muster(
            "apply", "--wait", "--timeout", "1", "-f", write(tmp_path / "w.yaml", workload("web")), expect=1
        )
        assert "workload/web does not run: Deciding" in said.err
        assert "muster explain web" in said.err

    async def test_values_of_secrets_are_not_in_the_difference(self, muster: Muster, tmp_path: Path) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s"},
            "stringData": {"p": "hunter2"},
        }
        said = await muster("apply", "--dry-run", "-f", write(tmp_path / "w.yaml", workload("web", secret)))
        assert "hunter2" not in said.out
        assert "p: '***sealed***'" in said.out
        assert "created" in (await muster("apply", "-f", tmp_path / "w.yaml")).out
        assert "unchanged" in (await muster("apply", "-f", tmp_path / "w.yaml")).out


class TestReading:
    async def test_tables_are_narrow_and_data_is_for_programs(
        self, muster: Muster, world: World, tmp_path: Path
    ) -> None:
        await fleet_of(world)
        await muster("apply", "-q", "-f", write(tmp_path / "w.yaml", workload("web")))
        for arguments in (
            ("get", "clusters"),
            ("get", "nodes"),
            ("get", "workloads"),
            ("get", "cluster", "eu-1"),
            ("get", "changes"),
            ("describe", "cluster", "eu-1"),
            ("describe", "node", "eu-1/node-0001"),
            ("describe", "workload", "web"),
            ("explain", "web"),
            ("history", "web"),
            ("top", "clusters"),
            ("top", "nodes"),
            ("events",),
            ("clusters", "list"),
        ):
            said = await muster(*arguments)
            assert said.out.strip(), arguments
            assert max(len(line) for line in said.out.splitlines()) <= WIDTH, arguments
            assert "\x1b" not in said.out
        rows = json.loads((await muster("get", "clusters", "-o", "json", "--sort", "-nodes")).out)["items"]
        assert [row["name"] for row in rows] == ["eu-1", "us-1"]
        rows = yaml.safe_load((await muster("get", "nodes", "-o", "yaml", "-l", "cluster=us-1")).out)["items"]
        assert len(rows) == 2

    async def test_what_get_shows_can_be_applied_again(self, muster: Muster, tmp_path: Path) -> None:
        await muster("apply", "-f", write(tmp_path / "w.yaml", workload("web")))
        shown = await muster("get", "workload", "web", "-o", "yaml")
        (tmp_path / "again.yaml").write_text(shown.out)
        assert "workload/web unchanged" in (await muster("apply", "-f", tmp_path / "again.yaml")).out

    async def test_a_fleet_that_was_written_plans_as_the_service_decides(
        self, muster: Muster, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fleet_of(world)
        manifest = workload(
            "web",
            deployment("web", replicas=10),
            placement={
                "replicaScheduling": {
                    "replicaSchedulingType": "Divided",
                    "weightPreference": {"dynamicWeight": "AvailableReplicas"},
                }
            },
        )
        path = write(tmp_path / "w.yaml", manifest)
        decided = json.loads(
            (await world.client.put("/api/v1/workloads/web", params={"dryRun": "true"}, json=manifest)).text
        )
        (tmp_path / "fleet.yaml").write_text((await muster("get", "fleet", "-o", "yaml")).out)
        monkeypatch.setenv("MUSTER_URL", "http://127.0.0.1:1")
        said = await muster("plan", "-f", path, "--fleet", tmp_path / "fleet.yaml", "-o", "json")
        planned = json.loads(said.out)
        assert planned["assignments"] == {
            each["cluster"]: each["replicas"] for each in decided["clusters"] if each["replicas"]
        }
        assert sum(planned["assignments"].values()) == 10

    async def test_a_plan_that_cannot_be_says_why_and_fails(self, muster: Muster, tmp_path: Path) -> None:
        fleet = {
            "apiVersion": "muster.dev/v1",
            "kind": "Fleet",
            "spec": {"clusters": [{"name": "eu-1", "region": "eu", "available": 1}]},
        }
        wanted = workload("web", placement={"clusterAffinity": {"clusterNames": ["us-1"]}})
        said = await muster(
            "plan",
            "-f",
            write(tmp_path / "w.yaml", wanted),
            "--fleet",
            write(tmp_path / "f.yaml", fleet),
            expect=1,
        )
        assert "ClusterNotSelected" in said.out


class TestChanging:
    async def test_rollback_goes_to_the_revision_before_or_the_one_that_is_named(
        self, muster: Muster, tmp_path: Path
    ) -> None:
        for replicas in (1, 2, 3):
            path = write(tmp_path / "w.yaml", workload("web", deployment("web", replicas=replicas)))
            await muster("apply", "-q", "-f", path)
        assert "revision 4, with what 2 had" in (await muster("rollback", "web")).out
        assert "revision 5, with what 1 had" in (await muster("rollback", "web", "--to", "1")).out
        assert "no revision 77" in (await muster("rollback", "web", "--to", "77", expect=1)).err

    async def test_delete_says_which_it_could_not(self, muster: Muster, tmp_path: Path) -> None:
        await muster("apply", "-q", "-f", write(tmp_path / "w.yaml", workload("web")))
        said = await muster("delete", "workload", "web", "ghost", "--yes", expect=1)
        assert "workload/web is being withdrawn" in said.out
        assert "workload/ghost" in said.err

    async def test_a_cluster_is_invited_labelled_tainted_and_removed(
        self, muster: Muster, world: World
    ) -> None:
        said = await muster("clusters", "invite", "eu-2", "--label", "site=a", "--taint", "edge:NoSchedule")
        assert said.out.startswith("MUSTER_AGENT_JOIN_TOKEN=mj1_")
        assert len(said.out.splitlines()) == 1
        await world.join("eu-1", site="north")
        await muster("clusters", "label", "eu-1", "tier=gold", "site-")
        said = await muster(
            "clusters", "taint", "eu-1", "edge=yes:NoSchedule", "old:NoExecute", "odd:NoSchedule"
        )
        assert "eu-1 tainted" in said.out
        assert "eu-1 untainted" in (await muster("clusters", "taint", "eu-1", "odd-")).out
        await muster("clusters", "taint", "eu-1", "old-", "edge=no:NoSchedule")
        row = json.loads((await muster("get", "clusters", "-o", "json")).out)["items"][0]
        assert row["labels"] == {"tier": "gold"}
        assert row["taints"] == [{"key": "edge", "value": "no", "effect": "NoSchedule"}]
        await muster("clusters", "remove", "eu-1", "-y")
        assert json.loads((await muster("get", "clusters", "-o", "json")).out) == {"items": []}


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (("get", "colours"), 2, "no kind"),
            (("get", "node", "eu-1"), 2, "CLUSTER/NODE"),
            (("get", "workload", "ghost"), 1, "ghost"),
            (("get", "nodes", "--sort", "colour"), 1, "colour"),
            (("get", "clusters", "--limit", "0"), 2, "limit"),
            (("apply",), 2, "filename"),
            (("apply", "-f", "/nowhere.yaml"), 1, "no such file"),
            (("clusters", "taint", "x", "a:Never"), 2, "NoExecute"),
            (("delete", "nodes", "x", "-y"), 2, "workloads, tenants"),
            (("serve", "--listen", "here"), 2, "HOST:PORT"),
            (("nonsense",), 2, "nonsense"),
        ],
    )
    async def test_a_mistake_is_said_with_what_would_be_right(
        self, muster: Muster, arguments: tuple[str, ...], code: int, says: str
    ) -> None:
        said = await muster(*arguments, expect=code)
        assert says in said.err
        assert "Traceback" not in said.err

    async def test_no_service_no_token_and_no_right_are_three_answers(
        self, muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        path = write(tmp_path / "w.yaml", workload("web"))
        monkeypatch.setenv("MUSTER_TOKEN", VIEWER)
        assert "may not write" in (await muster("apply", "-f", path, expect=1)).err
        monkeypatch.setenv("MUSTER_TOKEN", "")
        assert "MUSTER_TOKEN" in (await muster("get", "nodes", expect=1)).err
        monkeypatch.setenv("MUSTER_URL", "http://127.0.0.1:1")
        assert "muster serve" in (await muster("get", "nodes", expect=1)).err
        monkeypatch.setenv("MUSTER_URL", "nowhere")
        assert "http://HOST:PORT" in (await muster("get", "nodes", expect=1)).err


class TestContext:
    def test_a_token_is_sent_only_to_the_service_it_was_made_for(self, tmp_path: Path) -> None:
        environment = {"MUSTER_CONTEXT": str(tmp_path / "deep" / "context.json")}
        path = write_context(Context("http://one:1", "secret"), environment)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_context(environment) == Context("http://one:1", "secret")
        assert read_context({**environment, "MUSTER_URL": "http://one:1/"}).token == "secret"
        assert read_context({**environment, "MUSTER_URL": "http://two:2"}) == Context("http://two:2", "")
        assert read_context({**environment, "MUSTER_TOKEN": "other"}) == Context("http://one:1", "other")

    def test_somebody_else_of_the_file_may_be_named_and_no_one_who_is_not_in_it(self, tmp_path: Path) -> None:
        environment = {"MUSTER_CONTEXT": str(tmp_path / "context.json")}
        write_context(Context("http://one:1", "secret", {"max": "his"}), environment)
        assert read_context(environment).token == "secret"
        for more in ({}, {"MUSTER_TOKEN": "other"}, {"MUSTER_URL": "http://one:1", "MUSTER_TOKEN": "other"}):
            assert read_context({**environment, **more}, "max").token == "his"
        with pytest.raises(BadContext, match="there is no 'eve': it knows max"):
            read_context(environment, "eve")
        with pytest.raises(BadContext, match="it knows nobody else"):
            read_context({**environment, "MUSTER_URL": "http://two:2"}, "max")


async def test_events_are_followed_line_by_line(muster: Muster, world: World) -> None:
    program = "from controlplane.cli.main import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "events", "--follow", "-o", "json", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        await world.client.put("/api/v1/workloads/web", json=workload("web"))
        first = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        await world.client.delete("/api/v1/workloads/web")
        second = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    finally:
        process.kill()
        await process.wait()
    assert (first["what"], second["what"]) == ("Created", "Deleted")


async def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from controlplane.cli.main import run; run(['--help']);"
        "print([m for m in ('httpx', 'yaml', 'numpy', 'fastapi', 'pydantic', 'asyncpg') if m in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert out.decode().splitlines()[-1] == "[]"


def test_nats_init_writes_once_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nats", "init", str(tmp_path / "nats")]) == 0
    assert "muster-trust.conf" in capsys.readouterr().out
    assert run(["nats", "init", str(tmp_path / "nats")]) == 1
    assert "never overwritten" in capsys.readouterr().err
    assert run(["nats", "init", str(tmp_path / "other"), "--prefix", "Not A Prefix"]) == 1
    assert "prefix" in capsys.readouterr().err
