"""Flap damping: what fires and ends again and again is told of once, and then not until it was quiet.

The rule is Nagios' in its simplest form: transitions counted in a window, and a quiet time to leave it.
"""

from collections.abc import Sequence

from controlplane.alerts.configuration import FlapDamping

KEPT = 64
"""Transitions remembered of one alert; no rule can ask for more."""


def with_transition(transitions: Sequence[float], at: float, rule: FlapDamping) -> tuple[float, ...]:
    """Those that still count, and one more. Unix seconds, the oldest first."""
    kept = [each for each in transitions if each > at - rule.window_seconds - rule.quiet_seconds]
    return (*kept, at)[-KEPT:]


def flapping_since(since: float, before: Sequence[float], at: float, rule: FlapDamping) -> float:
    """Since when it flaps, once it changed at `at`; 0: it does not.

    before: transitions until then. since: what this said at the last of them.
    """
    if held_until(with_transition(before, at, rule), at, rule) is None:
        return 0.0
    return since if since and before and at < before[-1] + rule.quiet_seconds else at


def held_until(transitions: Sequence[float], now: float, rule: FlapDamping) -> float | None:
    """Until when it is held, should it stay as it is; None: it is not held.

    Held from the moment at which it has changed more than `rule.transitions` times within the window, until
    it has not changed for `quiet_seconds`.
    """
    if not rule.transitions or not transitions or now >= transitions[-1] + rule.quiet_seconds:
        return None
    # Held once, it stays held while changes come closer together than the quiet time.
    for index in range(len(transitions) - 1, rule.transitions - 1, -1):
        if transitions[index] - transitions[index - rule.transitions] < rule.window_seconds:
            return transitions[-1] + rule.quiet_seconds
        if transitions[index] - transitions[index - 1] >= rule.quiet_seconds:
            return None
    return None
