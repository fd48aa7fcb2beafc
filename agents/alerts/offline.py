"""That the agent itself was away: told from a cluster that is broken, once the centre is heard again.

While the centre heard nothing it knew nothing, neither good nor bad. What the agent says afterwards is one
alert that has ended already: since when, how long, and why, as far as can be told from here.
"""

from schemas.wire.alerts import Alert

ALERTNAME = "AgentWasOffline"
OFFLINE_SECONDS = 60.0


class Offline:
    """For one process. heard_at: when a beat was last answered, as the disk says from before; 0 for never."""

    def __init__(
        self, heard_at: float, started_at: float, *, offline_seconds: float = OFFLINE_SECONDS
    ) -> None:
        self._heard_at = heard_at
        self._started_at = started_at
        self._offline_seconds = offline_seconds

    def another_spoke(self) -> None:
        """Another agent did meanwhile: the cluster was not away."""
        self._heard_at = 0.0

    def heard(self, now: float) -> Alert | None:
        """A beat is answered: what there is to tell of the time before."""
        before, self._heard_at = self._heard_at, now
        if not before or now - before < self._offline_seconds:
            return None
        was_stopped = self._started_at - before > self._offline_seconds / 2
        reason = "AgentStopped" if was_stopped else "CentreNotReached"
        seconds = round(now - before)
        said = "its agent did not run" if was_stopped else "its agent ran, and did not reach the centre"
        return Alert(
            labels={
                "alertname": ALERTNAME,
                "severity": "info",
                "reason": reason,
                "source": "muster-agent",
            },
            annotations={
                "summary": f"The centre heard nothing of this cluster for {seconds} s: {said}",
                "duration_seconds": str(seconds),
            },
            starts_at=before,
            ends_at=now,
        )
