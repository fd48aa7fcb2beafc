"""Matchers as Alertmanager has them; regular expressions are RE2 and anchored."""

from dataclasses import dataclass
from enum import StrEnum

from controlplane.alerts.alert import Labels


class Operator(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    MATCHES = "=~"
    MATCHES_NOT = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """`name operator value`; a label that is absent is the same as one that is empty."""

    name: str
    operator: Operator
    value: str

    def matches(self, labels: Labels) -> bool:
        raise NotImplementedError
