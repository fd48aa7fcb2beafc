"""Quantities are exact, and what is none is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.quantities import quantity_amount, quantity_text


@pytest.mark.parametrize(
    ("resource", "text", "amount"),
    [
        ("cpu", "1", 1000),
        ("cpu", "1500m", 1500),
        ("cpu", "0.1", 100),
        ("cpu", "1u", 1),
        ("cpu", 2, 2000),
        ("cpu", 0.5, 500),
        ("memory", "64Mi", 64 * 1024**2),
        ("memory", "1Ei", 2**60),
        ("memory", "1.5Gi", 3 * 2**29),
        ("memory", "128974848", 128974848),
        ("memory", "129e6", 129_000_000),
        ("memory", "129M", 129_000_000),
        ("memory", "123Mi", 128974848),
        ("cpu", "100n", 1),
        ("cpu", "1e3", 1_000_000),
        ("memory", "0.0000000001", 1),
        ("memory", "100m", 1),
        ("memory", "1500m", 2),
        ("memory", "128974848000m", 128974848),
        ("memory", "1E3", 1000),
        ("memory", "1E", 10**18),
        ("memory", "99E", 2**63 - 1),
        ("memory", "+5k", 5000),
        ("memory", ".5k", 500),
        ("memory", "5.", 5),
        ("nvidia.com/gpu", "8", 8),
    ],
)
def test_amounts(resource: str, text: str | int | float, amount: int) -> None:
    assert quantity_amount(resource, text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "1.1.M",
        "",
        "1 Gi",
        "Gi",
        "1gi",
        "1Kii",
        "0x10",
        "１",
        "1e",
        "1e+",
        "--1",
        "NaN",
        "inf",
        "1" * 65,
        True,
    ],
)
def test_what_is_no_quantity_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity") as error:
        quantity_amount("memory", text)
    assert repr(text)[:60] in str(error.value)


def test_a_negative_amount_is_refused() -> None:
    with pytest.raises(ValueError, match="'-1' is negative"):
        quantity_amount("cpu", "-1")


@given(st.sampled_from(["cpu", "memory", "pods"]), st.integers(0, 2**62))
def test_what_is_written_is_read_back(resource: str, amount: int) -> None:
    amount = min(amount, (2**63 - 1) // 1000)
    assert quantity_amount(resource, quantity_text(resource, amount)) == amount
