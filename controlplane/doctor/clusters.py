"""What one process knows of its clusters, and what that comes to."""

from collections import Counter
from collections.abc import Iterator

from controlplane.doctor.checks import Check
from controlplane.doctor.findings import Finding
from controlplane.doctor.releases import releases_apart
from controlplane.doctor.wording import ago, seconds_text
from controlplane.known.known import Heard, Known
from controlplane.known.records import ClusterRecord, Standing
from controlplane.placement.wording import counted
from schemas.reasons import Reason

SKEW_SECONDS, SKEW_SEVERE_SECONDS = 10.0, 120.0
SPOOL_BATCHES = 1_000
REPORTS_BEHIND = 50
NEVER_HEARD_SECONDS = 60.0

_OF_REASON = {
    Reason.AGENT_AHEAD: Finding.AGENT_AHEAD,
    Reason.AGENT_HOLDING: Finding.AGENT_HOLDING,
    Reason.CLUSTER_UNKNOWN: Finding.CLUSTER_SILENT,
    Reason.STATE_INCOMPLETE: Finding.STATE_INCOMPLETE,
    Reason.OVER_BOUND: Finding.CUT_OFF,
}


def judge(known: Known, now: float, version: str, *, leads: bool) -> Iterator[Check | None]:
    """version: of the centre. leads: whether beats come to this process. None: one more was looked at."""
    records = sorted(
        (record for record in known.clusters.values() if record.standing is not Standing.REMOVED),
        key=lambda record: record.name,
    )
    if records and not leads and not known.heard:
        yield Check("clusters", f"{len(records):,} are joined", Finding.HEARD_ELSEWHERE)
        return
    refused, withheld = _refused(known), _withheld(known)
    ill = 0
    for record in records:
        found = list(_cluster(known, record, now, version, refused[record.id]))
        if record.id in withheld:
            found.append(Check("agent.rights", withheld[record.id], Finding.AGENT_MAY_NOT, record.name))
        ill += bool(found)
        yield from found or [None]
    well = len(records) - ill
    yield Check("clusters", f"{well:,} of {len(records):,} have nothing to complain of")


def _refused(known: Known) -> Counter[str]:
    """By cluster: workloads that its agent may not carry out."""
    return Counter(
        cluster
        for works in known.work.values()
        for cluster, work in works.items()
        if work.refusals and any(refusal.reason is Reason.AGENT_MAY_NOT for refusal in work.refusals)
    )


def _withheld(known: Known) -> dict[str, str]:
    """By cluster: how many orders its agent may not carry out, and so are not sent, and why one of them."""
    counts, reasons = Counter[str](), dict[str, str]()
    for cluster, key in sorted(known.unpublished):
        order = known.order(cluster, key)
        why = known.withholding.why(order) if order is not None else None
        if why is not None:
            counts[cluster] += 1
            reasons.setdefault(cluster, why.message)
    return {
        cluster: f"{counted(counts[cluster], 'order')} held back: {reason}"
        for cluster, reason in reasons.items()
    }


def _cluster(known: Known, record: ClusterRecord, now: float, version: str, refused: int) -> Iterator[Check]:
    obstacle, name = known.obstacle(record.id, now), record.name
    if obstacle is not None and obstacle[0] in _OF_REASON:
        yield Check("cluster.ready", obstacle[1], _OF_REASON[obstacle[0]], name)
    heard = known.heard.get(record.id)
    if heard is not None:
        yield from _agent(heard, name, version)
    behind = len(known.behind(record.id))
    if behind > REPORTS_BEHIND:
        yield Check("cluster.reports", f"{behind:,} did not arrive", Finding.REPORTS_BEHIND, name)
    if refused:
        yield Check("agent.rights", f"{refused:,} workloads refused", Finding.AGENT_MAY_NOT, name)


def _agent(heard: Heard, name: str, version: str) -> Iterator[Check]:
    beat = heard.beat
    skew = beat.clock - heard.at
    if abs(skew) > SKEW_SECONDS:
        severe = abs(skew) > SKEW_SEVERE_SECONDS
        said = f"{ago(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the centre's"
        yield Check("agent.clock", said, Finding.CLOCK_SKEWED, name, severe=severe)
    if beat.spool_depth > SPOOL_BATCHES:
        yield Check("agent.spool", f"{beat.spool_depth:,} batches wait", Finding.SPOOL_DEEP, name)
    apart = releases_apart(beat.agent_version, version)
    if apart:
        finding = Finding.AGENT_NEWER if apart > 0 else Finding.AGENT_OLDER
        said = f"{beat.agent_version}, the centre is {version}"
        if apart > 0 or apart < -1:
            yield Check("agent.version", said, finding, name)


def lag(seconds: float) -> Check:
    """Of the loop of the process that looks."""
    return Check(
        "centre.loop", f"lags by {seconds_text(seconds)}", Finding.LOOP_LAGS if seconds > 0.5 else None
    )
