"""A cluster joins: a token is redeemed, an account made and pushed, a user JWT issued."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from controlplane.api.ports import Joined, JoinRequest
from controlplane.identity.accounts import ClusterAccount, cluster_user_jwt
from controlplane.identity.keys import Keys
from controlplane.identity.nkey import KeyKind, NKey, check_public
from controlplane.identity.sealing import MasterKey
from controlplane.intent import Intent, NotFound
from controlplane.known.known import Known
from controlplane.known.records import Standing
from controlplane.loops.ports import BusAway, BusUnavailable, StoreUnavailable
from controlplane.troubles import Trouble
from schemas.wire.subjects import Subjects

log = structlog.get_logger()

SILENT_SECONDS = 30.0
RETURNED_SECONDS = 5.0
"""After NATS is back: whoever is not heard by then may not be known to it any more."""
LOOK_SECONDS = 1.0
READMIT_SECONDS = 10.0


class Admission(Protocol):
    async def admit(self, account: ClusterAccount) -> None:
        """Push the account to NATS."""
        ...

    async def readmit(self, account: ClusterAccount) -> None:
        """The same, where NATS does not know it so already."""
        ...


class AccountSeeds(Protocol):
    async def account_seed(self, cluster: str) -> bytes:
        """The sealed signing seed of a cluster's account. NotFound for none."""
        ...


@dataclass(frozen=True)
class Registrar:
    """random_bytes: the operating system's; now: Unix seconds."""

    keys: Keys
    subjects: Subjects
    intent: Intent
    seeds: AccountSeeds
    admission: Admission
    nats_urls: tuple[str, ...]
    random_bytes: Callable[[int], bytes]
    now: Callable[[], float]

    async def join(self, request: JoinRequest) -> Joined:
        """Pushed before the token is spent, since an account that nobody joined under is harmless."""
        check_public(KeyKind.USER, request.agent_key)
        if len(request.sealing_key) != 32:
            raise ValueError(f"sealing_key has {len(request.sealing_key)} bytes; an X25519 key has 32")
        account = ClusterAccount.from_random(self.random_bytes(32), self.random_bytes(32))
        await self.admission.admit(account)
        record = await self.intent.join_cluster(
            request.token_hash,
            cluster=account.id,
            cluster_uid=request.cluster_uid,
            agent_key=request.agent_key,
            sealing_key=request.sealing_key,
            account_seed=self._master.seal(account.id, account.signing.seed.encode()),
        )
        if record.id != account.id:
            # The same agent asks again, since the first answer did not reach it.
            account = self._opened(record.id, await self.seeds.account_seed(record.id))
        log.info("cluster_joined", cluster=record.name, id=record.id)
        return Joined(
            cluster_id=record.id,
            user_jwt=cluster_user_jwt(account, request.agent_key, self.subjects, int(self.now())),
            nats_urls=self.nats_urls,
            order_key=self.keys.order_verifying,
            prefix=self.subjects.prefix,
        )

    async def readmit_silent(self, known: Known, returned_at: Callable[[], float] = lambda: 0.0) -> None:
        """Push the accounts of clusters that are silent, forever: a NATS that lost its folder knows none.

        It is asked first what it knows. returned_at: when NATS was back last.
        """
        pushed: dict[str, float] = {}
        trouble = Trouble("account_not_pushed", "accounts_pushed_again")
        while True:
            now = self.now()
            since = now - SILENT_SECONDS
            if now - returned_at() > RETURNED_SECONDS:
                since = max(since, returned_at())
            silent = [
                record.id
                for record in known.clusters.values()
                if record.standing is Standing.JOINED
                and (record.id not in known.heard or known.heard[record.id].at < since)
                and not 0 <= now - pushed.get(record.id, 0.0) < READMIT_SECONDS
            ]
            for cluster in silent:
                try:
                    await self.admission.readmit(
                        self._opened(cluster, await self.seeds.account_seed(cluster))
                    )
                except (BusUnavailable, StoreUnavailable, NotFound) as error:
                    if not isinstance(error, BusAway):
                        trouble.met(cluster=cluster, detail=str(error))
                    break
                trouble.over()
                pushed[cluster] = now
            await asyncio.sleep(LOOK_SECONDS)

    def _opened(self, cluster: str, sealed: bytes) -> ClusterAccount:
        return ClusterAccount(cluster, NKey.from_seed(self._master.open(cluster, sealed).decode()))

    @property
    def _master(self) -> MasterKey:
        return MasterKey(self.keys.master)
