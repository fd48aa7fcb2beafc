"""What the centre does not confirm in time, the agent sends by itself: once, whoever dies, and it says so."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agents.alerts.fallback import Answer, Fallback
from agents.alerts.fallback_file import BadFile, FallbackFile, FallbackReceiver, read_fallback_file
from agents.alerts.webhook import fingerprint
from agents.alerts.writing import SpoolWriter
from agents.spool import Spool
from schemas.wire.alerts import Alert, SentLocally
from tests.simulation.virtual_time import VirtualLoop, WorldClock

SIREN = FallbackReceiver(receiver="siren", matchers=['severity="critical"'], url="http://siren.test/")
LIGHT = FallbackReceiver(
    receiver="light", matchers=['node=~"edge-.*"'], url="http://light.test/", after_seconds=600
)
OK = Answer(True, False, "HTTP 200")
BUSY = Answer(False, True, "HTTP 503")
NO = Answer(False, False, "HTTP 400: no such thing")


@dataclass(frozen=True)
class Posted:
    at: float
    receiver: str
    key: str
    body: dict[str, Any]

    @property
    def what(self) -> list[tuple[str, str]]:
        return [(each["labels"]["alertname"], each["status"]) for each in self.body["alerts"]]


@dataclass
class Site:
    """A spool, its fallback, and what local receivers got, in virtual time from 0."""

    path: Path
    clock: WorldClock
    files: FallbackFile = field(default_factory=lambda: FallbackFile(fallback=[SIREN]))
    answers: list[Answer] = field(default_factory=list[Answer])
    posted: list[Posted] = field(default_factory=list[Posted])
    before: float = 0.0

    def __post_init__(self) -> None:
        self.before = self.clock.now()
        self._task: asyncio.Task[None] | None = None
        self.spool = self.start()

    def start(self) -> Spool:
        self.spool = Spool(self.path)
        self.spool.begin(self.spool.incarnation + 1, renumber_from=self.spool.incarnation + 1)
        self.writer = SpoolWriter(self.spool, self.clock)
        fallback = Fallback(self.files, self.writer, self.clock, Random(1), self._post)
        self._task = asyncio.create_task(fallback.run())
        return self.spool

    async def kill(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.spool.close()

    async def _post(self, receiver: FallbackReceiver, key: str, body: bytes) -> Answer:
        await asyncio.sleep(0)
        self.posted.append(Posted(self.now, receiver.receiver, key, json.loads(body)))
        return self.answers.pop(0) if self.answers else OK

    @property
    def now(self) -> float:
        return self.clock.now() - self.before

    async def until(self, at: float) -> None:
        await self.clock.sleep(at - self.now)

    async def fires(self, name: str, **labels: str) -> None:
        given = {"alertname": name, "severity": "critical", **labels}
        await self.writer.write([Alert(labels=given, starts_at=self.clock.now())])

    async def ends(self, name: str, started: float = 0.0, **labels: str) -> None:
        given = {"alertname": name, "severity": "critical", **labels}
        now = self.clock.now()
        await self.writer.write([Alert(labels=given, starts_at=self.before + started, ends_at=now)])

    def confirm_all(self) -> None:
        """The centre has committed everything."""
        self.spool.trim((self.spool.incarnation, 1_000_000))

    def recorded(self) -> list[SentLocally]:
        return [each for batch in self.spool.after((0, 0), 1000) for each in batch.sent_locally]


def in_virtual_time(path: Path, story: Callable[[Site], Any], **site: Any) -> Site:
    loop = VirtualLoop()
    made: list[Site] = []

    async def main() -> None:
        made.append(Site(path / "spool.sqlite", WorldClock(loop), **site))
        await story(made[0])
        await made[0].kill()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return made[0]


@pytest.mark.promise(6)
def test_what_is_not_confirmed_within_two_minutes_is_sent_and_recorded(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.until(300)
        await site.fires("Fire", node="a")
        await site.fires("Smoke", severity="warning")
        await site.until(419)
        assert site.posted == []
        await site.until(430)
        (posted,) = site.posted
        assert posted.what == [("Fire", "firing")]
        assert 420 <= posted.at <= 423
        (sent,) = site.recorded()
        assert (sent.receiver, sent.delivered, sent.key) == ("siren", True, posted.key)
        assert [(each.labels["alertname"], each.starts_at) for each in sent.firing] == [
            ("Fire", site.before + 300)
        ]
        assert site.spool.after((0, 0), 10)[-1].alerts == []
        await site.until(4000)
        assert len(site.posted) == 1

    in_virtual_time(tmp_path, story)


@pytest.mark.promise(6)
def test_what_the_centre_confirms_in_time_is_not_sent(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for second in range(0, 600, 30):
            await site.until(second)
            await site.fires("Fire", number=str(second))
            await site.until(second + 20)
            site.confirm_all()
        await site.until(1200)

    assert in_virtual_time(tmp_path, story).posted == []


def test_who_was_told_that_it_began_is_told_that_it_ended_even_when_the_centre_is_back(
    tmp_path: Path,
) -> None:
    async def story(site: Site) -> None:
        await site.fires("Fire")
        await site.until(200)
        site.confirm_all()
        await site.until(250)
        await site.ends("Fire")
        site.confirm_all()
        await site.until(260)
        assert [each.what for each in site.posted] == [[("Fire", "firing")], [("Fire", "resolved")]]
        # And if it begins anew, that is another matter.
        await site.fires("Fire")
        await site.until(400)
        assert site.posted[-1].what == [("Fire", "firing")]

    in_virtual_time(tmp_path, story)


def test_what_ended_before_anybody_was_told_stays_with_the_centre(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.fires("Fire")
        await site.until(110)
        await site.ends("Fire")
        await site.until(1000)
        assert site.posted == []
        assert len(site.spool.after((0, 0), 10)) == 2

    in_virtual_time(tmp_path, story)


def test_each_receiver_has_its_own_matchers_and_patience(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.fires("Fire", node="edge-1")
        await site.fires("Cold", node="edge-2", severity="info")
        await site.until(1000)
        assert [(each.receiver, each.what) for each in site.posted] == [
            ("siren", [("Fire", "firing")]),
            ("light", [("Fire", "firing"), ("Cold", "firing")]),
        ]
        assert site.posted[1].at >= 600

    in_virtual_time(tmp_path, story, files=FallbackFile(fallback=[SIREN, LIGHT]))


def test_what_fires_on_is_told_again_after_its_time_and_not_at_every_report(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for minute in range(0, 9 * 60, 2):
            await site.until(60 * minute)
            await site.fires("Fire")
        assert [round(each.at / 3600, 1) for each in site.posted] == [0.0, 4.0, 8.0]

    in_virtual_time(tmp_path, story)


@pytest.mark.parametrize(
    ("answers", "attempts", "delivered"),
    [
        pytest.param([BUSY, BUSY, OK], 3, True, id="busy, and then not"),
        pytest.param([NO], 1, False, id="refused: not tried again"),
        pytest.param([BUSY] * 1000, None, False, id="busy until it is given up"),
    ],
)
def test_attempts_are_bounded_and_the_outcome_is_recorded(
    tmp_path: Path, answers: list[Answer], attempts: int | None, delivered: bool
) -> None:
    async def story(site: Site) -> None:
        await site.fires("Fire")
        await site.until(2000)
        (sent,) = site.recorded()
        assert sent.delivered is delivered
        assert sent.attempts == len(site.posted)
        assert len({each.key for each in site.posted}) == 1
        if attempts is not None:
            assert sent.attempts == attempts
        assert sent.at - site.before < 120 + SIREN.give_up_seconds + 60
        if not delivered:
            # Nobody was told: the next report of it is tried again.
            site.answers = []
            await site.fires("Fire")
            await site.until(2200)
            assert site.recorded()[-1].delivered

    in_virtual_time(tmp_path, story, answers=list(answers))


@pytest.mark.promise(1, 6)
def test_after_a_restart_it_is_neither_forgotten_nor_sent_twice(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.fires("Told")
        await site.until(130)
        await site.fires("Later")
        assert len(site.posted) == 1
        await site.kill()
        await site.until(200)
        site.start()
        await site.until(1000)
        assert [each.what for each in site.posted] == [[("Told", "firing")], [("Later", "firing")]]
        await site.kill()
        site.start()
        await site.ends("Told")
        await site.ends("Later", 130.0)
        await site.until(2000)
        assert sorted(site.posted[-1].what) == [("Later", "resolved"), ("Told", "resolved")]
        assert len(site.posted) == 3

    in_virtual_time(tmp_path, story)


@pytest.mark.promise(1)
def test_numbering_anew_leaves_nothing_unlooked_at(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.fires("First")
        await site.until(100)
        await site.fires("Second")
        await site.until(130)
        site.spool.begin(7, renumber_from=0)
        await site.until(140)
        await site.fires("Third")
        await site.until(300)
        assert [each.what[0][0] for each in site.posted] == ["First", "Second", "Third"]

    in_virtual_time(tmp_path, story)


@pytest.mark.promise(6)
def test_an_hour_away_is_told_once_here_and_replayed_in_order_afterwards(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        names: list[str] = []
        for minute in range(60):
            await site.until(60 * minute)
            await site.fires(f"Fire{minute:02}")
            names.append(f"Fire{minute:02}")
            if minute >= 10:
                await site.ends(f"Fire{minute - 10:02}", 60.0 * (minute - 10))
        await site.until(3600 + 300)
        told = [each for posted in site.posted for each in posted.what]
        assert [name for name, status in told if status == "firing"] == names
        assert [name for name, status in told if status == "resolved"] == names[:50]
        batches = site.spool.after((0, 0), 1000)
        assert [batch.stamp for batch in batches] == [(1, number + 1) for number in range(len(batches))]
        replayed = [
            alert.labels["alertname"] for batch in batches for alert in batch.alerts if not alert.ends_at
        ]
        assert replayed == names
        recorded = [each.labels["alertname"] for sent in site.recorded() for each in sent.firing]
        assert recorded == names

    in_virtual_time(tmp_path, story)


def test_a_storm_comes_as_few_messages(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for part in range(0, 5000, 500):
            alerts = [
                Alert(labels={"alertname": "Storm", "severity": "critical", "n": str(number)}, starts_at=1.0)
                for number in range(part, part + 500)
            ]
            await site.writer.write(alerts)
        await site.until(300)
        assert sum(len(each.body["alerts"]) for each in site.posted) == 5000
        assert len(site.posted) <= 25

    in_virtual_time(tmp_path, story)


@pytest.mark.promise(1, 6)
def test_killed_between_sending_and_recording_it_sends_the_same_once_more(tmp_path: Path) -> None:
    """The only duplicate there may be, and it bears the same key."""
    script = tmp_path / "dying.py"
    script.write_text(
        "import asyncio, sys, time\n"
        "from random import Random\n"
        "from agents.alerts import fallback as sending\n"
        "from agents.alerts.fallback import Answer, Fallback\n"
        "from agents.alerts.fallback_file import FallbackFile, FallbackReceiver\n"
        "from agents.alerts.writing import SpoolWriter\n"
        "from agents.clock import SystemClock\n"
        "from agents.spool import Spool\n"
        "from schemas.wire.alerts import Alert\n"
        "sending.LOOK_SECONDS = 0.1\n"
        "async def post(receiver, key, body):\n"
        "    print('POSTED', key, flush=True)\n"
        "    return Answer(True, False, 'HTTP 200')\n"
        "async def main():\n"
        "    spool = Spool(sys.argv[1])\n"
        "    first = not spool.incarnation\n"
        "    spool.begin(spool.incarnation + 1, renumber_from=spool.incarnation + 1)\n"
        "    clock = SystemClock()\n"
        "    writer = SpoolWriter(spool, clock)\n"
        "    if first:\n"
        "        await writer.write([Alert(labels={'alertname': 'Fire'}, starts_at=1.0)])\n"
        "    receiver = FallbackReceiver(receiver='siren', matchers=['alertname=Fire'],\n"
        "                                url='http://siren.test', after_seconds=1)\n"
        "    fallback = Fallback(FallbackFile(fallback=[receiver]), writer, clock, Random(1), post)\n"
        "    running = asyncio.create_task(fallback.run())\n"
        "    await asyncio.sleep(2.0)\n"
        "    running.cancel()\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "spool.sqlite"

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(script), str(path)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.getcwd(), **environment},
        )

    def posted(ended: subprocess.CompletedProcess[str]) -> list[str]:
        return [line.split()[1] for line in ended.stdout.splitlines() if line.startswith("POSTED")]

    killed = run(MUSTER_FAILPOINTS="agent.after_local_send=1")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = run()
    assert again.returncode == 0, again.stderr
    assert posted(again) == posted(killed)
    assert len(posted(killed)) == 1
    assert posted(run()) == []
    spool = Spool(path)
    sent = [each for batch in spool.after((0, 0), 100) for each in batch.sent_locally]
    assert [each.key for each in sent] == posted(killed)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("fallback: 3", "fallback: Input should be a valid list", id="no list"),
        pytest.param("fallback: [{receiver: a}]", "fallback.0.matchers: Field required", id="no matchers"),
        pytest.param(
            "fallback: [{receiver: a, matchers: [x], url: 'http://x'}]", "'x' is no matcher", id="no matcher"
        ),
        pytest.param(
            "fallback: [{receiver: a, matchers: ['x=~\"(\"'], url: 'http://x'}]",
            "no pattern of RE2",
            id="regex",
        ),
        pytest.param(
            "fallback: [{receiver: a, matchers: ['x=y'], url: 'ftp://x'}]", "https:// is expected", id="url"
        ),
        pytest.param(
            "fallback: [{receiver: a, matchers: ['x=y'], url: 'http://x', sooner: 1}]",
            "sooner: Extra",
            id="extra",
        ),
        pytest.param("{", "while parsing", id="no YAML"),
    ],
)
def test_a_bad_file_is_refused_by_the_name_of_the_field(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "fallback.yaml"
    path.write_text(text)
    with pytest.raises(BadFile) as refused:
        read_fallback_file(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


def test_the_message_is_the_webhook_of_alertmanager(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.fires("Fire", node="a")
        await site.fires("Fire", node="b")
        await site.until(200)
        body = site.posted[0].body
        assert list(body) == [
            "receiver",
            "status",
            "alerts",
            "groupLabels",
            "commonLabels",
            "commonAnnotations",
            "externalURL",
            "version",
            "groupKey",
            "truncatedAlerts",
        ]
        assert body["commonLabels"] == {"alertname": "Fire", "cluster": "edge-07", "severity": "critical"}
        assert body["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
        assert body["alerts"][0]["fingerprint"] == fingerprint(body["alerts"][0]["labels"])

    in_virtual_time(tmp_path, story, files=FallbackFile(fallback=[SIREN], labels={"cluster": "edge-07"}))


def test_fingerprints_are_those_of_alertmanager() -> None:
    # prometheus/common: model.LabelSet{}.Fingerprint() is the offset basis of FNV-1a 64.
    assert fingerprint({}) == "cbf29ce484222325"
