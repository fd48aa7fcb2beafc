"""The centre is away while a cluster's Prometheus goes on: what the agent accepted is told of afterwards.

Holds up promise 1 (what the agent accepted is committed), 4 (all of it is told of, once) and 6 (agents spool,
and catch up in order).
"""

from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.embedded.processes import free_port
from tests.circle import Circle, eventually, running_circle
from tests.served import Webhook, webhook

GROUPS, SIZE = 100, 20
CONFIGURATION = """
route:
  receiver: ops
  group_by: [service]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
receivers:
  - name: ops
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""

PENDING = "select 1 from alert_notice"


@pytest.mark.promise(1, 4, 6)
async def test_what_the_agent_accepted_while_the_centre_was_dead_is_told_of(tmp_path: Path) -> None:
    async with webhook() as receiver:
        path = tmp_path / "alertmanager.yml"
        path.write_text(CONFIGURATION.format(url=receiver.url))
        async with running_circle(settings={"MUSTER_ALERTS_CONFIG": str(path)}) as circle:
            door = f"127.0.0.1:{free_port()}"
            await circle.join("east", ["--simulate", "edge", "--seed", "1", "--alerts-listen", door])
            await eventually(
                "the door is open", lambda: _post(door, [_alert(0, 0)]), lambda status: status == 200
            )
            await eventually("the first is told of", lambda: _services(receiver, "firing"))
            await eventually("and that is recorded", lambda: circle.rows(PENDING), lambda rows: not rows)
            await _outage(circle, door)
            await eventually(
                "all are told of",
                lambda: _services(receiver, "firing"),
                lambda services: len(services) == GROUPS,
                60.0,
            )
            await eventually(
                "and those that ended meanwhile have ended",
                lambda: _services(receiver, "resolved"),
                lambda services: {"s000"} <= services,
                60.0,
            )
            told = [
                message for message in receiver.messages if message.body["alerts"][0]["labels"].get("service")
            ]
            labels = [alert["labels"] for message in told for alert in message.body["alerts"]]
            assert {each["cluster"] for each in labels} == {"east"}, "an agent names no other cluster"
            keys = [message.key for message in told]
            assert len(keys) == len(set(keys)), "nobody died while sending: nothing came twice"


async def _outage(circle: Circle, door: str) -> None:
    circle.programs["centre"].kill()
    for group in range(1, GROUPS):
        assert await _post(door, [_alert(group, number) for number in range(SIZE)]) == 200
    assert await _post(door, [_alert(0, 0, endsAt="2026-01-02T00:00:00Z")]) == 200
    assert circle.spooled("east") >= GROUPS
    await circle.start_centre()
    await eventually("the spool is empty", lambda: circle.spooled("east"), lambda depth: depth == 0, 60.0)
    (row,) = await circle.rows(
        "select count(*) as arrived from alert_log where kind = 'Arrived' and body is not null"
    )
    assert row["arrived"] >= GROUPS


async def _post(door: str, alerts: list[dict[str, Any]]) -> int:
    async with httpx.AsyncClient(timeout=10.0, verify=False) as client:
        try:
            return (await client.post(f"http://{door}/api/v2/alerts", json=alerts)).status_code
        except httpx.HTTPError:
            return 0


def _alert(group: int, number: int, **fields: str) -> dict[str, Any]:
    return {
        "labels": {
            "alertname": "Down",
            "service": f"s{group:03}",
            "instance": f"{group:03}-{number:02}",
            "cluster": "another",
        },
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2036-01-01T00:00:00Z",
        **fields,
    }


def _services(receiver: Webhook, status: str) -> set[str]:
    return {
        alert["labels"]["service"]
        for message in receiver.messages
        for alert in message.body["alerts"]
        if alert["status"] == status and "service" in alert["labels"]
    }
