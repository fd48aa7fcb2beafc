"""`muster quota` against the API over a real socket: the tree, one tenant explained, the ledger."""

import json
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from controlplane.known.records import Cause, LedgerLine
from schemas.reasons import Reason
from tests.integration.api_world import World, deployment, tenant, workload
from tests.integration.test_api_quota import Quota, quota, quota_of
from tests.integration.test_cli import Muster, muster, write

__all__ = ["muster", "quota"]


@pytest_asyncio.fixture
async def world(quota: Quota) -> World:
    """research borrows and waits; its cohort has nothing left."""
    await quota.decide("index", "search", 12_000)
    await quota.decide("front", "shop", 6_000)
    uid = await quota.decide("batch", "research", 2_000)
    await quota.enter(LedgerLine("research", uid, "north", "default", "cpu", -500, Cause.RELEASED))
    await quota.enter(LedgerLine("research", "", "north", "default", "cpu", 250, Cause.DRIFTED))
    await quota.decide("train", "research", reason=Reason.QUOTA_EXCEEDED, priority=5)
    await quota.fresh()
    return quota.world


async def test_the_tree_is_drawn_with_bars(muster: Muster) -> None:
    out = (await muster("quota")).out
    names = [line.lstrip("│├└ ").split("  ")[0] for line in out.splitlines()]
    assert [name for name in names if name in ("company", "online", "search", "shop", "research")] == [
        "company",
        "online",
        "search",
        "shop",
        "research",
    ]
    assert "borrows 6" in out
    assert "1 waiting" in out
    assert "of 100 EUR spent" in out
    assert "drift 250m" in out
    assert "█ used" in out
    assert max(map(len, out.splitlines())) <= 100
    assert "\x1b" not in out


@pytest.mark.parametrize("columns", ["60", "80", "120"])
async def test_the_tree_keeps_to_the_width_of_the_terminal(
    muster: Muster, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    out = (await muster("quota")).out
    plain = [
        line.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "") for line in out.splitlines()
    ]
    assert max(map(len, plain)) <= int(columns), plain


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--tenant", "shop"), ["company", "online", "shop"]),
        (("--cohort", "online"), ["online", "search", "shop"]),
    ],
)
async def test_a_part_of_the_tree(muster: Muster, arguments: tuple[str, ...], names: list[str]) -> None:
    rows = json.loads((await muster("quota", *arguments, "-o", "json")).out)["items"]
    assert [row["name"] for row in rows] == names
    assert (await muster("quota", *arguments)).out


async def test_what_is_not_there_is_named(muster: Muster) -> None:
    assert "nobody" in (await muster("quota", "--tenant", "nobody", expect=2)).err
    assert "nobody" in (await muster("quota", "explain", "nobody", expect=1)).err


async def test_json_and_yaml_say_the_same(muster: Muster) -> None:
    as_json = json.loads((await muster("quota", "-o", "json")).out)
    as_yaml = yaml.safe_load((await muster("quota", "-o", "yaml")).out)
    assert [row["name"] for row in as_json["items"]] == [row["name"] for row in as_yaml["items"]]
    line = as_json["items"][-1]["quotas"][0]
    assert {"nominal", "used", "borrowed", "lent", "available", "potential", "drift"} <= line.keys()


async def test_why_it_waits_and_what_would_help(muster: Muster) -> None:
    out = (await muster("quota", "explain", "research")).out
    assert "research  in company" in out
    assert "1 waiting for quota" in out
    assert "train  priority 5" in out
    assert "QuotaExceeded" in out
    assert "lacks  default cpu 1750m" in out
    assert "search borrows 6" in out
    assert "muster quota request --tenant research --add default:cpu=1750m --why 'for train'" in out
    assert "batch" in out
    assert "drift default cpu 250m" in out


async def test_windows_and_budgets_are_told(muster: Muster) -> None:
    assert (
        "window sale: default cpu 30, opens 2990-01-01 00:00Z"
        in (await muster("quota", "explain", "search")).out
    )
    out = (await muster("quota", "explain", "shop")).out
    assert "of 100 EUR spent this year, 0.3 an hour now" in out
    assert "nothing waits for quota" in out


async def test_the_ledger_with_its_balances(muster: Muster) -> None:
    out = (await muster("quota", "ledger", "--tenant", "research")).out
    lines = [line.split() for line in out.splitlines()[2:]]
    assert [(line[2], line[3], line[4]) for line in lines] == [
        ("Drifted", "+250m", "250m"),
        ("Released", "-500m", "1500m"),
        ("Placed", "+2", "2"),
    ]
    assert "batch in north" in out
    assert "(foreign) in north" in out
    rows = json.loads(
        (await muster("quota", "ledger", "--workload", "batch", "--oldest-first", "-o", "json")).out
    )
    assert [row["balance"] for row in rows["items"]] == [2_000, 1_500]
    assert rows["items"][0]["generation"] == 7
    assert len(json.loads((await muster("quota", "ledger", "--limit", "2", "-o", "json")).out)["items"]) == 2
    assert "no entry" in (await muster("quota", "ledger", "--cluster", "south")).err


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
async def test_of_files_that_leave_less_than_is_used_nothing_is_sent(
    muster: Muster, world: World, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    alone = {name: each for name, each in quota_of("", 1).items() if name != "cohort"}
    path = write(tmp_path / "a.yaml", tenant("fresh", "fresh-*"), tenant("search", "search-*", quota=alone))
    said = await muster("apply", "-f", str(path), *arguments, expect=1)
    assert "tenant search uses 12 cpu of flavor default: that would be 11 more" in said.err
    assert "nothing was sent" in said.err
    assert "fresh" not in world.known.documents["Tenant"].records


@pytest.mark.parametrize(("nodes", "advised"), [(6, True), (5, False)])
async def test_more_quota_is_advised_only_where_all_of_it_fits(
    muster: Muster, world: World, nodes: int, advised: bool
) -> None:
    world.report(await world.join("eu-1"), nodes=nodes, cpu=8000)
    body = workload("large", deployment("large", "shop-a", replicas=6, cpu="4"), tenant="shop")
    assert (await world.client.put("/api/v1/workloads/large", json=body)).status_code == 201
    said = (await muster("explain", "large")).out
    assert "QuotaExceeded: cpu in flavor default: 24 is more" in said
    assert ("muster quota request" in said) is advised
