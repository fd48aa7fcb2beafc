"""An alert about what only the centre knows: clusters, workloads, placements, agents, tenants, the fleet."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.manifests.base import API_VERSION, Metadata, Strict
from schemas.manifests.placement import ClusterAffinity

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SET_BY_MUSTER = ("alertname", "cluster", "workload", "tenant", "source")
LONGEST_SECONDS = 7 * 86_400


def duration_seconds(text: str) -> int:
    """`1h30m` in seconds; ValueError says what would be right."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is no duration: as 30s, 5m, 1h30m")
    days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total > LONGEST_SECONDS:
        raise ValueError(f"{text!r}: a week at most")
    return total


def _checked_duration(text: str) -> str:
    duration_seconds(text)
    return text


def _label_name(name: str) -> str:
    if not _LABEL.fullmatch(name):
        raise ValueError(f"{name!r} is no label name: a-z A-Z 0-9 _, no digit first")
    if name in _SET_BY_MUSTER:
        raise ValueError(f"{name!r} is set by Muster itself: take another name")
    return name


Duration = Annotated[str, AfterValidator(_checked_duration)]
LabelName = Annotated[str, AfterValidator(_label_name)]
TenantPattern = Annotated[str, Field(pattern=r"^[a-z0-9*]([-a-z0-9*.]*[a-z0-9*])?$", max_length=253)]


class AlertRuleSpec(Strict):
    """over: what is looked at, one alert for each of which `expr` holds for as long as `for` says.

    expr: CEL over the variable that is named as `over` says, with the fields that the API shows of it, times
    and all numbers as whole ones; and `now`, Unix seconds. In annotations, `{{ }}` holds such an expression.
    clusters, tenants: what is looked at at all; left out: everything.
    """

    over: Literal["cluster", "workload", "placement", "agent", "tenant", "fleet"]
    expr: Annotated[str, Field(min_length=1, max_length=4_096)]
    for_: Annotated[Duration, Field(alias="for")] = "0s"
    labels: Annotated[dict[LabelName, Annotated[str, Field(max_length=1_024)]], Field(max_length=32)] = {}
    annotations: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=253)], Annotated[str, Field(max_length=4_096)]],
        Field(max_length=32),
    ] = {}
    clusters: ClusterAffinity | None = None
    tenants: Annotated[list[TenantPattern], Field(max_length=100)] = []

    @model_validator(mode="after")
    def _scope_fits(self) -> Self:
        if self.clusters is not None and self.over in ("tenant", "fleet"):
            raise ValueError(f"clusters: a {self.over} has none; leave it out")
        if self.tenants and self.over in ("cluster", "agent", "fleet"):
            raise ValueError(f"tenants: a {self.over} has none; leave it out")
        return self


class AlertRule(Strict):
    api_version: Literal["muster.dev/v1"] = API_VERSION
    kind: Literal["AlertRule"] = "AlertRule"
    metadata: Metadata
    spec: AlertRuleSpec
