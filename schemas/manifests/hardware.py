"""What a workload asks below the cluster: features, NUMA zones, isolation, networks, GPUs and devices."""

import re
from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.manifests.base import Name, Strict, dns_subdomain
from schemas.quantities import quantity_amount

FeatureOperator = Literal[
    "In",
    "NotIn",
    "InRegexp",
    "Exists",
    "DoesNotExist",
    "Gt",
    "Ge",
    "Lt",
    "Le",
    "GtLt",
    "GeLe",
    "IsTrue",
    "IsFalse",
]
_VALUES: dict[str, tuple[int, int | None]] = {
    "In": (1, None),
    "NotIn": (1, None),
    "InRegexp": (1, None),
    "Gt": (1, 1),
    "Ge": (1, 1),
    "Lt": (1, 1),
    "Le": (1, 1),
    "GtLt": (2, 2),
    "GeLe": (2, 2),
}
_NUMBERS = ("Gt", "Ge", "Lt", "Le", "GtLt", "GeLe")


class FeatureExpression(Strict):
    """`op` and `value` as in a NodeFeatureRule of NFD."""

    op: FeatureOperator
    value: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=100)] = []

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        least, most = _VALUES.get(self.op, (0, 0))
        if len(self.value) < least or (most is not None and len(self.value) > most):
            many = {0: "no value", 1: "one value", 2: "two values"}
            right = many[least] if least == most else "at least one value"
            raise ValueError(f"value: op {self.op} takes {right}")
        if self.op in _NUMBERS:
            odd = [each for each in self.value if not each.lstrip("+-").isdecimal()]
            if odd:
                raise ValueError(f"value: {odd[0]!r}: op {self.op} compares whole numbers")
        if self.op in ("GtLt", "GeLe") and int(self.value[0]) >= int(self.value[1]):
            raise ValueError(f"value: op {self.op} takes the lower number first, and another one above it")
        return self


_FEATURE = re.compile(r"[a-z0-9]+(\.[A-Za-z0-9_-]+)+")


def _feature(name: str) -> str:
    if len(name) > 128 or not _FEATURE.fullmatch(name):
        raise ValueError(f"{name!r} is no feature of NFD: DOMAIN.NAME, as cpu.cpuid or kernel.version")
    return name


FeatureName = Annotated[str, AfterValidator(_feature)]
FeatureElement = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./:-]{1,253}$")]


class FeatureMatch(Strict):
    """One term of NFD's `matchFeatures`: all expressions over one feature, as `cpu.cpuid`, hold."""

    feature: FeatureName
    match_expressions: Annotated[dict[FeatureElement, FeatureExpression], Field(min_length=1, max_length=100)]


class Topology(Strict):
    """singleNUMA: the kubelet puts each replica into one NUMA zone. exclusiveCPUs: its CPUs are its own."""

    single_numa: Annotated[bool, Field(alias="singleNUMA")] = False
    exclusive_cpus: Annotated[bool, Field(alias="exclusiveCPUs")] = False

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if not (self.single_numa or self.exclusive_cpus):
            raise ValueError("state singleNUMA: true or exclusiveCPUs: true, or leave topology out")
        return self


def _attachment(name: str) -> str:
    namespace, slash, rest = name.rpartition("/")
    dns_subdomain(rest)
    if slash:
        dns_subdomain(namespace)
    return name


class Network(Strict):
    """One more interface: by attachment (`name`, or `namespace/name`), or by any that gives from `pool`.

    interface: its name in the pod; left out, the CNI's choice.
    """

    attachment: Annotated[str, AfterValidator(_attachment)] | None = None
    pool: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    interface: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$")] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.attachment is None) == (self.pool is None):
            raise ValueError("state either attachment or pool, and not both")
        return self


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


def _memory(text: str) -> str:
    if quantity_amount("memory", text) < 2**20:
        raise ValueError(f"{text!r}: at least 1Mi is needed, as 40Gi")
    return text


class Gpus(Strict):
    """GPUs of each replica. product, memory, sharing: by the labels of GPU feature discovery.

    count: added to the first container, unless its own resources ask for them. memory: of each, at least.
    mig: a profile, as 1g.5gb, of GPUs in the mixed strategy. deviceClass: of DRA, instead of all others.
    """

    count: Annotated[int, Field(ge=1, le=1_000)] | None = None
    vendor: Name = "nvidia.com"
    product: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=63)]],
        BeforeValidator(_listed),
        Field(max_length=100),
    ] = []
    memory: Annotated[str, AfterValidator(_memory)] | None = None
    mig: Annotated[str, Field(pattern=r"^[0-9]+g\.[0-9]+gb(\.me|\+me)?$")] | None = None
    sharing: Literal["Exclusive", "Shared"] | None = None
    device_class: Name | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.device_class is not None:
            stated = [
                name
                for name, value in (
                    ("product", self.product),
                    ("memory", self.memory),
                    ("mig", self.mig),
                    ("sharing", self.sharing),
                )
                if value
            ]
            if stated:
                raise ValueError(
                    f"{stated[0]}: deviceClass {self.device_class} says it already: leave one out"
                )
        elif self.count is None and not (self.product or self.memory or self.sharing):
            raise ValueError("count: state how many, or product, memory or sharing for those in the template")
        if self.mig is not None and self.sharing == "Shared":
            raise ValueError("sharing: a MIG device is its pod's own: leave mig or Shared out")
        return self


Networks = Annotated[list[Network], Field(max_length=32)]
Features = Annotated[list[FeatureMatch], Field(max_length=32)]


MOST_EXPRESSIONS = 100
MOST_PATTERNS = 50
"""In a whole workload: each is asked of every profile of every cluster, each pattern of every value."""


def features_once(features: list[FeatureMatch]) -> list[FeatureMatch]:
    """Each element of a feature once: two expressions over one would be easy to misread."""
    every = [one for each in features for one in each.match_expressions.values()]
    patterns = sum(len(each.value) for each in every if each.op == "InRegexp")
    if len(every) > MOST_EXPRESSIONS or patterns > MOST_PATTERNS:
        raise ValueError(
            f"{len(every)} expressions with {patterns} patterns: up to {MOST_EXPRESSIONS} "
            f"with {MOST_PATTERNS} are taken"
        )
    named = Counter(f"{each.feature}.{name}" for each in features for name in each.match_expressions)
    twice = [name for name, count in named.items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} stands there more than once")
    return features
