"""Everything that `muster doctor` looks at, at once and each within its bound: by a centre, or without one.

`python -m controlplane.examining` looks from the settings alone, and prints one JSON object.
"""

import asyncio
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import structlog
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from controlplane import certificates
from controlplane.alert_files import load_configuration
from controlplane.alerts.compile import ConfigurationError
from controlplane.alerts.templates import TemplateFaults
from controlplane.bus import health as nats_health
from controlplane.bus.streams import StreamBounds
from controlplane.doctor import clusters, machine, nats, postgres
from controlplane.doctor.checks import Check, bounded
from controlplane.doctor.findings import Finding
from controlplane.doctor.machine import DiskFacts, KeysFacts
from controlplane.doctor.nats import NatsFacts
from controlplane.doctor.postgres import PostgresFacts
from controlplane.embedded.beside import running_dsn
from controlplane.embedded.processes import port_answers
from controlplane.identity import keys as key_folder
from controlplane.identity.keys import BadKeys, Keys
from controlplane.identity.sealing import CannotOpen, MasterKey
from controlplane.known.known import Known
from controlplane.loops.ports import BusUnavailable, StoreUnavailable
from controlplane.settings import BadSettings, Settings, read_settings
from controlplane.store import health as store_health
from controlplane.template_files import load_templates
from schemas.wire.orders import Verb, Version, signing_payload
from schemas.wire.subjects import Subjects

PART_SECONDS = 3.5
LAG_SECONDS = 0.1
SLICE_SECONDS = 0.004
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where to look. dsn, nats_urls: empty where nothing runs; then postgres_said, nats_said tell of it.

    known: of the centre that looks, None without one. leads: whether that one decides.
    """

    settings: Settings
    dsn: str
    nats_urls: Sequence[str]
    embedded: bool
    known: Known | None = None
    leads: Callable[[], bool] = lambda: True
    postgres_said: str = ""
    nats_said: str = ""


class Examiner:
    """Of one centre. Whoever asks while it looks is told what that look finds."""

    def __init__(self, settings: Settings, known: Known, leads: Callable[[], bool]) -> None:
        self._settings, self._known, self._leads = settings, known, leads
        self._looking: asyncio.Task[list[Check]] | None = None

    async def examine(self) -> list[Check]:
        if self._looking is None or self._looking.done():
            place = replace(place_of(self._settings), known=self._known, leads=self._leads)
            self._looking = asyncio.create_task(examine(place), name="doctor")
        return await asyncio.shield(self._looking)


async def examine(place: Place) -> list[Check]:
    """Within PART_SECONDS, whatever hangs."""
    loop = asyncio.get_running_loop()
    due = loop.time() + LAG_SECONDS
    settings = place.settings
    keys, keys_facts = _read_keys(settings.keys_folder)
    subjects = Subjects(settings.subject_prefix)
    lagged = asyncio.create_task(asyncio.sleep(LAG_SECONDS))
    lagged_by = asyncio.create_task(_lag(lagged, due))
    about_postgres, about_nats, on_disk, shown, config = await asyncio.gather(
        _postgres(place),
        _nats(place, keys, subjects),
        _within("disk", asyncio.to_thread(_disks, settings)),
        _within("certificate", asyncio.to_thread(_certificates, settings, place.nats_urls)),
        _within("alerts.config", asyncio.to_thread(_alerts_config, settings.alerts_config)),
    )
    found: list[Check] = []
    if place.known is not None:
        found.append(clusters.lag(await lagged_by))
    found += machine.keys(_fitting(keys_facts, keys, about_postgres))
    found += [about_postgres] if isinstance(about_postgres, Check) else list(postgres.judge(about_postgres))
    joined = about_postgres.clusters if isinstance(about_postgres, PostgresFacts) else dict[str, str]()
    found += [about_nats] if isinstance(about_nats, Check) else list(nats.judge(about_nats, joined))
    for part in (shown, config, on_disk):
        found += [part] if isinstance(part, Check) else part
    if place.known is not None:
        found += await _of_clusters(place.known, leads=place.leads())
    lagged_by.cancel()
    return bounded(found)


async def _of_clusters(known: Known, *, leads: bool) -> list[Check]:
    """In slices: thousands of them shall not hold up a lease."""
    loop = asyncio.get_running_loop()
    found, began = list[Check](), loop.time()
    for check in clusters.judge(known, time.time(), version("muster"), leads=leads):
        found += [check] if check is not None else []
        if loop.time() - began > SLICE_SECONDS:
            await asyncio.sleep(0)
            began = loop.time()
    return found


async def _lag(slept: "asyncio.Task[None]", due: float) -> float:
    await slept
    return max(0.0, asyncio.get_running_loop().time() - due)


async def _within(name: str, looking: Awaitable[T]) -> T | Check:
    """What hangs, or breaks, is told as a check of its own."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            return await looking
    except TimeoutError:
        return Check(name, f"no answer within {PART_SECONDS:g} s", Finding.CHECK_TIMED_OUT)
    except Exception as error:
        return Check(name, f"{type(error).__name__}: {error}", Finding.CHECK_FAILED)


async def _postgres(place: Place) -> PostgresFacts | Check:
    if not place.dsn:
        return Check("postgres", place.postgres_said, Finding.POSTGRES_UNREACHABLE)

    async def look() -> PostgresFacts | Check:
        try:
            return await store_health.look(place.dsn, place.settings.namespace, embedded=place.embedded)
        except store_health.Refuses as error:
            return Check("postgres", str(error), Finding.POSTGRES_REFUSES)
        except StoreUnavailable as error:
            return Check("postgres", str(error), Finding.POSTGRES_UNREACHABLE)

    found = await _within("postgres", look())
    hangs = isinstance(found, Check) and found.finding is Finding.CHECK_TIMED_OUT
    return replace(found, finding=Finding.POSTGRES_UNREACHABLE) if hangs else found


async def _nats(place: Place, keys: Keys | None, subjects: Subjects) -> NatsFacts | Check:
    if not place.nats_urls:
        return Check("nats", place.nats_said, Finding.NATS_UNREACHABLE)
    if keys is None:
        return Check("nats", "not asked: there are no keys to ask with", Finding.NATS_REFUSES)

    async def look() -> NatsFacts | Check:
        try:
            bounds = StreamBounds(replicas=place.settings.nats_replicas)
            return await nats_health.look(place.nats_urls, keys, subjects, time.time, bounds)
        except BusUnavailable as error:
            refused = "authorization" in str(error).lower()
            return Check("nats", str(error), Finding.NATS_REFUSES if refused else Finding.NATS_UNREACHABLE)

    found = await _within("nats", look())
    hangs = isinstance(found, Check) and found.finding is Finding.CHECK_TIMED_OUT
    return replace(found, finding=Finding.NATS_UNREACHABLE) if hangs else found


def _read_keys(folder: Path) -> tuple[Keys | None, KeysFacts]:
    if not folder.is_dir() or not any(folder.iterdir()):
        return None, KeysFacts(str(folder), missing=True)
    paths = [folder, *sorted(folder.iterdir())]
    open_paths = [str(path) for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]
    try:
        keys = key_folder.load(folder)
    except BadKeys as error:
        return None, KeysFacts(str(folder), open_paths, error=str(error))
    return keys, KeysFacts(str(folder), open_paths, fingerprint=f"{keys.operator.public[:12]}...")


def _fitting(facts: KeysFacts, keys: Keys | None, found: PostgresFacts | Check) -> KeysFacts:
    """With what lies in the database: what master.key sealed, what order-signing.key signed."""
    if keys is None or isinstance(found, Check):
        return facts
    opens = signs = None
    if found.sealed_seed is not None:
        opens = True
        try:
            MasterKey(keys.master).open(*found.sealed_seed)
        except CannotOpen:
            opens = False
    if found.signed_order is not None:
        cluster, workload, verb, epoch, generation, body, signature = found.signed_order
        signs = True
        try:
            payload = signing_payload(cluster, workload, Verb(verb), Version(epoch, generation), body)
            VerifyKey(keys.order_verifying).verify(payload, signature)
        except (BadSignatureError, ValueError):
            signs = False
    return replace(facts, opens=opens, signs=signs)


def _disks(settings: Settings) -> list[Check]:
    folder = settings.data_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return [machine.disk(DiskFacts(str(folder), usage.free, usage.total))]


def _certificates(settings: Settings, nats_urls: Sequence[str]) -> list[Check]:
    urls = [*nats_urls, *settings.nats_public_url.split(","), settings.public_url]
    looked = (certificates.look(url) for url in dict.fromkeys(urls) if url)
    return [nats.certificate(facts) for facts in looked if facts is not None]


def _alerts_config(path: Path | None) -> list[Check]:
    errors: Iterable[object] = ()
    if path is not None:
        try:
            load_templates(load_configuration(path))
        except ConfigurationError as error:
            errors = error.problems
        except TemplateFaults as error:
            errors = error.faults
    return [machine.alerts_config(str(path or ""), [str(each) for each in errors])]


def place_of(settings: Settings) -> Place:
    """Without a centre: what its settings name, and what it left running or in its logs."""
    folder = settings.data_dir
    postgres_folder = folder / "postgres"
    dsn = settings.postgres_dsn or (running_dsn(postgres_folder, "muster") or "")
    urls = settings.nats_url.split(",") if settings.nats_url else []
    port = _text(folder / "nats" / "port")
    if not urls and port.isdigit() and port_answers(int(port)):
        urls = [f"nats://127.0.0.1:{port}"]
    down = "the embedded server of {} does not run: the centre that starts it is not there{}"
    return Place(
        settings,
        dsn,
        urls,
        embedded=not settings.postgres_dsn,
        postgres_said=down.format(postgres_folder, _last_words(postgres_folder / "postgres.log")),
        nats_said=down.format(folder / "nats", _last_words(folder / "nats" / "nats-server.log")),
    )


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""


def _last_words(log: Path) -> str:
    lines = _text(log).splitlines()
    return f"; the last line of {log}: {lines[-1][:200]}" if lines else ""


def _settings() -> Settings | Check:
    try:
        return read_settings()
    except BadSettings as error:
        return Check("settings", str(error), Finding.SETTINGS_INVALID)


async def examine_here() -> list[Check]:
    settings = _settings()
    if isinstance(settings, Check):
        return [settings]
    if not settings.postgres_dsn and not settings.data_dir.exists():
        return [Check("settings", f"no MUSTER_POSTGRES_DSN, no {settings.data_dir}", Finding.NOTHING_HERE)]
    return await examine(place_of(settings))


def as_data(checks: Sequence[Check]) -> list[dict[str, Any]]:
    return [check.as_data() for check in checks]


def main() -> None:
    """Whatever still hangs in a thread ends with the process."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    print(json.dumps(as_data(asyncio.run(examine_here()))), flush=True)  # noqa: T201
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
