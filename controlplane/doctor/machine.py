"""What lies on this machine: keys, disks, the configuration of alerts, the service that runs by them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controlplane.doctor.checks import Check
from controlplane.doctor.findings import Finding
from controlplane.doctor.wording import bytes_text

SCARCE_BYTES, FULL_BYTES = 2 * 2**30, 200 * 2**20
SCARCE_SHARE, FULL_SHARE = 0.1, 0.02


@dataclass(frozen=True)
class KeysFacts:
    """open_paths: those that others may read. error: why they cannot be loaded. fingerprint: of the operator.

    opens, signs: whether they fit the database; None where nothing there says.
    """

    folder: str
    open_paths: Sequence[str] = ()
    error: str = ""
    missing: bool = False
    fingerprint: str = ""
    opens: bool | None = None
    signs: bool | None = None


@dataclass(frozen=True)
class DiskFacts:
    path: str
    free: int
    total: int


def keys(facts: KeysFacts) -> Iterator[Check]:
    if facts.missing:
        yield Check("keys", f"none in {facts.folder}", Finding.KEYS_MISSING)
        return
    if facts.open_paths:
        yield Check("keys.modes", f"open to others: {', '.join(facts.open_paths[:5])}", Finding.KEYS_OPEN)
    if facts.error and not facts.open_paths:
        yield Check("keys", facts.error, Finding.KEYS_MISSING)
    if facts.error:
        return
    if facts.opens is False or facts.signs is False:
        which = "master.key does not open" if facts.opens is False else "order-signing.key did not sign"
        yield Check("keys", f"{which} what lies in this database", Finding.KEYS_OF_ANOTHER)
    else:
        fits = "fit the database" if facts.opens or facts.signs else "not compared with a database"
        yield Check("keys", f"{facts.folder}: operator {facts.fingerprint}; {fits}")


def disk(facts: DiskFacts) -> Check:
    share = facts.free / facts.total if facts.total else 1.0
    said = f"{bytes_text(facts.free)} of {bytes_text(facts.total)} free at {facts.path}"
    if facts.free < FULL_BYTES or share < FULL_SHARE:
        return Check("disk", said, Finding.DISK_FULL)
    scarce = facts.free < SCARCE_BYTES or share < SCARCE_SHARE
    return Check("disk", said, Finding.DISK_SCARCE if scarce else None)


def alerts_config(path: str, errors: Sequence[str]) -> Check:
    if not path:
        return Check("alerts.config", "there is none", Finding.ALERTS_UNCONFIGURED)
    if errors:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        return Check("alerts.config", f"{path}:{errors[0]}{more}", Finding.ALERTS_CONFIG_INVALID)
    return Check("alerts.config", f"{path} is understood")
