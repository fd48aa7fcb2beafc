"""What `muster serve` may be told to run."""

import pytest
from pydantic import ValidationError

from controlplane.settings import Settings

ALL = "deciding,alerting,api"


@pytest.mark.parametrize(
    ("written", "decides", "notifies", "serves_api"),
    [
        (ALL, True, True, True),
        ("api", False, False, True),
        ("deciding", True, False, False),
        ("alerting, deciding", True, True, False),
        ("api,api", False, False, True),
    ],
)
def test_any_of_the_loops_run_in_a_process(
    written: str, decides: bool, notifies: bool, serves_api: bool
) -> None:
    settings = Settings(loops=written)
    assert (settings.decides, settings.notifies, settings.serves_api) == (decides, notifies, serves_api)


def test_all_of_them_unless_told_otherwise() -> None:
    assert Settings().loops == ALL


@pytest.mark.parametrize(("written", "named"), [("api,notify", "'notify'"), ("", "''"), ("all", "'all'")])
def test_what_is_none_is_refused_with_what_would_be_right(written: str, named: str) -> None:
    with pytest.raises(ValidationError, match=f"{named} is none: one or more of deciding, alerting, api"):
        Settings(loops=written)
