"""The agent as its chart installs it: under the account and the roles that Helm rendered, not as admin.

It may write the kinds of the chart's default in one namespace. What is beyond is not sent: workloads, limits
and withdrawals; what the API server refuses although it was sent is told under the same reason.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from controlplane.embedded.kube import KubeControlPlane
from controlplane.embedded.processes import free_port
from tests.circle import Circle, Object, config_map, deployment, eventually, only, running_circle, workload
from tests.kube.charts import AGENT, Helm, helm
from tests.kube.fixtures import forget_agents
from tests.kube.test_charts import containers, path_of

__all__ = ["helm"]
ALLOWED, OTHER = "chart-shop", "chart-blog"
VALUES: Object = {
    "rbac": {"namespaces": [ALLOWED]},
    "centre": {"url": "http://127.0.0.1:1"},
    # Nothing but a new process asks again what it may: so it can be told apart from what it finds out.
    "settings": {"rightsSeconds": 3600},
}
INSTALLED = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Installed:
    """The agent of cluster `one`, and an administrator of it."""

    circle: Circle
    admin: httpx.AsyncClient
    binding: Object

    async def take_the_binding(self) -> None:
        path = await path_of(self.admin, self.binding)
        (await self.admin.delete(f"{path}/{self.binding['metadata']['name']}")).raise_for_status()

    async def give_the_binding(self) -> None:
        (await self.admin.post(await path_of(self.admin, self.binding), json=self.binding)).raise_for_status()

    async def restart_without_its_folder(self) -> None:
        """As when its volume is lost: what it is lies in the Secret."""
        await self.circle.programs["one"].stop()
        shutil.rmtree(self.circle.state("one"))
        await self.circle.start_agent("one")

    def muster(self, *arguments: str) -> str:
        """What the command prints."""
        at = self.circle.installation
        return subprocess.run(
            [str(Path(sys.executable).with_name("muster")), *arguments],
            env={**os.environ, "MUSTER_URL": at.url, "MUSTER_TOKEN": at.token},
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout

    async def until_its_rights(self, *, are_gone: bool) -> None:
        def are_told(seen: Object) -> bool:
            here = seen["rights"] and any(ALLOWED in each["namespaces"] for each in seen["rights"])
            return bool(here) is not are_gone

        await eventually("it tells what it may", lambda: self.circle.cluster("one"), are_told)
        await self.circle.until_ready("one")

    def explained(self, name: str) -> Object:
        found = self.circle.client.get(f"/workloads/{name}/explain").body
        return next(each for each in found["clusters"] if each["cluster"] == "one")


async def as_installed(
    helm: Helm, plane: KubeControlPlane, admin: httpx.AsyncClient, folder: Path
) -> list[str]:
    """Make its account and roles; returns the arguments of the agent that is it."""
    rendered = helm.template(AGENT, "muster-system", VALUES)
    for each in rendered:
        if each["kind"] in INSTALLED:
            answer = await admin.post(await path_of(admin, each), json=each)
            assert answer.status_code == httpx.codes.CREATED, answer.text
    path = "/api/v1/namespaces/muster-system/serviceaccounts/muster-agent/token"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    token = (await admin.post(path, json=request)).raise_for_status().json()["status"]["token"]
    cluster = {"server": plane.url, "certificate-authority": str(plane.authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "pod",
        "clusters": [{"name": "here", "cluster": cluster}],
        "users": [{"name": "account", "user": {"token": token}}],
        "contexts": [{"name": "pod", "context": {"cluster": "here", "user": "account"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    elsewhere = {"STATE_DIR", "ALERTS_LISTEN", "JOIN_URL", "JOIN_TOKEN"}
    env = {
        each["name"].removeprefix("MUSTER_AGENT_"): each.get("value")
        for each in containers(rendered)[0]["env"]
    }
    flags = [
        argument
        for name, value in env.items()
        if name not in elsewhere
        for argument in (f"--{name.lower().replace('_', '-')}", value)
    ]
    return ["--kubeconfig", str(file), "--alerts-listen", f"127.0.0.1:{free_port()}", *flags]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installed(
    helm: Helm, kube_one: KubeControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Installed]:
    async with kube_one.client() as admin, running_circle() as circle:
        await forget_agents(admin)
        for name in ("muster-system", ALLOWED, OTHER):
            await admin.post("/api/v1/namespaces", json={"metadata": {"name": name}})
        arguments = await as_installed(helm, kube_one, admin, tmp_path_factory.mktemp("chart"))
        await circle.join("one", arguments)
        rendered = helm.template(AGENT, "muster-system", VALUES)
        bound = [each for each in rendered if each["metadata"].get("namespace") == ALLOWED]
        yield Installed(circle, admin, next(each for each in bound if each["kind"] == "RoleBinding"))
        await circle.programs["one"].stop()
        await forget_agents(admin)
        await admin.delete("/api/v1/namespaces/muster-system/secrets/muster-agent-keys")
        for each in rendered:
            if each["kind"] in INSTALLED:
                await admin.delete(f"{await path_of(admin, each)}/{each['metadata']['name']}")
        for name in (ALLOWED, OTHER):
            await admin.delete(f"/api/v1/namespaces/{name}")


async def test_an_order_within_its_rights_is_carried_out_and_seen(installed: Installed) -> None:
    circle = installed.circle
    manifests = (deployment("web", ALLOWED, 2), config_map("web", ALLOWED, colour="blue"))
    circle.apply(workload("chart-web", *manifests, **only("one")))
    await circle.until_running("chart-web")
    rights = circle.cluster("one")["rights"]
    there = next(each for each in rights if each["namespaces"] == [ALLOWED])
    assert {"Deployment.apps", "Service", "Job.batch"} <= set(there["kinds"])
    assert set(there["verbs"]) == {"create", "delete", "get", "list", "patch", "watch"}
    shown = installed.muster("get", "cluster", "one")
    assert "its agent may" in shown
    assert f"in {ALLOWED}" in shown


@pytest.mark.promise(7)
@pytest.mark.parametrize(
    ("name", "manifest", "lacks"),
    [
        (
            "chart-elsewhere",
            config_map("web", OTHER),
            f"its agent may not create, delete, get, patch ConfigMap in namespace {OTHER}",
        ),
        (
            "chart-lease",
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": "mine", "namespace": ALLOWED},
                "spec": {"holderIdentity": "me"},
            },
            f"Lease.coordination.k8s.io in namespace {ALLOWED}",
        ),
        (
            "chart-role",
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "all"},
                "rules": [],
            },
            "ClusterRole.rbac.authorization.k8s.io",
        ),
    ],
)
async def test_an_order_beyond_them_is_not_sent(
    installed: Installed, name: str, manifest: Object, lacks: str
) -> None:
    circle = installed.circle
    before = await circle.orders_published()
    circle.apply(workload(name, manifest, **only("one")))
    seen = await eventually(
        "it is decided on", lambda: circle.workload(name)["status"], lambda status: status["reason"]
    )
    assert seen["reason"] == "NoClusterFits"
    assert "AgentMayNot" in seen["message"]
    refused = installed.explained(name)["reasons"]
    assert [each["reason"] for each in refused] == ["AgentMayNot"]
    assert lacks in refused[0]["message"]
    assert await circle.orders_published() == before
    circle.client.delete(f"/workloads/{name}")


async def test_what_would_help_is_told(installed: Installed) -> None:
    circle = installed.circle
    circle.apply(workload("chart-help", config_map("web", OTHER), **only("one")))
    await eventually(
        "it is decided on", lambda: circle.workload("chart-help")["status"], lambda status: status["reason"]
    )
    steps = [step for change in installed.explained("chart-help")["changes"] for step in change["steps"]]
    assert [(step["kind"], step["cluster"]) for step in steps] == [("GrantAgent", "one")]
    assert f"let its agent write ConfigMap in namespace {OTHER}" in steps[0]["text"]
    circle.client.delete("/workloads/chart-help")


async def test_a_plan_on_the_fleet_as_it_is_says_so_too(installed: Installed, tmp_path: Path) -> None:
    fleet, wanted = tmp_path / "fleet.yaml", tmp_path / "wanted.yaml"
    fleet.write_text(installed.muster("get", "fleet", "-o", "yaml"))
    for namespace, verdict in ((OTHER, "LeftOut"), (ALLOWED, "Chosen")):
        wanted.write_text(json.dumps(workload("chart-plan", config_map("web", namespace), **only("one"))))
        answer = json.loads(installed.muster("plan", "-f", str(wanted), "--fleet", str(fleet), "-o", "json"))
        (row,) = answer["clusters"]
        assert row["verdict"] == verdict
        assert [each["reason"] for each in row["reasons"]] == ["AgentMayNot"][: verdict == "LeftOut"]


async def test_what_the_api_server_refuses_is_told_under_the_same_reason(installed: Installed) -> None:
    """The rights went after the agent had told of them; when they are back, the order is carried out."""
    circle = installed.circle
    circle.apply(workload("chart-late", config_map("late", ALLOWED, of="1"), **only("one")))
    await circle.until_running("chart-late")
    await installed.take_the_binding()
    circle.apply(workload("chart-late", config_map("late", ALLOWED, of="2"), **only("one")))
    told = await eventually(
        "the agent says that it may not",
        lambda: circle.placement("chart-late", "one")["refusals"],
        lambda refusals: refusals,
    )
    assert {each["reason"] for each in told} == {"AgentMayNot"}
    assert "configmaps" in told[0]["message"]
    await installed.give_the_binding()
    await circle.until_running("chart-late", revision=2)


@pytest.mark.promise(9)
async def test_what_runs_stays_when_the_rights_are_known_to_be_gone(installed: Installed) -> None:
    """And without its folder the agent is who it was: its keys lie in the Secret."""
    circle = installed.circle
    identity = circle.cluster("one")["id"]
    limit(circle, "Off")
    theirs = workload("chart-theirs", deployment("theirs", ALLOWED, 1), **only("one"))
    theirs["spec"]["tenant"] = TENANT
    circle.apply(theirs)
    await circle.until_running("chart-theirs")
    circle.apply(workload("chart-stays", config_map("stays", ALLOWED, of="1"), **only("one")))
    circle.apply(workload("chart-goes", config_map("goes", ALLOWED, of="1"), **only("one")))
    await circle.until_running("chart-stays")
    await circle.until_running("chart-goes")
    await installed.take_the_binding()
    await installed.restart_without_its_folder()
    await installed.until_its_rights(are_gone=True)
    assert circle.cluster("one")["id"] == identity
    before = await circle.orders_published()
    circle.apply(workload("chart-stays", config_map("stays", ALLOWED, of="2"), **only("one")))
    seen = await eventually(
        "it is decided on",
        lambda: circle.workload("chart-stays")["status"],
        lambda status: "AgentMayNot" in status["message"],
    )
    assert "stays at revision 1 in one" in seen["message"]
    assert await circle.orders_published() == before
    assert "AgentMayNot" in installed.explained("chart-stays")["reasons"][0]["reason"]
    limit(circle, "Enforce")
    circle.client.delete("/workloads/chart-goes")
    await held_back(installed)
    assert await circle.orders_published() == before
    for name in ("stays", "goes"):
        kept = await installed.admin.get(f"/api/v1/namespaces/{ALLOWED}/configmaps/{name}")
        assert kept.raise_for_status().json()["data"] == {"of": "1"}
    await installed.give_the_binding()
    await installed.restart_without_its_folder()
    await circle.until_running("chart-stays", revision=2)
    await circle.until_gone("chart-goes")
    gone = await installed.admin.get(f"/api/v1/namespaces/{ALLOWED}/configmaps/goes")
    assert gone.status_code == httpx.codes.NOT_FOUND
    await eventually(
        "its limits are set",
        lambda: installed.muster("quota", "limits", TENANT),
        lambda said: "Applied" in said,
    )
    assert "held back" not in installed.muster("doctor")


TENANT = "chart-team"


def limit(circle: Circle, limits: str) -> None:
    """A tenant of that namespace, with quota."""
    cpu = {"name": "cpu", "nominalQuota": "20"}
    quota = {"uncovered": "Allow", "limits": limits, "flavors": [{"name": "any", "resources": [cpu]}]}
    for kind, name, spec in (
        ("Flavor", "any", {}),
        ("Tenant", TENANT, {"namespaces": [ALLOWED], "quota": quota}),
    ):
        circle.apply({"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})


async def held_back(installed: Installed) -> None:
    """The limits, and the withdrawal: told in the same words wherever somebody looks."""
    lacks = f"its agent may not create, delete, get, patch ResourceQuota in namespace {ALLOWED}"
    await eventually(
        "the limits are said to be held back",
        lambda: " ".join(installed.muster("quota", "explain", TENANT).split()),
        lambda said: f"limits in one are not as ordered: AgentMayNot: {lacks}" in said,
    )
    assert lacks in " ".join(installed.muster("quota", "limits", TENANT).split())
    lacks = f"its agent may not delete, get ConfigMap in namespace {ALLOWED}"
    (row,) = await eventually(
        "the withdrawal is held back",
        lambda: list(installed.circle.client.pages("/placements", filter="workload=chart-goes")),
        lambda rows: rows and rows[0]["verb"] == "withdraw",
    )
    assert (row["state"], row["order"], row["message"]) == ("Refused", "Queued", f"AgentMayNot: {lacks}")
    assert "2 orders held back" in " ".join(installed.muster("doctor").split())
