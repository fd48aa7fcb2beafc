"""Which warning events become alerts: rules with matchers, a count, and a window. Pure.

What a rule counts is told by namespace, kind, name and reason. It begins when as many are seen within the
window as the rule says, and ends when none is seen for a whole window.
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agents.alerts.troubles import Trouble, trouble
from agents.matching import Matcher, all_hold, read_matcher

MOST_COUNTED = 2_000
MOST_SEEN = 10_000
_SEVERITIES = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True)
class Warned:
    """One warning event as it stands. count: so often so far. at: of the last time. Unix seconds."""

    uid: str
    namespace: str
    kind: str
    name: str
    reason: str
    message: str
    component: str
    count: int
    first_at: float
    at: float

    @property
    def labels(self) -> dict[str, str]:
        """What rules may match."""
        return {
            "namespace": self.namespace,
            "kind": self.kind,
            "name": self.name,
            "reason": self.reason,
            "message": self.message,
            "component": self.component,
        }


def _is_matcher(text: str) -> str:
    read_matcher(text)
    return text


def _is_severity(text: str) -> str:
    if text not in _SEVERITIES:
        raise ValueError(f"one of {', '.join(_SEVERITIES)} is expected")
    return text


class EventRule(BaseModel):
    """matchers: of namespace, kind, name, reason, message, component."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alert: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")
    matchers: list[Annotated[str, AfterValidator(_is_matcher)]] = Field(min_length=1, max_length=20)
    count: int = Field(1, ge=1, le=10_000)
    window_seconds: float = Field(600.0, ge=1, le=86_400)
    severity: Annotated[str, AfterValidator(_is_severity)] = "warning"


class EventRulesFile(BaseModel):
    """The whole of MUSTER_AGENT_EVENT_RULES_FILE: instead of the rules built in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: list[EventRule] = Field(max_length=100)


def _rule(alert: str, matchers: Sequence[str], count: int, severity: str = "warning") -> EventRule:
    return EventRule(
        alert=alert, matchers=list(matchers), count=count, window_seconds=600.0, severity=severity
    )


BUILT_IN = (
    _rule("PodNotScheduled", ['reason="FailedScheduling"'], 5),
    _rule("VolumeNotMounted", ['reason=~"FailedMount|FailedAttachVolume|FailedMapVolume"'], 3),
    _rule("PodSandboxFailed", ['reason="FailedCreatePodSandBox"'], 5),
    _rule("ContainerBackOff", ['reason="BackOff"'], 5),
    _rule("OutOfMemoryKilled", ['reason=~"OOMKilling|SystemOOM"'], 1, "critical"),
    _rule("PodsEvicted", ['reason=~"Evicted|EvictionThresholdMet"'], 1),
    _rule("PodsNotCreated", ['reason="FailedCreate"'], 5),
    _rule("DiskFailing", ['reason=~"FilesystemIsReadOnly|Ext4Error|IOError"'], 1, "critical"),
)
CountedKey = tuple[int, str, str, str, str]
"""(number of the rule, namespace, kind, name, reason)"""


@dataclass
class _Counted:
    """times: (when, how many), the oldest first."""

    times: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    total: int = 0
    last: str = ""


class EventCounts:
    """What was seen within the windows: of at most MOST_COUNTED things, those that were quiet longest go."""

    def __init__(self, rules: Sequence[EventRule] = BUILT_IN) -> None:
        self._rules = list(rules)
        self._matchers: list[list[Matcher]] = [
            [read_matcher(each) for each in rule.matchers] for rule in rules
        ]
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._counted: OrderedDict[CountedKey, _Counted] = OrderedDict()

    @property
    def alertnames(self) -> frozenset[str]:
        return frozenset(rule.alert for rule in self._rules)

    def saw(self, warned: Warned, now: float) -> None:
        """One event as it stands now; it may have been seen before, with a lower count."""
        before = self._seen.get(warned.uid)
        self._seen[warned.uid] = warned.count
        self._seen.move_to_end(warned.uid)
        while len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        for number, rule in enumerate(self._rules):
            oldest = now - rule.window_seconds
            if warned.at < oldest or not all_hold(self._matchers[number], warned.labels):
                continue
            if before is None:
                # How many of an older one's count lie within the window, nobody knows: one at least.
                fresh = warned.count if warned.first_at >= oldest else 1
            else:
                fresh = warned.count - before
            if fresh > 0:
                self._count(number, warned, fresh)

    def _count(self, number: int, warned: Warned, fresh: int) -> None:
        key = number, warned.namespace, warned.kind, warned.name, warned.reason
        counted = self._counted.setdefault(key, _Counted())
        counted.times.append((warned.at, fresh))
        counted.total += fresh
        counted.last = warned.message
        if len(counted.times) > self._rules[number].count:
            # More are not needed to know that there are enough: the two oldest become one.
            _, merged = counted.times.popleft()
            at, second = counted.times.popleft()
            counted.times.appendleft((at, merged + second))
        self._counted.move_to_end(key)
        while len(self._counted) > MOST_COUNTED:
            self._counted.popitem(last=False)

    def troubles(self, now: float, firing: Collection[bytes]) -> dict[bytes, Trouble]:
        """By key. firing: keys of what fires already, which goes on as long as anything is seen."""
        found: dict[bytes, Trouble] = {}
        for key, counted in list(self._counted.items()):
            rule = self._rules[key[0]]
            while counted.times and counted.times[0][0] < now - rule.window_seconds:
                counted.total -= counted.times.popleft()[1]
            if not counted.times:
                del self._counted[key]
                continue
            each = _trouble(rule, key, counted)
            if counted.total >= rule.count or each.key in firing:
                found[each.key] = each
        return found


def _trouble(rule: EventRule, key: CountedKey, counted: _Counted) -> Trouble:
    _, namespace, kind, name, reason = key
    what = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
    about: Mapping[str, str] = {
        "namespace": namespace,
        "kind": kind,
        "name": name,
        "reason": reason,
        "node": name if kind == "Node" else "",
    }
    minutes = rule.window_seconds / 60
    return trouble(
        rule.alert,
        rule.severity,
        f"{what}: {reason}, {counted.total} times within {minutes:g} minutes",
        about,
        counted.last,
    )
