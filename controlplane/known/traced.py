"""Where what was heard lately came from: traceparents for whoever decides on it, or settles it.

Empty while nobody traces. A trace may lack what is forgotten here; nothing else is decided by it.
"""

MOST_WAITING = 10_000


class Traced:
    """reports: by cluster, of the last that was taken in of its nodes and what they use."""

    def __init__(self) -> None:
        self.reports: dict[str, str] = {}
        self._work: dict[tuple[str, str], tuple[str, int]] = {}

    def work_came(self, cluster: str, workload: str, trace: str, at_ns: int) -> None:
        """A report on a workload; it waits to be settled. at_ns: Unix nanoseconds."""
        if len(self._work) >= MOST_WAITING:
            self._work.clear()
        self._work[cluster, workload] = trace, at_ns

    def take_work(self, cluster: str, workload: str) -> tuple[str, int] | None:
        """(its traceparent, when it came), once; None where it bore none."""
        return self._work.pop((cluster, workload), None)
