"""What runs is seen from outside: one trace through both programs, and numbers that Prometheus takes.

One installation for all: a centre, an agent with its door open, whoever collects their traces, a webhook.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from controlplane.embedded.processes import free_port
from tests.circle import Circle, config_map, deployment, eventually, only, running_circle, workload
from tests.peers.collector import Collector, Taken, collecting
from tests.peers.debian import Peers
from tests.peers.exposed import Exposed, all_missing
from tests.peers.test_rules import RULES, expressions, rules
from tests.served import Webhook, webhook

CONFIGURATION = """
route: {{receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers: [{{name: hook, webhook_configs: [{{url: "{url}"}}]}}]
"""
PAGE = Path(__file__).parents[2] / "docs" / "operations" / "observe.md"
PIPELINE = "4bf92f3577b34da6a3ce929d0e0e4736"
PROMETHEUS = "5bf92f3577b34da6a3ce929d0e0e4737"


@dataclass(frozen=True)
class Seen:
    """door: of the agent, for alerts. folder: for whatever a test writes."""

    circle: Circle
    collector: Collector
    hook: Webhook
    door: str
    folder: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Seen]:
    folder = tmp_path_factory.mktemp("observing")
    door = f"127.0.0.1:{free_port()}"
    async with AsyncExitStack() as stack:
        collector = stack.enter_context(collecting())
        # Both programs inherit it: they are started by this process.
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patched.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        hook = await stack.enter_async_context(webhook())
        path = folder / "alertmanager.yml"
        path.write_text(CONFIGURATION.format(url=hook.url))
        circle = await stack.enter_async_context(running_circle(settings={"MUSTER_ALERTS_CONFIG": str(path)}))
        await eventually("the centre is ready", circle.client.ready, lambda said: said["status"] == "ready")
        await circle.join("east", ["--simulate", "edge", "--seed", "1", "--alerts-listen", door])
        yield Seen(circle, collector, hook, door, folder)


async def apply(seen: Seen, path: Path, trace: str) -> None:
    """`muster apply`, as a pipeline starts it that is traced itself."""
    context = seen.circle.installation.context
    environment = {
        "MUSTER_URL": context.url,
        "MUSTER_TOKEN": context.token,
        "TRACEPARENT": f"00-{trace}-00f067aa0ba902b7-01",
    }
    muster = str(Path(sys.executable).with_name("muster"))
    process = await asyncio.create_subprocess_exec(
        muster, "apply", "-f", str(path), "--wait", env={**os.environ, **environment}
    )
    assert await process.wait() == 0


def lineage(spans: list[Taken], last: Taken) -> list[tuple[str, str]]:
    """(service, name) from the first span to this one."""
    by_id = {span.span: span for span in spans}
    path = [last]
    while path[0].parent in by_id:
        path.insert(0, by_id[path[0].parent])
    return [(span.service, span.name) for span in path]


@pytest.mark.asyncio(loop_scope="module")
async def test_one_trace_from_apply_to_the_order_carried_out(seen: Seen) -> None:
    file = seen.folder / "web.yaml"
    placed = workload("web", deployment("web", "shop", 1), config_map("web", "shop", a="b"), **only("east"))
    file.write_text(yaml.safe_dump(placed))
    await apply(seen, file, PIPELINE)
    collector = seen.collector

    def settled() -> list[Taken]:
        spans = [span for span in collector.of(PIPELINE) if span.name == "settle"]
        return [span for span in spans if span.attributes["muster.standing"] == "Ready"]

    ready = (await eventually("it is settled, and that is collected", settled))[0]
    spans = collector.of(PIPELINE)
    assert lineage(spans, ready) == [
        ("muster-centre", "PUT /api/v1/workloads/{name}"),
        ("muster-centre", "decide"),
        ("muster-centre", "publish order"),
        ("muster-agent", "carry out"),
        ("muster-agent", "report"),
        ("muster-centre", "settle"),
    ]
    assert ("muster-agent", "take order") in {(span.service, span.name) for span in spans}
    row = seen.circle.workload("web")["status"]
    (decision,) = (span for span in spans if span.name == "decide")
    (carried_out,) = (span for span in spans if span.name == "carry out")
    assert decision.attributes["muster.workload.uid"] == carried_out.attributes["muster.workload.uid"]
    assert decision.attributes["muster.workload.uid"] == row["uid"]
    assert decision.attributes["muster.reason"] == "Placed"
    assert decision.attributes["muster.versions"] == carried_out.attributes["muster.version"]
    assert ready.attributes["muster.cluster"] == seen.circle.cluster_id("east")
    reports = {(span.trace, span.span) for span in collector.spans if span.name == "take in reports"}
    assert set(decision.links) <= reports, "it links to the last report of the cluster that it chose"
    assert decision.links


@pytest.mark.asyncio(loop_scope="module")
async def test_one_trace_from_an_alert_to_the_webhook_that_hears_of_it(seen: Seen) -> None:
    alert = {"labels": {"alertname": "TracedAlert", "severity": "page"}}

    async def post() -> int:
        headers = {"traceparent": f"00-{PROMETHEUS}-00f067aa0ba902b7-01"}
        async with httpx.AsyncClient() as client:
            url = f"http://{seen.door}/api/v2/alerts"
            return (await client.post(url, json=[alert], headers=headers)).status_code

    assert await eventually("the door takes it", post, lambda status: status == 200)
    collector = seen.collector
    (told, *_) = await eventually(
        "the message is sent, and that is collected",
        lambda: [span for span in collector.of(PROMETHEUS) if span.name == "notify"],
    )
    # Each process sends its spans at its own pace.
    await eventually(
        "what led to it is collected",
        lambda: lineage(collector.of(PROMETHEUS), told),
        lambda seen: (
            seen
            == [
                ("muster-agent", "POST /api/v2/alerts"),
                ("muster-agent", "spool alerts"),
                ("muster-agent", "send alerts"),
                ("muster-centre", "commit alerts"),
                ("muster-centre", "notify"),
            ]
        ),
    )
    assert told.attributes["muster.receiver"] == "hook"
    assert told.attributes["muster.cluster"] == seen.circle.cluster_id("east")
    assert told.attributes["muster.delivered"] is True
    assert any("TracedAlert" in str(message.body) for message in seen.hook.messages)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_prometheus_scrapes_both_and_evaluates_every_rule(seen: Seen, peers: Peers) -> None:
    token = seen.folder / "token"
    token.write_text(seen.circle.installation.token)
    port = free_port()
    config = {
        "global": {"scrape_interval": "200ms", "evaluation_interval": "200ms"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {
                "job_name": "centre",
                "authorization": {"credentials_file": str(token)},
                "static_configs": [{"targets": [f"127.0.0.1:{seen.circle.installation.port}"]}],
            },
            {"job_name": "agent", "static_configs": [{"targets": [seen.door]}]},
        ],
    }
    path = seen.folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    with (seen.folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(peers.prometheus),
            f"--config.file={path}",
            f"--storage.tsdb.path={seen.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1") as client:
            await _scraped(client)
    finally:
        process.terminate()
        await process.wait()


async def _scraped(client: httpx.AsyncClient) -> None:
    async def ask(path: str) -> Any:
        try:
            return (await client.get(path)).json()["data"]
        except (httpx.HTTPError, ValueError):
            # It begins to listen before it answers.
            return {}

    def up(data: Any) -> bool:
        targets = data.get("activeTargets", ())
        return len(targets) == 2 and all(target["health"] == "up" for target in targets)

    await eventually("both are scraped", lambda: ask("/targets"), up)

    def evaluated(data: Any) -> bool:
        found = [rule for group in data.get("groups", ()) for rule in group["rules"]]
        return len(found) == len(rules()) and all(rule["health"] != "unknown" for rule in found)

    data = await eventually("every rule is evaluated", lambda: ask("/rules"), evaluated)
    found = [rule for group in data["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError", "") for rule in found if rule["health"] != "ok"} == {}
    firing = {rule["name"] for rule in found if rule["state"] == "firing"}
    assert not firing, "all is well here"


@pytest.mark.asyncio(loop_scope="module")
async def test_whatever_rules_and_dashboard_ask_for_is_exposed(seen: Seen) -> None:
    exposed = Exposed()
    async with httpx.AsyncClient() as client:
        installation = seen.circle.installation
        headers = {"Authorization": f"Bearer {installation.token}"}
        exposed.add((await client.get(f"{installation.url}/metrics", headers=headers)).text)
        exposed.add((await client.get(f"http://{seen.door}/metrics")).text)
    assert all_missing(exposed, expressions()) == {}
    told = re.findall(r"`(muster_\w+)(?:\{([\w,]+)\})?`", PAGE.read_text())
    assert [name for name, _ in told if not exposed.has(name)] == [], "what the page tells of is there"
    assert len(told) > 40
