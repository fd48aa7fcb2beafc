"""Amounts and times of a request for quota, as they are typed."""

from datetime import datetime, timedelta

import pytest
import typer

from controlplane.cli.quota_requests import amounts_of, until_of
from controlplane.cli.tables import change_detail


@pytest.mark.parametrize(
    ("written", "amounts"),
    [
        (["cpu=20"], {"default": {"cpu": "20"}}),
        (["cpu=20", "memory=64Gi"], {"default": {"cpu": "20", "memory": "64Gi"}}),
        (["nvidia.com/gpu=2"], {"default": {"nvidia.com/gpu": "2"}}),
        (["a100:nvidia.com/gpu=2", "cpu=1"], {"a100": {"nvidia.com/gpu": "2"}, "default": {"cpu": "1"}}),
        (["addresses/public=4"], {"default": {"addresses/public": "4"}}),
        (["a.b-c:cpu=1500m"], {"a.b-c": {"cpu": "1500m"}}),
    ],
)
def test_amounts(written: list[str], amounts: dict[str, dict[str, str]]) -> None:
    assert amounts_of(written, "default") == amounts


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (["cpu"], "as cpu=20"),
        (["=20"], "as cpu=20"),
        (["cpu="], "as cpu=20"),
        (["a100:=2"], "as cpu=20"),
        (["cpu=much"], "no quantity"),
        (["cpu=-2"], "negative"),
        (["cpu=1", "cpu=2"], "more than once"),
        (["cpu=1", "default:cpu=2"], "more than once"),
    ],
)
def test_what_is_no_amount_is_named(written: list[str], says: str) -> None:
    with pytest.raises(typer.BadParameter, match=says):
        amounts_of(written, "default")


def test_a_day_is_part_of_it() -> None:
    """By the clock of this machine."""
    assert until_of("2026-12-31") == until_of("2027-01-01T00:00:00")
    assert until_of("2028-02-28") == until_of("2028-02-29T00:00:00")
    begin = datetime.fromisoformat("2026-12-31").astimezone()
    assert until_of("2026-12-31") - begin.timestamp() == timedelta(days=1).total_seconds()


def test_a_moment_is_what_it_says_and_never_is_without_an_end() -> None:
    assert until_of("2026-12-31T08:00:00Z") == 1_798_704_000.0
    assert until_of("2026-12-31T09:00:00+01:00") == 1_798_704_000.0
    assert until_of("never") == 0.0


@pytest.mark.parametrize("text", ["", "soon", "2026-02-30", "2026-13-01", "31.12.2026"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="as 2026-12-31"):
        until_of(text)


def test_a_change_tells_amounts_as_they_are_asked_for_and_until_as_a_moment() -> None:
    detail = {"amounts": {"amx": {"cpu": "3"}, "a100": {"nvidia.com/gpu": "2"}}, "until": 1795411891.0}
    assert change_detail({"detail": {**detail, "tenant": "travel"}}) == (
        "amounts=amx:cpu=3 a100:nvidia.com/gpu=2, tenant=travel, until=2026-11-23 05:31:31Z"
    )
    assert change_detail({"detail": {"tenant": "travel", "until": 0.0}}) == "tenant=travel"
