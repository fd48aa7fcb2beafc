"""What is placed together: an object with pods and what only it uses; what several use stands by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.migration.objects import Given, GivenPolicy, Key
from controlplane.migration.uses import Labels, follows, has_pods, pod_labels, sought, used_by
from schemas.manifests.karmada import PropagationSpec, name_of
from schemas.manifests.objects import group_kind

Placement = dict[str, Any]


@dataclass
class Group:
    """One workload to be. policies: whose rules it goes by; several for what several policies' pods use."""

    leader: Given
    policies: list[GivenPolicy]
    members: list[Given] = field(default_factory=list[Given])
    users: list[Given] = field(default_factory=list[Given])

    @property
    def objects(self) -> list[Given]:
        return [self.leader, *self.members]


def grouped(objects: Sequence[Given], claims: Mapping[Key, GivenPolicy]) -> tuple[list[Group], list[str]]:
    """(groups, what people should know). Every object that goes anywhere is in exactly one of them."""
    leaders = _Leaders.of([each for each in objects if each.key in claims and _leads(each)])
    groups = {each.key: Group(each, [claims[each.key]]) for each in leaders.all}
    notes: list[str] = []
    for given in objects:
        if given.key in groups:
            continue
        owner = claims.get(given.key)
        users = leaders.using(given) + (leaders.followed_by(given) if owner is not None else [])
        takers = [each for each in users if _takes(claims[each.key], owner)]
        if owner is None and not takers:
            notes.append(_goes_nowhere(given, users))
        elif len(takers) == 1:
            groups[takers[0].key].members.append(given)
        else:
            policies = [owner] if owner is not None else _once(claims[each.key] for each in takers)
            groups[given.key] = Group(given, policies, users=takers)
            notes += _elsewhere(given, owner, users, claims) if owner is not None else []
    return list(groups.values()), notes


@dataclass(frozen=True)
class _Leaders:
    """Each looked through once. users: by what they use.

    known_by: by namespace and a label of their pods, or "" and their name; with all labels of their pods.
    """

    all: Sequence[Given]
    users: Mapping[Key, list[Given]]
    known_by: Mapping[tuple[str, str, str], list[tuple[Given, Sequence[Labels]]]]

    @classmethod
    def of(cls, leaders: Sequence[Given]) -> "_Leaders":
        users: dict[Key, list[Given]] = {}
        known_by: dict[tuple[str, str, str], list[tuple[Given, Sequence[Labels]]]] = {}
        for each in leaders:
            for key in used_by(each.manifest):
                users.setdefault(key, []).append(each)
            _, namespace, name = each.key
            labels = pod_labels(each.manifest)
            for key, value in {("", name), *(pair for some in labels for pair in some.items())}:
                known_by.setdefault((namespace, key, value), []).append((each, labels))
        return cls(leaders, users, known_by)

    def using(self, given: Given) -> list[Given]:
        return self.users.get(given.key, [])

    def followed_by(self, given: Given) -> list[Given]:
        seeking = sought(given.manifest)
        if seeking is None:
            return []
        found = self.known_by.get((given.key[1], *seeking), [])
        return [leader for leader, labels in found if follows(given.manifest, leader.manifest, labels)]


def _leads(given: Given) -> bool:
    return has_pods(given.manifest) or group_kind(given.manifest) == "networking.k8s.io/Ingress"


def _takes(user: GivenPolicy, owner: GivenPolicy | None) -> bool:
    """Whether what `owner` selects (None: nobody) goes along with what `user` selects and is its user."""
    spec = user.policy.spec
    if not isinstance(spec, PropagationSpec):
        return False
    if owner is None:
        return spec.propagate_deps
    theirs = owner.policy.spec
    return owner is user or (isinstance(theirs, PropagationSpec) and _goes_by(spec) == _goes_by(theirs))


def _goes_by(spec: PropagationSpec) -> tuple[object, ...]:
    overwrites = spec.conflict_resolution == "Overwrite"
    return spec.placement, overwrites, bool(spec.preserve_resources_on_deletion)


def _once(policies: Any) -> list[GivenPolicy]:
    found: list[GivenPolicy] = []
    for each in policies:
        if not any(each is other for other in found):
            found.append(each)
    return found


def _goes_nowhere(given: Given, users: Sequence[Given]) -> str:
    if users:
        using = " and ".join(map(str, users[:3]))
        return f"{given} is used by {using}, and goes nowhere: select it, or say propagateDeps: true"
    return f"{given} is selected by no policy, and goes nowhere"


def _elsewhere(
    given: Given, owner: GivenPolicy, users: Sequence[Given], claims: Mapping[Key, GivenPolicy]
) -> list[str]:
    """Its own policy decides where it goes, which may not be where its users go."""
    return [
        f"{given} goes where {name_of(owner.policy)} says, and is used by {user} of "
        f"{name_of(claims[user.key].policy)}: it has to be there, too"
        for user in users
        if not _takes(claims[user.key], owner)
    ]


def joint_placement(placements: Sequence[Placement]) -> Placement | None:
    """All clusters to which one of these may go; None where no single affinity selects them.

    How replicas are spread and divided is left out: what has no pods goes to all of them.
    """
    affinities: list[Placement] = []
    tolerations: list[Placement] = []
    for placement in placements:
        for each in _affinities(placement):
            if each not in affinities:
                affinities.append(each)
        for each in placement.get("clusterTolerations", ()):
            if each not in tolerations:
                tolerations.append(each)
    joint: Placement = {"clusterTolerations": tolerations} if tolerations else {}
    if any(not each for each in affinities):
        return joint
    affinity = affinities[0] if len(affinities) == 1 else _union(affinities)
    return None if affinity is None else joint | {"clusterAffinity": affinity}


def _affinities(placement: Placement) -> list[Placement]:
    """{} for every cluster."""
    if placement.get("clusterAffinity") is not None:
        return [_filled(placement["clusterAffinity"])]
    terms: list[Placement] = placement.get("clusterAffinities") or [{}]
    return [_filled(each) for term in terms for each in (term, *term.get("overflowAffinities", ()))]


def _filled(affinity: Placement) -> Placement:
    parts = ("labelSelector", "fieldSelector", "clusterNames", "exclude")
    return {part: affinity[part] for part in parts if affinity.get(part)}


def _union(affinities: Sequence[Placement]) -> Placement | None:
    """Of names, or of values of one label; nothing else can be said by one affinity."""
    if all(each.keys() <= {"clusterNames", "exclude"} and each.get("clusterNames") for each in affinities):
        names = [set(each["clusterNames"]) - set(each.get("exclude", ())) for each in affinities]
        return {"clusterNames": sorted(set[str]().union(*names))}
    labels = [_one_label(each) for each in affinities]
    keys = {label[0] for label in labels if label is not None}
    if len(keys) != 1 or None in labels:
        return None
    values = {value for label in labels if label is not None for value in label[1]}
    expression = {"key": keys.pop(), "operator": "In", "values": sorted(values)}
    return {"labelSelector": {"matchExpressions": [expression]}}


def _one_label(affinity: Placement) -> tuple[str, list[str]] | None:
    """(key, values) where that is all it selects by."""
    if affinity.keys() != {"labelSelector"}:
        return None
    selector = affinity["labelSelector"]
    labels: dict[str, str] = selector.get("matchLabels") or {}
    expressions: list[Placement] = selector.get("matchExpressions") or []
    if len(labels) == 1 and not expressions:
        return next((key, [value]) for key, value in labels.items())
    if not labels and len(expressions) == 1 and expressions[0]["operator"] == "In":
        return expressions[0]["key"], expressions[0]["values"]
    return None
