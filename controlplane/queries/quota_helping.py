"""What would let a workload in that waits for quota: what comes by itself, and what to ask for."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from shlex import quote

from controlplane.known.charging import least
from controlplane.known.compiling import Compiler
from controlplane.known.flavors import UNBOUNDED
from controlplane.known.known import Known
from controlplane.known.records import WorkloadRecord
from controlplane.queries.quota_rows import HelpRow, QuotaRow, WindowRow
from controlplane.quota.quota import COUNTED_WHERE_NAMED, Amounts, FlavorResource
from schemas.quantities import quantity_text
from schemas.reasons import Reason

MOST_NAMED = 3
ANY_FLAVOR = "FLAVOR"


class Helping:
    """For one tenant. row: its quota; windows: its own and those of the cohorts above it."""

    def __init__(self, known: Known, row: QuotaRow, windows: Sequence[WindowRow], now: float) -> None:
        self._known, self._row, self._windows, self._now = known, row, windows, now
        self._held = list(self._on_its_way_out())

    def helps(
        self, reason: str, compiler: Compiler, record: WorkloadRecord, asked: Amounts, missing: Amounts
    ) -> Iterator[HelpRow]:
        """What comes by itself first."""
        if reason == Reason.BUDGET_EXHAUSTED and self._row.budget is not None:
            yield self._next_period()
        if reason == Reason.QUOTA_NOT_GRANTED:
            yield from self._not_granted(compiler, record)
            return
        for key in sorted(missing):
            yield from self._leaves(key)
            yield from self._opens(key)
        for key in sorted(asked):
            potential = self._known.quotas.usage.potential(self._row.name, key)
            if asked[key] > potential:
                yield HelpRow(
                    "Smaller",
                    f"{_told(key, potential)} is all it could ever have: ask for less, or for more quota",
                )
        if missing:
            yield self._request(missing, record.name)

    def _next_period(self) -> HelpRow:
        budget = self._row.budget
        assert budget is not None  # noqa: S101 - asked before
        begins = f"the next {budget.period.lower()} begins {_moment(budget.until)}"
        text = f"{begins}, with {budget.amount} {budget.currency}"
        return HelpRow("Budget", text, at=budget.until)

    def _leaves(self, key: FlavorResource) -> Iterator[HelpRow]:
        amounts, lost = Counter[str](), dict[str, Counter[str]]()
        for name, cluster, held in self._held:
            if not held.get(key):
                continue
            if cluster in self._known.losses.unreachable:
                lost.setdefault(cluster, Counter())[name] += held[key]
            else:
                amounts[f"{name} in {self._name(cluster)}"] += held[key]
        if amounts:
            named = _most(amounts)
            text = f"{_told(key, amounts.total())} is on its way out, until its pods are gone: {named}"
            yield HelpRow("Leaving", text)
        for cluster, stuck in lost.items():
            where, since = self._name(cluster), _moment(self._known.losses.unreachable[cluster])
            text = (
                f"{_told(key, stuck.total())} is stuck in {where}, lost since {since}: {_most(stuck)}; free"
                " once that is back and those pods are reported gone, or once you give the cluster up"
            )
            yield HelpRow("Lost", text, f"muster clusters remove {where}")

    def _opens(self, key: FlavorResource) -> Iterator[HelpRow]:
        for each in self._windows:
            if each.open or not each.changes_at or (each.flavor, each.resource) != key:
                continue
            whose = "" if each.name == self._row.name else f" of {each.kind.lower()} {each.name}"
            opens = f"window {each.window}{whose} opens {_moment(each.changes_at)}"
            text = f"{opens}: then {_told(key, each.nominal)} is nominal"
            yield HelpRow("Window", text, at=each.changes_at)

    def _not_granted(self, compiler: Compiler, record: WorkloadRecord) -> Iterator[HelpRow]:
        quota = self._known.quotas.tenants.get(self._row.name)
        if quota is None:
            return
        try:
            interpretation = compiler.compiled(record).interpretation
        except ValueError:
            return
        covered = {name for group in quota.groups for name in group.resources} | {*COUNTED_WHERE_NAMED}
        flavors = [each for group in quota.groups for each in group.flavors] or sorted(
            self._known.quotas.flavors
        )
        wanted = least(interpretation, UNBOUNDED, quota)
        missing = {
            (self._flavor_of(name, flavors), name): amount
            for (_, name), amount in wanted.items()
            if name not in covered
        }
        if missing:
            yield self._request(missing, record.name)

    def _flavor_of(self, resource: str, flavors: Sequence[str]) -> str:
        """The first in which anybody has quota of it; else the first."""
        known = {key for node in self._known.quotas.tree.nodes for key in node.limits}
        granted = (each for each in flavors if (each, resource) in known)
        return next(granted, flavors[0] if flavors else ANY_FLAVOR)

    def _request(self, missing: Amounts, workload: str) -> HelpRow:
        told = ", ".join(_told(key, amount) for key, amount in sorted(missing.items()))
        amounts = " ".join(
            f"--add {flavor}:{resource}={quantity_text(resource, amount)}"
            for (flavor, resource), amount in sorted(missing.items())
        )
        why = quote(f"for {workload}")
        command = f"muster quota request --tenant {self._row.name} {amounts} --why {why}"
        return HelpRow("Request", f"ask for {told}", command)

    def _on_its_way_out(self) -> Iterator[tuple[str, str, Amounts]]:
        """Under the same root, what nothing is placed for any more: (workload, cluster, how much)."""
        known, tree = self._known, self._known.quotas.tree
        root = tree.root(self._row.name)
        for tenant, places in known.quotas.charges.leaving().items():
            if tree.root(tenant) != root:
                continue
            for (uid, cluster), amounts in places.items():
                record = known.workloads.get(uid)
                yield record.name if record is not None else uid, cluster, amounts

    def _name(self, cluster: str) -> str:
        record = self._known.clusters.get(cluster)
        return record.name if record is not None else cluster


def _most(amounts: Counter[str]) -> str:
    named = ", ".join(name for name, _ in amounts.most_common(MOST_NAMED))
    return named + (f" and {len(amounts) - MOST_NAMED} more" if len(amounts) > MOST_NAMED else "")


def _told(key: FlavorResource, amount: int) -> str:
    return f"{quantity_text(key[1], amount)} {key[1]} of flavor {key[0]}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%MZ")
