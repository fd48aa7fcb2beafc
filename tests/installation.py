"""What a test has of NATS: the session's server, an installation of its own, clusters that joined it."""

import secrets
import time
from dataclasses import dataclass

from agents.bus import Identity
from agents.bus import NatsBus as AgentBus
from controlplane.bus import NatsBus, StreamBounds
from controlplane.embedded import EmbeddedNats
from controlplane.identity import accounts
from controlplane.identity.keys import Keys
from controlplane.identity.nkey import KeyKind, NKey
from schemas.wire.subjects import Subjects

MIB = 1024 * 1024
SMALL_BOUNDS = StreamBounds(
    state_bytes=64 * MIB,
    usage_bytes=64 * MIB,
    alert_bytes=16 * MIB,
    meter_bytes=16 * MIB,
    order_bytes=64 * MIB,
)


@dataclass(frozen=True)
class NatsServer:
    """The session's server and the operator that it trusts."""

    server: EmbeddedNats
    keys: Keys


@dataclass(frozen=True)
class NatsInstallation:
    """An installation of a test's own: its centre account, its prefix, a bus that is open."""

    url: str
    keys: Keys
    subjects: Subjects
    bus: NatsBus

    async def join(self) -> "JoinedCluster":
        """A cluster with an account that was pushed, and an agent's key and user JWT."""
        account = accounts.ClusterAccount.from_random(secrets.token_bytes(32), secrets.token_bytes(32))
        await self.bus.admit(account)
        user = NKey.from_random(KeyKind.USER, secrets.token_bytes(32))
        user_jwt = accounts.cluster_user_jwt(account, user.public, self.subjects, int(time.time()))
        return JoinedCluster(account=account, user=user, user_jwt=user_jwt)

    def agent_bus(self, cluster: "JoinedCluster") -> AgentBus:
        """Not yet connected; the caller closes it."""
        return AgentBus([self.url], Identity(cluster.id, cluster.user_jwt, cluster.user.seed), self.subjects)


@dataclass(frozen=True)
class JoinedCluster:
    account: accounts.ClusterAccount
    user: NKey
    user_jwt: str

    @property
    def id(self) -> str:
        return self.account.id
