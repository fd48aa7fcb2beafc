"""Alerts of what a real API server says: events as both APIs write them, and workloads that fail."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio

from agents.agent import Agent, Member
from agents.alerts.events import EventRule, Warned
from agents.alerts.watch import AlertRules
from agents.keys import OrderKeys
from agents.kube import KubernetesApi, kubeconfig_access
from agents.observe.events import Events
from agents.simulation.kubelets import CRASHES
from agents.spool import Spool
from controlplane.embedded.kube import KubeControlPlane
from schemas.wire.alerts import Alert
from tests.unit.agents.world import (
    CLUSTER,
    PERIODS,
    SEALING,
    SIGNING,
    SUBJECTS,
    CentreDouble,
    RealClock,
    apply_order,
    deployment,
    withdraw_order,
)

BOUND_SECONDS = 40.0
Object = dict[str, Any]
BACK_OFFS = EventRule(alert="BackOffs", matchers=['reason="BackOff"', 'namespace=~"test-.*"'], count=3)


async def until(what: str, condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + BOUND_SECONDS
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {BOUND_SECONDS:g} s: {what}"
        await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def port(kube_api: KubeControlPlane) -> AsyncGenerator[KubernetesApi]:
    async with KubernetesApi(kubeconfig_access(kube_api.kubeconfig)) as each:
        yield each


@pytest_asyncio.fixture
async def admin(kube_api: KubeControlPlane) -> AsyncGenerator[httpx.AsyncClient]:
    async with kube_api.client() as client:
        yield client


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def old_event(namespace: str, count: int, **rest: Any) -> Object:
    """As kubelets write them."""
    at = now_text()[:19] + "Z"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"web.{uuid.uuid4().hex[:8]}", "namespace": namespace},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "web", "apiVersion": "v1"},
        "type": "Warning",
        "reason": "BackOff",
        "message": "Back-off restarting failed container",
        "count": count,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": "kubelet"},
        **rest,
    }


def new_event(namespace: str, count: int) -> Object:
    """As what uses events.k8s.io writes them."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"web.{uuid.uuid4().hex[:8]}", "namespace": namespace},
        "regarding": {"kind": "Pod", "namespace": namespace, "name": "web", "apiVersion": "v1"},
        "type": "Warning",
        "reason": "BackOff",
        "action": "Restarting",
        "note": "Back-off restarting failed container",
        "eventTime": now_text(),
        "series": {"count": count, "lastObservedTime": now_text()},
        "reportingController": "kubelet",
        "reportingInstance": "node-1",
    }


async def posted(admin: httpx.AsyncClient, event: Object) -> Object:
    namespace = event["metadata"]["namespace"]
    path = f"/apis/{event['apiVersion']}" if "/" in event["apiVersion"] else "/api/v1"
    answer = await admin.post(f"{path}/namespaces/{namespace}/events", json=event)
    assert answer.status_code == 201, answer.text
    return answer.json()


class TestEvents:
    @pytest.mark.parametrize("write", [old_event, new_event], ids=["core", "events.k8s.io"])
    async def test_a_warning_is_seen_with_its_count_by_whichever_api_it_was_written(
        self,
        port: KubernetesApi,
        admin: httpx.AsyncClient,
        kube_namespace: str,
        write: Callable[[str, int], Object],
    ) -> None:
        seen: list[Warned] = []
        await posted(admin, write(kube_namespace, 7))
        events = Events(port, RealClock(), Random(1), lambda each, _: seen.append(each), resync_seconds=60)
        task = asyncio.create_task(events.run())

        def mine() -> list[Warned]:
            return [each for each in seen if each.namespace == kube_namespace]

        await until("listed", lambda: len(mine()) == 1)
        await posted(admin, write(kube_namespace, 2))
        await posted(admin, old_event(kube_namespace, 9, type="Normal"))
        await posted(admin, write(kube_namespace, 3))
        await until("watched", lambda: len(mine()) == 3)
        task.cancel()
        assert [each.count for each in mine()] == [7, 2, 3]
        assert {(each.kind, each.name, each.reason, each.component) for each in mine()} == {
            ("Pod", "web", "BackOff", "kubelet")
        }
        assert all(abs(each.at - RealClock().now()) < 60 for each in mine())

    async def test_a_count_that_grows_is_seen_again(
        self, port: KubernetesApi, admin: httpx.AsyncClient, kube_namespace: str
    ) -> None:
        seen: list[Warned] = []
        events = Events(port, RealClock(), Random(1), lambda each, _: seen.append(each), resync_seconds=60)
        task = asyncio.create_task(events.run())
        event = await posted(admin, old_event(kube_namespace, 1))
        name = event["metadata"]["name"]
        answer = await admin.patch(
            f"/api/v1/namespaces/{kube_namespace}/events/{name}",
            json={"count": 4},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert answer.status_code == 200, answer.text
        await until("seen", lambda: any(each.count == 4 for each in seen if each.namespace == kube_namespace))
        task.cancel()


@dataclass
class Running:
    """An agent on a real API server, with a centre's double behind its bus."""

    centre: CentreDouble
    spool: Spool

    def told(self) -> list[tuple[Alert, bool]]:
        """Each alert that came, and whether it is over."""
        return [
            (alert, alert.ends_at <= batch.received_at)
            for batch in self.centre.alerts
            for alert in batch.alerts
        ]

    def fires(self, alertname: str, /, **labels: str) -> bool:
        last = [
            over
            for alert, over in self.told()
            if alert.labels["alertname"] == alertname and labels.items() <= alert.labels.items()
        ]
        return bool(last) and not last[-1]

    def ended(self, name: str) -> bool:
        return any(over for alert, over in self.told() if alert.labels["alertname"] == name)


@pytest_asyncio.fixture
async def running(kube_one: KubeControlPlane, port: KubernetesApi, tmp_path: Path) -> AsyncGenerator[Running]:
    spool, centre = Spool(tmp_path / "spool.sqlite"), CentreDouble()
    agent = Agent(
        Member(CLUSTER, SUBJECTS),
        port,
        centre,
        RealClock(),
        Random(1),
        OrderKeys(CLUSTER, bytes(SIGNING.verify_key), bytes(SEALING)),
        spool,
        f"holder-{uuid.uuid4().hex[:8]}",
        PERIODS,
        rules=AlertRules((BACK_OFFS,), degraded_seconds=1.0),
    )
    task = asyncio.create_task(agent.run())
    yield Running(centre, spool)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    spool.close()


async def test_a_workload_that_crashes_on_a_real_api_is_told_and_its_end_too(
    running: Running, kube_namespace: str
) -> None:
    workload = f"w{uuid.uuid4().hex[:8]}"
    good, bad = deployment(workload, "crashing"), deployment(workload, "crashing")
    for each in (good, bad):
        each["metadata"]["namespace"] = kube_namespace
    bad["spec"]["template"]["metadata"]["annotations"] = {CRASHES: "true"}
    running.centre.order(apply_order(workload, 1, bad))
    about = {"workload": workload, "namespace": kube_namespace, "kind": "Deployment", "name": "crashing"}
    await until("it is down", lambda: running.fires("WorkloadDown", **about))
    await until("and why", lambda: running.fires("WorkloadPodsStuck", reason="CrashLoopBackOff"))
    running.centre.order(apply_order(workload, 2, good))
    await until("it runs", lambda: running.ended("WorkloadDown"))
    running.centre.order(withdraw_order(workload, 3))
    await until("it is gone", lambda: (work := running.centre.work(workload)) is not None and not work.pods)


async def test_warning_events_on_a_real_api_are_told_by_rules(
    running: Running, admin: httpx.AsyncClient, kube_namespace: str
) -> None:
    await posted(admin, old_event(kube_namespace, 1))
    await posted(admin, new_event(kube_namespace, 2))
    await until("three together", lambda: running.fires("BackOffs", namespace=kube_namespace, name="web"))
