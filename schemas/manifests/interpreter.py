"""What Muster shall understand of a kind: which pods it makes, how many, and when it is well."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.manifests.base import API_VERSION, Metadata, Strict
from schemas.paths import parse_path, parse_product, plain

_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_BUILT_IN = ("", "apps", "batch", "core", "autoscaling", "v1")


def path(text: str) -> str:
    """`text` where `schemas.paths` takes it."""
    parse_path(text)
    return text


def plain_path(text: str) -> str:
    plain(parse_path(text))
    return text


def product(text: str) -> str:
    parse_product(text)
    return text


def status_path(text: str) -> str:
    if parse_path(text)[:1] not in (("status",), ("spec",)):
        raise ValueError(f"{text!r}: health is read from status or spec: status.phase, as an example")
    return text


AnyPath = Annotated[str, AfterValidator(path)]
PlainPath = Annotated[str, AfterValidator(plain_path)]
Product = Annotated[str, AfterValidator(product)]
StatusPath = Annotated[str, AfterValidator(status_path)]
Scalar = str | int | bool
Values = Annotated[list[Scalar], Field(min_length=1, max_length=20)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class ReplicaCount(Strict):
    """The first of `from` that is there, else `default`.

    Each is a path, or several with ` * ` or ` / ` between: it is there when its first path is, one that is
    not there counts as 1, and what is left of a division is rounded up.
    """

    from_: Annotated[list[Product], Field(max_length=8, alias="from")] = []
    default: Count = 1


class ResourceAmount(Strict):
    """The first of `from` that is there, else `default`; each as for replicas: `cores * threads`."""

    from_: Annotated[list[Product], Field(min_length=1, max_length=8, alias="from")]
    default: str | int | None = None


class InterpreterComponent(Strict):
    """Pods of one template. Every path is relative to `at`, which stands for several where it has `[*]`.

    name, or nameFrom: where the name stands; neither: the key or number under which `at` is found.
    template: a PodTemplateSpec. Where the kind has none: podSpec (paths to node selector, affinity and
    tolerations, later ones over earlier ones), labels (of the pods), and requests.
    requests: amounts where no containers state them. devices: names of extended resources, one of each.
    binaryUnits: m, k and g are MiB, KiB and GiB, as Flink and Java write memory.
    """

    name: Annotated[str, Field(max_length=63)] = ""
    name_from: PlainPath | None = None
    at: AnyPath = ""
    replicas: ReplicaCount | PlainPath | Count = 1
    template: PlainPath | None = None
    pod_spec: Annotated[list[PlainPath], Field(max_length=4)] = []
    labels: PlainPath | None = None
    requests: dict[str, ResourceAmount] = {}
    devices: Annotated[list[AnyPath], Field(max_length=4)] = []
    binary_units: bool = False

    @model_validator(mode="after")
    def _has_pods(self) -> Self:
        if self.template is None and self.labels is None:
            raise ValueError("template, or labels where the kind has no pod template: pods must bear labels")
        if self.template is not None and (self.pod_spec or self.labels is not None):
            raise ValueError("podSpec and labels stand in the template: leave them out")
        return self


class FieldMatch(Strict):
    path: PlainPath
    in_: Annotated[Values, Field(alias="in")]


class RefusedField(Strict):
    """A field with which the kind is not understood; message: what would be right."""

    path: PlainPath
    message: Annotated[str, Field(min_length=1, max_length=300)]


class HealthCheck(Strict):
    """Either a path and the values that it may have, or a condition of `status.conditions` and its status."""

    path: StatusPath | None = None
    in_: Annotated[list[Scalar], Field(max_length=20, alias="in")] = []
    condition: Annotated[str, Field(max_length=100)] | None = None
    status: Literal["True", "False", "Unknown"] = "True"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.path is None) == (self.condition is None):
            raise ValueError("state path with in, or condition with status")
        if self.path is not None and not self.in_:
            raise ValueError("in: at least one value is needed")
        return self


Checks = Annotated[list[HealthCheck], Field(max_length=8)]


class InterpreterHealth(Strict):
    """Not well when one of `failedWhen` holds; else well when one of `healthyWhen` does, or when as many
    are ready as desired. Without any of them: unless a condition Ready is False.

    Once one of `finishedWhen` holds, well or not, it has run to its end, and holds no quota any more.
    """

    healthy_when: Checks = []
    failed_when: Checks = []
    finished_when: Checks = []
    desired: StatusPath | None = None
    ready: StatusPath | None = None
    updated: StatusPath | None = None
    message: StatusPath | None = None


class InterpreterSpec(Strict):
    """divisible: replicas of its one component may be spread over clusters; else it is placed whole.

    minimum: with `replicas` as a ceiling under which the kind scales itself, its own lower bound.
    stoppedWhen: then it has no pods. selector: a LabelSelector that the template's labels must match.
    """

    group: Annotated[str, Field(min_length=1, max_length=253)]
    kind: str
    components: Annotated[list[InterpreterComponent], Field(min_length=1, max_length=16)]
    divisible: bool = False
    minimum: PlainPath | None = None
    stopped_when: Annotated[list[FieldMatch], Field(max_length=8)] = []
    refuse: Annotated[list[RefusedField], Field(max_length=8)] = []
    selector: PlainPath | None = None
    health: InterpreterHealth | None = None

    @model_validator(mode="after")
    def _target(self) -> Self:
        if self.group in _BUILT_IN or self.group.endswith("k8s.io"):
            raise ValueError(f"group: {self.group!r}: kinds of Kubernetes itself are understood as they are")
        if not _KIND.fullmatch(self.kind):
            raise ValueError(f"kind: {self.kind!r}: a kind is needed, as RayCluster")
        return self

    @model_validator(mode="after")
    def _can_be_divided(self) -> Self:
        names = [each.name for each in self.components]
        if len(names) > 1 and any(names.count(each.name) > 1 for each in self.components if not each.at):
            raise ValueError("components: several, so each needs a name of its own")
        if not self.divisible:
            if self.minimum is not None:
                raise ValueError("minimum: only of a kind that is divisible")
            return self
        only = self.components[0]
        if len(self.components) > 1 or "[*]" in only.at:
            raise ValueError("divisible: only a kind of one component can be divided")
        if not isinstance(only.replicas, str):
            raise ValueError("divisible: components[0].replicas has to be the path that is set per cluster")
        return self


class Interpreter(Strict):
    api_version: Literal["muster.dev/v1"] = API_VERSION
    kind: Literal["Interpreter"] = "Interpreter"
    metadata: Metadata
    spec: InterpreterSpec
