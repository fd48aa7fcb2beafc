"""What a backup holds, what a restore refuses, and that a refused one changes nothing: on a real Postgres."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from controlplane.backup.__main__ import create, restore
from controlplane.backup.archive import FORMAT, BackupReader, BackupWriter, BadBackup, Manifest
from controlplane.identity import keys
from controlplane.settings import Settings
from controlplane.store import migrations
from controlplane.store.contents import CannotKeep, CannotRestore, Contents, Table, dump, load, made_by
from controlplane.store.migrations import Migration, known, migrate
from controlplane.store.store import PostgresStore
from tests.conformance.store_worlds import ME, decision, draft, joined, lead, order, raw

CONFIG = """\
route: {receiver: team}
receivers: [{name: team, webhook_configs: [{url_file: secrets/url}]}]
templates: [templates/*.tmpl]
"""
NEWEST = known()[-1].number


@dataclass
class Kept:
    """A backup in memory."""

    members: dict[str, bytearray] = field(default_factory=dict[str, bytearray])

    @contextmanager
    def open(self, name: str) -> Iterator[bytearray]:
        class Member(bytearray):
            write = bytearray.extend

        self.members[name] = member = Member()
        yield member

    def read(self, name: str) -> Iterator[bytes]:
        yield bytes(self.members[name])


async def fill(dsn: str) -> None:
    """What is placed, what is led, and values that a careless copy would lose."""
    async with PostgresStore(dsn) as store:
        cluster = await joined(store)
        work = await store.submit_workload(draft("web"), ME)
        lease = await lead(store)
        generation = (await store.reserve_generations(lease, 8))[0]
        await store.commit_decisions(lease, [decision(work, order(cluster.id, lease, generation))])
        assert await store.take_lease("alerting", "first", 30.0), "its epoch begins where the block ends"
    async with raw(dsn) as connection:
        await connection.execute("insert into silence values (E'a\\\\b\\n\\tc', 1e308, '\\x00ff')")
        await connection.execute("update lease set expires_at = '-infinity'")


async def rows_of(dsn: str) -> Mapping[str, list[str]]:
    async with raw(dsn) as connection:
        return {
            table: [row[0] for row in await connection.fetch(f'select t::text from "{table}" t order by 1')]
            for table in made_by(known())[0]
        }


@pytest_asyncio.fixture
async def filled(database: str) -> str:
    await fill(database)
    return database


@pytest.mark.promise(1)
async def test_a_backup_has_every_row_and_a_restored_database_is_led_at_once(
    filled: str, empty_database: str
) -> None:
    kept = Kept()
    contents = await dump(filled, "", kept.open)
    assert await load(empty_database, "", contents, kept.read, replace=False) == []
    assert await rows_of(empty_database) == await rows_of(filled)
    async with PostgresStore(empty_database) as store:
        lease = await lead(store, "somebody else")
        assert await store.commit_decisions(lease, []) == set()
        await store.submit_workload(draft("more"), ME)


@pytest.mark.promise(3)
async def test_what_is_issued_after_the_backup_is_not_taken_for_issued_by_the_restored_database(
    filled: str, empty_database: str
) -> None:
    """A leader reserves generations in blocks: the end of its block is no limit of what was issued."""
    kept = Kept()
    await load(empty_database, "", await dump(filled, "", kept.open), kept.read, replace=False)
    async with PostgresStore(empty_database) as store:
        loaded = await store.load()
    assert loaded.last_generation == max(each.version.generation for each in loaded.outbox)


async def test_a_backup_of_an_older_release_is_brought_up_to_date(
    filled: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, every = Kept(), known()
    contents = await dump(filled, "", kept.open)
    later = Migration(
        NEWEST + 1, "later.sql", "alter table workload add column later int not null default 7;"
    )
    monkeypatch.setattr(migrations, "known", lambda: [*every, later])
    assert await load(empty_database, "", contents, kept.read, replace=False) == ["later.sql"]
    async with raw(empty_database) as connection:
        assert await connection.fetchval("select later from workload") == 7


async def test_a_service_with_a_namespace_is_kept_and_brought_back_by_itself(
    database: str, empty_database: str
) -> None:
    kept = Kept()
    await migrate(database, "north")
    async with PostgresStore(database, namespace="north") as store:
        await store.submit_workload(draft("web"), ME)
    await load(empty_database, "north", await dump(database, "north", kept.open), kept.read, replace=False)
    async with PostgresStore(empty_database, namespace="north") as store:
        assert [each.name for each in (await store.load()).workloads] == ["web"]
    with pytest.raises(CannotKeep, match="nothing of Muster's"):
        await dump(empty_database, "", kept.open)


def newer(contents: Contents) -> Contents:
    beyond = [*contents.migrations, (NEWEST + 1, "beyond.sql")]
    return Contents(contents.postgres, beyond, contents.tables, contents.sequences)


REFUSED = {
    "the database is not empty": (False, False, False, "--replace"),
    "somebody leads": (True, True, False, "leads by this database: stop every centre"),
    "the backup is of a later release": (True, False, True, "of a later release"),
}


@pytest.mark.promise(1)
@pytest.mark.parametrize(("replace", "led", "later", "says"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_refused_restore_changes_nothing(
    filled: str, replace: bool, led: bool, later: bool, says: str
) -> None:
    kept = Kept()
    contents = await dump(filled, "", kept.open)
    async with raw(filled) as connection:
        await connection.execute("update workload set name = 'since'")
        if led:
            await connection.execute("update lease set expires_at = clock_timestamp() + interval '1 minute'")
    before = await rows_of(filled)
    with pytest.raises(CannotRestore, match=says):
        await load(filled, "", newer(contents) if later else contents, kept.read, replace=replace)
    assert await rows_of(filled) == before


def damaged(kept: Kept) -> None:
    kept.members["workload"] = bytearray(bytes(kept.members["workload"]).split(b"\t")[0])


def failing() -> None:
    raise CannotRestore("a file could not be put into its place")


@pytest.mark.promise(1)
async def test_a_restore_that_fails_half_way_changes_nothing(filled: str) -> None:
    kept = Kept()
    contents = await dump(filled, "", kept.open)
    before = await rows_of(filled)
    with pytest.raises(CannotRestore, match="into its place"):
        await load(filled, "", contents, kept.read, replace=True, before_commit=failing)
    assert await rows_of(filled) == before
    damaged(kept)
    with pytest.raises(CannotRestore, match="Postgres refuses"):
        await load(filled, "", contents, kept.read, replace=True)
    assert await rows_of(filled) == before


@dataclass(frozen=True)
class Machine:
    """Where a centre runs: its folder and its settings."""

    folder: Path
    dsn: str

    @property
    def settings(self) -> Settings:
        config = self.folder / "alerts" / "alertmanager.yml"
        return Settings(data_dir=self.folder, postgres_dsn=self.dsn, alerts_config=config)

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
        return inherited | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MUSTER_DATA_DIR": str(self.folder),
            "MUSTER_POSTGRES_DSN": self.dsn,
        }

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Mode and content by path."""
        return {
            path.relative_to(self.folder).as_posix(): (path.stat().st_mode & 0o777, path.read_bytes())
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.suffix != ".backup"
        }


def equipped(folder: Path, dsn: str) -> Machine:
    keys.init(folder / "keys")
    (folder / "tokens").write_text("")
    (folder / "tokens").chmod(0o600)
    for name, content in (
        ("alertmanager.yml", CONFIG),
        ("secrets/url", "http://x"),
        ("templates/a.tmpl", "a"),
    ):
        path = folder / "alerts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "alerts/secrets/url").chmod(0o600)
    return Machine(folder, dsn)


async def test_files_are_kept_with_their_modes_and_brought_back_all_or_none(
    filled: str, empty_database: str, tmp_path: Path
) -> None:
    here = equipped(tmp_path / "here", filled)
    kept = here.folder / "night.backup"
    said = await create(here.settings, kept)
    assert "1 clusters, 1 workloads" in said
    assert "not encrypted" in said
    assert kept.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CannotKeep, match="exists already"):
        await create(here.settings, kept)

    there = Machine(tmp_path / "there", empty_database)
    assert "muster recover CLUSTER" in await restore(there.settings, kept, replace=False)
    assert there.files() == here.files()
    assert await rows_of(empty_database) == await rows_of(filled)

    other = equipped(tmp_path / "other", empty_database)
    before = other.files()
    with pytest.raises(CannotRestore, match="--replace moves it aside"):
        await restore(other.settings, kept, replace=False)
    assert other.files() == before
    said = await restore(other.settings, kept, replace=True)
    assert "operator.nk was another: it is operator.nk.before-restore-" in said
    after = other.files()
    assert {name: after[name] for name in here.files()} == here.files()
    assert sorted(content for _, content in after.values()).count(before["keys/master.key"][1]) == 1


def test_the_commands_take_pipes(filled: str, tmp_path: Path) -> None:
    here = equipped(tmp_path / "here", filled)
    piped = subprocess.run(
        ["/bin/sh", "-c", "muster backup - | muster restore --check -"],
        env=here.environment(),
        cwd=here.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "whole" in piped.stderr


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def changed(path: Path) -> None:
    """A whole zip, with another content under the same name."""
    with zipfile.ZipFile(path) as read:
        members = {name: read.read(name) for name in read.namelist()}
    members["tables/workload"] = members["tables/workload"].replace(b"web", b"wob")
    with zipfile.ZipFile(path, "w") as written:
        for name, content in members.items():
            written.writestr(name, content)


def more(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as written:
        written.writestr("files/keys/../../evil", b"")


DAMAGED = {
    "cut": (truncated, "no whole backup"),
    "changed": (changed, "tables/workload is damaged"),
    "with more in it": (more, "not what its manifest lists"),
    "none at all": (lambda path: path.write_text("x"), "no whole backup"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_backup_is_refused(damage: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    path = tmp_path / "night.backup"
    with BackupWriter(path) as writer:
        writer.add("tables/workload", b"web\t1\n" * 10_000)
        contents = Contents("17", [(1, "a.sql")], [Table("workload", ["name", "n"], 1)], {})
        writer.finish(Manifest(FORMAT, "0.1.0", 0.0, "", "muster", contents, [], writer.checksums))
    assert BackupReader(path).manifest.contents == contents
    damage(path)
    with pytest.raises(BadBackup, match=says):
        BackupReader(path)
