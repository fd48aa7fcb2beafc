"""What a workload needs of its nodes and networks, compiled once from its manifest and its pod templates."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from controlplane.fleet.demand import Amounts, Operator, Requirement, Toleration
from controlplane.fleet.traits import FEATURE
from controlplane.interpreters.adaption import NETWORKS_ANNOTATION
from controlplane.interpreters.interpretation import Component
from controlplane.interpreters.pods import NotUnderstood, mapping
from schemas.manifests import WorkloadSpec
from schemas.manifests.hardware import FeatureMatch, Gpus
from schemas.quantities import quantity_amount

_MIB = 2**20


@dataclass(frozen=True)
class NetworkNeed:
    """One interface, by attachment or by pool. added: the template does not name it yet."""

    attachment: str = ""
    pool: str = ""
    interface: str = ""
    added: bool = True

    def __str__(self) -> str:
        return f"attachment {self.attachment}" if self.attachment else f"pool {self.pool}"


@dataclass(frozen=True)
class Needs:
    """Of one component, beside its demand. stated: resources that its template asks for itself.

    runtime_class: as the template names it. traits: of features and GPU labels. own: attachments that are
    among the workload's own objects, and need not be there before. tolerations: beside the template's.
    """

    isolation: str = ""
    runtime_class: str = ""
    has_overhead: bool = False
    networks: tuple[NetworkNeed, ...] = ()
    own: frozenset[str] = frozenset()
    traits: tuple[Requirement, ...] = ()
    requests: Amounts = ()
    stated: frozenset[str] = frozenset()
    device_class: str = ""
    devices: int = 0
    single_numa: bool = False
    tolerations: tuple[Toleration, ...] = ()

    @property
    def everywhere_alike(self) -> bool:
        """Whether every cluster resolves it to the same."""
        return not (self.isolation or self.networks or self.device_class)


def needs_of(spec: WorkloadSpec | None, components: Sequence[Component]) -> tuple[Needs, ...]:
    """One for each component; without a spec what the pod templates say. NotUnderstood names the field."""
    if spec is None:
        return tuple(_stated(each, frozenset()) for each in components)
    fields = (
        ("features", spec.features),
        ("topology", spec.topology),
        ("networks", spec.networks),
        ("gpus", spec.gpus),
        ("isolation", spec.isolation),
    )
    asked = [name for name, value in fields if value]
    if asked:
        _check_adaptable(asked, components)
    own = frozenset(
        f"{each['metadata'].get('namespace', 'default')}/{each['metadata']['name']}"
        for each in spec.manifests
        if each["kind"] == "NetworkAttachmentDefinition"
    )
    return tuple(_with_spec(_stated(each, own), spec, each) for each in components)


def _check_adaptable(asked: Sequence[str], components: Sequence[Component]) -> None:
    if not components:
        raise NotUnderstood(f"spec.{asked[0]}: no object in spec.manifests has pods")
    if asked != ["isolation"] and len(components) > 1:
        raise NotUnderstood(
            f"spec.{asked[0]}: the workload has {len(components)} pod templates: state it in each of them"
        )
    for each in components:
        if not each.adaptable:
            raise NotUnderstood(
                f"spec.{asked[0]}: {each.path} is no pod spec that it could be put into: state it there"
            )


def _stated(component: Component, own: frozenset[str]) -> Needs:
    """As the pod template says itself."""
    pod = mapping(component.pod.get("spec"), component.path)
    return Needs(
        isolation=pod.get("runtimeClassName") or "",
        runtime_class=pod.get("runtimeClassName") or "",
        has_overhead=bool(pod.get("overhead")),
        networks=tuple(_annotated(component)),
        own=own,
        stated=frozenset(dict(component.demand.requests)),
    )


def _with_spec(needs: Needs, spec: WorkloadSpec, component: Component) -> Needs:
    if needs.runtime_class and spec.isolation not in (None, needs.runtime_class):
        raise NotUnderstood(
            f"spec.isolation: {spec.isolation}, but {component.path}.runtimeClassName is "
            f"{needs.runtime_class}: leave one out"
        )
    gpus = _gpus(spec.gpus, needs.stated) if spec.gpus is not None else Needs()
    added = [
        NetworkNeed(_full(each.attachment, component.namespace), each.pool or "", each.interface or "")
        for each in spec.networks
    ]
    return replace(
        needs,
        isolation=spec.isolation or needs.isolation,
        networks=(*needs.networks, *added),
        traits=(*_features(spec.features), *gpus.traits),
        requests=gpus.requests,
        device_class=gpus.device_class,
        devices=gpus.devices,
        single_numa=spec.topology is not None and spec.topology.single_numa,
    )


def _features(features: Sequence[FeatureMatch]) -> Iterator[Requirement]:
    for index, match in enumerate(features):
        yield from (requirement for _, requirement in requirements_of(match, index))


def requirements_of(match: FeatureMatch, index: int) -> Iterator[tuple[str, Requirement]]:
    """(name of the element, what is required of nodes). index: of the match in `spec.features`."""
    for name, expression in sorted(match.match_expressions.items()):
        key = f"{FEATURE}{match.feature}.{name}"
        try:
            yield name, Requirement(key, Operator(expression.op), tuple(expression.value))
        except ValueError as error:
            path = f"spec.features[{index}].matchExpressions.{name}.value"
            raise NotUnderstood(f"{path}: {error}") from error


def _gpus(gpus: Gpus, stated: frozenset[str]) -> Needs:
    """Labels as GPU feature discovery writes them; one product, shared in time, is called ...-SHARED."""
    if gpus.device_class is not None:
        return Needs(device_class=gpus.device_class, devices=gpus.count or 1)
    resource = f"{gpus.vendor}/mig-{gpus.mig.replace('+', '.')}" if gpus.mig else f"{gpus.vendor}/gpu"
    if gpus.count is not None and resource in stated:
        raise NotUnderstood(f"spec.gpus.count: the pod template asks for {resource} itself: leave one out")
    if gpus.count is None and resource not in stated:
        raise NotUnderstood(f"spec.gpus.count: how many? The pod template does not ask for {resource}")
    traits: list[Requirement] = []
    label = f"{gpus.vendor}/gpu"
    if gpus.product:
        shared = [f"{each}-SHARED" for each in gpus.product] if gpus.sharing != "Exclusive" else []
        named = shared if gpus.sharing == "Shared" else [*gpus.product, *shared]
        traits.append(Requirement(f"{label}.product", Operator.IN, tuple(named)))
    if gpus.memory is not None:
        most_too_small = -(-quantity_amount("memory", gpus.memory) // _MIB) - 1
        traits.append(Requirement(f"{label}.memory", Operator.GT, (str(most_too_small),)))
    if gpus.sharing is not None:
        operator = Operator.IN if gpus.sharing == "Shared" else Operator.NOT_IN
        traits.append(Requirement(f"{label}.sharing-strategy", operator, ("mps", "time-slicing")))
    requests = ((resource, gpus.count),) if gpus.count is not None else ()
    return Needs(traits=tuple(traits), requests=requests)


def _annotated(component: Component) -> Iterator[NetworkNeed]:
    """What the template's own annotation names, in both forms that Multus reads."""
    namespace = component.namespace
    at = f"{component.path.removesuffix('.spec')}.metadata.annotations"
    metadata = mapping(component.pod.get("metadata"), at)
    text = mapping(metadata.get("annotations"), at).get(NETWORKS_ANNOTATION)
    if not text:
        return
    if text.lstrip().startswith("["):
        try:
            entries = cast(list[Mapping[str, str]], json.loads(text))
            names = [f"{each.get('namespace') or namespace}/{each['name']}" for each in entries]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise NotUnderstood(
                f"{at}.{NETWORKS_ANNOTATION}: no list of objects with name: {error}"
            ) from error
    else:
        names = [_full(each.strip().partition("@")[0], namespace) for each in text.split(",")]
    yield from (NetworkNeed(name, added=False) for name in names)


def _full(attachment: str | None, namespace: str) -> str:
    if not attachment:
        return ""
    return attachment if "/" in attachment else f"{namespace}/{attachment}"
