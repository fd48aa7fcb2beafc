"""An alert: what somebody reported under one set of labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Labels = Mapping[str, str]

NOTHING: Labels = {}


@dataclass(frozen=True, slots=True)
class Owned:
    """Whose an alert is, as far as the fleet knows. Labels beside the reported ones; never of its identity.

    labels: `tenant`, `workload`, where known. annotations: `placement`, `preceding_change`, where known.
    receivers: names of receivers that `receiver: owner` stands for; emails: of owners without such a name.
    """

    labels: Labels = field(default_factory=dict[str, str])
    annotations: Labels = field(default_factory=dict[str, str])
    receivers: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()


NOBODYS = Owned()


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert at its last report. Times are Unix seconds.

    identity: the labels as reported, sorted by name (and `cluster`, which the centre sets for what comes from
    an agent); fingerprint: 16 hex digits, FNV-1a 64 over them as Alertmanager has it.
    ends_at: when it is resolved; in the future it fires still. timed: nobody said an end, it is updated_at
    plus resolve_timeout. source: id of the cluster whose agent brought it, "" for the centre's own doors.
    """

    fingerprint: str
    identity: Labels
    annotations: Labels
    starts_at: float
    ends_at: float
    updated_at: float
    timed: bool = False
    generator_url: str = ""
    source: str = ""
    owned: Owned = NOBODYS

    @property
    def labels(self) -> Labels:
        """What routes, silences and templates see: the reported ones, and whose it is, which knows better."""
        return {**self.identity, **self.owned.labels} if self.owned.labels else self.identity

    def resolved(self, now: float) -> bool:
        return self.ends_at <= now

    @property
    def episode(self) -> tuple[str, float]:
        """One outbreak of it: what history, acknowledgements and promise 4 are counted by."""
        return self.fingerprint, self.starts_at

    @property
    def characters(self) -> int:
        """About how large it is."""
        pairs = (*self.identity.items(), *self.annotations.items())
        return sum(len(name) + len(value) for name, value in pairs) + len(self.generator_url)
