"""What a doctor makes of facts: each finding from the least that is wrong, and with a step that helps."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from controlplane.cli.main import app
from controlplane.doctor import clusters, machine, nats, postgres
from controlplane.doctor.advice import ADVICE
from controlplane.doctor.checks import MOST_ABOUT, Check, bounded, worst
from controlplane.doctor.findings import Finding, Level
from controlplane.doctor.machine import DiskFacts, KeysFacts
from controlplane.doctor.nats import CertificateFacts, NatsFacts, ServerFacts, StreamFacts
from controlplane.doctor.postgres import Delivery, Late, LeaseFacts, PostgresFacts
from controlplane.doctor.releases import releases_apart
from controlplane.known.known import Heard, Known
from controlplane.known.records import ClusterRecord, EpochRecord, Standing
from controlplane.known.replicas import Replica
from schemas.reasons import Reason
from schemas.wire.beats import Beat
from schemas.wire.orders import Version
from schemas.wire.reports import Refusal, Work, WorkState
from tests.unit import reports

GIB = 2**30
LEASE = LeaseFacts("host-1", 1_700_000_000, 4.0, 1)
POSTGRES = PostgresFacts(
    version="17.2",
    version_number=170002,
    embedded=False,
    read_only=False,
    settings={"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"},
    skew_seconds=0.01,
    took_seconds=0.02,
    connections=10,
    connections_most=100,
    long_seconds=1.0,
    standbys=(("second", "sync", 0.0),),
    missing=(),
    newest=9,
    leases={"deciding": LEASE, "alerting": LEASE},
    clusters={"AC": "north"},
)
THERE = Replica("a:8420", "deciding,alerting,api", "1", 2, hears=True, started_seconds=99.0, seen_seconds=2.0)
DEAD = replace(THERE, name="c:8420", wanted=0, seen_seconds=240.0)


def replicas(*found: Replica) -> PostgresFacts:
    return replace(POSTGRES, replicas=found)


OF_POSTGRES: dict[str, tuple[PostgresFacts, list[Finding]]] = {
    "all is well": (POSTGRES, []),
    "an old one": (replace(POSTGRES, version_number=130004), [Finding.POSTGRES_OLD]),
    "a standby": (replace(POSTGRES, read_only=True), [Finding.POSTGRES_READ_ONLY]),
    "fsync is off": (replace(POSTGRES, settings={"fsync": "off"}), [Finding.POSTGRES_NOT_DURABLE]),
    "no standby": (replace(POSTGRES, standbys=()), [Finding.NO_STANDBY]),
    "no standby of our own": (replace(POSTGRES, standbys=(), embedded=True), []),
    "no synchronous standby": (replace(POSTGRES, standbys=(("b", "async", 0.0),)), [Finding.NO_STANDBY]),
    "a standby that lags": (replace(POSTGRES, standbys=(("b", "sync", 99.0),)), [Finding.STANDBY_LAGS]),
    "its clock is off": (replace(POSTGRES, skew_seconds=-5.0), [Finding.CLOCK_SKEWED]),
    "few connections are left": (replace(POSTGRES, connections=95), [Finding.CONNECTIONS_SCARCE]),
    "a transaction that is open for long": (
        replace(POSTGRES, long_seconds=600.0),
        [Finding.TRANSACTION_LONG],
    ),
    "nothing in it": (replace(POSTGRES, missing=None), [Finding.DATABASE_EMPTY]),
    "of an older release": (replace(POSTGRES, missing=("0010_x.sql",)), [Finding.DATABASE_BEHIND]),
    "of a newer release": (replace(POSTGRES, newer="at 99"), [Finding.DATABASE_NEWER]),
    "nobody leads": (replace(POSTGRES, leases={"deciding": LEASE}), [Finding.NOBODY_LEADS]),
    "the lease has expired": (
        replace(POSTGRES, leases={"deciding": LEASE, "alerting": replace(LEASE, left_seconds=-1.0)}),
        [Finding.NOBODY_LEADS],
    ),
    "three were started anew one by one": (
        replace(POSTGRES, leases={"deciding": replace(LEASE, recent=3), "alerting": LEASE}),
        [],
    ),
    "and again": (
        replace(POSTGRES, leases={"deciding": replace(LEASE, recent=6), "alerting": LEASE}),
        [Finding.LEADERS_CHANGED],
    ),
    "two fight": (
        replace(POSTGRES, leases={"deciding": replace(LEASE, recent=40), "alerting": LEASE}),
        [Finding.LEADERS_FIGHT],
    ),
    "as many as there should be": (replicas(THERE, replace(THERE, name="b:8420")), []),
    "one of two is not there": (replicas(THERE), [Finding.REPLICAS_MISSING]),
    "one of two died": (replicas(THERE, replace(DEAD, wanted=2)), [Finding.REPLICAS_MISSING]),
    "one died, and another took its place": (
        replicas(THERE, replace(THERE, name="b:8420"), replace(DEAD, wanted=2)),
        [],
    ),
    "one died, and nobody said how many there should be": (
        replicas(replace(THERE, wanted=0), DEAD),
        [Finding.REPLICA_GONE],
    ),
    "one that NATS does not answer": (
        replicas(THERE, replace(THERE, name="b:8420", hears=False)),
        [Finding.REPLICA_DEAF],
    ),
    "NATS answers none of them": (replicas(replace(THERE, wanted=1, hears=False)), []),
    "fewer are wanted now": (
        replicas(replace(THERE, wanted=3), replace(THERE, name="b:8420", wanted=2, started_seconds=9.0)),
        [],
    ),
    "orders on their way": (replace(POSTGRES, unpublished=Late(9, 2.0)), []),
    "orders that are not sent": (replace(POSTGRES, unpublished=Late(9, 90.0)), [Finding.ORDERS_UNPUBLISHED]),
    "orders that nobody records": (
        replace(POSTGRES, unacknowledged={"AC": Late(3, 900.0)}),
        [Finding.ORDERS_UNACKNOWLEDGED],
    ),
    "the ledger differs": (replace(POSTGRES, unequal=("cpu of shop",)), [Finding.LEDGER_UNEQUAL]),
    "dead letters": (replace(POSTGRES, dead_letters={"AC": (3, "bad")}), [Finding.DEAD_LETTERS]),
    "a receiver fails": (
        replace(POSTGRES, deliveries={"ops": Delivery(0, 9, "500", failed_last=True)}),
        [Finding.RECEIVER_FAILS],
    ),
    "a receiver is well again": (
        replace(POSTGRES, deliveries={"ops": Delivery(1, 9, "", failed_last=False)}),
        [],
    ),
    "notices wait": (replace(POSTGRES, notices=Late(3, 900.0)), [Finding.NOTICES_WAIT]),
}

SERVER = ServerFacts("one", "2.11.4", jetstream=True, skew_seconds=0.0, connections=3)
STREAM = StreamFacts("MUSTER_STATE", 10, 100, 1000, 1)
NATS = NatsFacts(
    "nats:4222", 0.01, (SERVER,), {"MUSTER_STATE": STREAM}, consumers={"AC": 0}, accounts=frozenset({"AC"})
)


def streams(**fields: object) -> NatsFacts:
    return replace(NATS, streams={"MUSTER_STATE": replace(STREAM, **fields)})


def servers(**fields: object) -> NatsFacts:
    return replace(NATS, servers=(replace(SERVER, **fields),))


OF_NATS: dict[str, tuple[NatsFacts, list[Finding]]] = {
    "all is well": (NATS, []),
    "an old one": (servers(version="2.9.25"), [Finding.NATS_OLD]),
    "its clock is off": (servers(skew_seconds=60.0), [Finding.CLOCK_SKEWED]),
    "its disk fills": (servers(store_bytes=9, store_most=10), [Finding.DISK_SCARCE]),
    "its disk is full": (servers(store_bytes=10, store_most=10), [Finding.DISK_FULL]),
    "without JetStream": (replace(NATS, jetstream=False), [Finding.JETSTREAM_OFF]),
    "a stream is gone": (replace(NATS, streams={"MUSTER_STATE": None}), [Finding.STREAM_MISSING]),
    "a stream was changed": (streams(differs=("discard: old, not new",)), [Finding.STREAM_DIFFERS]),
    "a stream fills": (streams(bytes=900), [Finding.STREAM_FILLS]),
    "a stream is full": (streams(bytes=990), [Finding.STREAM_FULL]),
    "three servers, one copy": (
        replace(NATS, servers=(SERVER, replace(SERVER, name="two"))),
        [Finding.STREAM_ONCE],
    ),
    "a cluster without a consumer": (replace(NATS, consumers={}), [Finding.CONSUMER_MISSING]),
    "a cluster that takes no orders": (replace(NATS, consumers={"AC": 900}), [Finding.CONSUMER_BEHIND]),
    "a cluster that is not let in": (replace(NATS, accounts=frozenset()), [Finding.ACCOUNT_MISSING]),
    "consumers that nobody lists": (replace(NATS, consumers=None), [Finding.CHECK_TIMED_OUT]),
    "a resolver that does not tell": (replace(NATS, accounts=None), [Finding.CHECK_TIMED_OUT]),
}
OF_MACHINE: dict[str, tuple[Sequence[Check], list[Finding]]] = {
    "keys that fit": (list(machine.keys(KeysFacts("k", opens=True, signs=True))), []),
    "no keys": (list(machine.keys(KeysFacts("k", missing=True))), [Finding.KEYS_MISSING]),
    "damaged keys": (list(machine.keys(KeysFacts("k", error="x"))), [Finding.KEYS_MISSING]),
    "open keys": (list(machine.keys(KeysFacts("k", ["k/a"], error="x"))), [Finding.KEYS_OPEN]),
    "another master key": (list(machine.keys(KeysFacts("k", opens=False))), [Finding.KEYS_OF_ANOTHER]),
    "another signing key": (
        list(machine.keys(KeysFacts("k", opens=True, signs=False))),
        [Finding.KEYS_OF_ANOTHER],
    ),
    "room on the disk": ([machine.disk(DiskFacts("/", 50 * GIB, 100 * GIB))], []),
    "little room": ([machine.disk(DiskFacts("/", 5 * GIB, 100 * GIB))], [Finding.DISK_SCARCE]),
    "no room": ([machine.disk(DiskFacts("/", GIB // 10, 100 * GIB))], [Finding.DISK_FULL]),
    "nobody is told": ([machine.alerts_config("", [])], [Finding.ALERTS_UNCONFIGURED]),
    "a file with errors": ([machine.alerts_config("a.yml", ["3: x"])], [Finding.ALERTS_CONFIG_INVALID]),
    "a good certificate": ([nats.certificate(CertificateFacts("tls://a", 300.0))], []),
    "one that ends soon": (
        [nats.certificate(CertificateFacts("tls://a", 3.0))],
        [Finding.CERTIFICATE_EXPIRES],
    ),
    "one that has ended": (
        [nats.certificate(CertificateFacts("tls://a", -3.0))],
        [Finding.CERTIFICATE_EXPIRED],
    ),
    "one of nobody": (
        [nats.certificate(CertificateFacts("tls://a", 300.0, "self-signed"))],
        [Finding.CERTIFICATE_UNTRUSTED],
    ),
    "a loop that lags": ([clusters.lag(0.9)], [Finding.LOOP_LAGS]),
}


def findings(checks: Iterable[Check | None]) -> list[Finding]:
    return [check.finding for check in checks if check is not None and check.finding is not None]


@pytest.mark.parametrize(("facts", "expected"), OF_POSTGRES.values(), ids=OF_POSTGRES.keys())
def test_of_postgres(facts: PostgresFacts, expected: list[Finding]) -> None:
    assert findings(list(postgres.judge(facts))) == expected


@pytest.mark.parametrize(("facts", "expected"), OF_NATS.values(), ids=OF_NATS.keys())
def test_of_nats(facts: NatsFacts, expected: list[Finding]) -> None:
    assert findings(list(nats.judge(facts, {"AC": "north"}))) == expected


@pytest.mark.parametrize(("checks", "expected"), OF_MACHINE.values(), ids=OF_MACHINE.keys())
def test_of_the_machine(checks: Sequence[Check], expected: list[Finding]) -> None:
    assert findings(checks) == expected


NOW = 1_000_000.0
RECORD = ClusterRecord("C1", "north", {}, (), "uid", "key", b"", Standing.JOINED, "", 1, 1, 0.0)
BEAT = Beat(incarnation=1, sequence=1, clock=NOW, agent_version="1.4.0", highest=Version(1, 1))


def known(
    *, beat: Beat | None = BEAT, record: ClusterRecord = RECORD, at: float = NOW, whole: bool = True
) -> Known:
    made = Known(clusters={"C1": record}, epochs=(EpochRecord(1, 0),), last_generation=10)
    if beat is not None:
        made.heard["C1"] = Heard(at, 1, beat)
    if whole:
        tails = ("facts", f"profile.{reports.PLAIN}", "inventory.1-0", "usage.1-0")
        told = (reports.facts(), reports.profile(), reports.inventory("a b"), reports.usage(2))
        for tail, report in zip(tails, told, strict=True):
            reports.apply(made.fleet, "C1", tail, report)
    return made


def said(**fields: object) -> Known:
    return known(beat=msgspec.structs.replace(BEAT, **fields))


def refused() -> Known:
    made = known()
    refusal = Refusal(reason=Reason.AGENT_MAY_NOT, message="no")
    work = Work(incarnation=1, sequence=1, version=Version(1, 1), state=WorkState.REFUSED, refusals=[refusal])
    made.work["w"] = {"C1": work}
    return made


def behind() -> Known:
    return said(digests={f"work.{number}": ((1, 1), "") for number in range(60)})


OF_CLUSTERS: dict[str, tuple[Known, list[Finding]]] = {
    "all is well": (known(), []),
    "never heard": (known(beat=None), [Finding.CLUSTER_SILENT]),
    "silent": (
        known(at=NOW - 900, beat=msgspec.structs.replace(BEAT, clock=NOW - 900)),
        [Finding.CLUSTER_SILENT],
    ),
    "cut off": (known(record=replace(RECORD, standing=Standing.CUT_OFF)), [Finding.CUT_OFF]),
    "removed": (known(record=replace(RECORD, standing=Standing.REMOVED), beat=None), []),
    "not all nodes are here": (known(whole=False), [Finding.STATE_INCOMPLETE]),
    "ahead": (said(highest=Version(7, 1)), [Finding.AGENT_AHEAD]),
    "holding": (said(holding=True), [Finding.AGENT_HOLDING]),
    "a clock": (said(clock=NOW - 60), [Finding.CLOCK_SKEWED]),
    "a deep spool": (said(spool_depth=5_000), [Finding.SPOOL_DEEP]),
    "the release before": (said(agent_version="1.3.9"), []),
    "two releases before": (said(agent_version="1.2.0"), [Finding.AGENT_OLDER]),
    "the next release": (said(agent_version="1.5.0"), [Finding.AGENT_NEWER]),
    "without rights": (refused(), [Finding.AGENT_MAY_NOT]),
}


@pytest.mark.parametrize(("known", "expected"), OF_CLUSTERS.values(), ids=OF_CLUSTERS.keys())
def test_of_clusters(known: Known, expected: list[Finding]) -> None:
    assert findings(list(clusters.judge(known, NOW, "1.4.0", leads=True))) == expected


def test_lost_reports_are_told_of() -> None:
    made = behind()
    made.orders_in["C1"] = {str(number): None for number in range(60)}  # type: ignore[assignment]
    assert findings(list(clusters.judge(made, NOW, "1.4.0", leads=True))) == [Finding.REPORTS_BEHIND]


def test_who_hears_no_beats_says_so_and_blames_no_cluster() -> None:
    checks = list(clusters.judge(known(beat=None), NOW, "1.4.0", leads=False))
    assert findings(checks) == [Finding.HEARD_ELSEWHERE]


@pytest.mark.promise(7)
def test_every_finding_says_what_it_means_and_what_helps() -> None:
    assert set(ADVICE) == set(Finding)
    for finding, advice in ADVICE.items():
        assert advice.level is not Level.OK
        assert advice.means, finding
        assert advice.do, finding


def test_commands_that_are_advised_exist() -> None:
    from typer.main import get_command

    top = get_command(app)
    for finding, advice in ADVICE.items():
        for words in re.findall(r"\bmuster ((?:[a-z-]+ ?)+)", advice.do):
            command = top
            for word in words.split():
                if not hasattr(command, "commands"):
                    break
                if word not in command.commands:
                    assert command is not top, (finding, words)
                    break
                command = command.commands[word]


def test_pages_that_are_advised_exist() -> None:
    for advice in ADVICE.values():
        for page in re.findall(r"docs/\S+\.md", advice.do):
            assert (Path(__file__).parents[2] / page).exists(), page


def test_a_check_keeps_its_shape() -> None:
    made = Check("cluster.ready", "it holds what was never issued", Finding.AGENT_AHEAD, "north")
    assert made.as_data() == {
        "check": "cluster.ready",
        "about": "north",
        "level": "fail",
        "finding": "AgentAhead",
        "message": "it holds what was never issued",
        "means": "it holds orders that this database never issued",
        "do": "muster recover north",
    }
    assert worst(["ok", "warn", "ok"]) is Level.WARN
    assert worst([]) is Level.OK


def test_a_thousand_silent_clusters_are_ten_lines_and_a_number() -> None:
    many = [Check("cluster.ready", "", Finding.CLUSTER_SILENT, f"c{number}") for number in range(1000)]
    told = bounded([Check("api", "answers"), *many])
    assert len(told) == 1 + MOST_ABOUT + 1
    assert told[-1].message == "990 more"


VERSIONS = {
    ("1.4.0", "1.4.9"): 0,
    ("1.5.0", "1.4.0"): 1,
    ("1.2.0", "1.4.0"): -2,
    ("2.0.0", "1.4.0"): 100,
    ("dev", "1"): 0,
}


@pytest.mark.parametrize(("versions", "apart"), VERSIONS.items())
def test_releases_apart(versions: tuple[str, str], apart: int) -> None:
    assert releases_apart(*versions) == apart
