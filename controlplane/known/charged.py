"""What a decision remembers of its charges, as its explanation has it."""

from collections.abc import Mapping
from typing import Any

from controlplane.quota.quota import Amounts, FlavorResource

CHARGED = "charged"
"""Of a decision's explanation: what is asked for in which clusters."""


def told(asked: Mapping[str, Amounts]) -> list[dict[str, Any]]:
    """Clusters that are charged alike stand together."""
    alike: dict[tuple[tuple[FlavorResource, int], ...], list[str]] = {}
    for cluster, amounts in asked.items():
        alike.setdefault(tuple(sorted(amounts.items())), []).append(cluster)
    return [
        {"clusters": clusters, "amounts": [[*key, amount] for key, amount in amounts]}
        for amounts, clusters in alike.items()
    ]


def remembered_charges(explanation: Mapping[str, Any]) -> dict[str, Amounts]:
    """By cluster, as `told` wrote it."""
    found: dict[str, Amounts] = {}
    for each in explanation.get(CHARGED, ()):
        amounts = {(flavor, resource): amount for flavor, resource, amount in each["amounts"]}
        found |= dict.fromkeys(each["clusters"], amounts)
    return found
