"""How a centre is told what to do: environment MUSTER_*, or flags of `muster serve`."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_data_folder() -> Path:
    return Path.home() / ".local" / "share" / "muster"


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
    postgres_dsn: str = Field(default="", description="postgresql://...; empty starts an embedded server")
    postgres_durable: bool = Field(
        default=True, description="fsync of the embedded Postgres; off only for tests"
    )
    prefix: str = Field(default="muster", description="Of every subject and stream, several share a server")
    listen_host: str = Field(default="127.0.0.1", description="Loopback unless told otherwise")
    listen_port: int = Field(default=8420, ge=0, le=65535, description="0: any free port")
    public_url: str = Field(
        default="", description="How agents and people reach the API; default from the listener"
    )
    tokens_file: Path | None = Field(
        default=None, description="Bearer tokens (0600); default DATA_DIR/tokens"
    )
    lease_seconds: float = Field(default=5.0, gt=0.5, le=60)
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
    log_format: str = Field(default="console", description="console or json")

    @field_validator("log_format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in ("console", "json"):
            raise ValueError("log_format is console or json")
        return value

    @property
    def keys_folder(self) -> Path:
        return self.keys_dir or self.data_dir / "keys"

    @property
    def tokens_path(self) -> Path:
        return self.tokens_file or self.data_dir / "tokens"
