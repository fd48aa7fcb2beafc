"""The programs of an installation on this machine, as processes of their own that end with their parent."""

import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.access.tokens import Role, token_entry
from controlplane.client import Client, Context
from controlplane.embedded.processes import ServerProcess, free_port, port_is_free

USUAL_PORT = 8420
APPROVER = "demo-approver"
START_SECONDS = 45.0


@dataclass
class Installation:
    """One centre (with embedded NATS and Postgres) and any number of agents in one folder.

    approver_token: of somebody else than the administrator: who asks for quota does not grant it.
    """

    folder: Path
    durable: bool = True
    centre_environment: Mapping[str, str] = field(default_factory=dict[str, str])
    token: str = field(default_factory=lambda: f"mt1_{secrets.token_urlsafe(32)}", repr=False)
    approver_token: str = field(default_factory=lambda: f"mt1_{secrets.token_urlsafe(32)}", repr=False)
    port: int = field(default_factory=lambda: USUAL_PORT if port_is_free(USUAL_PORT) else free_port())
    _centre: ServerProcess | None = None
    _agents: dict[str, ServerProcess] = field(default_factory=dict[str, ServerProcess])
    _join_tokens: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def context(self) -> Context:
        return Context(self.url, self.token, {APPROVER: self.approver_token})

    def client(self) -> Client:
        return Client(self.context)

    async def start_centre(self, environment: Mapping[str, str] | None = None) -> ServerProcess:
        """Returns once the API answers. Raises ServerDidNotStart with the last lines of its log."""
        home = self.folder / "centre"
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        tokens = home / "tokens"
        if not tokens.exists():
            tokens.touch(mode=0o600)
            entries = (
                token_entry("demo", Role.ADMIN, self.token),
                token_entry(APPROVER, Role.APPROVER, self.approver_token),
            )
            tokens.write_text("".join(f"{entry}\n" for entry in entries))
        self._centre = ServerProcess(
            name="centre",
            command=[sys.executable, "-m", "controlplane"],
            folder=home,
            stop_signal=signal.SIGTERM,
            environment={
                "MUSTER_DATA_DIR": str(home),
                "MUSTER_TOKENS_FILE": str(tokens),
                "MUSTER_LISTEN_PORT": str(self.port),
                "MUSTER_POSTGRES_DURABLE": str(self.durable).lower(),
                "MUSTER_LOG_FORMAT": "json",
                **self.centre_environment,
                **(environment or {}),
            },
        )
        log, read_to = self._centre.log, _size(self._centre.log)
        await self._centre.start(lambda: _says_it_listens(log, read_to), time.monotonic() + START_SECONDS)
        return self._centre

    async def start_agent(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> ServerProcess:
        """An agent with its own state folder; the first time with a fresh token, later by its keys."""
        home = self.folder / "agents" / name
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = self._join_tokens.pop(name, "")
        self._agents[name] = ServerProcess(
            name="agent",
            command=[sys.executable, "-m", "agents", "--state-dir", str(home / "state"), *arguments],
            folder=home,
            stop_signal=signal.SIGTERM,
            # Not as an argument: those are read by everybody on the machine.
            environment={"MUSTER_AGENT_JOIN_TOKEN": token, **(environment or {})},
        )
        await self._agents[name].start(lambda: True, time.monotonic() + START_SECONDS)
        return self._agents[name]

    async def stop_agent(self, name: str) -> None:
        """`start_agent` with the arguments of its cluster brings it back."""
        await self._agents.pop(name).stop()

    def invite(self, client: Client, name: str, labels: Mapping[str, str]) -> list[str]:
        """The arguments by which the agent of a new cluster joins; `start_agent` hands over its token."""
        invited = client.post("/cluster-invitations", {"name": name, "labels": dict(labels)}).body
        self._join_tokens[name] = invited["token"]
        return ["--join-url", self.url]

    def ended(self) -> str:
        """Which program has ended by itself, with its last log lines; "" for none."""
        programs = {"centre": self._centre, **{f"agent {name}": each for name, each in self._agents.items()}}
        for name, program in programs.items():
            if program is not None and not program.running:
                return f"the {name} ended:\n{program.last_lines()}"
        return ""

    async def stop(self) -> None:
        """Agents first, so that they take their leave of a centre that is there."""
        for agent in self._agents.values():
            if agent.running:
                os.kill(agent.pid, signal.SIGTERM)
        for agent in self._agents.values():
            await agent.stop()
        if self._centre is not None:
            await self._centre.stop()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _says_it_listens(log: Path, read_to: int) -> bool:
    """Its port answers sooner: as soon as it has read what Postgres holds, it says so."""
    if _size(log) <= read_to:
        return False
    with log.open("rb") as file:
        file.seek(read_to)
        return b"Listening on address=" in file.read()
