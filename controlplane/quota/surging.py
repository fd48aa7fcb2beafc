"""How many pods a rolling update runs beside those that are asked for, as Kubernetes counts them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PERCENT = re.compile(r"(\d{1,6})%", re.ASCII)
_MOST_PODS = 2**31 - 1


@dataclass(frozen=True)
class Surge:
    """`pods`, or `percent` of them, rounded up: as many that are not on their way out.

    overlaps: a new pod is made while the one that it replaces is still being deleted. Source:
    kubernetes.io/docs/concepts/workloads/controllers/deployment, "Max Surge": terminating pods do not count.
    """

    pods: int = 0
    percent: int = 0
    overlaps: bool = True

    def of(self, count: int, one: int, whole: int) -> int:
        """Of one resource. count: of pods; 0 where its nodes count them: then percent is of `whole`."""
        if self.percent and not count:
            return -(-whole * self.percent // 100)
        return one * (self.pods or -(-count * self.percent // 100))


NONE = Surge(overlaps=False)
DEFAULT = Surge(percent=25)
"""Of a Deployment that does not say (apps/v1: maxSurge)."""


def surge_of(manifest: Mapping[str, Any]) -> Surge:
    """Of the object that has the pods. One whose way of rolling is not known is taken for a Deployment."""
    spec = _mapped(manifest.get("spec"))
    group, kind = str(manifest.get("apiVersion", "")).rpartition("/")[0], manifest.get("kind")
    if (group, kind) == ("apps", "Deployment"):
        strategy = _mapped(spec.get("strategy"))
        return NONE if strategy.get("type") == "Recreate" else _written(strategy, DEFAULT)
    if (group, kind) == ("apps", "DaemonSet"):
        strategy = _mapped(spec.get("updateStrategy"))
        return NONE if strategy.get("type") == "OnDelete" else _written(strategy, NONE)
    return NONE if group in ("", "apps", "batch") else DEFAULT


def _written(strategy: Mapping[str, Any], default: Surge) -> Surge:
    given = _mapped(strategy.get("rollingUpdate")).get("maxSurge")
    if isinstance(given, int) and not isinstance(given, bool):
        return Surge(pods=min(max(0, given), _MOST_PODS))
    found = _PERCENT.fullmatch(given) if isinstance(given, str) else None
    return Surge(percent=int(found[1])) if found else default


def _mapped(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]
