"""Reports of a small cluster, written short."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from controlplane.fleet import Fleet, Outcome
from schemas.wire.reports import Bound, Facts, Inventory, Profile, Taint, Usage, profile_hash

LABELS = {"arch": "amd64"}
PLAIN = profile_hash(LABELS)
"""The profile that `inventory` gives to every node where nothing else is said."""


def pack(values: Sequence[int]) -> bytes:
    return np.array(values, "<i8").tobytes()


def facts(sequence: int = 1, layout: int = 1, incarnation: int = 1) -> Facts:
    return Facts(incarnation=incarnation, sequence=sequence, layout=layout, kubernetes_version="v1.31.0")


def profile(labels: Mapping[str, str] = LABELS, sequence: int = 1, incarnation: int = 1) -> Profile:
    return Profile(incarnation=incarnation, sequence=sequence, labels=dict(labels))


def inventory(
    names: str,
    sequence: int = 1,
    *,
    epoch: int = 1,
    incarnation: int = 1,
    cpu: int | Sequence[int] = 4000,
    memory: int | Sequence[int] = 64,
    pods: int = 10,
    profiles: Sequence[str] = (),
    taints: Sequence[Sequence[Taint]] = (),
    conditions: Sequence[Sequence[str]] = (),
) -> Inventory:
    """names: `a b c`. profiles, taints, conditions: of each node, or of none for the plain ones."""
    nodes = names.split()
    hashes = list(dict.fromkeys(profiles)) or [PLAIN]
    taint_sets = [list(each) for each in dict.fromkeys(map(tuple, taints))] or [[]]
    condition_sets = [list(each) for each in dict.fromkeys(map(tuple, conditions))] or [["Ready"]]
    return Inventory(
        incarnation=incarnation,
        sequence=sequence,
        epoch=epoch,
        names=nodes,
        profile_hashes=hashes,
        profiles=pack([hashes.index(each) for each in profiles] or [0] * len(nodes)),
        resources=["cpu", "memory", "pods"],
        allocatable=[pack(each) for each in (_each(cpu, nodes), _each(memory, nodes), [pods] * len(nodes))],
        taint_sets=taint_sets,
        taints=pack([taint_sets.index(list(each)) for each in taints] or [0] * len(nodes)),
        condition_sets=condition_sets,
        conditions=pack([condition_sets.index(list(each)) for each in conditions] or [0] * len(nodes)),
    )


def usage(
    nodes: int,
    sequence: int = 1,
    *,
    epoch: int = 1,
    incarnation: int = 1,
    cpu: int | Sequence[int] = 0,
    used: Sequence[int] = (),
    requests: Sequence[dict[str, int]] = ({"cpu": 1000},),
    bound: Sequence[Bound] = (),
) -> Usage:
    return Usage(
        incarnation=incarnation,
        sequence=sequence,
        epoch=epoch,
        nodes=nodes,
        resources=["cpu"],
        foreign=[pack(_each(cpu, range(nodes)))],
        used_resources=["cpu"] if used else [],
        used=[pack(used)] if used else [],
        requests=list(requests),
        bound=list(bound),
    )


def _each(value: int | Sequence[int], nodes: Sequence[Any]) -> Sequence[int]:
    return [value] * len(nodes) if isinstance(value, int) else value


def apply(fleet: Fleet, cluster: str, tail: str, report: Facts | Profile | Inventory | Usage) -> Outcome:
    """A report as the subject tail has it."""
    name = tail.partition(".")[2]
    match report:
        case Facts():
            return fleet.apply_facts(cluster, report)
        case Profile():
            return fleet.apply_profile(cluster, name, report)
        case Inventory():
            return fleet.apply_inventory(cluster, name, report)
        case Usage():
            return fleet.apply_usage(cluster, name, report)
