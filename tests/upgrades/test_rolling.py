"""A later release expands the database while this one runs on it, and again when this one starts on it."""

import secrets

import httpx
import pytest

from controlplane.store.contents import made_by
from controlplane.store.migrations import known
from tests.circle import UNEQUAL, Circle, Object, config_map, deployment, only, running_circle, workload
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


LATER_AT_ONCE = f"""
do $later$ begin
    {LATER}
    create table later_{secrets.token_hex(2)} (id int);
    insert into migration (number, name, needs) values (9000, '9000_later.sql', 0);
end $later$
"""
