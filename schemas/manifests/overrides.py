"""Per-cluster overrides: Karmada's `overrideRules`, with the objects that each rule is for.

Source: karmada-io/karmada pkg/apis/policy/v1alpha1/override_types.go.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.manifests.base import LabelKey, LabelValue, Strict
from schemas.manifests.placement import ClusterAffinity, LabelSelector

Operator = Literal["add", "remove", "replace"]
_POINTER = re.compile(r"(/([^~/]|~[01])*)*")


def json_pointer(path: str) -> str:
    """`path` where RFC 6901 takes it; ValueError says what would be right."""
    if not _POINTER.fullmatch(path):
        raise ValueError(f"{path!r} is no JSON pointer: /spec/template, with ~1 for / and ~0 for ~ in a name")
    return path


Pointer = Annotated[str, Field(max_length=1_000), AfterValidator(json_pointer)]
Whole = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(json_pointer)]


class ResourceSelector(Strict):
    """Which objects. `name` wins over `labelSelector`; with neither, all of that kind.

    namespace: empty for any.
    """

    api_version: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(min_length=1)]
    namespace: str = ""
    name: str = ""
    label_selector: LabelSelector | None = None


class _Patch(Strict):
    operator: Operator
    value: Any = None

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        if self.operator == "remove" and self.value is not None:
            raise ValueError("value: operator remove takes none")
        if self.operator != "remove" and "value" not in self.model_fields_set:
            raise ValueError(f"value: operator {self.operator} needs one")
        return self


class PlaintextOverrider(_Patch):
    """One operation of a JSON patch (RFC 6902) on the whole object."""

    path: Whole


class SubPatch(_Patch):
    """One operation inside the document that a field holds."""

    sub_path: Pointer


class FieldOverrider(Strict):
    """`fieldPath` leads to a string that is itself JSON or YAML, as in a ConfigMap."""

    field_path: Whole
    json_: Annotated[list[SubPatch], Field(alias="json", max_length=100)] = []
    yaml: Annotated[list[SubPatch], Field(max_length=100)] = []

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.json_) == bool(self.yaml):
            raise ValueError("state either json or yaml, and not both")
        return self


class ImagePredicate(Strict):
    path: Whole


class ImageOverrider(Strict):
    """Of `[registry/]repository[:tag]`. Without a predicate: the image of every container."""

    predicate: ImagePredicate | None = None
    component: Literal["Registry", "Repository", "Tag"]
    operator: Operator
    value: str = ""

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        if self.operator != "remove" and not self.value:
            raise ValueError(f"value: operator {self.operator} needs one")
        return self


class CommandArgsOverrider(Strict):
    """add: appended; remove: every item that equals one of `value`. Of containers of that name."""

    container_name: Annotated[str, Field(min_length=1)]
    operator: Literal["add", "remove"]
    value: list[str] = []


class LabelsOverrider(Strict):
    """remove and replace: of those keys that are there."""

    operator: Operator
    value: dict[LabelKey, LabelValue]


class AnnotationsOverrider(Strict):
    operator: Operator
    value: dict[LabelKey, str]


class Overriders(Strict):
    """Applied in this order: image, command, args, labels, annotations, field, plaintext."""

    image_overrider: Annotated[list[ImageOverrider], Field(max_length=100)] = []
    command_overrider: Annotated[list[CommandArgsOverrider], Field(max_length=100)] = []
    args_overrider: Annotated[list[CommandArgsOverrider], Field(max_length=100)] = []
    labels_overrider: Annotated[list[LabelsOverrider], Field(max_length=100)] = []
    annotations_overrider: Annotated[list[AnnotationsOverrider], Field(max_length=100)] = []
    field_overrider: Annotated[list[FieldOverrider], Field(max_length=100)] = []
    plaintext: Annotated[list[PlaintextOverrider], Field(max_length=100)] = []


class OverrideRule(Strict):
    """name: for people, in errors. resourceSelectors: left out, all objects of the workload.

    targetCluster: left out, every cluster.
    """

    name: Annotated[str, Field(max_length=600)] = ""
    resource_selectors: Annotated[list[ResourceSelector], Field(max_length=500)] = []
    target_cluster: ClusterAffinity | None = None
    overriders: Overriders


OverrideRules = Annotated[list[OverrideRule], Field(max_length=200)]
