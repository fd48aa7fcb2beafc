"""What balances came to after single entries of the ledger: the balance of now, less what came later.

So the newest entries, which are looked at most, are answered by reading few.
"""

from collections.abc import Collection

from controlplane.known.records import Cause
from controlplane.store.codecs import Connection
from controlplane.store.ledger import KEY

_KEYS = "workload, cluster, tenant, flavor, resource"
_RUNNING = f"""
with asked as (
    select id, {_KEYS}, cause = '{Cause.DRIFTED}' as drift from ledger where id = any($1)
),
keys as (select distinct {KEY} from asked),
later as (
    select l.id, {KEY}, sum(l.amount) over (partition by {KEY} order by l.id desc) - l.amount as since
    from (select *, cause = '{Cause.DRIFTED}' as drift from ledger where id >= $2) l join keys using ({KEY})
)
select id, coalesce(balance.amount, 0) - since as amount
from asked join later using (id, {KEY}) left join balance using ({KEY})
"""


async def running(connection: Connection, ids: Collection[int]) -> dict[int, int]:
    """By entry. Of one moment, in one statement."""
    if not ids:
        return {}
    rows = await connection.fetch(_RUNNING, list(ids), min(ids))
    return {row["id"]: int(row["amount"]) for row in rows}
