"""The demo's course: start, join, apply, watch, end; whatever happens, everything is taken down."""

import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path

from rich.live import Live

from controlplane.cli.demo.installation import Installation
from controlplane.cli.demo.members import MEMBERS, simulated_arguments, start_api_server
from controlplane.cli.demo.outcome import EXPECTED, Course, Outcome, Seen, look, outcome
from controlplane.cli.demo.receivers import Receivers
from controlplane.cli.demo.screen import Screen
from controlplane.cli.demo.story import (
    LOST,
    LOST_AFTER_SECONDS,
    Line,
    Story,
)
from controlplane.cli.files import address, document, read_manifests
from controlplane.cli.output import console
from controlplane.client import Client, ClientError, context_path, write_context
from controlplane.embedded.processes import ServerDidNotStart
from schemas.manifests import Manifest, Workload

SAMPLES = Path(__file__).parents[3] / "deploy" / "samples"
LOOK_SECONDS = 0.5
JOIN_SECONDS = 60.0
_QUICK_TO_MISS = {"MUSTER_BEAT_LOST_SECONDS": str(LOST_AFTER_SECONDS)}
"""A usual installation waits longer than a reader does."""


def run_demo(*, for_seconds: float | None, as_json: bool, kube: bool) -> int:
    """The exit code: 0 only if every sample runs where it says it should, or a person has ended it."""
    try:
        demo = _Demo(for_seconds, as_json=as_json, kube=kube)
        result = asyncio.run(demo.run())
    except ServerDidNotStart as error:
        raise ClientError(str(error)) from error
    if as_json:
        print(json.dumps(result.as_json()), flush=True)
    elif demo.left:
        # Whoever ended it may have changed the samples in the meantime: that is no failure.
        return 0
    else:
        for problem in result.problems:
            console(errors=True).print(problem, style="red")
    return 0 if result.ok else 1


class _Demo:
    def __init__(self, for_seconds: float | None, *, as_json: bool, kube: bool) -> None:
        self._for_seconds = for_seconds
        self._as_json = as_json
        self._kube = kube
        self._began = time.monotonic()
        self._first_placement: float | None = None
        self._stopping = asyncio.Event()
        self._samples: Sequence[Manifest] = ()
        self._arguments: dict[str, list[str]] = {}
        self.left = False

    async def run(self) -> Outcome:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        self._samples = read_manifests([SAMPLES])
        async with AsyncExitStack() as stack:
            folder = _make_folder(stack)
            receivers = Receivers()
            await receivers.open()
            stack.push_async_callback(receivers.close)
            receivers.write_configuration(folder / "alerts.json")
            environment = {**_QUICK_TO_MISS, "MUSTER_ALERTS_CONFIG": str(folder / "alerts.json")}
            installation = Installation(folder, centre_environment=environment)
            stack.push_async_callback(installation.stop)
            self._say("starting NATS, Postgres and the centre")
            await installation.start_centre()
            client = stack.enter_context(installation.client())
            self._keep_context(stack, installation)
            await self._start_members(stack, installation, client)
            await self._apply(client)
            result = await self._watch(installation, client, receivers)
            self._say("taking everything down")
        self._say("nothing is left running")
        return result

    async def _start_members(self, stack: AsyncExitStack, installation: Installation, client: Client) -> None:
        for seed, member in enumerate(MEMBERS, start=1):
            self._say(f"starting member cluster {member.name}" + (" on an API server" if self._kube else ""))
            cluster = (
                await start_api_server(stack, installation.folder / "kube", member)
                if self._kube
                else simulated_arguments(member, seed)
            )
            self._arguments[member.name] = cluster
            joining = installation.invite(client, member.name, member.labels)
            await installation.start_agent(member.name, [*cluster, *joining])

    async def _apply(self, client: Client) -> None:
        """What wants all clusters to be here waits until they have joined."""
        waiting = [each for each in self._samples if _wants_all_clusters(each)]
        self._say(f"applying {len(self._samples)} samples")
        for manifest in self._samples:
            if manifest not in waiting:
                client.put(address(manifest), document(manifest))
        deadline = time.monotonic() + JOIN_SECONDS
        while not self._stopping.is_set() and time.monotonic() < deadline:
            seen = await asyncio.to_thread(look, client, False)
            self._note_first_placement(seen)
            if all(row["status"] == "Ready" for row in seen.clusters) and len(seen.clusters) == len(MEMBERS):
                break
            await self._stopped_within(LOOK_SECONDS)
        for manifest in waiting:
            client.put(address(manifest), document(manifest))

    async def _watch(self, installation: Installation, client: Client, receivers: Receivers) -> Outcome:
        screen = Screen(installation.url, self._began, _command())
        live = None if self._as_json else Live(console=console(), refresh_per_second=4, transient=False)
        shown = live is not None and live.console.is_terminal
        story = Story(
            installation=installation,
            client=client,
            receivers=receivers,
            cluster_arguments=self._arguments[LOST],
            began=self._began,
            for_seconds=self._for_seconds,
            hurried=self._for_seconds is not None or self._as_json,
            told=_unsaid if shown else self._say_line,
        )
        playing = asyncio.create_task(story.play())
        with live or nullcontext():
            while True:
                seen = await asyncio.to_thread(look, client, story.lost)
                story.look(seen)
                self._note_first_placement(seen)
                if live is not None:
                    live.update(screen.draw(seen, self._first_placement, story.lines))
                ended = installation.ended()
                over = self._over() and not story.losing
                if playing.done():
                    playing.result()
                if ended or over or await self._stopped_within(LOOK_SECONDS):
                    playing.cancel()
                    await asyncio.wait([playing])
                    return await self._end(client, seen, story, ended)

    async def _end(self, client: Client, seen: Seen, story: Story, ended: str) -> Outcome:
        """Lost is only what is still missing once all is quiet."""
        self.left = self._stopping.is_set() and not ended
        deadline = time.monotonic() + JOIN_SECONDS / 2
        while not ended and not self._stopping.is_set() and time.monotonic() < deadline:
            if seen.quiet and not seen.misplaced:
                break
            await self._stopped_within(LOOK_SECONDS)
            seen = await asyncio.to_thread(look, client, story.lost)
            self._note_first_placement(seen)
        course = Course(
            samples=sum(isinstance(manifest, Workload) for manifest in self._samples),
            seconds_to_first_placement=self._first_placement,
            scenes_played=story.played,
            scenes_not_played=story.not_played,
            started_anew=[LOST] if story.lost else [],
            trouble=[text for text in (ended, story.problem) if text],
        )
        return outcome(seen, course)

    def _note_first_placement(self, seen: Seen) -> None:
        if self._first_placement is None and any(row["ready"] for row in seen.workloads):
            self._first_placement = round(time.monotonic() - self._began, 2)

    def _over(self) -> bool:
        return self._for_seconds is not None and time.monotonic() - self._began > self._for_seconds

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    def _keep_context(self, stack: AsyncExitStack, installation: Installation) -> None:
        """So that `muster get clusters` in another terminal finds the demo; what was there comes back."""
        path = context_path()
        before = path.read_bytes() if path.exists() else None
        write_context(installation.context)

        def put_back() -> None:
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)

        stack.callback(put_back)

    def _say_line(self, line: Line) -> None:
        self._say(line.text if line.lead else f"  {line.text}")

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.1f} s  {text}", file=sys.stderr, flush=True)


def _wants_all_clusters(manifest: Manifest) -> bool:
    """A group is passed over for good, and a feature refused, while the cluster that has it is not here.

    What is divided over several stays where it was divided first.
    """
    if not isinstance(manifest, Workload):
        return False
    several = "," in manifest.metadata.annotations.get(EXPECTED, "")
    return several or bool(manifest.spec.placement.cluster_affinities or manifest.spec.features)


def _unsaid(_: Line) -> None:
    """The screen shows it."""


def _command() -> str:
    """How a person types `muster` here: by its path where it is on no search path."""
    return "muster" if shutil.which("muster") else sys.argv[0]


def _make_folder(stack: AsyncExitStack) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="muster-demo-"))
    # Postgres does not run as root; its own account must be able to get in.
    folder.chmod(0o755)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder
