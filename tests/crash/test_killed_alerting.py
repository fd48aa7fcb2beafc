"""The process that notifies is killed, at its seams and anywhere, in a storm of alerts, and started again.

Holds up promise 1 (what was answered 200 is there) and promise 4 (all of it is told of, or recorded; twice
only with the same idempotency key).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from controlplane.loops.lanes import UNRECORDED_AT_ONCE
from tests.circle import eventually
from tests.served import Message, Served, Webhook, webhook

GROUPS, SIZE = 200, 50
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
BOUND_SECONDS = 60.0


@dataclass
class Storm:
    served: Served
    webhook: Webhook
    dsn: str

    def firing(self) -> list[Message]:
        return [message for message in self.webhook.messages if message.status == "firing"]

    def resolved(self) -> list[Message]:
        return [message for message in self.webhook.messages if message.status == "resolved"]

    async def count(self, query: str) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def episodes(self, what: str) -> int:
        return await self.count(
            f"select count(distinct (fingerprint, starts_at)) from alert_history where what = '{what}'"
        )


@pytest_asyncio.fixture
async def storm(database: str, tmp_path: Path) -> AsyncGenerator[Storm]:
    async with webhook() as receiver:
        path = tmp_path / "alertmanager.yml"
        path.write_text(CONFIGURATION.format(url=receiver.url))
        environment = {"MUSTER_POSTGRES_DSN": database, "MUSTER_ALERTS_CONFIG": str(path)}
        served = Served(tmp_path / "centre", environment)
        yield Storm(served, receiver, database)
        await served.stop()


def alerts_of(group: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "labels": {
                "alertname": "Down",
                "service": f"s{group:03}",
                "instance": f"{group:03}-{number:02}",
            },
            "annotations": {"summary": "it does not answer"},
            "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "2036-01-01T00:00:00Z",
            **fields,
        }
        for number in range(SIZE)
    ]


def told_once(messages: list[Message]) -> None:
    """Nothing was told under two keys: what came twice bears the same one, and says the same."""
    keys: dict[str, set[str]] = {}
    for message in messages:
        keys.setdefault(message.group, set()).add(message.key)
        assert len(message.names) == SIZE
    assert {group: len(found) for group, found in keys.items()} == dict.fromkeys(keys, 1)
    assert len(keys) == GROUPS


@pytest.mark.promise(1, 4)
async def test_a_storm_in_which_the_one_that_notifies_dies_again_and_again(storm: Storm) -> None:
    await storm.served.start(failpoints="centre.after_flush_commit")
    posting = [asyncio.create_task(_post(storm, first)) for first in range(8)]

    await eventually("it dies after its commit", lambda: not storm.served.running)
    assert storm.webhook.messages == [], "committed, and not yet sent"
    await storm.served.start(failpoints="centre.after_send=20")
    await eventually("it dies after sending", lambda: not storm.served.running)
    await storm.served.start()
    await asyncio.gather(*posting)
    told = len(_groups(storm))
    await eventually("more is sent", lambda: _groups(storm), lambda now: len(now) >= min(told + 5, GROUPS))
    storm.served.kill()
    await storm.served.start()

    await eventually(
        "all groups are told of",
        lambda: _groups(storm),
        lambda groups: len(groups) == GROUPS,
        BOUND_SECONDS,
    )
    await eventually(
        "all is recorded",
        lambda: storm.count("select count(*) from alert_notice"),
        lambda pending: pending == 0,
        BOUND_SECONDS,
    )
    told_once(storm.firing())
    assert await storm.episodes("Notified") == GROUPS * SIZE
    assert await storm.episodes("Received") == GROUPS * SIZE
    listed = await storm.served.get("/api/v2/alerts")
    assert len(listed) == GROUPS * SIZE
    duplicates = sum(count - 1 for count in Counter(message.key for message in storm.firing()).values())
    assert duplicates <= 3 * UNRECORDED_AT_ONCE, "more than was under way when it died"

    storm.served.kill()
    before = len(storm.webhook.messages)
    await storm.served.start()
    await asyncio.sleep(3)
    assert len(storm.webhook.messages) == before, "a restart tells nothing again"
    await _resolve(storm)


def _groups(storm: Storm) -> set[str]:
    return {message.group for message in storm.firing()}


async def _post(storm: Storm, first: int) -> None:
    for group in range(first, GROUPS, 8):
        await storm.served.post(alerts_of(group))


async def _resolve(storm: Storm) -> None:
    """The ends arrive; the process is killed before it tells of them."""
    for group in range(GROUPS):
        await storm.served.post(alerts_of(group, endsAt="2026-01-02T00:00:00Z"))
    storm.served.kill()
    await storm.served.start()
    await eventually(
        "all ends are told of",
        lambda: {message.group for message in storm.resolved()},
        lambda groups: len(groups) == GROUPS,
        BOUND_SECONDS,
    )
    told_once(storm.resolved())


@pytest.mark.promise(4)
async def test_another_process_goes_on_when_the_one_that_notifies_is_killed(
    storm: Storm, tmp_path: Path
) -> None:
    other = Served(tmp_path / "other", storm.served.environment)
    await storm.served.start()
    await eventually("it leads", lambda: "role=alerting" in storm.served.log())
    await other.start()
    try:
        for group in range(20):
            await (storm.served if group % 2 else other).post(alerts_of(group))
        await eventually(
            "the other has followed",
            lambda: other.get("/api/v2/alerts"),
            lambda listed: len(listed) == 20 * SIZE,
        )
        await eventually("some are told of", lambda: len(storm.firing()), lambda count: count >= 5)
        storm.served.kill()
        for group in range(20, 40):
            await other.post(alerts_of(group))
        await eventually(
            "all are told of",
            lambda: {message.group for message in storm.firing()},
            lambda groups: len(groups) == 40,
            BOUND_SECONDS,
        )
        keys = {(message.group, message.key) for message in storm.firing()}
        assert len(keys) == 40
    finally:
        await other.stop()
