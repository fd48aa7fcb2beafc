"""When what is placed moves by itself: so far, when its cluster is lost. Pure."""

from controlplane.rollout.data import held_data
from controlplane.rollout.failover import (
    FailoverRule,
    Outlook,
    clock_text,
    failover_rule,
    outlook,
    tolerated_seconds,
)
from controlplane.rollout.loss import UNREACHABLE, Losses, LossRules, begin, look

__all__ = [
    "UNREACHABLE",
    "FailoverRule",
    "LossRules",
    "Losses",
    "Outlook",
    "begin",
    "clock_text",
    "failover_rule",
    "held_data",
    "look",
    "outlook",
    "tolerated_seconds",
]
