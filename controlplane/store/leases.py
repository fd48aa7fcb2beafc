"""Who decides. The row of a role is locked first in every deciding transaction, and then compared."""

from controlplane.known.records import EpochRecord, Lease
from controlplane.loops.ports import LeaseLost
from controlplane.store.codecs import Connection
from schemas.wire.orders import Version

DECIDING = "deciding"
"""The role whose epochs stand in versions: it alone is given generations."""

# The clock is read above the lock, not beside it: what was true before a wait need not be true after.
_LOCKED = """
with locked as materialized (select holder, epoch, expires_at from lease where role = $1 for update)
select holder, epoch, expires_at > clock_timestamp() as alive from locked
"""
# Whoever takes the lease from another waits for this lock; a renewal, which changes no key, does not. The
# second lock has the transactions of one leader come one after the other.
_HELD = """
with locked as materialized (
    select holder, epoch, expires_at from lease where role = $1 for key share
), alone as materialized (
    select pg_advisory_xact_lock(hashtextextended('lease ' || current_schema() || ' ' || $1, 0)) from locked
)
select holder, epoch, expires_at > clock_timestamp() as alive from locked, alone
"""
_RENEWED = """
update lease set expires_at = clock_timestamp() + make_interval(secs => $4)
where role = $1 and holder = $2 and epoch = $3 and expires_at > clock_timestamp() returning true
"""


async def take(connection: Connection, role: str, holder: str, ttl_seconds: float) -> Lease | None:
    """Nobody waits who cannot have it. Whoever can waits for what is still written under it, also by itself
    before it lost its way: what it reads then is all there is.
    """
    others = "select holder <> $2 and expires_at > clock_timestamp() from lease where role = $1"
    if await connection.fetchval(others, role, holder):
        return None
    await connection.execute(
        "insert into lease values ($1, '', 0, '-infinity') on conflict (role) do nothing", role
    )
    row = await connection.fetchrow(_LOCKED, role)
    assert row is not None  # noqa: S101 - inserted above, never deleted
    alive = row["alive"]
    if alive and row["holder"] != holder:
        return None
    epoch = row["epoch"] if alive else await _begin_epoch(connection, role)
    await connection.execute(
        "update lease set holder = $2, epoch = $3,"
        " expires_at = clock_timestamp() + make_interval(secs => $4) where role = $1",
        role,
        holder,
        epoch,
        ttl_seconds,
    )
    return Lease(role, holder, epoch)


async def holder(connection: Connection, role: str) -> str:
    """Who has it now; "" where nobody has."""
    living = "select holder from lease where role = $1 and expires_at > clock_timestamp()"
    return await connection.fetchval(living, role) or ""


async def renew(connection: Connection, lease: Lease, ttl_seconds: float) -> bool:
    """Beside whatever it is used for. False where it is ours no more, or has expired."""
    row = lease.role, lease.holder, lease.epoch
    return bool(await connection.fetchval(_RENEWED, *row, ttl_seconds))


async def _begin_epoch(connection: Connection, role: str) -> int:
    return await connection.fetchval(
        "insert into epoch (role, epoch, first_generation, journaled)"
        " select $1,"
        " greatest((select coalesce(max(epoch), 0) + 1 from epoch where role = $1),"
        " floor(extract(epoch from clock_timestamp()))::bigint),"
        " (select last_value from generation), true"
        " returning epoch",
        role,
    )


async def hold(connection: Connection, lease: Lease) -> None:
    """Nobody else takes the lease, nor writes under it, until the transaction ends. Raises LeaseLost."""
    row = await connection.fetchrow(_HELD, lease.role)
    if row is None:
        raise LeaseLost(f"{lease.role}: nobody has ever led")
    check(lease, row["holder"], row["epoch"], alive=row["alive"])


def check(lease: Lease, holder: str, epoch: int, *, alive: bool) -> None:
    """Compare a lease with its row. Raises LeaseLost, naming what differs."""
    if (holder, epoch) != (lease.holder, lease.epoch):
        raise LeaseLost(f"{lease.role}: epoch {epoch} is led by {holder}, ours is {lease.epoch}")
    if not alive:
        raise LeaseLost(f"{lease.role}: the lease of epoch {lease.epoch} has expired")


async def release(connection: Connection, lease: Lease) -> None:
    """End it now. One that is ours no more stays as it is."""
    await connection.execute(
        "update lease set expires_at = '-infinity' where role = $1 and holder = $2 and epoch = $3",
        lease.role,
        lease.holder,
        lease.epoch,
    )


async def reserve_generations(connection: Connection, lease: Lease, count: int) -> range:
    """A block of the sequence. Not given back when the transaction fails: a gap is cheaper than a doubt."""
    check_issues_generations(lease)
    await hold(connection, lease)
    last = await connection.fetchval("select setval('generation', last_value + $1) from generation", count)
    return range(last - count + 1, last + 1)


def check_issues_generations(lease: Lease) -> None:
    if lease.role != DECIDING:
        raise ValueError(f"role {lease.role!r}: generations are issued to {DECIDING!r} only")


async def raise_floor(connection: Connection, lease: Lease, version: Version) -> None:
    """Own up to `version`: its epoch and its generation count as issued from now on, and are never again.

    Epochs after it begin above its generation. Where it is of a later epoch than the lease, the lease ends:
    the next one has a later epoch still.
    """
    check_issues_generations(lease)
    await hold(connection, lease)
    await connection.execute(
        "insert into epoch (role, epoch, first_generation) select $1, $2, coalesce("
        " (select min(first_generation) from epoch where role = $1 and epoch > $2), last_value)"
        " from generation on conflict do nothing",
        lease.role,
        version.epoch,
    )
    await connection.execute(
        "update epoch set first_generation = greatest(first_generation, $3) where role = $1 and epoch > $2",
        lease.role,
        version.epoch,
        version.generation,
    )
    await connection.execute(
        "select setval('generation', greatest(last_value, $1)) from generation", version.generation
    )
    if version.epoch > lease.epoch:
        await release(connection, lease)


async def epochs(connection: Connection) -> tuple[EpochRecord, ...]:
    rows = await connection.fetch(
        "select epoch, first_generation from epoch where role = $1 order by epoch", DECIDING
    )
    return tuple(EpochRecord(row["epoch"], row["first_generation"]) for row in rows)


async def last_generation(connection: Connection) -> int:
    return await connection.fetchval("select last_value from generation")
