"""Kueue's objects as Flavors, Cohorts and Tenants: a ClusterQueue is a Tenant, by its namespaces.

What Kueue leaves to its defaults is written out where Muster's are others (preemption).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.migration.objects import Manifest
from controlplane.migration.onto import quota_manifest
from schemas.manifests import Cohort, Flavor, Tenant
from schemas.manifests import kueue as given
from schemas.manifests.load import ManifestError, Problem


@dataclass(frozen=True)
class GivenKueue:
    """source, document: where it was written, for problems."""

    kueue: given.Kueues
    source: str
    document: int

    def __str__(self) -> str:
        metadata = self.kueue.metadata
        where = f"{metadata.namespace or 'default'}/" if isinstance(self.kueue, given.LocalQueue) else ""
        return f"{self.kueue.kind} {where}{metadata.name}"

    def problem(self, message: str, path: str = "") -> Problem:
        return Problem(self.source, self.document, path, message)


@dataclass(frozen=True)
class ConvertedQuota:
    """notes: what people should know, one line each."""

    manifests: list[Flavor | Cohort | Tenant]
    notes: list[str]


def converted_quota(every: Sequence[GivenKueue]) -> ConvertedQuota:
    """The same for the same input, in whatever order it is given. ManifestError with all that is wrong."""
    _check_once(every)
    every = sorted(every, key=lambda each: (each.kueue.kind, str(each)))
    queues = [each for each in every if isinstance(each.kueue, given.LocalQueue)]
    manifests: list[Flavor | Cohort | Tenant] = []
    notes: list[str] = []
    problems: list[Problem] = []
    for each in every:
        try:
            made, said = _converted(each, queues)
        except ManifestError as error:
            problems += error.problems
            continue
        manifests += made
        notes += said
    problems += _claimed_twice(queues)
    if problems:
        raise ManifestError(problems)
    return ConvertedQuota(manifests, notes)


def _check_once(every: Sequence[GivenKueue]) -> None:
    seen: dict[str, GivenKueue] = {}
    problems: list[Problem] = []
    for each in every:
        first = seen.setdefault(str(each), each)
        if first is not each:
            problems.append(each.problem(f"{each} stands in {first.source}[{first.document}] already"))
    if problems:
        raise ManifestError(problems)


def _claimed_twice(queues: Sequence[GivenKueue]) -> Iterator[Problem]:
    """A namespace is one tenant's."""
    owners: dict[str, str] = {}
    for each in queues:
        queue = each.kueue
        if not isinstance(queue, given.LocalQueue):
            continue
        owner = owners.setdefault(queue.namespace, queue.spec.cluster_queue)
        if owner != queue.spec.cluster_queue:
            said = f"namespace {queue.namespace} is queued to {owner} and to {queue.spec.cluster_queue}"
            yield each.problem(f"{said}: a namespace is one tenant's; keep one of them", "spec.clusterQueue")


def _converted(
    each: GivenKueue, queues: Sequence[GivenKueue]
) -> tuple[list[Flavor | Cohort | Tenant], list[str]]:
    match each.kueue:
        case given.ResourceFlavor():
            return _flavor(each, each.kueue)
        case given.Cohort():
            spec: Manifest = {"parent": each.kueue.spec.above} if each.kueue.spec.above else {}
            spec |= _shared(each.kueue.spec)
            made = quota_manifest(Cohort, each.kueue.metadata.name, spec, each, each.source, each.document)
            return [made], []
        case given.ClusterQueue():
            return _tenant(each, each.kueue, queues)
        case given.LocalQueue():
            owner = each.kueue.spec.cluster_queue
            said = (
                f"there are no queues of namespaces; workloads of {each.kueue.namespace} say tenant: {owner}"
            )
            return [], [f"{each} is left out: {said}"]


def _flavor(
    each: GivenKueue, flavor: given.ResourceFlavor
) -> tuple[list[Flavor | Cohort | Tenant], list[str]]:
    spec: Manifest = {
        "nodeLabels": flavor.spec.node_labels,
        "tolerations": [
            one.model_dump(by_alias=True, exclude={"toleration_seconds"})
            | {"operator": one.operator or "Equal"}
            for one in flavor.spec.tolerations
        ],
    }
    notes = [f"{each}: its nodeTaints are left out; those that its nodes have count"]
    made = quota_manifest(Flavor, flavor.metadata.name, spec, each, each.source, each.document)
    return [made], notes if flavor.spec.node_taints else []


def _tenant(
    each: GivenKueue, queue: given.ClusterQueue, queues: Sequence[GivenKueue]
) -> tuple[list[Flavor | Cohort | Tenant], list[str]]:
    namespaces, notes = _namespaces(each, queue, queues)
    spec, preemption = queue.spec, queue.spec.preemption or given.Preemption()
    borrow = preemption.borrow_within_cohort or given.BorrowWithinCohort()
    quota: Manifest = {"cohort": spec.above} if spec.above else {}
    quota |= _shared(spec) | {
        "queueing": spec.queueing_strategy or "BestEffortFIFO",
        "preemption": {
            "reclaimWithinCohort": preemption.reclaim_within_cohort,
            "borrowWithinCohort": borrow.model_dump(by_alias=True, exclude_none=True),
            "withinTenant": preemption.within_cluster_queue,
        },
    }
    made = quota_manifest(
        Tenant,
        queue.metadata.name,
        {"namespaces": namespaces, "quota": quota},
        each,
        each.source,
        each.document,
    )
    return [made], notes


def _shared(spec: given.ClusterQueueSpec | given.CohortSpec) -> Manifest:
    """What Cohorts and ClusterQueues both say."""
    weight: Any = spec.fair_sharing.weight if spec.fair_sharing is not None else 1
    return {
        "weight": weight,
        "flavors": [
            {
                "name": flavor.name,
                "resources": [one.model_dump(by_alias=True, exclude_none=True) for one in flavor.resources],
            }
            for group in spec.resource_groups
            for flavor in group.flavors
        ],
    }


def _namespaces(
    each: GivenKueue, queue: given.ClusterQueue, queues: Sequence[GivenKueue]
) -> tuple[list[str], list[str]]:
    """(the tenant's namespaces, notes). ManifestError where they are not known."""
    path, selector = "spec.namespaceSelector", queue.spec.namespace_selector
    by_name = f"select them by {given.NAMESPACE_NAME}"
    if selector is None:
        said = f"missing, and so no namespace may submit anything: {by_name}"
        raise ManifestError([each.problem(said, path)])
    queued = sorted(
        {
            one.kueue.namespace
            for one in queues
            if isinstance(one.kueue, given.LocalQueue) and one.kueue.spec.cluster_queue == queue.metadata.name
        }
    )
    named = _named(selector)
    if named is not None:
        strangers = [name for name in queued if name not in named]
        notes = [f"{each}: namespace {name} has a LocalQueue, and is not selected" for name in strangers]
        return named, notes
    if not queued:
        said = f"which namespaces these are is not known here: {by_name}, or apply the LocalQueues with it"
        raise ManifestError([each.problem(said, path)])
    return queued, [f"{each}: its namespaces are those of its LocalQueues: {', '.join(queued)}"]


def _named(selector: given.NamespaceSelector) -> list[str] | None:
    """None where it selects by other labels, or everything."""
    asked: list[set[str]] = []
    for key, value in selector.match_labels.items():
        if key != given.NAMESPACE_NAME:
            return None
        asked.append({value})
    for each in selector.match_expressions:
        if (each.key, each.operator) != (given.NAMESPACE_NAME, "In"):
            return None
        asked.append(set(each.values))
    names = set[str].intersection(*asked) if asked else set[str]()
    return sorted(names) or None
