"""Who may do what: tokens by their hashes, roles by what they may."""

import pytest

from controlplane.access.tokens import (
    Access,
    Act,
    BadTokens,
    Principal,
    Role,
    hash_token,
    parse_role,
    parse_tokens,
    token_entry,
)

TOKEN, OTHER = "t" * 32, "o" * 32


def test_a_token_is_known_by_its_hash_alone() -> None:
    line = str(token_entry("ada", Role.ADMIN, TOKEN))
    access = parse_tokens(["# people", "", line + "  # until May"])
    assert TOKEN not in line
    found = access.authenticate(TOKEN)
    assert found is not None
    assert (found.name, found.role) == ("ada", Role.ADMIN)
    assert access.authenticate(OTHER) is None
    assert access.authenticate("") is None
    assert Access().authenticate(TOKEN) is None


R, W, A, D = Act.READ, Act.WRITE, Act.ASK, Act.DECIDE


@pytest.mark.parametrize(
    ("role", "acts"),
    [
        ("admin", {R, W, A, D}),
        ("viewer", {R}),
        ("approver", {R, D}),
        ("tenant:shop", {R, A}),
    ],
)
def test_a_role_may_do_these_acts_and_no_other(role: str, acts: set[Act]) -> None:
    which, tenant = parse_role(role)
    principal = token_entry("x", which, TOKEN, tenant).principal
    assert {act for act in Act if principal.may(act)} == acts


@pytest.mark.parametrize(
    ("role", "tenant", "speaks"),
    [
        ("admin", "shop", True),
        ("approver", "shop", True),
        ("tenant:shop", "shop", True),
        ("tenant:shop", "bank", False),
        ("tenant:shop", "", False),
    ],
)
def test_a_role_speaks_for_a_tenant(role: str, tenant: str, speaks: bool) -> None:
    assert Principal("x", *parse_role(role)).speaks_for(tenant) is speaks


@pytest.mark.parametrize("role", ["admin", "viewer", "approver", "tenant:shop", "tenant:a.b-c"])
def test_a_line_is_read_as_it_was_written(role: str) -> None:
    which, tenant = parse_role(role)
    entry = token_entry("ada", which, TOKEN, tenant)
    assert str(entry) == f"ada {role} {hash_token(TOKEN)}"
    assert parse_tokens([str(entry)]).entries == (entry,)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ada admin", "line 2: 2 words"),
        (f"ada king {hash_token(TOKEN)}", "role 'king'; one of admin, viewer"),
        (f"ada tenant {hash_token(TOKEN)}", "line 2: role 'tenant'; .*tenant:NAME"),
        (f"ada tenant: {hash_token(TOKEN)}", "the role tenant has one"),
        (f"ada tenant:Shop {hash_token(TOKEN)}", "tenant 'Shop'"),
        (f"ada admin:shop {hash_token(TOKEN)}", "role 'admin:shop'"),
        (f"ada/b admin {hash_token(TOKEN)}", "name 'ada/b'"),
        (f"muster-ci admin {hash_token(TOKEN)}", "not beginning with muster"),
        (f"ada admin {TOKEN}", "SHA-256"),
        (f"bob viewer {hash_token(OTHER)}", "earlier line"),
    ],
)
def test_a_line_that_is_none_is_named(line: str, says: str) -> None:
    with pytest.raises(BadTokens, match=says):
        parse_tokens([str(token_entry("eve", Role.VIEWER, OTHER)), line])


def test_a_short_token_is_not_taken() -> None:
    with pytest.raises(ValueError, match="at least 20"):
        token_entry("ada", Role.ADMIN, "short")
