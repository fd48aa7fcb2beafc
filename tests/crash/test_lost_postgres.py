"""Postgres is taken away under load: killed, and failed over to a synchronous standby.

Holds up promise 1 (a commit that was answered is there afterwards), promise 4 and promise 6. Restored from an
older copy: test_restored_database.py.
"""

import pytest

from tests.circle import eventually
from tests.crash import standby
from tests.crash.fire import UnderFire

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]


@pytest.mark.promise(1, 4, 6)
async def test_postgres_killed(fire: UnderFire) -> None:
    async with fire.fault() as load:
        await fire.postgres.kill()
        await until_refused(fire, load.refused)
        # Agents take alerts, whoever is away.
        await load.goes_on(*fire.circle.doors, but_workloads=True)
        await fire.postgres.start()


@pytest.mark.promise(1, 4, 6)
async def test_postgres_failed_over(fire: UnderFire) -> None:
    """The primary does not even refuse: whoever asks the hosts one after the other asks no second one."""
    second = await standby.follow(fire.postgres, fire.circle.home / "standby")
    both = standby.dsn(fire.postgres, second, "muster")
    fire.circle.installation.centre_environment["MUSTER_POSTGRES_DSN"] = both
    await fire.circle.restart_centre()
    await fire.circle.until_ready(*fire.circle.doors)
    first, fire.postgres = fire.postgres, second
    async with fire.fault() as load:
        standby.stop_still(first)
        await until_refused(fire, load.refused)
        await standby.promote(second)
        await load.goes_on()
        standby.put_away(first)


async def until_refused(fire: UnderFire, refused: dict[str, int]) -> None:
    before = refused.get("workloads", 0)
    await eventually("writes are refused", lambda: refused.get("workloads", 0), lambda now: now > before)
