"""Who is next of what waits for quota. What needs none of it, or no more than it has, is not in this line."""

from controlplane.known.admitting import candidate_of
from controlplane.known.compiling import Compiler
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.quota.pending import Pending
from controlplane.quota.quota import Candidate


class Waiting:
    """Of one epoch."""

    def __init__(self, known: Known, compiler: Compiler) -> None:
        self._known = known
        self._compiler = compiler
        self._pending = Pending()

    def __contains__(self, uid: str) -> bool:
        return uid in self._pending

    def take(self, record: WorkloadRecord) -> bool:
        """Whether it has to wait for its turn; where it stood before in the line is forgotten."""
        candidate = self._candidate(record)
        if candidate is None:
            self._pending.drop(record.uid)
            return False
        self._pending.put(candidate)
        return True

    def next(self) -> str | None:
        """By fair share; None where nobody is left who might be admitted."""
        return self._pending.pick(self._known.quotas.usage)

    def wake(self) -> None:
        """What waited for something to be free again stands in the line again."""
        self._pending.wake(self._known.quotas.usage)

    def park(self, record: WorkloadRecord) -> None:
        """It was refused for its quota: until something of that is free again."""
        if self.take(record):
            self._pending.park(record.uid, self._known.quotas.tree.root(record.tenant))

    def leave(self, uid: str) -> None:
        self._pending.drop(uid)

    def _candidate(self, record: WorkloadRecord) -> Candidate | None:
        if record.deleted or record.tenant not in self._known.quotas.tenants:
            return None
        try:
            return candidate_of(self._known, self._compiler.compiled(record))
        except ValueError:
            # The decision says what is wrong with it.
            return None
