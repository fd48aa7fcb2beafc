"""Karmada's policies and the objects that they select, as Workloads.

1. Set aside what Karmada never propagates, and Namespaces, which agents make.
2. Say which policy has each object; a policy that selects nothing is an error.
3. Put together what is placed together.
4. Make a Workload of each: named after its first object, ruled by its policy, with the overrides that are for
   its objects.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.migration.claims import claimed, is_reserved, overriding, reach
from controlplane.migration.groups import Group, grouped, joint_placement
from controlplane.migration.objects import Given, GivenPolicy, Key, Manifest, check_once
from controlplane.migration.onto import FROM_ANNOTATION
from controlplane.migration.uses import has_pods
from schemas.manifests.karmada import (
    Override,
    Propagation,
    PropagationSpec,
    name_of,
)
from schemas.manifests.load import ManifestError, Problem, validated
from schemas.manifests.objects import group_kind
from schemas.manifests.overrides import Overriders
from schemas.manifests.selecting import Precision
from schemas.manifests.workload import Workload

_LONGEST_NAME = 253
_WITH_IMAGES = (
    *("v1/Pod", "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet"),
    *("batch/Job", "batch/CronJob"),
)


@dataclass(frozen=True)
class Converted:
    """notes: what people should know, one line each."""

    workloads: list[Workload]
    notes: list[str]


def converted(policies: Sequence[GivenPolicy], objects: Sequence[Given]) -> Converted:
    """The same for the same input, in whatever order it is given. ManifestError with all that is wrong."""
    check_once(objects)
    notes: list[str] = []
    placeable = sorted(_placeable(objects, notes), key=lambda each: each.key)
    policies = sorted(policies, key=lambda each: name_of(each.policy))
    _check_policies(policies, placeable)
    propagations = [each for each in policies if isinstance(each.policy, Propagation)]
    claims: dict[Key, GivenPolicy] = {}
    for given in placeable:
        owner = claimed(given, propagations)
        if owner is not None:
            claims[given.key] = owner
    notes += _idle(propagations, claims)
    groups, more = grouped(placeable, claims)
    overrides = [each.policy for each in policies if isinstance(each.policy, Override)]
    return Converted(_workloads(groups, overrides), notes + more)


def _placeable(objects: Sequence[Given], notes: list[str]) -> list[Given]:
    found: list[Given] = []
    for given in objects:
        if group_kind(given.manifest) == "v1/Namespace":
            metadata = given.manifest["metadata"]
            extra = [field for field in ("labels", "annotations") if metadata.get(field)]
            lost = f", without its {' and '.join(extra)}" if extra else ""
            notes.append(f"Namespace {metadata['name']}: agents make it where it is needed{lost}")
        elif is_reserved(given.key[1]):
            notes.append(f"{given} goes nowhere: Karmada propagates nothing of namespace {given.key[1]}")
        else:
            found.append(given)
    return found


def _check_policies(policies: Sequence[GivenPolicy], objects: Sequence[Given]) -> None:
    problems: list[Problem] = []
    seen: dict[str, GivenPolicy] = {}
    for each in policies:
        name = name_of(each.policy)
        first = seen.setdefault(name, each)
        if first is not each:
            problems.append(each.problem(f"{name} stands in {first.source}[{first.document}] already"))
        if not any(reach(each.policy, given.manifest) is not Precision.NONE for given in objects):
            right = "apply it together with the objects that it selects, or leave it out"
            said = f"{name} selects none of the {len(objects)} objects in this apply: {right}"
            problems.append(each.problem(said, "spec.resourceSelectors"))
        problems += _missing_overrides(each, policies)
    if problems:
        raise ManifestError(problems)


def _missing_overrides(given: GivenPolicy, policies: Sequence[GivenPolicy]) -> list[Problem]:
    spec = given.policy.spec
    if not isinstance(spec, PropagationSpec):
        return []
    there = {
        each.policy.metadata.name
        for each in policies
        if isinstance(each.policy, Override) and each.policy.namespace in ("", given.policy.namespace)
    }
    right = "apply them together"
    return [
        given.problem(f"{name} is not in this apply: {right}", f"spec.dependentOverrides[{index}]")
        for index, name in enumerate(spec.dependent_overrides or [])
        if name not in there
    ]


def _idle(policies: Sequence[GivenPolicy], claims: Mapping[Key, GivenPolicy]) -> list[str]:
    busy = {id(each) for each in claims.values()}
    return [
        f"{name_of(each.policy)} has nothing: all that it selects is another policy's"
        for each in policies
        if id(each) not in busy
    ]


def _workloads(groups: Sequence[Group], overrides: Sequence[Override]) -> list[Workload]:
    """What others use comes first."""
    problems: list[Problem] = []
    made: dict[str, Workload] = {}
    leaders: dict[str, Given] = {}
    for group in sorted(groups, key=_order):
        name = workload_name(group.leader.manifest)
        if name in made:
            both = f"{leaders[name]} ({group_kind(leaders[name].manifest)})"
            said = f"{group.leader} makes a workload {name}, and so does {both}: rename one"
            problems.append(group.leader.problem(said))
            continue
        try:
            made[name] = _workload(name, group, overrides)
            leaders[name] = group.leader
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(problems)
    return list(made.values())


def _order(group: Group) -> tuple[bool, bool, Key]:
    return not group.users, has_pods(group.leader.manifest), group.leader.key


def workload_name(manifest: Mapping[str, Any]) -> str:
    """`web-deployment.shop`: as Karmada names its bindings, and the namespace."""
    metadata = manifest["metadata"]
    named = f"{metadata['name']}-{manifest['kind']}".lower()
    name = re.sub(r"[^a-z0-9.-]+", ".", named).strip(".-")
    name = ".".join(part.strip("-") for part in name.split(".") if part.strip("-"))
    if metadata.get("namespace"):
        name = f"{name}.{metadata['namespace']}"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].rstrip('.-')}-{digest}"


def _workload(name: str, group: Group, overrides: Sequence[Override]) -> Workload:
    specs = [each.policy.spec for each in group.policies if isinstance(each.policy.spec, PropagationSpec)]
    spec: Manifest = {"manifests": [each.manifest for each in group.objects]}
    placement = _placement(group, specs)
    if placement:
        spec["placement"] = placement
    # Of several policies, the one that takes over and the one that preserves win, as in Karmada.
    if any(each.conflict_resolution == "Overwrite" for each in specs):
        spec["conflictResolution"] = "Overwrite"
    if any(each.preserve_resources_on_deletion for each in specs):
        spec["preserveResourcesOnDeletion"] = True
    rules = _rules(group, overrides)
    if rules:
        spec["overrides"] = rules
    sources = ", ".join(name_of(each.policy) for each in group.policies)
    metadata: Manifest = {"name": name, "annotations": {FROM_ANNOTATION: sources}}
    if group.leader.manifest["metadata"].get("labels"):
        metadata["labels"] = group.leader.manifest["metadata"]["labels"]
    document = {"apiVersion": "muster.dev/v1", "kind": "Workload", "metadata": metadata, "spec": spec}
    return validated(Workload, document, group.leader.source, group.leader.document)


def _placement(group: Group, specs: Sequence[PropagationSpec]) -> Manifest:
    given = [each.placement.model_dump(mode="json", by_alias=True, exclude_unset=True) for each in specs]
    if len(group.users) < 2:
        return given[0]
    joint = joint_placement(given)
    if joint is None:
        users = " and ".join(map(str, group.users[:3]))
        said = (
            f"{group.leader} is used by {users}, and no single clusterAffinity selects all clusters to which "
            "they may go: give each of them one of its own, or select it by a policy of its own"
        )
        raise ManifestError([group.leader.problem(said)])
    return joint


def _rules(group: Group, overrides: Sequence[Override]) -> list[Manifest]:
    """Objects to which the same policies apply in the same order share their rules."""
    alike: dict[tuple[int, ...], list[Given]] = {}
    for given in group.objects:
        applying = overriding(given.manifest, overrides)
        numbers = tuple(overrides.index(each) for each in applying if _touches(each, given.manifest))
        if numbers:
            alike.setdefault(numbers, []).append(given)
    return [
        _rule(overrides[number], index, given, all_of_it=len(given) == len(group.objects))
        for numbers, given in alike.items()
        for number in numbers
        for index in range(len(overrides[number].spec.rules))
    ]


def _touches(policy: Override, manifest: Manifest) -> bool:
    """Whether one of its overriders can change such an object: containers are not everywhere."""
    return any(
        group_kind(manifest) in _WITH_IMAGES or not _of_containers(rule.overriders)
        for rule in policy.spec.rules
    )


def _of_containers(overriders: Overriders) -> bool:
    others = (
        *(overriders.labels_overrider, overriders.annotations_overrider),
        *(overriders.field_overrider, overriders.plaintext),
    )
    return not any(others) and all(each.predicate is None for each in overriders.image_overrider)


def _rule(policy: Override, index: int, objects: Sequence[Given], *, all_of_it: bool) -> Manifest:
    rules = policy.spec.rules
    name = name_of(policy) + (f" rule {index}" if len(rules) > 1 else "")
    rule: Manifest = {"name": name}
    if not all_of_it:
        rule["resourceSelectors"] = [_exactly(each.manifest) for each in objects]
    return rule | rules[index].model_dump(mode="json", by_alias=True, exclude_unset=True)


def _exactly(manifest: Manifest) -> Manifest:
    metadata = manifest["metadata"]
    selector = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "name": metadata["name"]}
    namespace = metadata.get("namespace")
    return selector | ({"namespace": namespace} if namespace else {})
