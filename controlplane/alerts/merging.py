"""Two reports of one alert become one, as Alertmanager's provider has it."""

from dataclasses import replace

from controlplane.alerts.alert import Alert


def overlap(old: Alert, new: Alert) -> bool:
    """Whether they tell of the same outbreak. Reports that only touch do not: it ended and began anew."""
    return (
        old.starts_at < new.ends_at < old.ends_at
        or old.starts_at < new.starts_at < old.ends_at
        or (new.starts_at <= old.starts_at and old.ends_at <= new.ends_at)
    )


def merged(old: Alert, new: Alert, now: float) -> Alert:
    """What holds after `new` arrived at `now`, Unix seconds: one of the two, or what they come to together.

    Earliest start; the younger's annotations. Both resolved: the latest end; firing: a later end of the older
    that somebody really said. Where they do not overlap the younger holds. Alertmanager takes the one that
    arrives last; we do not let a report that was under way for long undo a younger one.
    """
    older, younger = (new, old) if new.updated_at < old.updated_at else (old, new)
    if not overlap(older, younger):
        return younger
    starts_at = min(older.starts_at, younger.starts_at)
    ends_at = younger.ends_at
    both_resolved = younger.resolved(now) and older.resolved(now)
    if older.ends_at > ends_at and (both_resolved or not (younger.resolved(now) or older.timed)):
        ends_at = older.ends_at
    if starts_at == younger.starts_at and ends_at == younger.ends_at:
        return younger
    return replace(younger, starts_at=starts_at, ends_at=ends_at)
