"""Fingerprints are those that Prometheus and Alertmanager compute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.fingerprint import fingerprint

# From the tests of prometheus/common, model/signature_test.go.
KNOWN = [
    ({}, 14695981039346656037),
    ({"name": "garland, briggs", "fear": "love is not enough"}, 5799056148416392346),
    ({"first-label": "first-label-value"}, 5146282821936882169),
    ({"first-label": "first-label-value", "second-label": "second-label-value"}, 3195800080984914717),
    (
        {
            "first-label": "first-label-value",
            "second-label": "second-label-value",
            "third-label": "third-label-value",
        },
        13843036195897128121,
    ),
]
LABELS = st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=8), max_size=6)


@pytest.mark.parametrize(("labels", "known"), KNOWN)
def test_known(labels: dict[str, str], known: int) -> None:
    assert fingerprint(labels) == f"{known:016x}"
    assert fingerprint(dict(reversed(labels.items()))) == f"{known:016x}"


@given(LABELS)
def test_it_is_fnv_1a_over_names_and_values(labels: dict[str, str]) -> None:
    state = 0xCBF29CE484222325
    for name, value in sorted(labels.items()):
        for byte in b"".join((name.encode(), b"\xff", value.encode(), b"\xff")):
            state = ((state ^ byte) * 0x100000001B3) % 2**64
    assert fingerprint(labels) == f"{state:016x}"
