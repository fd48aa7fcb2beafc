"""What a workload is in clusters to which the same overrides apply.

An override may change what a pod asks for, and how many replicas a duplicated workload has there: so rooms,
promises and orders of a cluster all follow its variant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from controlplane.interpreters import KINDS, Interpretation, Kinds, NotUnderstood, interpret
from controlplane.interpreters.overrides import CannotOverride, override
from controlplane.placement.compiled import compiled_affinity
from controlplane.placement.filters import selected
from controlplane.placement.flavoring import Flavoring, Flavorings, flavored
from controlplane.placement.needs import Needs, needs_of
from controlplane.placement.rules import Affinity, ClusterView, Refused
from schemas.manifests import WorkloadSpec
from schemas.manifests.objects import ObjectError, checked_objects
from schemas.manifests.selecting import selects
from schemas.reasons import Reason

MOST_VARIANTS = 100


@dataclass(frozen=True)
class Variant:
    """rules: indexes in `spec.overrides`, in order; () for what is the same everywhere.

    needs: of each component, below the cluster's sum.
    """

    rules: tuple[int, ...]
    objects: Sequence[Mapping[str, Any]]
    interpretation: Interpretation
    needs: tuple[Needs, ...]


@dataclass(frozen=True)
class Variants:
    """Of one revision; each is made once. flavorings: that it was given."""

    spec: WorkloadSpec
    plain: Variant
    targets: tuple[Affinity | None, ...]
    kinds: Kinds = field(default_factory=lambda: KINDS, repr=False)
    flavorings: Flavorings = field(default_factory=dict[str, Flavoring])
    _made: dict[tuple[int, ...], Variant] = field(default_factory=dict[tuple[int, ...], Variant], repr=False)

    @classmethod
    def of(
        cls,
        spec: WorkloadSpec,
        interpretation: Interpretation,
        needs: tuple[Needs, ...],
        kinds: Kinds = KINDS,
    ) -> "Variants":
        """`interpretation` and `needs` are those of `spec.manifests`. Nothing is tried yet."""
        return cls(
            spec,
            Variant((), spec.manifests, interpretation, needs),
            tuple(each.target_cluster and compiled_affinity(each.target_cluster) for each in spec.overrides),
            kinds,
        )

    def given(self, flavorings: Flavorings) -> "Variants":
        """On nodes of these flavors. NotUnderstood where its pods cannot be told to go there."""
        components = self.plain.interpretation.components
        plain = replace(self.plain, needs=flavored(self.plain.needs, components, flavorings))
        return Variants(self.spec, plain, self.targets, self.kinds, flavorings)

    @property
    def everywhere_alike(self) -> bool:
        return not self.targets

    @property
    def made(self) -> tuple[Variant, ...]:
        """The plain one, and all that were asked for so far."""
        return (self.plain, *self._made.values())

    def applying(self, cluster: ClusterView) -> tuple[int, ...]:
        """Which rules apply there."""
        return tuple(
            index for index, target in enumerate(self.targets) if target is None or selected(target, cluster)
        )

    def in_cluster(self, cluster: ClusterView) -> Variant:
        """CannotOverride names rule, path and cluster."""
        try:
            return self.by_rules(self.applying(cluster))
        except CannotOverride as error:
            raise CannotOverride(f"{error}; in cluster {cluster.name}") from error

    def or_refused(self, cluster: ClusterView) -> Variant | Refused:
        try:
            return self.in_cluster(cluster)
        except CannotOverride as error:
            return Refused(Reason.OVERRIDE_FAILS, str(error))

    def by_rules(self, rules: tuple[int, ...]) -> Variant:
        """CannotOverride names rule and path."""
        if not rules:
            return self.plain
        if rules not in self._made:
            if len(self._made) >= MOST_VARIANTS:
                self._made.clear()
            self._made[rules] = self._make(rules)
        return self._made[rules]

    def _make(self, rules: tuple[int, ...]) -> Variant:
        name = self.spec.overrides[rules[-1]].name
        path = f"spec.overrides[{rules[-1]}]: {name}" if name else f"spec.overrides[{rules[-1]}]"
        changed = override(self.spec.manifests, [(index, self.spec.overrides[index]) for index in rules])
        try:
            objects = checked_objects(changed)
            interpretation = interpret(objects, self.kinds)
            stated = needs_of(self.spec, interpretation.components)
            needs = flavored(stated, interpretation.components, self.flavorings)
            variant = Variant(rules, objects, interpretation, needs)
        except ObjectError as error:
            raise CannotOverride(f"{path}: the objects are none any more: {error.message}") from error
        except NotUnderstood as error:
            raise CannotOverride(f"{path}: the objects are not understood any more: {error}") from error
        self._check_replicas(variant, path)
        return variant

    def _check_replicas(self, variant: Variant, path: str) -> None:
        before, after = self.plain.interpretation.replicas, variant.interpretation.replicas
        if before == after:
            return
        scheduling = self.spec.placement.replica_scheduling
        if scheduling is not None and scheduling.replica_scheduling_type == "Divided":
            raise CannotOverride(
                f"{path}: it makes {before} replicas {after}, and spec.placement divides them: leave them "
                "out, or duplicate; how many a cluster may have say replicaBounds and staticWeightList"
            )
        if scheduling is not None and scheduling.replica_bounds:
            raise CannotOverride(
                f"{path}: it makes {before} replicas {after}, and replicaBounds bound them: state one of both"
            )


def check_overrides(variants: Variants, clusters: Sequence[ClusterView]) -> None:
    """Before it is stored: every rule, as it applies in every cluster that is known. CannotOverride.

    A rule that applies to none of them is tried after those that apply everywhere.
    """
    seen: set[int] = set()
    everywhere = [index for index, target in enumerate(variants.targets) if target is None]
    for index, rule in enumerate(variants.spec.overrides):
        selectors, manifests = rule.resource_selectors, variants.spec.manifests
        if selectors and not any(selects(one, each) for one in selectors for each in manifests):
            raise CannotOverride(
                f"spec.overrides[{index}].resourceSelectors: they select no object of spec.manifests"
            )
    for cluster in clusters:
        seen.update(variants.in_cluster(cluster).rules)
    for index in range(len(variants.targets)):
        if index not in seen:
            variants.by_rules((*(each for each in everywhere if each < index), index))
