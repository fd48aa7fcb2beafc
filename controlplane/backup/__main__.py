"""`python -m controlplane.backup create|restore|check FILE`: `muster backup` and `muster restore` end here.

FILE is - for stdout, or stdin: then it lies in a private folder for a while.

A backup:
1. Postgres in one snapshot, table by table, while the service goes on.
2. Keys, tokens, and the configuration of alerts with the files that it names, each with its mode.
3. A manifest with versions and checksums; then the file gets its name.

A restore:
1. Every byte of the file is compared with its checksum.
2. Files are written beside their places.
3. Postgres in one transaction; right before its commit the files go into their places.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import structlog

from controlplane.backup import files
from controlplane.backup.archive import FORMAT, BackupReader, BackupWriter, BadBackup, Manifest
from controlplane.embedded.beside import postgres_of, running_dsn
from controlplane.embedded.processes import ServerDidNotStart
from controlplane.loops.ports import StoreUnavailable
from controlplane.settings import BadSettings, Settings, read_settings
from controlplane.store.contents import CannotKeep, CannotRestore, Table, dump, load

DATABASE = "muster"
PLAIN = (
    "It holds the keys of this installation, and is not encrypted: whoever reads it can act as its centre."
)
NEXT = """\
Next:
  1. start the centre: muster serve
  2. muster get clusters, or muster doctor: an agent that holds newer orders says AgentAhead
  3. bring the intent up to date (muster apply -f FOLDER), then, cluster by cluster: muster recover CLUSTER"""


async def create(settings: Settings, path: Path) -> str:
    """What to tell. Raises CannotKeep, StoreUnavailable, ServerDidNotStart, OSError."""
    if path.exists():  # noqa: ASYNC240 - nothing else runs
        raise CannotKeep(f"{path} exists already: name another file")
    found = files.find(settings)
    if not any(file.role == files.KEYS for file, _ in found.files):
        raise CannotKeep(
            f"no keys in {settings.keys_folder}: a database without them cannot be opened."
            " MUSTER_KEYS_DIR, or MUSTER_DATA_DIR, names where they are"
        )
    async with _database(settings, make=False) as dsn:
        with BackupWriter(path) as writer:
            contents = await dump(dsn, settings.namespace, lambda table: writer.member(f"tables/{table}"))
            for file, source in found.files:
                writer.add(file.member, files.read(source))
            writer.finish(
                Manifest(
                    format=FORMAT,
                    version=version("muster"),
                    made_at=time.time(),
                    namespace=settings.namespace,
                    prefix=settings.prefix,
                    contents=contents,
                    files=[file for file, _ in found.files],
                    checksums=writer.checksums,
                    left_out=list(found.left_out),
                )
            )
    lines = [f"{path}: {_summary(contents.tables, len(found.files))}", PLAIN]
    lines += [
        f"left out, since it is not below the configuration of alerts: {each}" for each in found.left_out
    ]
    return "\n".join(lines)


async def restore(settings: Settings, path: Path, *, replace: bool) -> str:
    """What to tell. Raises BadBackup, CannotRestore, StoreUnavailable, ServerDidNotStart, OSError."""
    backup = BackupReader(path)
    try:
        _check_fits(settings, backup.manifest)
        async with _database(settings, make=True) as dsn:
            putting = files.prepare(settings, backup, replace=replace)
            try:
                later = await load(
                    dsn,
                    settings.namespace,
                    backup.manifest.contents,
                    lambda table: backup.read(f"tables/{table}"),
                    replace=replace,
                    before_commit=putting.into_place,
                )
            except BaseException:
                putting.back()
                raise
    finally:
        backup.close()
    lines = [f"restored {describe(backup.manifest)}"]
    lines += [f"brought up to date by {name}" for name in later]
    lines += [f"{target} was another: it is {aside.name} now" for target, aside in putting.moved]
    if putting.alerts_config is not None and settings.alerts_config is None:
        lines.append(f"start it with --alerts-config {putting.alerts_config}")
    return "\n".join([*lines, NEXT])


def check(path: Path) -> str:
    """Raises BadBackup."""
    backup = BackupReader(path)
    backup.close()
    return f"whole: {describe(backup.manifest)}"


def describe(manifest: Manifest) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(manifest.made_at))
    return f"{at}, by {manifest.version}: {_summary(manifest.contents.tables, len(manifest.files))}"


def _summary(tables: list[Table], count: int) -> str:
    rows = {table.name: table.rows for table in tables}
    return (
        f"{rows.get('cluster', 0):,} clusters, {rows.get('workload', 0):,} workloads,"
        f" {sum(rows.values()):,} rows in {len(rows)} tables, {count} files"
    )


def _check_fits(settings: Settings, manifest: Manifest) -> None:
    for name, ours, theirs in (
        ("MUSTER_NAMESPACE", settings.namespace, manifest.namespace),
        ("MUSTER_PREFIX", settings.prefix, manifest.prefix),
    ):
        if ours != theirs:
            raise CannotRestore(f"{name} is {ours!r} here, and was {theirs!r}: agents speak under the latter")


@asynccontextmanager
async def _database(settings: Settings, *, make: bool) -> AsyncGenerator[str]:
    folder = settings.data_dir / "postgres"
    if settings.postgres_dsn:
        yield settings.postgres_dsn
        return
    if not make and running_dsn(folder, DATABASE) is None and not folder.exists():
        raise CannotKeep(
            f"no Postgres in {settings.data_dir}: MUSTER_DATA_DIR or MUSTER_POSTGRES_DSN names the right one"
        )
    async with postgres_of(folder, DATABASE, durable=settings.postgres_durable) as dsn:
        yield dsn


def main(arguments: list[str]) -> int:
    """Exit code: 0 done, 1 refused or failed, 2 not understood."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    given = [each for each in arguments if each != "--replace"]
    if len(given) != 2 or given[0] not in ("create", "restore", "check"):
        print("create FILE, restore FILE [--replace], check FILE", file=sys.stderr)  # noqa: T201
        return 2
    action, piped = given[0], given[1] == "-"
    try:
        with tempfile.TemporaryDirectory(prefix="muster-backup-") as folder:
            path = Path(folder) / "backup" if piped else Path(given[1]).absolute()
            if piped and action != "create":
                with path.open("wb") as file:
                    shutil.copyfileobj(sys.stdin.buffer, file)
            said = _act(read_settings(), action, path, replace="--replace" in arguments)
            if piped and action == "create":
                with path.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
    except (CannotKeep, CannotRestore, BadBackup, StoreUnavailable, ServerDidNotStart, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except BadSettings as error:
        print(*(f"error: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)  # noqa: T201
        return 1
    print(said, file=sys.stderr if piped else sys.stdout)
    return 0


def _act(settings: Settings, action: str, path: Path, *, replace: bool) -> str:
    match action:
        case "create":
            return asyncio.run(create(settings, path))
        case "restore":
            return asyncio.run(restore(settings, path, replace=replace))
        case _:
            return check(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
