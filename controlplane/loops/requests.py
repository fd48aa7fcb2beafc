"""What operators asked for about one cluster: recovery after a restored database, release of a held agent,
readmission of one that was cut off.

1. Take the clusters with a request; for the first two, whose agent was heard in this epoch.
2. Recovery: what the agent holds counts as issued from now on, and is the cluster's floor. The request is
   done in the database; then the leader begins anew, since epochs and generations are not what it has loaded.
   Place issues every order of the cluster anew, above the floor. What this database does not know runs on.
3. Release: a signed order that lets go on what was ordered before it. Then the request is done; a crash in
   between releases twice, which is the same.
4. Readmission: it stands as joined again; its account is pushed with those of all that are silent.
"""

import msgspec
import structlog

from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord, Lease, Request, Standing
from controlplane.loops.orders import Signer
from controlplane.loops.ports import Bus, LeaseLost, Store
from schemas.wire.codec import decode, encode
from schemas.wire.orders import Order, OrderBody, Verb, Version
from schemas.wire.subjects import RELEASE

log = structlog.get_logger()


class Requests:
    """Does what was asked, in one epoch."""

    def __init__(self, store: Store, bus: Bus, known: Known, signer: Signer, lease: Lease) -> None:
        self._store = store
        self._bus = bus
        self._known = known
        self._signer = signer
        self._lease = lease

    @property
    def depth(self) -> int:
        """Clusters with a request."""
        return sum(record.requested is not Request.NONE for record in self._known.clusters.values())

    async def run_pass(self) -> None:
        """One look at every cluster. LeaseLost after a recovery: everything is to be loaded anew."""
        for record in list(self._known.clusters.values()):
            if record.requested is Request.READMISSION:
                await self._readmit(record)
            heard = self._known.heard.get(record.id)
            if heard is None or heard.epoch != self._lease.epoch:
                continue
            match record.requested:
                case Request.RECOVERY:
                    await self._recover(record, heard.beat.highest)
                case Request.RELEASE:
                    await self._release(record)
                case Request.NONE | Request.READMISSION:
                    pass

    async def _readmit(self, record: ClusterRecord) -> None:
        if record.standing is Standing.CUT_OFF:
            await self._store.record_standing(self._lease, record.id, Standing.JOINED, "")
        await self._store.record_request_done(self._lease, record.id, Request.READMISSION, None)
        log.warning("cluster_readmitted", cluster=record.name)

    async def _recover(self, record: ClusterRecord, highest: Version | None) -> None:
        stored = await self._highest_stored(record.id)
        floor = max((version for version in (highest, stored) if version is not None), default=None)
        await self._store.record_request_done(self._lease, record.id, Request.RECOVERY, floor)
        if floor is not None:
            await self._store.raise_floor(self._lease, floor)
        log.warning("cluster_recovered", cluster=record.name, floor=floor)
        raise LeaseLost(f"{record.name} was recovered: begin anew above {floor}")

    async def _highest_stored(self, cluster: str) -> Version | None:
        """Of the orders that lie in the stream for workloads known here: they may be ahead of the agent."""
        versions: list[Version] = []
        for uid in list(self._known.orders_in.get(cluster, {})):
            stored = await self._bus.last_order(cluster, uid)
            if stored is not None:
                versions.append(decode(Order, stored.body).version)
        return max(versions, default=None)

    async def _release(self, record: ClusterRecord) -> None:
        generation = (await self._store.reserve_generations(self._lease, 1))[0]
        # The agent will hold it: what is not known to be issued would make it look ahead of this database.
        self._known.last_generation = max(self._known.last_generation, generation)
        version = Version(self._lease.epoch, generation)
        body = msgspec.json.encode(OrderBody(name=RELEASE))
        signature = self._signer.sign(record.id, RELEASE, Verb.RELEASE, version, body)
        order = Order(workload=RELEASE, verb=Verb.RELEASE, version=version, body=body, signature=signature)
        stored = await self._bus.last_order(record.id, RELEASE)
        await self._bus.publish_order(
            record.id, RELEASE, encode(order), expected_sequence=stored.sequence if stored else 0
        )
        await self._store.record_request_done(self._lease, record.id, Request.RELEASE, None)
        log.warning("agent_released", cluster=record.name, version=version)
