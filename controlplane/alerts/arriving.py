"""A report arrives: what it changes of what is known of its alert."""

from dataclasses import replace

from controlplane.alerts.alert import NOBODYS, Alert
from controlplane.alerts.configuration import FlapDamping
from controlplane.alerts.flapping import flapping_since, with_transition
from controlplane.alerts.groups import Record
from controlplane.alerts.merging import merged, overlap

MOST_EARLIER = 1_024
"""Episodes of one alert that are remembered until its group is looked at."""


def refreshes(old: Alert, new: Alert, now: float) -> bool:
    """Whether it says no more than that the alert still fires, as nearly all reports do."""
    return (
        new.ends_at > now
        and old.ends_at > now
        and new.updated_at >= old.updated_at
        and (new.starts_at == old.starts_at or old.starts_at < new.starts_at < old.ends_at)
    )


def refreshed(old: Alert, new: Alert) -> Alert:
    """As merged() has it where refreshes() holds; mostly the report itself, which costs nothing."""
    ends_at = old.ends_at if old.ends_at > new.ends_at and not old.timed else new.ends_at
    if (
        new.identity is old.identity
        and old.owned is NOBODYS
        and new.starts_at == old.starts_at
        and new.ends_at == ends_at
    ):
        return new
    # Spelt out: replace() takes three times as long, and this is done for each alert that an agent brings.
    return Alert(
        old.fingerprint,
        old.identity,
        new.annotations,
        old.starts_at,
        ends_at,
        new.updated_at,
        new.timed,
        new.generator_url,
        new.source,
        old.owned,
    )


def take(record: Record, new: Alert, at: float, entry: int, damping: FlapDamping) -> bool:
    """Any other report. True when an episode began or ended, goes on after an end, or began earlier.

    at: when it was accepted. An episode that gives way before anybody looked is kept in `earlier`.
    """
    old = record.alert
    result = merged(old, new, at)
    if result is old and not overlap(old, new):
        _give_way(record, new.starts_at, entry)
    if result is old or _repeats_an_end(record, result, at, entry):
        return False
    fired, fires = old.ends_at > at, result.ends_at > at
    another = result.starts_at != old.starts_at and not overlap(old, new)
    record.alert = replace(result, identity=old.identity, owned=old.owned)
    if result.starts_at != old.starts_at:
        # History counts episodes by their start: one that turns out to have begun earlier is another there.
        _give_way(record, old.starts_at, entry)
        record.began, record.began_at = entry, at
        for group in record.groups:
            group.reasons.pop(old.fingerprint, None)
    if not another and fired == fires:
        return result.starts_at != old.starts_at
    record.changed = entry
    if fires:
        for group in record.groups:
            group.reasons.pop(old.fingerprint, None)
    turned(record, at, damping)
    return True


def turned(record: Record, at: float, damping: FlapDamping) -> None:
    """It began or ended at `at`."""
    if damping.transitions:
        record.flapping_since = flapping_since(record.flapping_since, record.transitions, at, damping)
        record.transitions = with_transition(record.transitions, at, damping)


def _give_way(record: Record, starts_at: float, entry: int) -> None:
    """An episode that nobody will look at any more; not one whose end was told of."""
    seen = any(each == starts_at for each, _ in record.earlier)
    if not seen and any(record.alert.fingerprint in group.members for group in record.groups):
        record.earlier = (*record.earlier, (starts_at, entry))[-MOST_EARLIER:]


def _repeats_an_end(record: Record, result: Alert, at: float, entry: int) -> bool:
    """Somebody says again that it is resolved, and that was told of: the end stays the one that was told."""
    old = record.alert
    if old.ends_at > at or result.ends_at > at or not overlap(old, result):
        return False
    return any(group.closed(record) and group.closed_entry < entry for group in record.groups)
