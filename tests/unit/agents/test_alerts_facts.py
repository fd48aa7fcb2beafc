"""What hurts in a cluster becomes an alert: workloads, warning events, GPUs, and the agent's own absence."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from agents.alerts.events import BUILT_IN, EventCounts, EventRule, Warned
from agents.alerts.gpus import GpuReading, gpu_troubles, read_metrics
from agents.alerts.nodes import node_troubles
from agents.alerts.offline import Offline
from agents.alerts.troubles import ClusterAlerts, Trouble, by_key, trouble
from agents.alerts.watch import AlertRules
from agents.alerts.writing import SpoolWriter
from agents.observe.events import Events, warned
from agents.observe.rows import NodeRow
from agents.ports import Forbidden
from agents.simulation.kubelets import CRASHES
from tests.unit.agents.test_alerts import SetClock, opened
from tests.unit.agents.world import AgentWorld, RealClock, apply_order, deployment

Labels = dict[str, str]
Look = tuple[float, list[Trouble]]
"""(when, what hurts then)"""


def named(troubles: dict[bytes, Trouble]) -> list[Labels]:
    return sorted((dict(each.labels) for each in troubles.values()), key=lambda each: sorted(each.items()))


class TestNodes:
    ROW = NodeRow("", {}, "", {}, (), (), "")
    EDGE = {"node-role.kubernetes.io/edge": ""}

    @pytest.mark.parametrize(
        ("labels", "silent", "expected"),
        [
            pytest.param({}, False, ("critical", "Broken", None), id="its kubelet says so"),
            pytest.param({}, True, ("critical", "Offline", None), id="its kubelet is silent"),
            pytest.param(EDGE, True, ("warning", "Offline", "true"), id="at the edge that is weather"),
            pytest.param(EDGE, False, ("critical", "Broken", "true"), id="broken at the edge"),
        ],
    )
    def test_offline_is_told_apart_from_broken(
        self, labels: Labels, silent: bool, expected: tuple[str, str, str | None]
    ) -> None:
        row = replace(self.ROW, name="a", labels=labels, silent=silent)
        (found,) = named(node_troubles({"a": row}))
        assert found["alertname"] == "NodeNotReady"
        assert (found["severity"], found["state"], found.get("edge")) == expected


class TestSaying:
    """A trouble is said when it lasts, and over when it is gone."""

    SLOW = trouble("Slow", "warning", "slow", {}, for_seconds=60)
    FLAPS = trouble("Flaps", "warning", "flaps", {}, keep_seconds=300)

    async def play(
        self, path: Path, looks: list[tuple[float, list[Trouble]]]
    ) -> list[tuple[str, float, bool]]:
        spool, clock = opened(path / "spool.sqlite"), SetClock(0.0)
        alerts = ClusterAlerts(SpoolWriter(spool, clock), clock)
        for clock.time, troubles in looks:
            await alerts.look(by_key(*troubles))
        return [
            (alert.labels["alertname"], batch.received_at, alert.ends_at <= batch.received_at)
            for batch in spool.after((0, 0), 1000)
            for alert in batch.alerts
        ]

    async def test_what_passes_by_is_not_said(self, tmp_path: Path) -> None:
        looks = [
            (10.0, [self.SLOW]),
            (69.0, [self.SLOW]),
            (70.0, []),
            (80.0, [self.SLOW]),
            (139.0, [self.SLOW]),
        ]
        assert await self.play(tmp_path, looks) == []

    async def test_what_lasts_is_said_once(self, tmp_path: Path) -> None:
        looks = [(10.0 + each, [self.SLOW]) for each in range(0, 200, 5)] + [(300.0, [])]
        assert await self.play(tmp_path, looks) == [("Slow", 70.0, False), ("Slow", 300.0, True)]

    async def test_what_comes_and_goes_is_over_when_it_was_gone_for_long(self, tmp_path: Path) -> None:
        looks: list[Look] = [
            (each, [self.FLAPS] if each % 200 < 20 else []) for each in map(float, range(10, 1000, 10))
        ]
        looks += [(each, []) for each in map(float, range(1000, 1400, 10))]
        assert await self.play(tmp_path, looks) == [("Flaps", 10.0, False), ("Flaps", 1110.0, True)]

    async def test_what_its_pods_did_is_over_when_they_are_gone(self, tmp_path: Path) -> None:
        spool, clock = opened(tmp_path / "spool.sqlite"), SetClock(10.0)
        alerts = ClusterAlerts(SpoolWriter(spool, clock), clock)
        pods = frozenset({("shop", "web-1"), ("shop", "web-2")})
        stuck = trouble("Stuck", "warning", "stuck", {}, keep_seconds=300, pods=pods)
        await alerts.look(by_key(stuck), pods={("shop", "web-1"): "", ("shop", "web-2"): ""})
        clock.time = 20.0
        await alerts.look({}, pods={("shop", "web-2"): "", ("shop", "new"): ""})
        assert spool.depth == 1
        clock.time = 30.0
        await alerts.look({}, pods={("shop", "new"): ""})
        assert spool.depth == 2

    async def test_what_fires_on_is_said_again_before_its_time_is_over(self, tmp_path: Path) -> None:
        down = trouble("Down", "critical", "down", {})
        looks = [(float(each), [down]) for each in range(10, 4 * 3600, 30)]
        said = await self.play(tmp_path, looks)
        assert [at for _, at, _ in said] == [10.0 + 1800 * each for each in range(8)]

    async def test_what_cannot_be_seen_neither_ends_nor_begins(self, tmp_path: Path) -> None:
        spool, clock = opened(tmp_path / "spool.sqlite"), SetClock(10.0)
        alerts = ClusterAlerts(SpoolWriter(spool, clock), clock)
        down = trouble("Down", "critical", "down", {"node": "a"})
        await alerts.look(by_key(down))
        await alerts.look({}, lambda labels: labels["node"] == "a")
        assert spool.depth == 1
        await alerts.look({})
        assert spool.depth == 2


def event(
    reason: str = "FailedMount", *, uid: str = "e1", count: int = 1, at: float = 1000.0, **rest: Any
) -> Warned:
    fields: dict[str, Any] = {
        "namespace": "shop",
        "kind": "Pod",
        "name": "web-1",
        "message": "said",
        "component": "kubelet",
        "first_at": at,
        **rest,
    }
    return Warned(uid=uid, reason=reason, count=count, at=at, **fields)


class TestEventRules:
    """Three times within ten minutes."""

    RULE = EventRule(alert="Mount", matchers=['reason="FailedMount"', 'kind="Pod"'], count=3)

    def names(self, counts: EventCounts, now: float, firing: set[bytes] | None = None) -> list[str]:
        return [each["alertname"] for each in named(counts.troubles(now, firing or set()))]

    @pytest.mark.parametrize(
        ("seen", "expected"),
        [
            pytest.param([event(count=2)], [], id="too few"),
            pytest.param([event(count=3)], ["Mount"], id="enough at once"),
            pytest.param(
                [event(count=1), event(count=2), event(count=3)], ["Mount"], id="a count that grows"
            ),
            pytest.param([event(count=2), event(count=2), event(count=2)], [], id="the same said again"),
            pytest.param([event(uid=each) for each in "abc"], ["Mount"], id="three events of one thing"),
            pytest.param([event(uid=each, name=each) for each in "abc"], [], id="one each of three things"),
            pytest.param([event("Unhealthy", count=9)], [], id="another reason"),
            pytest.param([event(count=9, kind="Node")], [], id="another kind"),
            pytest.param([event(count=9, at=300.0)], [], id="long ago"),
            pytest.param([event(count=9, first_at=0.0)], [], id="its count may be of long ago"),
        ],
    )
    def test_when_it_begins(self, seen: list[Warned], expected: list[str]) -> None:
        counts = EventCounts([self.RULE])
        for each in seen:
            counts.saw(each, 1001.0)
        assert self.names(counts, 1001.0) == expected

    def test_it_ends_when_a_whole_window_was_quiet(self) -> None:
        counts = EventCounts([self.RULE])
        for number in range(3):
            counts.saw(event(uid=str(number), at=1000.0 + 250 * number), 1000.0 + 250 * number)
        firing = set(counts.troubles(1500.0, set()))
        assert len(firing) == 1
        assert self.names(counts, 1700.0) == []
        assert self.names(counts, 1700.0, firing) == ["Mount"]
        assert self.names(counts, 2101.0, firing) == []

    def test_very_many_things_are_counted_in_bounds(self) -> None:
        counts = EventCounts([EventRule(alert="Any", matchers=['reason=~".+"'], count=1)])
        for number in range(20_000):
            counts.saw(event(uid=str(number), name=f"p{number}"), 1000.0)
        assert len(self.names(counts, 1000.0)) == 2_000

    def test_events_are_read_as_both_apis_write_them(self) -> None:
        old = (
            b'{"metadata":{"name":"x","uid":"u","resourceVersion":"1"},"type":"Warning","reason":"BackOff",'
            b'"message":"m","count":7,"firstTimestamp":"2026-01-01T00:00:00Z",'
            b'"lastTimestamp":"2026-01-01T00:10:00Z","involvedObject":{"kind":"Pod","namespace":"a",'
            b'"name":"p"},"source":{"component":"kubelet"}}'
        )
        new = (
            b'{"metadata":{"name":"x","uid":"u"},"type":"Warning","reason":"BackOff","message":"m",'
            b'"eventTime":"2026-01-01T00:00:00.000000Z","series":{"count":7,'
            b'"lastObservedTime":"2026-01-01T00:10:00.000000Z"},"involvedObject":{"kind":"Pod",'
            b'"namespace":"a","name":"p"},"reportingComponent":"kubelet","firstTimestamp":null,'
            b'"lastTimestamp":null,"count":null}'
        )
        assert warned(old, 0.0) == warned(new, 0.0)
        assert warned(old.replace(b"Warning", b"Normal"), 0.0) is None

    def test_the_rules_built_in_are_read(self) -> None:
        assert len(EventCounts(BUILT_IN).alertnames) == len(BUILT_IN)


DCGM = """# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a",device="nvidia0",modelName="H100",Hostname="x",container="c",\
namespace="ml",pod="train-0"} 80900
DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-a",device="nvidia0",modelName="H100",Hostname="x"} 100
DCGM_FI_DEV_XID_ERRORS{gpu="0",UUID="GPU-a",device="nvidia0",modelName="H100",Hostname="x"} 0
DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-a"} 60
DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-b",modelName="H100",Hostname="x"} 9223372036854775794
DCGM_FI_DEV_FB_FREE{gpu="1",UUID="GPU-b",modelName="H100",Hostname="x"} 81000
DCGM_FI_DEV_XID_ERRORS{gpu="1",UUID="GPU-b",modelName="H100",Hostname="x",err_code="79"} 79
DCGM_EXP_XID_ERRORS_COUNT{gpu="2",UUID="GPU-c",Hostname="x",window_size_in_ms="300000",xid="31"} 2
DCGM_EXP_XID_ERRORS_COUNT{gpu="2",UUID="GPU-c",Hostname="x",window_size_in_ms="300000",xid="13"} 0
DCGM_FI_DEV_FB_USED{gpu="3" garbage
DCGM_FI_DEV_FB_USED{gpu="3",UUID="GPU-d",GPU_I_ID="7"} 1e3
DCGM_FI_DEV_FB_FREE{gpu="3",UUID="GPU-d",GPU_I_ID="7"} 0
"""


class TestGpus:
    def test_what_an_exporter_says(self) -> None:
        found = {(each.gpu, each.instance): each for each in read_metrics(DCGM, "n1")}
        assert (found["0", ""].used, found["0", ""].free, found["0", ""].pod) == (80900, 100, "ml/train-0")
        assert found["1", ""].used == -1, "what DCGM could not read is not known"
        assert (found["1", ""].xids, found["2", ""].xids) == ((79,), (31,))
        assert {each.node for each in found.values()} == {"n1"}

    def test_full_memory_and_errors_are_troubles(self) -> None:
        found = named(gpu_troubles(read_metrics(DCGM, "n1")))
        assert [(each["alertname"], each["gpu"], each["severity"]) for each in found] == [
            ("GpuMemoryFull", "0", "warning"),
            ("GpuMemoryFull", "3", "warning"),
            ("GpuXidError", "1", "critical"),
            ("GpuXidError", "2", "warning"),
        ]
        assert found[2]["xid"] == "79"

    @pytest.mark.parametrize("text", ["", "DCGM_FI_DEV_FB_USED{", "\x00" * 1000, "<html>", "a" * 1_000_000])
    def test_garbage_says_nothing(self, text: str) -> None:
        assert read_metrics(text, "n1") == []

    def test_readings_are_bounded(self) -> None:
        text = "\n".join(f'DCGM_FI_DEV_FB_USED{{gpu="{each}",UUID="G{each}"}} 1' for each in range(5000))
        assert len(read_metrics(text, "n1")) == 256
        assert isinstance(read_metrics(text, "n1")[0], GpuReading)


class TestOffline:
    @pytest.mark.parametrize(
        ("heard_at", "started_at", "now", "expected"),
        [
            pytest.param(0.0, 1000.0, 1001.0, None, id="never heard before"),
            pytest.param(980.0, 500.0, 1000.0, None, id="a moment"),
            pytest.param(400.0, 300.0, 1000.0, ("CentreNotReached", 400.0, "600"), id="its link was away"),
            pytest.param(400.0, 995.0, 1000.0, ("AgentStopped", 400.0, "600"), id="it did not run"),
            pytest.param(
                400.0, 410.0, 1000.0, ("CentreNotReached", 400.0, "600"), id="restarted, and no link"
            ),
        ],
    )
    def test_what_is_told_afterwards(
        self, heard_at: float, started_at: float, now: float, expected: tuple[str, float, str] | None
    ) -> None:
        offline = Offline(heard_at, started_at)
        alert = offline.heard(now)
        if expected is None:
            assert alert is None
            return
        assert alert is not None
        assert (alert.labels["reason"], alert.starts_at, alert.annotations["duration_seconds"]) == expected
        assert alert.ends_at == now
        assert offline.heard(now + 1) is None, "once"

    def test_another_agent_that_spoke_meanwhile_was_there(self) -> None:
        offline = Offline(400.0, 995.0)
        offline.another_spoke()
        assert offline.heard(1000.0) is None


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncGenerator[AgentWorld]:
    made = AgentWorld(tmp_path, "datacentre")
    made.rules = AlertRules(
        (EventRule(alert="BackOffs", matchers=['reason="BackOff"'], count=1),), 0.2, 0.05, made.cluster.scrape
    )
    yield made
    await made.close()


def firing(world: AgentWorld) -> dict[str, Labels]:
    """What the centre has heard and not heard the end of, by name."""
    found: dict[str, Labels] = {}
    for batch in world.centre.alerts:
        for alert in batch.alerts:
            if alert.ends_at <= batch.received_at:
                found.pop(alert.labels["alertname"], None)
            else:
                found[alert.labels["alertname"]] = alert.labels
    return found


async def test_a_workload_that_fails_is_told_with_its_name_and_its_end(world: AgentWorld) -> None:
    world.start()
    body = deployment("w1")
    body["spec"]["template"]["metadata"]["annotations"] = {CRASHES: "true"}
    world.centre.order(apply_order("w1", 1, body))
    await world.until(lambda: {"WorkloadDown", "WorkloadPodsStuck"} <= firing(world).keys(), "it is down")
    down = firing(world)["WorkloadDown"]
    assert (down["workload"], down["namespace"], down["kind"], down["name"], down["severity"]) == (
        "w1",
        "shop",
        "Deployment",
        "web",
        "critical",
    )
    assert firing(world)["WorkloadPodsStuck"]["reason"] == "CrashLoopBackOff"
    world.centre.order(apply_order("w1", 2, deployment("w1")))
    await world.until(lambda: not {"WorkloadDown", "WorkloadPodsStuck"} & firing(world).keys(), "it runs")


async def test_a_job_that_failed_is_told(world: AgentWorld) -> None:
    template = deployment("w1")["spec"]["template"]
    template["metadata"]["annotations"] = {CRASHES: "true"}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "import", "namespace": "shop", "labels": template["metadata"]["labels"]},
        "spec": {"template": template, "backoffLimit": 0},
    }
    world.start()
    world.centre.order(apply_order("w1", 1, job))
    await world.until(lambda: "JobFailed" in firing(world), "it failed")
    assert firing(world)["JobFailed"]["name"] == "import"


async def test_what_fires_of_a_workload_goes_on_over_a_restart(world: AgentWorld) -> None:
    """Before its order has come again the new agent knows nothing of it, and says nothing."""
    world.start()
    body = deployment("w1")
    body["spec"]["template"]["metadata"]["annotations"] = {CRASHES: "true"}
    world.centre.order(apply_order("w1", 1, body))
    await world.until(lambda: "WorkloadDown" in firing(world), "it is down")
    await world.kill()
    heard = len(world.centre.alerts)
    world.start()
    await world.until(
        lambda: any(
            alert.labels["alertname"] == "WorkloadDown"
            for batch in world.centre.alerts[heard:]
            for alert in batch.alerts
        ),
        "said again",
    )
    ends = [
        alert.labels["alertname"]
        for batch in world.centre.alerts[heard:]
        for alert in batch.alerts
        if alert.ends_at <= batch.received_at
    ]
    assert "WorkloadDown" not in ends


async def test_warning_events_of_the_cluster_are_told_by_rules(world: AgentWorld) -> None:
    world.start()
    body = deployment("w1", replicas=1)
    body["spec"]["template"]["metadata"]["annotations"] = {CRASHES: "true"}
    world.centre.order(apply_order("w1", 1, body))
    await world.until(lambda: "BackOffs" in firing(world), "the event is counted")
    told = firing(world)["BackOffs"]
    assert (told["namespace"], told["kind"], told["reason"]) == ("shop", "Pod", "BackOff")


async def test_gpus_that_err_or_are_full_are_told_with_their_node(world: AgentWorld) -> None:
    world.start()
    world.cluster.trouble_gpu("gpu-001", 3, xid=79)
    await world.until(lambda: "GpuXidError" in firing(world), "the error is read")
    told = firing(world)["GpuXidError"]
    assert (told["node"], told["gpu"], told["xid"], told["severity"]) == ("gpu-001", "3", "79", "critical")
    world.cluster.trouble_gpu("gpu-001", 3)
    await world.until(lambda: "GpuXidError" not in firing(world), "it was reset")


async def test_where_rbac_hides_events_the_rest_goes_on(tmp_path: Path) -> None:
    world = AgentWorld(tmp_path)
    seen: list[Warned] = []

    class Hidden:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.cluster, name)

        def list(self, resource: Any, *, field_selector: str = "") -> Any:
            raise Forbidden("events is forbidden")

    events = Events(Hidden(), RealClock(), Random(1), lambda each, _: seen.append(each), resync_seconds=60)
    task = asyncio.create_task(events.run())
    async with asyncio.timeout(5):
        await events.listed.wait()
    assert not task.done()
    task.cancel()
    await world.close()
