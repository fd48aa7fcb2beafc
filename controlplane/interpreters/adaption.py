"""What one cluster needs changed in a pod template before it is applied there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.fleet.demand import Amounts, Operator, Requirement, Toleration
from controlplane.interpreters.pods import mapping, sequence
from schemas.quantities import quantity_text

NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks"
DEVICES = "muster-devices"
"""The name of the claim in the pod; of its template, after the workload's object."""


@dataclass(frozen=True)
class Claim:
    """Devices by DRA. api_version: of ResourceClaimTemplate, as the cluster serves it."""

    api_version: str
    device_class: str
    count: int


@dataclass(frozen=True)
class Adaption:
    """Equal ones render alike; an empty one changes nothing.

    runtime_class: "" leaves what is there. networks: entries added to Multus' annotation. requests: added to
    the first container. tolerations: added. node_terms: on top of what the template requires of nodes, one of
    these has to hold.
    """

    runtime_class: str = ""
    networks: tuple[str, ...] = ()
    requests: Amounts = ()
    node_terms: tuple[tuple[Requirement, ...], ...] = ()
    claim: Claim | None = None
    tolerations: tuple[Toleration, ...] = ()


def adapt(template: dict[str, Any], adaption: Adaption, owner: str) -> None:
    """Changes the template, which has at least one container. owner: name of the object that it stands in."""
    spec: dict[str, Any] = template["spec"]
    if adaption.runtime_class:
        spec["runtimeClassName"] = adaption.runtime_class
    if adaption.networks:
        _attach(template, adaption.networks)
    if adaption.requests:
        _request(spec["containers"][0], adaption.requests)
    if adaption.node_terms:
        _require(spec, adaption.node_terms)
    if adaption.tolerations:
        stated = sequence(spec.get("tolerations"), "tolerations")
        spec["tolerations"] = [*stated, *map(_toleration, adaption.tolerations)]
    if adaption.claim is not None:
        _claim(spec, claim_name(owner))


def claim_name(owner: str) -> str:
    return f"{owner[:200]}-{DEVICES}"


def claim_template(claim: Claim, owner: str, namespace: str) -> dict[str, Any]:
    """The ResourceClaimTemplate that `adapt` refers to."""
    request = {"name": "devices", "exactly": {"deviceClassName": claim.device_class, "count": claim.count}}
    return {
        "apiVersion": claim.api_version,
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": claim_name(owner), "namespace": namespace},
        "spec": {"spec": {"devices": {"requests": [request]}}},
    }


def _attach(template: dict[str, Any], networks: Sequence[str]) -> None:
    metadata = mapping(template.get("metadata"), "metadata")
    annotations = mapping(metadata.get("annotations"), "metadata.annotations")
    stated = [annotations[NETWORKS_ANNOTATION]] if annotations.get(NETWORKS_ANNOTATION) else []
    joined = {NETWORKS_ANNOTATION: ",".join([*stated, *networks])}
    template["metadata"] = metadata | {"annotations": annotations | joined}


def _request(container: dict[str, Any], requests: Amounts) -> None:
    """As limits too: an extended resource takes no request without one."""
    resources = mapping(container.get("resources"), "resources")
    added = {resource: quantity_text(resource, amount) for resource, amount in requests}
    container["resources"] = resources | {
        part: mapping(resources.get(part), part) | added for part in ("limits", "requests")
    }


def _require(spec: dict[str, Any], alternatives: Sequence[Sequence[Requirement]]) -> None:
    """Each term that is there with each alternative: terms are ORed, what stands in one holds together."""
    affinity = mapping(spec.get("affinity"), "affinity")
    node = mapping(affinity.get("nodeAffinity"), "nodeAffinity")
    required = mapping(node.get("requiredDuringSchedulingIgnoredDuringExecution"), "required")
    stated: list[Mapping[str, Any]] = [*sequence(required.get("nodeSelectorTerms"), "terms")] or [{}]
    terms = [
        {
            **term,
            "matchExpressions": [
                *sequence(term.get("matchExpressions"), "matchExpressions"),
                *map(_expression, alternative),
            ],
        }
        for term in stated
        for alternative in alternatives
    ]
    wanted = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    spec["affinity"] = affinity | {"nodeAffinity": node | wanted}


def _expression(requirement: Requirement) -> dict[str, Any]:
    expression: dict[str, Any] = {"key": requirement.key, "operator": requirement.operator.value}
    if requirement.operator not in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
        expression["values"] = list(requirement.values)
    return expression


def _toleration(toleration: Toleration) -> dict[str, Any]:
    given = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    return {field: value for field, value in given.items() if value}


def _claim(spec: dict[str, Any], template_name: str) -> None:
    spec["resourceClaims"] = [
        *sequence(spec.get("resourceClaims"), "resourceClaims"),
        {"name": DEVICES, "resourceClaimTemplateName": template_name},
    ]
    container = spec["containers"][0]
    resources = mapping(container.get("resources"), "resources")
    claims = [*sequence(resources.get("claims"), "claims"), {"name": DEVICES}]
    container["resources"] = resources | {"claims": claims}
