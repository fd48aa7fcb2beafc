"""The scenes of the demo: a sandbox that one cluster has, a feature explained, quota lent and granted, an
owner told, a cluster lost.

A scene begins once every sample runs. What it shows is asked of the API, as anybody may ask.
"""

import asyncio
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.cli.demo.installation import Installation
from controlplane.cli.demo.lending import LENDING_SECONDS, Lending
from controlplane.cli.demo.outcome import Row, Seen
from controlplane.cli.demo.receivers import Receivers
from controlplane.client import Client, ClientError
from schemas.reasons import Reason
from schemas.wire.orders import Verb

LOST_AFTER_SECONDS = 6.0
TOLERATED_SECONDS = 4
"""By the sample that moves: its `tolerationSeconds`."""
LOSS_SECONDS = 18.0
ALERT_SECONDS = 20.0
"""What these scenes take, with some to spare."""
CRASHES = "simulation.muster.dev/crashes"
"""As an annotation of a pod: its containers end as soon as they are started."""
FAILS = "payments"
STEP_SECONDS = 30.0
READ_SECONDS = 3.0
"""Between two scenes, for people."""
SANDBOXED, ACCELERATED = "payments", "inference"
MOVES, STAYS = "dashboard", "historian"
LOST = "edge-07"


@dataclass(frozen=True)
class Line:
    """at: seconds since the demo began. lead: begins a scene."""

    at: float
    text: str
    lead: bool = False


class NotSeen(Exception):
    """What a scene waits for did not come within its bound."""


@dataclass
class Story:
    """Plays beside the watch, which tells it what is seen by `look`.

    for_seconds: of the whole demo, None for no end. hurried: nobody reads, so nothing waits for readers.
    """

    installation: Installation
    client: Client
    receivers: Receivers
    cluster_arguments: list[str]
    began: float
    for_seconds: float | None
    hurried: bool
    told: Callable[[Line], None]
    lines: list[Line] = field(default_factory=list[Line])
    played: list[str] = field(default_factory=list[str])
    not_played: list[str] = field(default_factory=list[str])
    problem: str = ""
    losing: bool = False
    lost: bool = False
    _seen: Seen = field(default_factory=lambda: Seen((), (), (), ()))
    _looked: asyncio.Event = field(default_factory=asyncio.Event)

    def look(self, seen: Seen) -> None:
        self._seen = seen
        self._looked.set()

    async def play(self) -> None:
        """Every scene that there is time for; a failure is in `problem`."""
        lending = Lending(self.installation, self.client, self._tell, self._until)
        scenes = (
            ("kata", self._sandbox, 0.0),
            ("amx", self._feature, 0.0),
            ("quota", lending.play, LENDING_SECONDS),
            ("alert", self._alert, ALERT_SECONDS),
            ("edge", self._loss, LOSS_SECONDS),
        )
        self.not_played = [name for name, _, _ in scenes]
        try:
            if self._has_room(LENDING_SECONDS):
                await lending.prepare()
            await self._until("every sample runs", _all_run, bound_seconds=None)
            for name, scene, seconds in scenes:
                if not self._has_room(seconds):
                    text = (
                        f"the scene {name} takes {seconds:.0f} s, and --for {self.for_seconds:g} has no room"
                    )
                    self._tell(f"{text} for it: it is not played", lead=True)
                    continue
                await scene()
                self.not_played.remove(name)
                self.played.append(name)
                await asyncio.sleep(0 if self.hurried else READ_SECONDS)
        except (NotSeen, ClientError) as error:
            self.problem = str(error)
            self._tell(self.problem)
        finally:
            self.losing = False

    def _has_room(self, seconds: float) -> bool:
        return self.for_seconds is None or time.monotonic() - self.began + seconds <= self.for_seconds

    async def _sandbox(self) -> None:
        self._tell(f"{SANDBOXED} wants the sandbox kata (spec.isolation)", lead=True)
        await self._tell_why(SANDBOXED)

    async def _feature(self) -> None:
        self._tell(
            f"{ACCELERATED} wants nodes with AMX (spec.features): muster explain {ACCELERATED}", lead=True
        )
        await self._tell_why(ACCELERATED)

    async def _tell_why(self, workload: str) -> None:
        body = await asyncio.to_thread(lambda: self.client.get(f"/workloads/{workload}/explain").body)
        for each in sorted(body["clusters"], key=lambda row: -row["replicas"]):
            if each["verdict"] == "Chosen":
                self._tell(f"{each['cluster']}: {each['replicas']} replicas")
            elif each["reasons"]:
                reason = each["reasons"][0]
                by_nodes = reason["reason"] == Reason.NO_NODE_FITS and each["nodes"]
                self._tell(f"{each['cluster']}: {reason['reason']}: {by_nodes or reason['message']}")

    async def _alert(self) -> None:
        """A revision that crashes; its owner hears, and hears that it is over."""
        was = await asyncio.to_thread(lambda: self.client.get(f"/workloads/{FAILS}").body["manifest"])
        await asyncio.to_thread(lambda: self.client.put(f"/workloads/{FAILS}", _crashing(was)))
        self._tell(f"{FAILS} gets a revision that crashes; its tenant retail is to hear of it", lead=True)
        await self._until_told("firing")
        await asyncio.sleep(0 if self.hurried else READ_SECONDS)
        await asyncio.to_thread(lambda: self.client.put(f"/workloads/{FAILS}", was))
        self._tell(f"the revision before is back: muster rollback {FAILS}")
        await self._until_told("resolved")
        await self._until("every sample runs again", _all_run)

    async def _until_told(self, status: str) -> None:
        if not await self.receivers.told(status, STEP_SECONDS):
            raise NotSeen(f"not within {STEP_SECONDS:g} s: the owner's webhook and robot hear {status}")
        webhook = next(each for each in self.receivers.webhook if each.status == status)
        robot = next(each for each in self.receivers.robot if each.status == status)
        about = ", ".join(
            f"{name}={webhook.labels[name]}"
            for name in ("alertname", "cluster", "tenant", "workload")
            if name in webhook.labels
        )
        counted = f"{webhook.alerts} alert" + ("s" if webhook.alerts > 1 else "")
        self._tell(f"the owner's webhook hears {status}: {counted}, {about}")
        self._tell(f"the owner's DingTalk robot hears: {robot.title}")

    async def _loss(self) -> None:
        self.losing = True
        await self.installation.stop_agent(LOST)
        self._tell(f"{LOST} goes dark: its agent is stopped", lead=True)
        self._tell(
            f"after {LOST_AFTER_SECONDS:g} s of silence it is lost; {MOVES} tolerates that for"
            f" {TOLERATED_SECONDS} s, then it is placed again"
        )
        await self._until(f"{LOST} is tainted", lambda seen: bool(_unreachable(_cluster(seen))))
        self.lost = True
        self._tell(f"{LOST} is Unknown, and tainted {_unreachable(_cluster(self._seen))}")
        await self._until(f"{MOVES} runs elsewhere", _moved)
        self._tell(f"{MOVES} runs again in {', '.join(_named(self._seen.workloads, MOVES)['clusters'])}")
        await self._tell_what_stays()
        await asyncio.sleep(0 if self.hurried else READ_SECONDS)
        await self.installation.start_agent(LOST, self.cluster_arguments)
        self._tell(f"the agent of {LOST} is started again")
        await self._until(f"{LOST} is Ready", lambda seen: _cluster(seen)["status"] == "Ready")
        await self._until(f"{MOVES} is withdrawn from {LOST}", lambda seen: not _left_over(seen))
        self._tell(f"{LOST} is Ready, and the old copy of {MOVES} is withdrawn from it")

    async def _tell_what_stays(self) -> None:
        for row in self._seen.placements:
            if row["cluster"] == LOST and row["verb"] == Verb.APPLY:
                why = row["refusals"][0]
                # What comes first is since when the cluster is lost, which everybody has just seen.
                text = why["message"].partition("; ")[2] or why["message"]
                self._tell(f"{row['workload']} stays: {why['reason']}: {text}")
        if STAYS not in {row["workload"] for row in self._seen.placements if row["cluster"] == LOST}:
            raise NotSeen(f"{STAYS} should have stayed in {LOST}, where its data is")

    async def _until(
        self, what: str, holds: Callable[[Seen], bool], bound_seconds: float | None = STEP_SECONDS
    ) -> None:
        try:
            async with asyncio.timeout(bound_seconds):
                while not holds(self._seen):
                    self._looked.clear()
                    await self._looked.wait()
        except TimeoutError:
            raise NotSeen(f"not within {bound_seconds:g} s: {what}") from None

    def _tell(self, text: str, *, lead: bool = False) -> None:
        line = Line(time.monotonic() - self.began, text, lead)
        self.lines.append(line)
        self.told(line)


def _all_run(seen: Seen) -> bool:
    return bool(seen.workloads) and not seen.misplaced


def _crashing(manifest: dict[str, Any]) -> dict[str, Any]:
    """The same workload, with pods that crash."""
    changed = copy.deepcopy(manifest)
    (deployment,) = changed["spec"]["manifests"]
    metadata = deployment["spec"]["template"].setdefault("metadata", {})
    metadata.setdefault("annotations", {})[CRASHES] = "true"
    return changed


def _cluster(seen: Seen) -> Row:
    return _named(seen.clusters, LOST)


def _named(rows: Sequence[Row], name: str) -> Row:
    for row in rows:
        if row["name"] == name:
            return row
    raise NotSeen(f"{name} is not there any more")


def _unreachable(cluster: Row) -> str:
    """The taint that Muster sets by itself, as people write it; "" without one."""
    ours: list[dict[str, Any]] = [each for each in cluster["effective_taints"] if each["since"]]
    return f"{ours[0]['key']}:{ours[0]['effect']}" if ours else ""


def _moved(seen: Seen) -> bool:
    row = _named(seen.workloads, MOVES)
    return row["state"] == "Running" and LOST not in row["clusters"]


def _left_over(seen: Seen) -> bool:
    return any(row["workload"] == MOVES and row["cluster"] == LOST for row in seen.placements)
