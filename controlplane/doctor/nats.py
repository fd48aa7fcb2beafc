"""What the facts of a NATS come to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controlplane.doctor.checks import Check
from controlplane.doctor.findings import Finding
from controlplane.doctor.wording import bytes_text, seconds_text

OLDEST_VERSION = (2, 10)
SKEW_SECONDS, SKEW_SEVERE_SECONDS = 2.0, 30.0
FILLS_SHARE, FULL_SHARE = 0.8, 0.97
BEHIND_MESSAGES = 100
EXPIRES_DAYS = 21


@dataclass(frozen=True)
class ServerFacts:
    """skew_seconds: its clock less ours. store_bytes, store_most: of JetStream; most 0: not bounded."""

    name: str
    version: str
    jetstream: bool
    skew_seconds: float
    connections: int
    store_bytes: int = 0
    store_most: int = 0


@dataclass(frozen=True)
class StreamFacts:
    """differs: fields of its configuration that are not ours, as `field: theirs, not ours`."""

    name: str
    messages: int
    bytes: int
    bytes_most: int
    replicas: int
    differs: tuple[str, ...] = ()
    lagging: tuple[str, ...] = ()


@dataclass(frozen=True)
class CertificateFacts:
    """left_days: until it expires; error: why it is not trusted, "" where it is."""

    url: str
    left_days: float
    error: str = ""


@dataclass(frozen=True)
class NatsFacts:
    """streams: None for one that is not there. consumers: of ORDERS, by cluster: what is not yet delivered.

    accounts: ids that the resolver holds. Both None where nobody told.
    """

    url: str
    took_seconds: float
    servers: tuple[ServerFacts, ...]
    streams: Mapping[str, StreamFacts | None] = field(default_factory=dict[str, StreamFacts | None])
    consumers: Mapping[str, int] | None = None
    accounts: frozenset[str] | None = None
    jetstream: bool = True


def judge(facts: NatsFacts, clusters: Mapping[str, str]) -> Iterator[Check]:
    """clusters: those that are joined, name by id."""
    versions = ", ".join(sorted({f"{each.version}" for each in facts.servers})) or "version not told"
    old = any(_number(each.version) < OLDEST_VERSION for each in facts.servers)
    said = f"{facts.url}: {versions}, answers in {seconds_text(facts.took_seconds)}"
    if len(facts.servers) > 1:
        said += f", {len(facts.servers)} servers"
    yield Check("nats", said, Finding.NATS_OLD if old else None)
    for server in facts.servers:
        yield from _server(server, alone=len(facts.servers) == 1)
    if not facts.jetstream:
        yield Check("nats.jetstream", "it is not enabled, or not for our account", Finding.JETSTREAM_OFF)
        return
    for name, stream in facts.streams.items():
        yield _stream(name, stream, clustered=len(facts.servers) > 1)
    yield from _consumers(facts, clusters)
    yield from _accounts(facts, clusters)


def certificate(facts: CertificateFacts) -> Check:
    name, days = "certificate", facts.left_days
    if facts.error:
        return Check(name, facts.error, Finding.CERTIFICATE_UNTRUSTED, facts.url)
    if days <= 0:
        return Check(name, f"expired {-days:.0f} days ago", Finding.CERTIFICATE_EXPIRED, facts.url)
    expires = Finding.CERTIFICATE_EXPIRES if days < EXPIRES_DAYS else None
    return Check(name, f"expires in {days:.0f} days", expires, facts.url)


def _server(server: ServerFacts, *, alone: bool) -> Iterator[Check]:
    about, skew = "" if alone else server.name, abs(server.skew_seconds)
    yield Check(
        "nats.clock",
        f"{seconds_text(server.skew_seconds)} off this machine's",
        Finding.CLOCK_SKEWED if skew > SKEW_SECONDS else None,
        about,
        severe=skew > SKEW_SEVERE_SECONDS,
    )
    if server.store_most:
        used = server.store_bytes / server.store_most
        yield Check(
            "nats.store",
            f"{bytes_text(server.store_bytes)} of {bytes_text(server.store_most)}",
            Finding.DISK_FULL if used > FULL_SHARE else Finding.DISK_SCARCE if used > FILLS_SHARE else None,
            about,
        )


def _stream(name: str, stream: StreamFacts | None, *, clustered: bool) -> Check:
    if stream is None:
        return Check("nats.stream", "not there", Finding.STREAM_MISSING, name)
    if stream.differs:
        return Check("nats.stream", "; ".join(stream.differs), Finding.STREAM_DIFFERS, name)
    share = stream.bytes / stream.bytes_most if stream.bytes_most > 0 else 0.0
    said = f"{stream.messages:,} messages, {bytes_text(stream.bytes)} of {bytes_text(stream.bytes_most)}"
    finding = None
    if share > FILLS_SHARE:
        finding = Finding.STREAM_FULL if share > FULL_SHARE else Finding.STREAM_FILLS
    elif clustered and stream.replicas == 1:
        said, finding = f"{said}; kept once", Finding.STREAM_ONCE
    elif stream.lagging:
        said, finding = f"{said}; not current: {', '.join(stream.lagging)}", Finding.STREAM_ONCE
    return Check("nats.stream", said, finding, name)


def _consumers(facts: NatsFacts, clusters: Mapping[str, str]) -> Iterator[Check]:
    if facts.consumers is None:
        yield Check("nats.consumers", "they were not listed", Finding.CHECK_TIMED_OUT)
        return
    held = facts.consumers
    missing = sorted(name for cluster, name in clusters.items() if cluster not in held)
    behind = {
        name: held[cluster] for cluster, name in clusters.items() if held.get(cluster, 0) > BEHIND_MESSAGES
    }
    for name in missing:
        yield Check("nats.consumer", "its orders have no consumer", Finding.CONSUMER_MISSING, name)
    for name, waiting in sorted(behind.items()):
        yield Check("nats.consumer", f"{waiting:,} orders wait for it", Finding.CONSUMER_BEHIND, name)
    if not missing and not behind:
        yield Check("nats.consumers", f"{len(clusters):,}, one for each cluster; none behind")


def _accounts(facts: NatsFacts, clusters: Mapping[str, str]) -> Iterator[Check]:
    if facts.accounts is None:
        finding = Finding.CHECK_TIMED_OUT
        yield Check("nats.accounts", "the resolver does not list its accounts", finding)
        return
    missing = sorted(name for cluster, name in clusters.items() if cluster not in facts.accounts)
    for name in missing:
        yield Check("nats.account", "the resolver does not hold its account", Finding.ACCOUNT_MISSING, name)
    if not missing:
        yield Check("nats.accounts", f"{len(clusters):,} of clusters, all known to the resolver")


def _number(version: str) -> tuple[int, ...]:
    parts = version.split("-")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())
