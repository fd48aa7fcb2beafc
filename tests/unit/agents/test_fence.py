"""The fence against older orders, its record, and the bound on removals."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.fence import (
    BadRecord,
    Entry,
    Verdict,
    from_manifest,
    judge,
    order_digest,
    record_ref,
    to_manifest,
)
from agents.removals import WINDOW_SECONDS, may_remove
from schemas.wire.orders import ObjectRef, Order, Verb, Version
from schemas.wire.subjects import RELEASE

VERSIONS = st.builds(Version, st.integers(0, 2**40), st.integers(0, 2**40))
NOW = 1_800_000_000.0


def order(version: Version, body: bytes = b"{}", verb: Verb = Verb.APPLY) -> Order:
    return Order(workload="w1", verb=verb, version=version, body=body, signature=b"")


def entry(workload: str = "w1", version: Version = Version(1, 1), **rest: Any) -> Entry:
    return Entry(workload=workload, version=version, verb=rest.pop("verb", Verb.APPLY), digest="d", **rest)


@pytest.mark.promise(3)
@given(recorded=VERSIONS, came=VERSIONS)
def test_only_a_higher_version_passes(recorded: Version, came: Version) -> None:
    verdict = judge(entry(version=recorded), order(came))
    assert (verdict is Verdict.NEW) == ((came.epoch, came.generation) > (recorded.epoch, recorded.generation))


@pytest.mark.promise(3)
@pytest.mark.parametrize(
    ("again", "verdict"),
    [
        pytest.param(order(Version(1, 5), b"a"), Verdict.SAME, id="word-for-word"),
        pytest.param(order(Version(1, 5), b"b"), Verdict.DIFFERS, id="other-words"),
        pytest.param(order(Version(1, 5), b"a", Verb.WITHDRAW), Verdict.DIFFERS, id="other-verb"),
        pytest.param(order(Version(1, 4), b"a"), Verdict.OLDER, id="older-generation"),
        pytest.param(order(Version(0, 9), b"a"), Verdict.OLDER, id="older-epoch-higher-generation"),
        pytest.param(order(Version(2, 1), b"a"), Verdict.NEW, id="newer-epoch-lower-generation"),
    ],
)
def test_the_same_version_must_say_the_same(again: Order, verdict: Verdict) -> None:
    digest = order_digest(order(Version(1, 5), b"a"))
    assert judge(replace(entry(version=Version(1, 5)), digest=digest), again) is verdict


@given(
    version=VERSIONS,
    carried_out=st.none() | VERSIONS,
    verb=st.sampled_from(list(Verb)),
    names=st.lists(st.text(max_size=20), max_size=4),
    held=st.booleans(),
    at=st.floats(0, 1e10),
    preserve=st.booleans(),
)
def test_a_record_reads_back_as_it_was_written(
    version: Version,
    carried_out: Version | None,
    verb: Verb,
    names: list[str],
    held: bool,
    at: float,
    preserve: bool,
) -> None:
    objects = tuple(ObjectRef("v1", "ConfigMap", "shop", name) for name in names)
    written = Entry("w1", version, verb, "d", objects, not held, held, at, carried_out, preserve)
    assert from_manifest(to_manifest(written)) == written


def test_an_older_agent_finds_nothing_to_remove_in_the_record_of_a_withdrawal_that_preserves() -> None:
    written = Entry("w1", Version(1, 2), Verb.WITHDRAW, "d", (ObjectRef("v1", "ConfigMap", "shop", "a"),))
    assert "ConfigMap" in to_manifest(written)["data"]["objects"]
    assert to_manifest(replace(written, preserve=True))["data"]["objects"] == "[]"


def test_a_record_that_somebody_has_damaged_is_named() -> None:
    manifest = to_manifest(entry())
    del manifest["data"]["verb"]
    with pytest.raises(BadRecord, match="order-w1: 'verb'"):
        from_manifest(manifest)


@pytest.mark.parametrize("workload", ["W1", "a/b", "a.b", "a_b", "a-"])
def test_a_uid_that_cannot_be_part_of_a_name_is_refused(workload: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        record_ref(workload)


def running(count: int) -> list[Entry]:
    return [entry(f"r{index}", Version(1, index)) for index in range(count)]


def gone(count: int, *, ago: float = 60.0, first: int = 100, held: bool = False) -> list[Entry]:
    return [
        entry(
            f"g{first + index}",
            Version(1, first + index),
            verb=Verb.WITHDRAW,
            removes=True,
            held=held,
            decided_at=NOW - ago,
        )
        for index in range(count)
    ]


@pytest.mark.promise(9)
@pytest.mark.parametrize(
    ("entries", "released", "allowed"),
    [
        pytest.param(running(3), None, True, id="the-first"),
        pytest.param([*running(3), *gone(4)], None, True, id="the-fifth"),
        pytest.param([*running(3), *gone(5)], None, False, id="the-sixth-of-few"),
        pytest.param([*running(40), *gone(9)], None, True, id="the-tenth-of-fifty"),
        pytest.param([*running(39), *gone(10)], None, False, id="the-eleventh-of-fifty"),
        pytest.param([*running(3), *gone(5, ago=WINDOW_SECONDS)], None, True, id="an-hour-later"),
        pytest.param([*running(3), *gone(1, held=True)], None, False, id="while-another-is-held"),
        pytest.param([*running(3), *gone(9)], Version(1, 1000), True, id="ordered-before-the-release"),
        pytest.param([*running(3), *gone(5)], Version(1, 500), True, id="let-go-and-not-counted"),
        pytest.param([*running(3), *gone(5, first=600)], Version(1, 500), False, id="counted-again-after-it"),
    ],
)
def test_more_than_five_or_a_fifth_in_an_hour_waits_for_a_release(
    entries: list[Entry], released: Version | None, allowed: bool
) -> None:
    recorded = [*entries, entry("this", Version(1, 50))]
    may = may_remove(Version(1, 900), recorded, released=released, workload="this", now=NOW)
    assert may is allowed


def test_the_release_has_a_record_of_its_own() -> None:
    assert record_ref(RELEASE).name == "release"
