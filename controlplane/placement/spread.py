"""Which of the clusters that pass are used, so that the workload is spread as its constraints say."""

import heapq
from collections.abc import Mapping, Sequence

from controlplane.placement.candidates import Candidates
from controlplane.placement.groups import Group, choose_groups
from controlplane.placement.rules import ClusterView, Division, PlacementRequest, Refused, Spread
from controlplane.placement.wording import wanted
from schemas.reasons import Reason

_UNIT = 1000


def select(request: PlacementRequest, candidates: Candidates) -> Candidates | Refused:
    """The candidates that may be used. Static weights ignore the constraints, duplicates the capacity.

    Several constraints by group apply one after the other, each within what the one before left; where that
    loses a group that an earlier one needs, the answer is a refusal.
    """
    if not request.spread or request.division is Division.STATIC:
        return candidates
    totals = {
        name: min(room + candidates.running.get(name, 0), candidates.caps.get(name, 2**63))
        for name, room in candidates.available.items()
    }
    order = sorted(
        candidates.views,
        key=lambda name: (candidates.tiers.get(name, 0), -candidates.score(name), -totals[name], name),
    )
    clusters = next((each for each in request.spread if each.by == "cluster"), None)
    grouping = [each for each in request.spread if each.by != "cluster"]
    if grouping:
        chosen = _by_groups(request, candidates, order, totals, grouping, clusters or Spread(min_groups=0))
    else:
        chosen = _by_cluster(request, order, totals, clusters or Spread())
    return chosen if isinstance(chosen, Refused) else candidates.narrowed(chosen)


def without_group(request: PlacementRequest, cluster: ClusterView) -> Refused | None:
    """Where it is in no group of a constraint, since it has no such label or field; None where it is."""
    if request.division is Division.STATIC:
        return None
    for spread in request.spread:
        if spread.by != "cluster" and not _groups_of(cluster, spread):
            return Refused(Reason.NOT_CHOSEN, f"spreadConstraints: has no {spread}")
    return None


def _by_cluster(
    request: PlacementRequest, order: Sequence[str], totals: Mapping[str, int], spread: Spread
) -> list[str] | Refused:
    if len(order) < spread.min_groups:
        return _too_few(spread, len(order))
    count = min(len(order), spread.max_groups or len(order))
    if request.division is Division.DUPLICATED or not request.has_pods:
        return list(order[:count])
    chosen = _swapped(order, totals, count, request.replicas)
    room = sum(totals[name] for name in chosen)
    if room < request.replicas:
        bounded = any(each.most is not None for each in request.bounds)
        text = (
            f"spreadConstraints: {wanted(request.replicas)}, {room:,} fit the {count:,} "
            f"clusters with the most room that maxGroups allows{', within replicaBounds' if bounded else ''}"
        )
        return Refused(Reason.INSUFFICIENT_CAPACITY, text)
    return chosen


def _swapped(order: Sequence[str], totals: Mapping[str, int], count: int, replicas: int) -> list[str]:
    """While room is short: from the last chosen to the first, swap in the one left with the most room."""
    chosen = list(order[:count])
    left = [(-totals[name], position, name) for position, name in enumerate(order[count:])]
    heapq.heapify(left)
    room = sum(totals[name] for name in chosen)
    for at in range(count - 1, -1, -1):
        if room >= replicas or not left:
            break
        _, position, name = left[0]
        out = chosen[at]
        if totals[name] > totals[out]:
            heapq.heapreplace(left, (-totals[out], position, out))
            chosen[at] = name
            room += totals[name] - totals[out]
    return chosen


def _by_groups(
    request: PlacementRequest,
    candidates: Candidates,
    order: list[str],
    totals: Mapping[str, int],
    grouping: Sequence[Spread],
    clusters: Spread,
) -> list[str] | Refused:
    picked: list[str] = []
    needed: list[tuple[Spread, list[str]]] = []
    for spread in grouping:
        members = _members(candidates, order, spread)
        if len(members) < spread.min_groups:
            return _too_few(spread, len(members))
        chosen = _choose(request, candidates, totals, members, spread, clusters)
        if not chosen:
            text = (
                f"spreadConstraints: no {spread.max_groups or len(members):,} groups by {spread} have the "
                f"{clusters.min_groups:,} clusters that minGroups by cluster asks for"
            )
            return Refused(Reason.TOO_FEW_CLUSTERS, text)
        within = {name for group in chosen for name in members[group]}
        order = [name for name in order if name in within]
        needed.append((spread, chosen))
    for spread, chosen in needed:
        members = _members(candidates, order, spread)
        if len(members) < spread.min_groups:
            return _too_few(spread, len(members))
        for group in chosen:
            if group in members and not any(name in picked for name in members[group]):
                picked.append(members[group][0])
    if clusters.max_groups and len(picked) > clusters.max_groups:
        text = (
            f"spreadConstraints: {len(picked):,} clusters are needed for all groups, maxGroups by cluster is"
        )
        return Refused(Reason.TOO_FEW_CLUSTERS, f"{text} {clusters.max_groups:,}")
    rest = [name for name in order if name not in set(picked)]
    picked += rest[: (clusters.max_groups or len(order)) - len(picked)]
    return picked if len(picked) >= clusters.min_groups else _too_few(clusters, len(picked))


def _choose(
    request: PlacementRequest,
    candidates: Candidates,
    totals: Mapping[str, int],
    members: Mapping[str, list[str]],
    spread: Spread,
    clusters: Spread,
) -> list[str]:
    """Names of groups, by score down, then name. More groups than clusters are allowed are never chosen."""
    groups = [
        Group(name, _score(request, candidates, totals, inside, spread, clusters), len(inside))
        for name, inside in members.items()
    ]
    most = min(spread.max_groups or len(groups), clusters.max_groups or len(groups))
    return [each.name for each in choose_groups(groups, spread.min_groups, most, clusters.min_groups)]


def _score(
    request: PlacementRequest,
    candidates: Candidates,
    totals: Mapping[str, int],
    inside: Sequence[str],
    spread: Spread,
    clusters: Spread,
) -> int:
    """Whole numbers, as Karmada has it: what it can take weighs a thousand times what it scores."""
    if request.division is Division.DUPLICATED or not request.has_pods:
        valid = [candidates.score(name) for name in inside if totals[name] >= request.replicas]
        return max(0, len(valid) * _UNIT + int(sum(valid) // len(valid))) if valid else 0
    target = -(-request.replicas // spread.min_groups)
    enough = max(spread.min_groups, clusters.min_groups)
    room, score = 0, 0.0
    for count, name in enumerate(inside, 1):
        room += totals[name]
        score += candidates.score(name)
        if count >= enough and room >= target:
            return max(0, target * _UNIT + int(score // count))
    mean = int(score // len(inside))
    return max(0, min(room, target) * _UNIT + mean)


def _members(candidates: Candidates, order: Sequence[str], spread: Spread) -> dict[str, list[str]]:
    """Clusters by group, each list in sort order; a cluster of several zones is in each of them."""
    members: dict[str, list[str]] = {}
    for name in order:
        for group in _groups_of(candidates.views[name], spread):
            members.setdefault(group, []).append(name)
    return members


def _groups_of(cluster: ClusterView, spread: Spread) -> Sequence[str]:
    if spread.label:
        return [cluster.labels[spread.label]] if spread.label in cluster.labels else []
    if spread.by == "zone":
        return list(dict.fromkeys(cluster.zones))
    value = cluster.region if spread.by == "region" else cluster.provider
    return [value] if value else []


def _too_few(spread: Spread, found: int) -> Refused:
    text = f"spreadConstraints: by {spread}, minGroups is {spread.min_groups:,}; {found:,} can be had"
    return Refused(Reason.TOO_FEW_CLUSTERS, text)
