"""What an answer means, which addresses are inside, and what is taken out of what is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.channels.answers import Codes, Reply, by_code, quoted, retry_after_seconds
from controlplane.channels.guard import is_internal
from controlplane.channels.letters import cut, in_bytes
from controlplane.channels.robots import dingtalk_signature, feishu_signature
from controlplane.channels.secret_texts import HIDDEN, Mask
from schemas.manifests.alertmanager_channels import WebhookConfig

CODES = Codes(("errcode",), ("errmsg",), frozenset((7,)))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "no address",
    ],
)
def test_addresses_inside(address: str) -> None:
    assert is_internal(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_outside(address: str) -> None:
    assert not is_internal(address)


def test_signatures_are_those_of_the_vendors() -> None:
    """Made once by `openssl dgst -sha256 -hmac KEY -binary | base64`."""
    assert dingtalk_signature("SEC1", 1_700_000_000_000) == "ukR4+WoOOBTGaOauYqugxVrMSFyr92q4hPxJxuOkiio="
    assert feishu_signature("SEC1", 1_700_000_000) == "s3Va4ru9IQUY6HTJcYx7OEVyXl0V0S/y32v4ZbfOHCI="


@given(st.text(max_size=80), st.integers(0, 120))
def test_what_is_cut_fits_and_begins_the_same(text: str, most: int) -> None:
    text = text.encode(errors="replace").decode()
    short = cut(text, most)
    assert in_bytes(short) <= most
    assert short == text if in_bytes(text) <= most else text.startswith(short.removesuffix("…"))


@given(st.text(max_size=200), st.integers(100, 599))
def test_whatever_is_answered_is_an_answer(text: str, status: int) -> None:
    answer = by_code(Reply(status, {}, text), CODES, 0.0)
    assert not answer.delivered
    assert "\n" not in answer.detail


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"errcode": true}', '{"errcode": "0"}', "null", '{"errcode": 0.0}']
)
def test_a_code_is_a_whole_number_or_none(text: str) -> None:
    answer = by_code(Reply(200, {}, text), CODES, 0.0)
    assert (answer.delivered, answer.retry) == (False, True)
    assert len(answer.detail) < 600


@given(st.text(max_size=30))
def test_retry_after_is_bounded_or_nothing(said: str) -> None:
    seconds = retry_after_seconds({"Retry-After": said}, 1_700_000_000.0)
    assert seconds is None or 0 <= seconds <= 3_600


def test_a_mask_takes_out_tokens_however_they_are_written() -> None:
    url = "https://user:passw0rd@hooks.example.org/services/T0000000000000/x?key=a%2Bb%2Fc%3Dd"
    mask = Mask(WebhookConfig(url=url), {"token": "from-a-file"})
    said = f"{url} passw0rd T0000000000000 a+b/c=d a%2Bb%2Fc%3Dd from-a-file hooks.example.org"
    shown = mask.masked(said)
    for secret in ("passw0rd", "T0000000000000", "a+b/c=d", "a%2Bb", "from-a-file"):
        assert secret not in shown
    assert shown.endswith("hooks.example.org")
    assert HIDDEN in shown


def test_quotes_are_one_short_line() -> None:
    assert quoted("a\r\n\x1b[31mb\u2028c\ufeff") == "a [31mb c"
    assert len(quoted("x" * 10_000)) == 501
