"""How a centre is told what to do: environment MUSTER_*, or flags of `muster serve`."""

import re
from hashlib import sha256
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.wire.subjects import is_prefix

LOOPS = ("deciding", "alerting", "api")
NAMESPACE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,38}[A-Za-z0-9])?")


def split_address(text: str) -> tuple[str, int]:
    """host, port of `127.0.0.1:9093`, `:9093`, `[::1]:0`. ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{text!r}: HOST:PORT or :PORT, as 127.0.0.1:9093")
    return host, int(port)


def default_data_folder() -> Path:
    return Path.home() / ".local" / "share" / "muster"


class BadSettings(ValueError):
    """A line for each setting that is not understood: its environment variable, and what would be right."""


class Settings(BaseSettings):
    """Every field has a default that makes one machine work without anything beside it."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_", extra="ignore")

    data_dir: Path = Field(
        default_factory=default_data_folder, description="Keys, embedded NATS and Postgres"
    )
    keys_dir: Path | None = Field(default=None, description="Folder of keys (0600); default DATA_DIR/keys")
    nats_url: str = Field(default="", description="nats://...; empty starts an embedded server")
    nats_public_url: str = Field(
        default="", description="What agents are told to connect to; default NATS_URL"
    )
    nats_replicas: int = Field(
        default=1, ge=1, le=5, description="Copies of each stream, on as many servers; 3 with three servers"
    )
    postgres_dsn: str = Field(default="", description="postgresql://...; empty starts an embedded server")
    postgres_durable: bool = Field(
        default=True, description="fsync of the embedded Postgres; off only for tests"
    )
    prefix: str = Field(default="muster", description="Of every subject and stream, several share a server")
    namespace: str = Field(
        default="",
        description="Of a service that shares its Postgres and its NATS: a schema, and subjects, of its own",
    )
    listen_host: str = Field(default="127.0.0.1", description="Loopback unless told otherwise")
    listen_port: int = Field(default=8420, ge=0, le=65535, description="0: any free port")
    web_listen_address: str = Field(
        default="",
        description="HOST:PORT or :PORT, instead of those two; /api/v2 is open there, like Alertmanager's",
    )
    alerts_config: Path | None = Field(
        default=None, description="Alertmanager's configuration file; without it nobody is told of alerts"
    )
    public_url: str = Field(
        default="", description="How agents and people reach the API; default from the listener"
    )
    tokens_file: Path | None = Field(
        default=None, description="Bearer tokens (0600); default DATA_DIR/tokens"
    )
    loops: str = Field(
        default=",".join(LOOPS), description="What this process runs, of deciding, alerting, api; by commas"
    )
    replicas: int = Field(
        default=0, ge=0, le=200, description="How many with the same LOOPS there should be; 0: nobody says"
    )
    lease_seconds: float = Field(
        default=3.0, gt=0.5, le=60, description="How long a leader leads without renewing"
    )
    beat_lost_seconds: float = Field(
        default=45.0, ge=1, description="Silence after which a cluster is lost; agents beat every 10 s"
    )
    unreachable_toleration_seconds: float = Field(
        default=300.0, ge=0, description="After which what was in a lost cluster is placed again"
    )
    suspect_share: float = Field(
        default=0.55,
        gt=0,
        le=1,
        description="Of clusters: more are silent, and the network is suspected",
    )
    surge_seconds: float = Field(
        default=20.0,
        gt=0,
        description="What a workload has beyond its charge for longer is entered as drift",
    )
    limits_lower_seconds: float = Field(
        default=30.0, gt=0, description="Limits in the clusters are lowered so often at most"
    )
    log_format: str = Field(default="console", description="console or json")

    @field_validator("log_format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in ("console", "json"):
            raise ValueError("log_format is console or json")
        return value

    @field_validator("loops")
    @classmethod
    def _known_loops(cls, value: str) -> str:
        named = [each.strip() for each in value.split(",")]
        unknown = [each for each in named if each not in LOOPS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is none: one or more of {', '.join(LOOPS)}, joined by commas")
        return ",".join(each for each in LOOPS if each in named)

    @field_validator("namespace")
    @classmethod
    def _known_namespace(cls, value: str) -> str:
        if value and not NAMESPACE.fullmatch(value):
            raise ValueError("1 to 40 of A-Z a-z 0-9 _ . -, a letter or digit at its ends")
        return value

    @field_validator("web_listen_address")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    @property
    def decides(self) -> bool:
        """Whether it places, and leads those who do."""
        return "deciding" in self.loops.split(",")

    @property
    def notifies(self) -> bool:
        """Whether it decides who hears of alerts, and tells them."""
        return "alerting" in self.loops.split(",")

    @property
    def serves_api(self) -> bool:
        """Whether more than health and metrics is answered."""
        return "api" in self.loops.split(",")

    @property
    def address(self) -> tuple[str, int]:
        """Where the one listener is; an empty host is every interface."""
        if self.web_listen_address:
            return split_address(self.web_listen_address)
        return self.listen_host, self.listen_port

    @property
    def subject_prefix(self) -> str:
        """Of the namespace, where there is one; one that no subject can bear is hashed."""
        if not self.namespace:
            return self.prefix
        joined = f"{self.prefix}-{self.namespace}"
        if is_prefix(joined):
            return joined
        return f"{self.prefix[:11]}-{sha256(joined.encode()).hexdigest()[:20]}"

    @property
    def keys_folder(self) -> Path:
        return self.keys_dir or self.data_dir / "keys"

    @property
    def tokens_path(self) -> Path:
        return self.tokens_file or self.data_dir / "tokens"


def read_settings() -> Settings:
    """Of the environment. Raises BadSettings."""
    try:
        return Settings()
    except ValidationError as error:
        lines: list[str] = []
        for each in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in ("MUSTER", *each["loc"])).upper()
            lines.append(f"{name}: {each['msg'].removeprefix('Value error, ')}")
        raise BadSettings("\n".join(lines)) from None
