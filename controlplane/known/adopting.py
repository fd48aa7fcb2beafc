"""What was charged while its tenant had no quota of it: from now on under the first flavor that covers it."""

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.known.charges import Place
from controlplane.known.charging import lines_of
from controlplane.known.quotas import Quotas
from controlplane.known.records import Cause, LedgerLine
from controlplane.quota.quota import Amounts


@dataclass(frozen=True)
class Adopted:
    """lines: move what is charged. asked: what its placement comes to, by those flavors."""

    place: Place
    tenant: str
    lines: tuple[LedgerLine, ...]
    asked: Amounts


def to_adopt(quotas: Quotas) -> Iterator[Adopted]:
    """Place by place. Which flavor each of it really is under is decided later: it counts at once."""
    charges = quotas.charges
    for uid, cluster in sorted(charges.unflavored()):
        for tenant in sorted(charges.tenants_of(uid, cluster)):
            quota = quotas.tenants.get(tenant)
            if quota is None:
                continue
            charged, asked = (of(uid, cluster, tenant) for of in (charges.of, charges.asked))
            counted, known = quota.counted(charged), quota.counted(asked)
            moved = {
                key: counted.get(key, 0) - charged.get(key, 0)
                for key in {*counted, *charged}
                if counted.get(key, 0) != charged.get(key, 0)
            }
            if moved or known != asked:
                lines = tuple(lines_of(tenant, uid, cluster, moved, Cause.MOVED))
                yield Adopted((uid, cluster), tenant, lines, known)
