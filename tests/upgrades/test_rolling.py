"""A later release expands the database while this one runs on it, and again when this one starts on it."""

import secrets

import httpx
import msgspec
import pytest

from controlplane.store.contents import made_by
from controlplane.store.migrations import known
from tests.circle import (
    UNEQUAL,
    Circle,
    Object,
    config_map,
    deployment,
    eventually,
    only,
    running_circle,
    workload,
)
from tests.upgrades.recordings import recordings

CLUSTER = "lone"
LATER = "".join(
    f"alter table {table} add column later text not null default 'x';" for table in made_by(known())[0]
)


def manifest(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "muster.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def post(circle: Circle, path: str, body: object) -> None:
    context = circle.client.context
    headers = {"Authorization": f"Bearer {context.token}"}
    answer = httpx.post(f"{context.url}{path}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text


async def everything_is_done(circle: Circle, name: str) -> None:
    """Written, decided, charged, carried out, alerted, silenced, withdrawn."""
    cpu = {"name": "cpu", "nominalQuota": "2"}
    quota = {"uncovered": "Allow", "flavors": [{"name": "any", "resources": [cpu]}]}
    circle.apply(manifest("Flavor", "any", {}))
    circle.apply(manifest("Tenant", "team", {"namespaces": ["*"], "quota": quota}))
    made = workload(name, deployment(name, name, 1), config_map("settings", name), **only(CLUSTER))
    made["spec"]["tenant"] = "team"
    circle.apply(made)
    await circle.until_running(name)
    circle.client.post("/silences", {"matchers": [f"alertname={name}"], "comment": "x", "for_seconds": 900})
    post(circle, "/api/v2/alerts", [{"labels": {"alertname": name}}])
    await circle.delete(name)
    assert await circle.rows(UNEQUAL) == []


def joined_by_a_later_agent(circle: Circle) -> None:
    """It says more of itself than this release asks for."""
    token = circle.client.post("/cluster-invitations", {"name": "later"}).body["token"]
    asked = {**recordings()[0].joins[0]["asked"], "token": token, "later": {"region": "moon"}}
    post(circle, "/api/v1/join", asked)
    circle.client.delete("/clusters/later")


@pytest.mark.promise(1, 2)
async def test_this_release_runs_on_what_a_later_one_only_added_to() -> None:
    async with running_circle() as circle:
        await circle.join(CLUSTER, ["--simulate", "edge"])
        joined_by_a_later_agent(circle)
        await circle.rows(LATER_AT_ONCE)
        await everything_is_done(circle, "beside")
        await circle.restart_centre()
        await circle.until_ready(CLUSTER)
        await everything_is_done(circle, "after")
        await a_later_agent_is_told_of(circle)


async def a_later_agent_is_told_of(circle: Circle) -> None:
    """It says a state and a reason that this release has no word for: in place of the agent that is there."""
    circle.apply(workload("told", deployment("told", "told", 1), **only(CLUSTER)))
    seen = await circle.until_running("told")
    await circle.programs[CLUSTER].stop()
    (row,) = seen["placements"]
    refusal: Object = {"reason": "LicenceMissing", "message": "no licence", "until": 1}
    said: Object = {
        "version": row["version"],
        "carried_out": row["version"],
        "state": "Suspended",
        "finished": True,
    }
    body: Object = {
        **LATEST,
        **said,
        "refusals": [refusal],
        "pods": 1,
        "ready": 1,
        "living": {},
        "suspended": [1],
    }
    subject = circle.subjects.work(circle.cluster_id(CLUSTER), row["workload_uid"])
    async with circle.bus_of_agent(CLUSTER) as bus:
        await bus.publish([(subject, msgspec.json.encode(body))])
    row = await eventually(
        "it is told", lambda: circle.placement("told", CLUSTER), lambda row: row["state"] == "Unknown"
    )
    assert row["message"] == "its agent says Suspended, which this centre does not know: upgrade the centre"
    assert [(each["reason"], each["message"]) for each in row["refusals"]] == [
        ("LicenceMissing", "no licence")
    ]
    explained = circle.client.get("/workloads/told/explain").body
    assert explained["clusters"][0]["placement"]["state"] == "Unknown"
    assert circle.workload("told")["status"]["state"] == "Progressing"
    assert await circle.rows("select 1 from dead_letter") == []


LATEST = {"incarnation": 10**9, "sequence": 1}


LATER_AT_ONCE = f"""
do $later$ begin
    {LATER}
    create table later_{secrets.token_hex(2)} (id int);
    insert into migration (number, name, needs) values (9000, '9000_later.sql', 0);
end $later$
"""
