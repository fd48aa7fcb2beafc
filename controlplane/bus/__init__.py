"""The centre's side of NATS: the only importer of nats."""

from controlplane.bus.adapter import NatsBus
from controlplane.bus.session import Credentials, Session
from controlplane.bus.streams import StreamBounds

__all__ = ["Credentials", "NatsBus", "Session", "StreamBounds"]
