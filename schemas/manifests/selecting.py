"""Which objects a `resourceSelector` selects, and how precisely; Karmada's rules.

Source: karmada-io/karmada pkg/util/selector.go.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from schemas.manifests.overrides import ResourceSelector
from schemas.manifests.placement import LabelRequirement, LabelSelector


class Precision(IntEnum):
    """The larger is the more precise."""

    NONE = 0
    ALL = 1
    LABELS = 2
    NAME = 3


def precision(selector: ResourceSelector, manifest: Mapping[str, Any]) -> Precision:
    """A name is compared, and then no label; without both, every object of the kind is selected."""
    metadata = manifest["metadata"]
    if (manifest["apiVersion"], manifest["kind"]) != (selector.api_version, selector.kind):
        return Precision.NONE
    if selector.namespace and metadata.get("namespace", "") != selector.namespace:
        return Precision.NONE
    if selector.name:
        return Precision.NAME if metadata["name"] == selector.name else Precision.NONE
    if selector.label_selector is None:
        return Precision.ALL
    holds = labels_match(selector.label_selector, metadata.get("labels") or {})
    return Precision.LABELS if holds else Precision.NONE


def selects(selector: ResourceSelector, manifest: Mapping[str, Any]) -> bool:
    return precision(selector, manifest) is not Precision.NONE


def labels_match(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """As Kubernetes has it: an empty selector selects everything, NotIn also what lacks the key."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(each, labels) for each in selector.match_expressions
    )


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    there = requirement.key in labels
    match requirement.operator:
        case "In":
            return there and labels[requirement.key] in requirement.values
        case "NotIn":
            return not there or labels[requirement.key] not in requirement.values
        case "Exists":
            return there
        case "DoesNotExist":
            return not there
