"""What the demo has come to: does every sample run where it says it should, and was anything lost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from controlplane.client import Client

EXPECTED = "muster.dev/expect-clusters"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """Rows of the API at one moment."""

    clusters: Sequence[Row]
    workloads: Sequence[Row]
    streams: Sequence[Row]

    @property
    def misplaced(self) -> list[str]:
        """What of the samples is not as it says it should be."""
        return [text for row in self.workloads if (text := _misplaced(row))]

    @property
    def quiet(self) -> bool:
        return all(
            row["reports_behind"] == 0 and row["orders_carried_out"] >= row["orders_sent"]
            for row in self.streams
        )


@dataclass(frozen=True)
class Outcome:
    """The JSON object of the demo's last line."""

    ok: bool
    clusters: int
    nodes: int
    workloads: int
    orders_sent: int
    orders_carried_out: int
    reports_received: int
    reports_lost: int
    orders_duplicated: int
    seconds_to_first_placement: float | None
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def look(client: Client) -> Seen:
    return Seen(
        list(client.pages("/clusters")), list(client.pages("/workloads")), list(client.pages("/streams"))
    )


def outcome(seen: Seen, samples: int, seconds_to_first_placement: float | None, ended: str) -> Outcome:
    """samples: how many workloads were applied; one that is not there at all is a problem, too."""
    problems = list(seen.misplaced)
    if len(seen.workloads) < samples:
        problems.append(f"{samples - len(seen.workloads)} samples are not there")
    if ended:
        problems.append(ended)

    def total(field: str) -> int:
        return sum(row[field] for row in seen.streams)

    lost = total("reports_behind")
    if lost:
        problems.append(f"{lost} subjects do not stand at their last report")
    return Outcome(
        ok=not problems,
        clusters=len(seen.clusters),
        nodes=sum(row["nodes"] for row in seen.clusters),
        workloads=len(seen.workloads),
        orders_sent=total("orders_sent"),
        orders_carried_out=total("orders_carried_out"),
        reports_received=total("reports_received"),
        reports_lost=lost,
        orders_duplicated=total("orders_repeated"),
        seconds_to_first_placement=seconds_to_first_placement,
        problems=tuple(problems),
    )


def _misplaced(row: Row) -> str:
    annotation: str = row["annotations"].get(EXPECTED, "")
    expected = {name for name in annotation.split(",") if name}
    found: set[str] = set(row["clusters"])
    if expected and found != expected:
        return f"{row['name']} is in {_named(found)}, and should be in {_named(expected)}: {row['message']}"
    if row["state"] != "Running":
        return f"{row['name']} is {row['state']} ({row['ready']}/{row['replicas']}): {row['message']}"
    return ""


def _named(clusters: set[str]) -> str:
    return ", ".join(sorted(clusters)) or "no cluster"
