"""What clusters use is looked at, but not what a silent one said last."""

import pytest

from controlplane.fleet.slack import LEAST_SAMPLES
from controlplane.known.known import Heard, Known
from controlplane.loops.sampling import Sampling
from schemas.wire.beats import Beat
from schemas.wire.codec import pack_column
from schemas.wire.reports import Usage
from tests.conformance.store_worlds import SettableClock
from tests.unit.reports import apply, facts, inventory, profile, profile_hash


def known_with(*clusters: str) -> Known:
    known = Known()
    for cluster in clusters:
        apply(known.fleet, cluster, "facts", facts())
        apply(known.fleet, cluster, f"profile.{profile_hash({'arch': 'amd64'})}", profile())
        apply(known.fleet, cluster, "inventory.1-0", inventory("a b"))
        used = Usage(
            incarnation=1,
            sequence=1,
            epoch=1,
            nodes=2,
            resources=[],
            foreign=[],
            used_resources=["cpu", "memory"],
            used=[pack_column([1000, 3000]), pack_column([16, -1])],
        )
        apply(known.fleet, cluster, "usage.1-0", used)
    return known


def hear(known: Known, cluster: str, at: float) -> None:
    beat = Beat(incarnation=1, sequence=1, clock=at, agent_version="1")
    known.heard[cluster] = Heard(at, 1, beat)


async def test_each_pass_is_a_sample_of_every_cluster_that_is_heard() -> None:
    clock, known = SettableClock(), known_with("heard", "silent", "elsewhere")
    sampling = Sampling(known, clock)
    hear(known, "silent", clock.now())
    for _ in range(LEAST_SAMPLES):
        await clock.sleep(60.0)
        hear(known, "heard", clock.now())
        await sampling.run_pass()
    assert known.slacks.slack("heard").idle == pytest.approx(0.5), "half of the cpu, a quarter of the memory"
    assert known.slacks.slack("silent").idle is None
    assert known.slacks.slack("elsewhere").idle == pytest.approx(0.5), "another replica hears its beats"


async def test_a_cluster_that_is_gone_is_forgotten() -> None:
    clock, known = SettableClock(), known_with("a")
    sampling = Sampling(known, clock)
    for _ in range(LEAST_SAMPLES):
        await clock.sleep(60.0)
        await sampling.run_pass()
    known.fleet.forget("a")
    await sampling.run_pass()
    assert known.slacks.slack("a").idle is None
