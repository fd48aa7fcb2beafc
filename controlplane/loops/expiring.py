"""Requests for quota that nobody decided in time, and grants that run out by themselves.

1. By the clock of the database, the first that is due first, at most so many a pass.
2. Each becomes Expired, with its change row; with a grant, what bounds quota is of another version.
3. Nothing is stopped by it: what its tenant uses beyond its own is borrowed: others may reclaim it.
"""

import structlog

from controlplane.known.records import Lease
from controlplane.loops.ports import Store

PASS_SECONDS = 1.0
MOST_AT_ONCE = 100
log = structlog.get_logger()


class Expiring:
    """In one epoch."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease

    async def run_pass(self) -> None:
        """Raises LeaseLost."""
        ended = await self._store.expire_quota_requests(self._lease, MOST_AT_ONCE)
        if ended:
            log.info("quota_requests_expired", requests=ended)
