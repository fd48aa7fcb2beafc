"""Nodes that would nearly take a demand: what stands between, for those who could change it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from controlplane.fleet.columns import Columns
from controlplane.fleet.demand import REPELLING, Demand
from controlplane.fleet.features import Features
from schemas.wire.reports import Taint


def repelling_taints(columns: Columns, most: int) -> list[Taint]:
    """The `most` frequent taints that keep pods off its nodes, the most frequent first."""
    counts: Counter[Taint] = Counter()
    for position, each in enumerate(columns.classes):
        nodes = int((columns.class_of == position).sum())
        counts.update({taint: nodes for taint in each.taints if taint.effect in REPELLING})
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0].key, item[0].value, item[0].effect))
    return [taint for taint, _ in order[:most]]


def absent(columns: Columns, resources: Iterable[str]) -> list[str]:
    """Those that no node has any of."""
    return [each for each in resources if columns.rows and bool(columns.without(each).all())]


def largest_free(columns: Columns, demand: Demand, resource: str, features: Features) -> int:
    """The most of `resource` free on a node that takes the demand but for this resource; 0 for none."""
    others = replace(demand, requests=tuple(each for each in demand.requests if each[0] != resource))
    takes = columns.fits(others, features.selection(others)) >= 1
    if not takes.any():
        return 0
    free = columns.free(resource)
    return int((free[takes] if len(free) else free).max())
