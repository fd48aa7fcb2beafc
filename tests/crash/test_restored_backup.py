"""The rehearsal of docs/operations/backup.md: a centre that is lost whole comes back from its backup.

Postgres, keys, tokens, the configuration of alerts and what lay in NATS are gone; agents and clusters live
on. Holds up promise 1 (what was accepted before the backup is there), 2 (the ledger comes to its balances), 3
and 9 (what was ordered after it is known to be newer, and is not removed).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.circle import UNEQUAL, Circle, Object, deployment, eventually, only, running_circle, workload

CLUSTER, KEPT, LATER, OWNER = "lone", "kept", "later", "team"
CONFIG = """\
route: {receiver: nobody}
receivers: [{name: nobody}]
"""


def manifest(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def quota() -> list[Object]:
    cpu = {"name": "cpu", "nominalQuota": "2"}
    granted = {"uncovered": "Allow", "flavors": [{"name": "any", "resources": [cpu]}]}
    tenant = {"namespaces": [KEPT, LATER], "quota": granted}
    return [manifest("Flavor", "any", {}), manifest("Tenant", OWNER, tenant)]


def owned(name: str, *image: str) -> Object:
    made = workload(name, deployment(name, name, 2, *image), **only(CLUSTER))
    made["spec"]["tenant"] = OWNER
    return made


def muster(circle: Circle, config: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "MUSTER_DATA_DIR": str(circle.home),
        "MUSTER_ALERTS_CONFIG": str(config),
        "MUSTER_POSTGRES_DURABLE": "false",
    }
    command = [Path(sys.executable).parent / "muster", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def post_alert(circle: Circle) -> None:
    context = circle.client.context
    answer = httpx.post(
        f"{context.url}/api/v2/alerts",
        json=[{"labels": {"alertname": "Disk"}, "endsAt": "2036-01-01T00:00:00Z"}],
        headers={"Authorization": f"Bearer {context.token}"},
    )
    assert answer.status_code == 200, answer.text


def remembered(circle: Circle) -> Object:
    """What people said that lies nowhere but in Postgres."""
    return {
        "silences": [each["id"] for each in circle.client.pages("/silences")],
        "alerts": [each["name"] for each in circle.client.pages("/alerts")],
        "tenants": [each["name"] for each in circle.client.pages("/tenants")],
    }


async def wipe(circle: Circle, config: Path) -> None:
    """All of the centre's; NATS comes back empty, at the address that agents know."""
    await circle.programs["centre"].stop()
    for name in ("postgres", "keys"):
        shutil.rmtree(circle.home / name)
    for name in ("jetstream", "accounts"):
        shutil.rmtree(circle.home / "nats" / name)
    (circle.home / "tokens").unlink()
    config.unlink()  # noqa: ASYNC240 - nothing else runs


@pytest.mark.promise(1, 2, 3, 9)
async def test_a_lost_centre_comes_back_from_its_backup(tmp_path: Path) -> None:
    config, kept = tmp_path / "alertmanager.yml", tmp_path / "night.backup"
    config.write_text(CONFIG)
    async with running_circle(settings={"MUSTER_ALERTS_CONFIG": str(config)}) as circle:
        await circle.join(CLUSTER, ["--simulate", "edge"])
        for each in quota():
            circle.apply(each)
        circle.apply(owned(KEPT))
        await circle.until_running(KEPT)
        circle.client.post(
            "/silences", {"matchers": ["alertname=Disk"], "comment": "known", "for_seconds": 900}
        )
        post_alert(circle)
        before = remembered(circle)
        assert "1 clusters, 1 workloads" in muster(circle, config, "backup", str(kept))

        circle.apply(owned(KEPT, "registry.example/web:2"))
        circle.apply(owned(LATER))
        await circle.until_running(KEPT, revision=2)
        await circle.until_running(LATER)
        pods = {name: circle.pods(CLUSTER, name) for name in (KEPT, LATER)}

        await wipe(circle, config)
        assert "muster recover" in muster(circle, config, "restore", str(kept))
        assert config.read_text() == CONFIG
        await circle.start_centre()
        await eventually(
            "the agent is found ahead",
            lambda: circle.cluster(CLUSTER),
            lambda row: row["status"] == "AgentAhead",
        )
        assert remembered(circle) == before
        assert await circle.orders_published() == 0
        assert {name: circle.pods(CLUSTER, name) for name in pods} == pods

        circle.client.post(f"/clusters/{CLUSTER}/recover", {})
        await circle.until_ready(CLUSTER)
        circle.apply(owned(KEPT, "registry.example/web:3"))
        await circle.until_running(KEPT, revision=2)
        assert circle.pods(CLUSTER, LATER) == pods[LATER], "what the backup does not know runs on"
        assert await circle.rows(UNEQUAL) == []
