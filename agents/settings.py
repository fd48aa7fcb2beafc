"""Settings of the agent: environment MUSTER_AGENT_*, flags go before it."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict

from agents.simulation.makes import Make


class AgentSettings(BaseSettings):
    """Where the agent runs, what it watches and how often it speaks."""

    model_config = SettingsConfigDict(
        env_prefix="MUSTER_AGENT_",
        cli_kebab_case=True,
        cli_prog_name="python -m agents",
        cli_implicit_flags=True,
        extra="forbid",
    )

    state_dir: Path = Field(description="folder of its own, 0700: keys, spool, the simulated cluster")
    join_url: str = Field("", description="the centre's address, needed until the agent has joined")
    join_token: str = Field("", repr=False, description="one-time token, needed until the agent has joined")
    keys_secret: str = Field(
        "",
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$",
        description="a Secret in muster-system: keys and membership of all replicas; empty: state_dir",
    )
    simulate: Make | None = Field(None, description="a simulated cluster of this make instead of a real one")
    seed: int = Field(0, ge=0, description="of the simulated cluster")
    nodes: int | None = Field(
        None, ge=1, le=20_000, description="nodes of the simulated cluster's first kind"
    )
    kubeconfig: str = Field("", description="a kubeconfig file; else in-cluster, else KUBECONFIG")
    context: str = Field("", description="context of the kubeconfig; else its current one")
    provider: str = Field("", description="reported instead of what the nodes say")
    region: str = Field("", description="reported instead of what the nodes say")
    labels: dict[str, str] = Field(default_factory=dict, description="labels of the cluster, as JSON")
    beat_seconds: float = Field(10.0, ge=0.1, le=300)
    report_seconds: float = Field(1.0, ge=0.05, le=60)
    resync_seconds: float = Field(600.0, ge=1, le=86_400)
    metrics_seconds: float = Field(30.0, ge=0.5, le=600)
    namespaces_seconds: float = Field(
        10.0, ge=0.5, le=600, description="how often pods of others are told by namespace, at most"
    )
    namespaces: list[str] = Field(
        default_factory=list[str],
        max_length=100,
        description="where its account may write, as JSON, if not everywhere; empty: it looks in all that"
        " there are",
    )
    rights_seconds: float = Field(60.0, ge=0.5, le=3600, description="how often it asks what it may do")
    lease_seconds: float = Field(15.0, ge=1, le=120)
    tick_seconds: float = Field(0.25, ge=0.01, le=10, description="pace of the simulated cluster")
    ready_seconds: float = Field(2.0, ge=0, le=3600, description="until a pod of the simulated cluster runs")
    termination_seconds: float = Field(
        1.0, ge=0, le=3600, description="until a deleted pod of the simulated cluster is gone"
    )
    alerts_listen: str | None = Field(
        None,
        pattern=r"^$|^\S*:\d{1,5}$",
        description="HOST:PORT of Alertmanager's API v2 for the cluster's Prometheus; empty: not served. Else"
        " 127.0.0.1:9093, and not at all where the cluster is simulated",
    )
    fallback_file: Path | None = Field(
        None, description="YAML: what the agent sends by itself while the centre is silent"
    )
    event_rules_file: Path | None = Field(
        None, description="YAML: which warning events become alerts, instead of the rules built in"
    )
    degraded_seconds: float = Field(
        60.0, ge=0.05, le=86_400, description="how long a workload is unhealthy before that is an alert"
    )
    gpu_seconds: float = Field(
        60.0,
        ge=0.5,
        le=3600,
        description="how often exporters of GPU metrics are asked",
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
    log_json: bool = Field(True, description="one JSON object a line; else for reading")

    @property
    def alerts_address(self) -> tuple[str, int] | None:
        """Host and port of the door for alerts; None: it stays shut."""
        text = self.alerts_listen
        if text is None:
            text = "" if self.simulate is not None else "127.0.0.1:9093"
        host, _, port = text.rpartition(":")
        return (host.strip("[]") or "0.0.0.0", int(port)) if text else None


def read_settings(arguments: list[str]) -> AgentSettings:
    """Raises pydantic.ValidationError naming the field, SystemExit for --help and unknown flags."""
    return CliApp.run(AgentSettings, cli_args=arguments)
