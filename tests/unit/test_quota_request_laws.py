"""Laws of requests for quota: over any sequence of them, nothing comes of nothing and nobody is squeezed."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.intent import MayNot, QuotaDraft, QuotaGrant, Taken, Unfit, Write
from controlplane.known.records import DocumentRecord, QuotaRequestRecord, RequestState
from controlplane.quota.effect import Question, effect
from controlplane.quota.overused import usage_of
from controlplane.quota.quota import Amounts, Candidate, CohortQuota, Limits, TenantQuota
from controlplane.quota.tree import Tree
from controlplane.store import quota_asking
from controlplane.store.quota_asking import Moment, Step
from controlplane.store.quota_rules import Bounds, check_moved

CPU = ("default", "cpu")
NAMES = ("a", "b", "c", "d")
PEOPLE = ("ann", "bob", "max")


def document(name: str, nominal: int, cohort: str, borrowing: int | None) -> DocumentRecord:
    resource: dict[str, Any] = {"name": "cpu", "nominalQuota": nominal}
    if borrowing is not None:
        resource["borrowingLimit"] = borrowing
    flavors = [{"name": "default", "resources": [resource]}]
    return DocumentRecord(name, {"namespaces": ["*"], "quota": {"cohort": cohort, "flavors": flavors}}, 1)


@dataclass
class Office:
    """All requests, and the rules that the store goes by. used: in cores."""

    tenants: list[DocumentRecord]
    used: dict[str, int]
    requests: dict[int, QuotaRequestRecord] = field(default_factory=dict[int, QuotaRequestRecord])
    now: float = 1.0

    def bounds(self) -> Bounds:
        granted = [each for each in self.requests.values() if each.state is RequestState.GRANTED]
        charged: dict[str, Amounts] = {name: {CPU: cores * 1000} for name, cores in self.used.items()}
        return Bounds.of({"Tenant": self.tenants}, granted, charged)

    def tree(self) -> Tree:
        bounds = self.bounds()
        tenants, cohorts = bounds.at(self.now, bounds.grants)
        return Tree.of(tenants.values(), cohorts.values())

    def left(self) -> dict[str, int]:
        bounds = self.bounds()
        usage = usage_of(self.tree(), bounds.charged or {})
        return {each.name: usage.available(each.name, CPU) for each in self.tenants}

    def take(self, step: Step, *, moves: bool) -> None:
        """As the store does it: all of it, or nothing."""
        if moves:
            check_moved(self.bounds(), step.record, self.now)
        self.requests[step.record.id] = step.record


def amounts(cores: int) -> dict[str, dict[str, str]]:
    return {"default": {"cpu": str(cores)}}


COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "approve", "refuse", "withdraw", "give back", "pass time"]),
        st.sampled_from(NAMES),
        st.sampled_from(PEOPLE),
        st.integers(1, 6),
        st.sampled_from([None, *NAMES]),
    ),
    max_size=25,
)
OFFICES = st.builds(
    lambda quotas, used: Office(
        [document(name, *quota) for name, quota in zip(NAMES, quotas, strict=True)],
        dict(zip(NAMES, used, strict=True)),
    ),
    st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from(["x", "y"]), st.sampled_from([None, 0, 2])),
        min_size=4,
        max_size=4,
    ),
    st.lists(st.integers(0, 8), min_size=4, max_size=4),
)


def obey(office: Office, command: tuple[str, str, str, int, str | None]) -> None:
    """MayNot, Taken and Unfit are answers, too."""
    what, name, person, number, donor = command
    write, moment = Write(person), Moment(office.now, len(office.requests) + 1)
    if what == "pass time":
        office.now += number
        due = [each for each in office.requests.values() if 0 < each.until <= office.now]
        for each in due:
            if each.state in quota_asking.OPEN:
                office.take(quota_asking.expired(each, "muster", moment), moves=False)
        return
    if what == "ask":
        id_ = len(office.requests) + 1
        draft = QuotaDraft(name, amounts(number), office.now + number * 2, "why")
        office.take(quota_asking.asked(id_, draft, 0, write, moment), moves=False)
        return
    if not office.requests:
        return
    record = office.requests[1 + number % len(office.requests)]
    if what == "approve":
        grant = QuotaGrant(("Tenant", donor) if donor else None)
        office.take(quota_asking.granted(record, grant, write, moment), moves=True)
    elif what == "refuse":
        office.take(quota_asking.refused(record, "no", write, moment), moves=False)
    elif what == "withdraw":
        office.take(quota_asking.withdrawn(record, write, moment), moves=False)
    else:
        office.take(quota_asking.given_back(record, amounts(number), write, moment), moves=True)


@pytest.mark.promise(2)
@given(OFFICES, COMMANDS)
def test_any_sequence_of_requests(office: Office, commands: list[Any]) -> None:
    declared = sum(each.limits[CPU].nominal for each in office.tree().tenants.values())
    for command in commands:
        before, left = dict(office.requests), office.left()
        refused = False
        try:
            obey(office, command)
        except (MayNot, Taken, Unfit):
            refused = True
        changed = {id_ for id_, each in office.requests.items() if before.get(id_) != each}
        assert not (refused and changed), "a refusal changes nothing"
        granted = [each for each in office.requests.values() if each.state is RequestState.GRANTED]
        assert all(each.decided_by != each.requested_by for each in granted), "who asks does not grant"
        out_of_nothing = sum(
            quota_asking.flat(each.amounts)[CPU] for each in granted if each.taken_from is None
        )
        nominal = {name: each.limits[CPU].nominal for name, each in office.tree().tenants.items()}
        assert sum(nominal.values()) == declared + out_of_nothing, "what one has more, another has less"
        assert min(nominal.values()) >= 0
        if command[0] != "pass time":
            squeezed = {
                name
                for name, now in office.left().items()
                if now < 0 and now < left[name] and office.used[name]
            }
            assert not squeezed, "nobody is left with less than is used"


TREES = st.lists(
    st.tuples(st.integers(0, 10), st.sampled_from(["", "x"]), st.integers(0, 10)), min_size=2, max_size=5
)


@given(TREES, st.lists(st.tuples(st.integers(0, 4), st.integers(1, 8)), max_size=8), st.integers(1, 10))
def test_what_is_said_to_come_in_fits_all_together(
    tenants: list[tuple[int, str, int]], waiting: list[tuple[int, int]], more: int
) -> None:
    made = [
        TenantQuota(f"t{n}", cohort, limits={CPU: Limits(nominal)})
        for n, (nominal, cohort, _) in enumerate(tenants)
    ]
    first = made[0]
    larger = TenantQuota(first.name, first.cohort, limits={CPU: Limits(first.limits[CPU].nominal + more)})
    before, after = Tree.of(made, [CohortQuota("x")]), Tree.of([larger, *made[1:]], [CohortQuota("x")])
    used: dict[str, Amounts] = {f"t{n}": {CPU: amount} for n, (_, _, amount) in enumerate(tenants)}
    candidates = tuple(
        Candidate(f"w{n}", f"t{of % len(tenants)}", 0, float(n), {CPU: cores})
        for n, (of, cores) in enumerate(waiting)
    )
    question = Question(before, after, used, "t0", None, (CPU,), candidates)
    steps = effect(question)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
    usage = usage_of(after, used)
    for each in found.entries:
        candidate = next(one for one in candidates if one.uid == each.uid)
        assert not usage.lacking(candidate.tenant, candidate.needs)
        usage.add(candidate.tenant, candidate.needs)
    assert found.refused == (), "more for one is not less for anybody"
    assert len({each.uid for each in found.entries}) == len(found.entries)
