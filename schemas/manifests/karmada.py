"""Karmada's policies as they are written for Karmada, field by field.

What has no meaning here is refused by name, with what would be right; nothing is ignored. Source:
karmada-io/karmada pkg/apis/policy/v1alpha1, and its webhooks for what a policy may say.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from schemas.manifests.base import Name, Strict
from schemas.manifests.load import ManifestError, Problem, validated
from schemas.manifests.overrides import Overriders, ResourceSelector
from schemas.manifests.placement import ClusterAffinity, Placement

KARMADA_POLICIES = "policy.karmada.io/v1alpha1"


def only(takes: Callable[[Any], bool], right: str) -> AfterValidator:
    def check(value: Any) -> Any:
        if not takes(value):
            raise ValueError(right)
        return value

    return AfterValidator(check)


def nothing(right: str) -> AfterValidator:
    return only(lambda value: not value, right)


class PolicyMetadata(Strict):
    """Of what a server has added, nothing counts."""

    model_config = ConfigDict(extra="ignore")

    name: Name
    namespace: str = ""


class Suspension(Strict):
    dispatching: bool | None = None
    dispatching_on_clusters: dict[str, Any] | None = None

    @property
    def suspends(self) -> bool:
        return bool(self.dispatching) or bool((self.dispatching_on_clusters or {}).get("clusterNames"))


class ClusterFailover(Strict):
    """Both modes come to the same here: a lost cluster's agent removes its copy as soon as it is heard."""

    purge_mode: Literal["Directly", "Gracefully"] = "Gracefully"
    state_preservation: Annotated[
        Any, nothing("state is not carried from cluster to cluster: leave it out")
    ] = None


class FailoverBehavior(Strict):
    application: Annotated[
        Any, nothing("a workload moves when its cluster is lost, not when it is unhealthy: leave it out")
    ] = None
    cluster: ClusterFailover | None = None


Selectors = Annotated[list[ResourceSelector], Field(max_length=1_000)]


class PropagationSpec(Strict):
    """`association` is what `propagateDeps` was called before."""

    resource_selectors: Annotated[Selectors, Field(min_length=1)]
    association: Annotated[bool, nothing("Karmada ignores it: say propagateDeps: true")] = False
    propagate_deps: bool = False
    placement: Placement = Placement()
    priority: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] = 0
    preemption: Annotated[
        Literal["Always", "Never", ""],
        only(lambda value: value != "Always", "each apply decides anew by priority: say Never, or nothing"),
    ] = "Never"
    dependent_overrides: list[str] | None = None
    scheduler_name: Annotated[
        str,
        only(
            lambda value: value in ("", "default-scheduler"),
            "there is one scheduler here: say default-scheduler, or nothing",
        ),
    ] = ""
    failover: FailoverBehavior | None = None
    conflict_resolution: Literal["Abort", "Overwrite", ""] = "Abort"
    activation_preference: Annotated[
        Literal["Lazy", ""],
        nothing("what is applied takes effect at once: leave it out, and apply later what shall come later"),
    ] = ""
    suspension: Annotated[
        Suspension | None,
        only(
            lambda value: value is None or not value.suspends,
            "what is applied is carried out: leave it out, and exclude clusters in placement",
        ),
    ] = None
    preserve_resources_on_deletion: bool | None = None
    schedule_priority: Annotated[
        Any, nothing("workloads have no priority among each other yet: leave it out")
    ] = None


class RuleWithCluster(Strict):
    target_cluster: ClusterAffinity | None = None
    overriders: Overriders


class OverrideSpec(Strict):
    """`targetCluster` and `overriders` are one rule, as it was written before `overrideRules`."""

    resource_selectors: Selectors = []
    override_rules: Annotated[list[RuleWithCluster], Field(max_length=100)] = []
    target_cluster: ClusterAffinity | None = None
    overriders: Overriders | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        old = self.target_cluster is not None or bool(self.overriders and self.overriders.model_fields_set)
        if self.override_rules and old:
            raise ValueError("state overrideRules, or targetCluster and overriders, and not both")
        if not self.override_rules and self.overriders is None:
            raise ValueError("overrideRules: missing")
        return self

    @property
    def rules(self) -> list[RuleWithCluster]:
        if self.override_rules or self.overriders is None:
            return self.override_rules
        return [RuleWithCluster(target_cluster=self.target_cluster, overriders=self.overriders)]


class _Policy(Strict):
    api_version: Literal["policy.karmada.io/v1alpha1"]
    metadata: PolicyMetadata
    status: Any = None

    @property
    def is_namespaced(self) -> bool:
        return isinstance(self, PropagationPolicy | OverridePolicy)

    @property
    def namespace(self) -> str:
        """`default` where a namespaced one leaves it out; "" for one of the whole fleet."""
        return (self.metadata.namespace or "default") if self.is_namespaced else ""


def _check_namespace(policy: _Policy, selectors: list[ResourceSelector]) -> None:
    for index, each in enumerate(selectors):
        if policy.namespace and each.namespace not in ("", policy.namespace):
            raise ValueError(
                f"resourceSelectors[{index}].namespace: {each.namespace!r}: a policy of namespace "
                f"{policy.namespace} selects there only: leave it out, or use the Cluster kind of it"
            )


class _Propagation(_Policy):
    spec: PropagationSpec

    @model_validator(mode="after")
    def _selects_at_home(self) -> Self:
        _check_namespace(self, self.spec.resource_selectors)
        return self


class _Override(_Policy):
    spec: OverrideSpec

    @model_validator(mode="after")
    def _selects_at_home(self) -> Self:
        _check_namespace(self, self.spec.resource_selectors)
        return self


class PropagationPolicy(_Propagation):
    kind: Literal["PropagationPolicy"]


class ClusterPropagationPolicy(_Propagation):
    kind: Literal["ClusterPropagationPolicy"]


class OverridePolicy(_Override):
    kind: Literal["OverridePolicy"]


class ClusterOverridePolicy(_Override):
    kind: Literal["ClusterOverridePolicy"]


Propagation = PropagationPolicy | ClusterPropagationPolicy
Override = OverridePolicy | ClusterOverridePolicy
Policy = Propagation | Override
_KINDS: dict[str, type[Policy]] = {
    "PropagationPolicy": PropagationPolicy,
    "ClusterPropagationPolicy": ClusterPropagationPolicy,
    "OverridePolicy": OverridePolicy,
    "ClusterOverridePolicy": ClusterOverridePolicy,
}


def is_karmadas(document: dict[str, Any]) -> bool:
    group = str(document.get("apiVersion", "")).rpartition("/")[0]
    return group == "karmada.io" or group.endswith(".karmada.io")


def parse_policy(document: dict[str, Any], source: str, index: int = 0) -> Policy:
    """ManifestError with all that is wrong; also for kinds of Karmada's that mean nothing here."""
    kind = _KINDS.get(str(document.get("kind")))
    if document.get("apiVersion") != KARMADA_POLICIES or kind is None:
        named = f"{document.get('apiVersion')} {document.get('kind')}"
        right = f"of Karmada's, {', '.join(_KINDS)} of {KARMADA_POLICIES} are taken: leave it out"
        raise ManifestError([Problem(source, index, "kind", f"{named}: {right}")])
    return validated(kind, document, source, index)


def name_of(policy: Policy) -> str:
    """`PropagationPolicy shop/web`"""
    where = f"{policy.namespace}/" if policy.namespace else ""
    return f"{policy.kind} {where}{policy.metadata.name}"
