"""Quota on paper: what is available, who borrows and lends, and whether a request would be admitted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, product

from controlplane.quota.admission import Fits, Lacks, Preempts, judge
from controlplane.quota.paper import Paper, amounts_of
from controlplane.quota.quota import Admitted, Amounts, Candidate, FlavorResource
from controlplane.quota.shares import Share
from schemas.manifests.quota_plan import PlanRequest
from schemas.quantities import quantity_amount
from schemas.reasons import Reason

MOST_TRIED = 256
"""Choices of flavors that are tried for a request that names none."""


class Mode(StrEnum):
    """Whether it gets in. Kueue's words."""

    FIT = "Fit"
    PREEMPT = "Preempt"
    NO_FIT = "NoFit"


@dataclass(frozen=True)
class Verdict:
    """victims: in the order in which they give way. missing: what is not available as it stands.

    asked: with the flavors that it gets, or that came closest. share: of its tenant, once it is in; where it
    does not get in, if it did.
    """

    mode: Mode
    borrowing: bool
    asked: Amounts
    victims: tuple[Admitted, ...]
    missing: Amounts
    reason: str
    message: str
    share: Share


class WhatIf:
    """What becomes of a request."""

    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        self._usage = paper.usage

    def verdict(self) -> Verdict | None:
        """Of the request, where there is one."""
        request = self.paper.request
        if request is None:
            return None
        best: Verdict | None = None
        for asked in self._choices(request):
            found = self._judged(request, asked)
            if found.mode is Mode.FIT:
                return found
            if best is None or (found.mode is Mode.PREEMPT and best.mode is Mode.NO_FIT):
                best = found
        return best

    def _choices(self, request: PlanRequest) -> Iterator[dict[FlavorResource, int]]:
        """With flavors, the one; else those of its tenant in their order."""
        if request.flavors:
            yield amounts_of(request.flavors)
            return
        wanted = {name: quantity_amount(name, value) for name, value in request.resources.items()}
        groups = [
            each for each in self.paper.tree.tenants[request.tenant].groups if each.resources & wanted.keys()
        ]
        for picked in islice(product(*(each.flavors for each in groups)), MOST_TRIED):
            yield {
                (flavor, name): wanted[name]
                for group, flavor in zip(groups, picked, strict=True)
                for name in sorted(group.resources & wanted.keys())
            }

    def _judged(self, request: PlanRequest, asked: Amounts) -> Verdict:
        name, usage = request.tenant, self._usage
        candidate = Candidate(f"request {request.name}", name, request.priority, self.paper.asked_at, asked)
        node = self.paper.tree.tenant(name)
        strange = {
            key: amount
            for key, amount in asked.items()
            if amount and node is not None and not {key} & {*node.limits, *node.root.subtree}
        }
        if strange:
            return self._not_granted(name, asked, strange)
        found = judge(usage, candidate, self._admitted, {}, {})
        victims = self._victims(found.victims) if isinstance(found, Preempts) else ()
        trial = usage.trial()
        for each in victims:
            trial.take(each.tenant, each.amounts)
        share, borrows = usage.share(name, asked), usage.borrows(name, asked)
        trial.undo()
        missing = usage.lacking(name, asked)
        match found:
            case Fits():
                mode, reason, said = Mode.FIT, "Admitted", "gets in" + (", borrowing" if borrows else "")
            case Lacks():
                mode, reason, said, borrows = Mode.NO_FIT, Reason.QUOTA_EXCEEDED.value, found.why, False
            case _:
                mode, reason = Mode.PREEMPT, Reason.QUOTA_AWAITED.value
                said = f"gets in once {', '.join(each.uid for each in victims)} gave way"
        return Verdict(mode, borrows, asked, victims, missing, reason, said, share)

    def _not_granted(self, tenant: str, asked: Amounts, strange: Amounts) -> Verdict:
        flavor, resource = min(strange)
        said = f"tenant {tenant} was granted no {resource} of flavor {flavor}"
        reason, share = Reason.QUOTA_NOT_GRANTED.value, self._usage.share(tenant)
        return Verdict(Mode.NO_FIT, False, asked, (), strange, reason, said, share)

    def _admitted(self, tenant: str) -> Sequence[Admitted]:
        return self.paper.workloads.get(tenant, ())

    def _victims(self, names: Sequence[str]) -> tuple[Admitted, ...]:
        known = {each.uid: each for all_ in self.paper.workloads.values() for each in all_}
        return tuple(known[name] for name in names)
