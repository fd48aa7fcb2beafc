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
_TENANT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class Role(StrEnum):
    """admin reads and writes everything; viewer reads everything.

    approver reads everything, and decides on what tenants ask for. tenant, written `tenant:NAME`, reads
    everything, and asks for this tenant.
    """

    ADMIN = "admin"
    VIEWER = "viewer"
    APPROVER = "approver"
    TENANT = "tenant"


class Act(StrEnum):
    """ask: for quota of a tenant; withdraw that, and give back. decide: on what was asked for."""

    READ = "read"
    WRITE = "write"
    ASK = "ask"
    DECIDE = "decide"


_MAY: dict[Role, frozenset[Act]] = {
    Role.ADMIN: frozenset(Act),
    Role.VIEWER: frozenset({Act.READ}),
    Role.APPROVER: frozenset({Act.READ, Act.DECIDE}),
    Role.TENANT: frozenset({Act.READ, Act.ASK}),
}
WRITTEN = (Role.ADMIN.value, Role.VIEWER.value, Role.APPROVER.value, f"{Role.TENANT.value}:NAME")
"""Roles, as they are written."""


class BadTokens(ValueError):
    """A line of the file of tokens that is none; the text names the line and what would be right."""


@dataclass(frozen=True)
class Principal:
    """Who asks. `name` is what stands in changes and revisions. tenant: of the role tenant, else ""."""

    name: str
    role: Role
    tenant: str = ""

    def may(self, act: Act) -> bool:
        """At all. Of whom, where it is not for everybody, `speaks_for` says."""
        return act in _MAY[self.role]

    def speaks_for(self, tenant: str) -> bool:
        """Whether what it may do, it may do for this tenant."""
        return self.role is not Role.TENANT or self.tenant == tenant

    @property
    def role_text(self) -> str:
        """As in the file of tokens: `admin`, `tenant:shop`."""
        return f"{self.role}:{self.tenant}" if self.tenant else self.role.value


@dataclass(frozen=True)
class TokenEntry:
    """One line of the file of tokens: `NAME ROLE SHA256`."""

    principal: Principal
    token_hash: str

    def __str__(self) -> str:
        return f"{self.principal.name} {self.principal.role_text} {self.token_hash}"


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


def token_entry(name: str, role: Role, token: str, tenant: str = "") -> TokenEntry:
    """The entry for a token somebody made. tenant: of the role tenant.

    ValueError for a name, a tenant or a token that cannot be one.
    """
    _check_name(name)
    _check_tenant(role, tenant)
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise ValueError(f"a token has at least {MIN_TOKEN_CHARACTERS} characters, this one {len(token)}")
    return TokenEntry(Principal(name, role, tenant), hash_token(token))


def parse_role(text: str) -> tuple[Role, str]:
    """(role, its tenant) of `admin` or `tenant:shop`. ValueError for what is none."""
    name, colon, tenant = text.partition(":")
    if name not in {known.value for known in Role}:
        raise ValueError(f"role {text!r}; one of {', '.join(WRITTEN)}")
    role = Role(name)
    if bool(colon) != (role is Role.TENANT):
        raise ValueError(f"role {text!r}; one of {', '.join(WRITTEN)}")
    _check_tenant(role, tenant)
    return role, tenant


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
        principal = Principal(name, *parse_role(role))
    except ValueError as error:
        raise BadTokens(f"line {number}: {error}") from error
    if not _HASH.fullmatch(token_hash):
        raise BadTokens(f"line {number}: the third word is no SHA-256 (64 hex digits)")
    return TokenEntry(principal, token_hash)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.startswith(RESERVED):
        raise ValueError(f"name {name!r}: 1 to 128 of A-Z a-z 0-9 . _ @ -, and not beginning with {RESERVED}")


def _check_tenant(role: Role, tenant: str) -> None:
    if (role is Role.TENANT) != bool(tenant):
        raise ValueError(f"role {role}, tenant {tenant!r}; the role tenant has one, the others have none")
    if tenant and not _TENANT.fullmatch(tenant):
        raise ValueError(f"tenant {tenant!r}: 1 to 253 of a-z 0-9 - . beginning and ending with a-z 0-9")
