"""Child processes that hold one folder each and never outlive their parent.

On Linux the kernel signals the child when the thread that started it ends (PR_SET_PDEATHSIG); start servers
from a thread that lives as long as they should. Each child leads a process group of its own, so that a
terminal's Ctrl-C reaches Muster alone, which then stops its servers in order. Elsewhere an orphan stays until
somebody ends it; the folder's lock makes the next start say so.
"""

import asyncio
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.005
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ServerDidNotStart(RuntimeError):
    """An embedded server could not be started; the message says why and ends with its last log lines."""


@dataclass(frozen=True)
class Account:
    """The system user that a server runs as. None of it: whoever runs Muster."""

    uid: int
    gid: int


@dataclass
class ServerProcess:
    """One server and the lock on its folder, which the kernel frees when the last of its processes ends."""

    name: str
    command: Sequence[str]
    folder: Path
    stop_signal: signal.Signals
    account: Account | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Raises RuntimeError when the server was not started."""
        if self._child is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    async def start(self, ready: Callable[[], bool], deadline: float, lock: IO[bytes] | None = None) -> None:
        """Start and wait until `ready()` holds; `deadline` is on the monotonic clock.

        lock: of `lock_folder`, where the caller needed the folder before; the server holds it from now on.
        Raises ServerDidNotStart; the child is gone then.
        """
        if lock is None:
            with await lock_folder(self.folder, self.name, deadline) as lock:
                return await self.start(ready, deadline, lock)
        self._child = self._spawn(lock)
        try:
            while not ready():
                if not self.running:
                    raise ServerDidNotStart(f"{self.name} ended at once.\n{self.last_lines()}")
                if time.monotonic() > deadline:
                    raise ServerDidNotStart(f"{self.name} was not ready in time.\n{self.last_lines()}")
                await asyncio.sleep(POLL_SECONDS)
        except BaseException:
            self.kill()
            raise
        return None

    def _spawn(self, lock: IO[bytes]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                pass_fds=(lock.fileno(),),
                process_group=0,
                preexec_fn=_die_with_parent(self.stop_signal),
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
            )

    async def stop(self, timeout_seconds: float = 10.0) -> None:
        """Ask it to end, wait, then kill. Does nothing when it has already ended."""
        if self._child is None:
            return
        if self.running:
            self._child.send_signal(self.stop_signal)
        deadline = time.monotonic() + timeout_seconds
        while self.running and time.monotonic() < deadline:  # noqa: ASYNC110 - a child sets no event
            await asyncio.sleep(POLL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, as a power cut would; waits for the end."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def last_lines(self, count: int = 8) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


async def lock_folder(folder: Path, name: str, deadline: float) -> IO[bytes]:
    """Hold the folder alone. A server whose parent was killed may still be shutting down: wait for it.

    Raises ServerDidNotStart when somebody holds it until the deadline.
    """
    lock = (folder / f"{name}.lock").open("ab")
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServerDidNotStart(
                        f"{name}: another {name} runs in {folder}; stop it or name another folder"
                    ) from None
                await asyncio.sleep(POLL_SECONDS)
            else:
                return lock
    except BaseException:
        lock.close()
        raise


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def port_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
    except OSError:
        return False


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child does between fork and exec. Set after the change of user, which would clear it."""
    if _libc is None:
        return None
    libc, parent = _libc, os.getpid()

    def before_exec() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec
