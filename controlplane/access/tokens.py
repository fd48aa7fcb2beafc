"""Bearer tokens. Only their hashes are kept: who reads the file of tokens can present none of them."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MIN_TOKEN_CHARACTERS = 20
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,128}")
RESERVED = "muster"
"""Changes by names that begin so are the service's own: people's names may not."""
_HASH = re.compile(r"[0-9a-f]{64}")


class Role(StrEnum):
    """admin reads and writes everything; viewer reads everything."""

    ADMIN = "admin"
    VIEWER = "viewer"


class Act(StrEnum):
    READ = "read"
    WRITE = "write"


_MAY: dict[Role, frozenset[Act]] = {
    Role.ADMIN: frozenset({Act.READ, Act.WRITE}),
    Role.VIEWER: frozenset({Act.READ}),
}


class BadTokens(ValueError):
    """A line of the file of tokens that is none; the text names the line and what would be right."""


@dataclass(frozen=True)
class Principal:
    """Who asks. `name` is what stands in changes and revisions."""

    name: str
    role: Role

    def may(self, act: Act) -> bool:
        return act in _MAY[self.role]


@dataclass(frozen=True)
class TokenEntry:
    """One line of the file of tokens: `NAME ROLE SHA256`."""

    principal: Principal
    token_hash: str

    def __str__(self) -> str:
        return f"{self.principal.name} {self.principal.role} {self.token_hash}"


@dataclass(frozen=True)
class Access:
    """The tokens that are valid now."""

    entries: tuple[TokenEntry, ...] = ()

    def authenticate(self, token: str) -> Principal | None:
        """The principal of a token, None for one that nobody has."""
        presented = hash_token(token)
        # Every entry is compared, so that the time taken says nothing about which one was near.
        found = [entry for entry in self.entries if hmac.compare_digest(entry.token_hash, presented)]
        return found[0].principal if found else None


def hash_token(token: str) -> str:
    """SHA-256 in hex. Tokens are random and long, so that a slow hash would add nothing but latency."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_entry(name: str, role: Role, token: str) -> TokenEntry:
    """The entry for a token somebody made. ValueError for a name or a token that cannot be one."""
    _check_name(name)
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise ValueError(f"a token has at least {MIN_TOKEN_CHARACTERS} characters, this one {len(token)}")
    return TokenEntry(Principal(name, role), hash_token(token))


def parse_tokens(lines: Iterable[str]) -> Access:
    """A file of tokens: one `NAME ROLE SHA256` a line; empty lines and # comments are left out.

    Raises BadTokens naming the line.
    """
    entries: dict[str, TokenEntry] = {}
    for number, line in enumerate(lines, start=1):
        text = line.split("#", 1)[0].strip()
        if text:
            entry = _parse_line(number, text.split())
            if entry.token_hash in entries:
                raise BadTokens(f"line {number}: the same token stands on an earlier line")
            entries[entry.token_hash] = entry
    return Access(tuple(entries.values()))


def _parse_line(number: int, parts: list[str]) -> TokenEntry:
    if len(parts) != 3:
        raise BadTokens(f"line {number}: {len(parts)} words; a line is NAME ROLE SHA256-OF-THE-TOKEN")
    name, role, token_hash = parts
    try:
        _check_name(name)
    except ValueError as error:
        raise BadTokens(f"line {number}: {error}") from error
    if role not in {known.value for known in Role}:
        raise BadTokens(f"line {number}: role {role!r}; one of {', '.join(Role)}")
    if not _HASH.fullmatch(token_hash):
        raise BadTokens(f"line {number}: the third word is no SHA-256 (64 hex digits)")
    return TokenEntry(Principal(name, Role(role)), token_hash)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.startswith(RESERVED):
        raise ValueError(f"name {name!r}: 1 to 128 of A-Z a-z 0-9 . _ @ -, and not beginning with {RESERVED}")
