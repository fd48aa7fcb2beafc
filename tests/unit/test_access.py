"""Who may do what: tokens by their hashes, roles by what they may."""

import pytest

from controlplane.access.tokens import Access, Act, BadTokens, Role, hash_token, parse_tokens, token_entry

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


@pytest.mark.parametrize(
    ("role", "act", "may"),
    [
        (Role.ADMIN, Act.READ, True),
        (Role.ADMIN, Act.WRITE, True),
        (Role.VIEWER, Act.READ, True),
        (Role.VIEWER, Act.WRITE, False),
    ],
)
def test_a_role_may(role: Role, act: Act, may: bool) -> None:
    assert token_entry("x", role, TOKEN).principal.may(act) is may


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ada admin", "line 2: 2 words"),
        (f"ada king {hash_token(TOKEN)}", "role 'king'; one of admin, viewer"),
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
