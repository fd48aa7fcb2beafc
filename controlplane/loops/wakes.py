"""The wake-ups of a leader's loops: who notices something wakes who has to look."""

from dataclasses import dataclass, field

from controlplane.loops.running import Wake


@dataclass
class Wakes:
    place: Wake = field(default_factory=Wake)
    dispatch: Wake = field(default_factory=Wake)
    settle: Wake = field(default_factory=Wake)
    releasing: Wake = field(default_factory=Wake)
    watchdog: Wake = field(default_factory=Wake)
    limits: Wake = field(default_factory=Wake)
