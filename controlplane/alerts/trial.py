"""A message to try a receiver with: one alert that nobody reported, said to be what it is."""

from collections.abc import Sequence

from controlplane.alerts.alert import Alert
from controlplane.alerts.configuration import Receiver
from controlplane.alerts.fingerprint import fingerprint
from controlplane.alerts.notice import Notice, Why

WAIT_SECONDS = 15.0
ALERT_NAME = "MusterReceiverTest"


def trials(receiver: Receiver, by: str, now: float, key: str) -> Sequence[Notice]:
    """One for each way to the receiver. key: new for each trial. by: who tries, as the message says."""
    labels = {"alertname": ALERT_NAME, "receiver": receiver.name, "severity": "none"}
    annotations = {
        "summary": f"A test of receiver {receiver.name}",
        "description": f"{by} asked Muster to send this. Nothing is wrong, and nothing has to be done.",
    }
    digest = fingerprint(labels)
    alert = Alert(digest, labels, annotations, now, now + 300.0, now, timed=True)
    return [
        Notice(
            key=f"{key}/{each.name}",
            group_key=f'{{}}/trial:{{receiver="{receiver.name}"}}',
            receiver=receiver.name,
            integration=each.name,
            why=Why.FIRST,
            at=now,
            deadline=now + WAIT_SECONDS,
            group_labels={"alertname": ALERT_NAME},
            alerts=(alert,),
            firing=frozenset({digest}),
            resolved=frozenset(),
        )
        for each in receiver.integrations
    ]
