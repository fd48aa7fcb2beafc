"""What of an entry is history by itself: written with it, in one transaction, and once."""

from controlplane.alerts.entry import Entry, SentLocally
from controlplane.alerts.notice import Happened, What
from controlplane.alerts.silence import Acknowledgement


def happened_by(entry: Entry) -> tuple[Happened, ...]:
    """Acknowledged, or sent by an agent while the centre was silent; what arrives is recorded when its group
    is looked at."""
    if isinstance(entry, Acknowledgement):
        said = f"{entry.by}: {entry.comment}" if entry.comment else entry.by
        return (Happened(entry.fingerprint, entry.starts_at, entry.at, What.ACKNOWLEDGED, "", said),)
    if isinstance(entry, SentLocally):
        return tuple(
            Happened(fingerprint, starts_at, entry.at, What.SENT_LOCALLY, entry.receiver, entry.detail)
            for fingerprint, starts_at in entry.episodes
        )
    return ()
