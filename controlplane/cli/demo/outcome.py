"""What the demo has come to: does every sample run where it says it should, and was anything lost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from controlplane.client import Client

EXPECTED = "muster.dev/expect-clusters"
EXPECTED_AFTER_LOSS = "muster.dev/expect-clusters-after-loss"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """Rows of the API at one moment. after_loss: a cluster was lost before, and what moved stays moved."""

    clusters: Sequence[Row]
    workloads: Sequence[Row]
    placements: Sequence[Row]
    streams: Sequence[Row]
    after_loss: bool = False

    @property
    def misplaced(self) -> list[str]:
        """What of the samples is not as it says it should be."""
        return [text for row in self.workloads if (text := _misplaced(row, self.after_loss))]

    @property
    def quiet(self) -> bool:
        return all(
            row["reports_behind"] == 0 and row["orders_carried_out"] >= row["orders_sent"]
            for row in self.streams
        )


@dataclass(frozen=True)
class Outcome:
    """The JSON object of the demo's last line.

    orders_duplicated: carried out twice by one process. orders_repeated: again by an agent that a scene
    started anew, which cannot know how far the last one came.
    """

    ok: bool
    clusters: int
    nodes: int
    workloads: int
    orders_sent: int
    orders_carried_out: int
    reports_received: int
    reports_lost: int
    orders_duplicated: int
    orders_repeated: int
    seconds_to_first_placement: float | None
    scenes_played: tuple[str, ...]
    scenes_not_played: tuple[str, ...]
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def look(client: Client, after_loss: bool) -> Seen:
    return Seen(
        clusters=list(client.pages("/clusters")),
        workloads=list(client.pages("/workloads")),
        placements=list(client.pages("/placements")),
        streams=list(client.pages("/streams")),
        after_loss=after_loss,
    )


@dataclass(frozen=True)
class Course:
    """How the demo went. samples: how many workloads were applied. started_anew: clusters of such agents."""

    samples: int
    seconds_to_first_placement: float | None
    scenes_played: Sequence[str] = ()
    scenes_not_played: Sequence[str] = ()
    started_anew: Sequence[str] = ()
    trouble: Sequence[str] = ()


def outcome(seen: Seen, course: Course) -> Outcome:
    """A sample that is not there at all is a problem, too."""
    problems = [*seen.misplaced, *course.trouble]
    if len(seen.workloads) < course.samples:
        problems.append(f"{course.samples - len(seen.workloads)} samples are not there")

    def total(field: str) -> int:
        return sum(row[field] for row in seen.streams)

    repeated = sum(row["orders_repeated"] for row in seen.streams if row["cluster"] in course.started_anew)
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
        orders_duplicated=total("orders_repeated") - repeated,
        orders_repeated=repeated,
        seconds_to_first_placement=course.seconds_to_first_placement,
        scenes_played=tuple(course.scenes_played),
        scenes_not_played=tuple(course.scenes_not_played),
        problems=tuple(problems),
    )


def _misplaced(row: Row, after_loss: bool) -> str:
    annotation: str = row["annotations"].get(EXPECTED, "")
    if after_loss:
        annotation = row["annotations"].get(EXPECTED_AFTER_LOSS, annotation)
    expected = {name for name in annotation.split(",") if name}
    found: set[str] = set(row["clusters"])
    if expected and found != expected:
        return f"{row['name']} is in {_named(found)}, and should be in {_named(expected)}: {row['message']}"
    if row["state"] != "Running":
        return f"{row['name']} is {row['state']} ({row['ready']}/{row['replicas']}): {row['message']}"
    return ""


def _named(clusters: set[str]) -> str:
    return ", ".join(sorted(clusters)) or "no cluster"
