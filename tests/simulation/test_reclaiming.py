"""Who is first in the order of admission gets what leaves, also where another claimed it. Promise 2."""

import pytest

from schemas.reasons import Reason
from tests.simulation.test_admitting import Centre, quota

pytestmark = pytest.mark.promise(2)


async def test_a_claim_that_another_of_the_tenant_comes_before_costs_nobody_else_anything() -> None:
    """Else kb-5 would take two of its own, for one cpu, beside what nobody will have."""
    centre = Centre()
    await centre.begin(ka=quota("duo", cpu=4), kb=quota("duo", cpu=4))
    for number in range(1, 5):
        await centre.submit(f"kb-{number}", "kb", 2)
        await centre.decide(after_seconds=0.1)
    await centre.submit("ka-1", "ka", 2)
    await centre.decide()
    await centre.submit("ka-2", "ka", 4, priority=10)
    await centre.decide()
    assert (centre.said("ka-1"), centre.said("ka-2")) == (Reason.QUOTA_EXCEEDED, Reason.QUOTA_AWAITED)
    await centre.submit("kb-5", "kb", 1, priority=10)
    await centre.decide()
    given_way = [n for n in range(1, 5) if centre.said(f"kb-{n}") == Reason.PREEMPTED]
    assert len(given_way) == 3, "two for ka-2, one for kb-5"


@pytest.mark.parametrize(
    ("tenant", "priority"), [("support", 0), ("sales", 100)], ids=["what is its own", "of lower priority"]
)
async def test_what_leaves_is_given_to_who_is_first_in_order_not_to_who_claimed_it_first(
    tenant: str, priority: int
) -> None:
    centre = Centre()
    await centre.begin(sales=quota("duo", cpu=4), support=quota("duo", cpu=4))
    for name in ("sales", "support"):
        await centre.submit(f"{name}-first", name, 4)
    await centre.decide()
    for name in ("sales", "support"):
        await centre.delete(f"{name}-first")
    await centre.decide()
    await centre.submit("borrows", "sales", 8)
    await centre.decide()
    assert centre.said("borrows") == Reason.QUOTA_AWAITED
    await centre.submit("reclaims", tenant, 2, priority=priority)
    await centre.decide()
    for name in ("sales", "support"):
        await centre.gone(f"{name}-first")
    await centre.decide(after_seconds=0.1)
    assert centre.said("reclaims") == "Placed"
    await centre.decide(after_seconds=0.1)
    assert centre.said("borrows") == Reason.QUOTA_EXCEEDED
