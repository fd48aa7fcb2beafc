"""What a CustomResourceDefinition brings: both sides have to know that its kind need not be served before."""

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.paths import find, first

_API_GROUP = "apiextensions.k8s.io/"


def brought_kinds(objects: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """`group/version/Kind` of every version that definitions among the objects have."""
    brought: set[str] = set()
    for each in objects:
        if each.get("kind") == "CustomResourceDefinition" and str(each.get("apiVersion")).startswith(
            _API_GROUP
        ):
            spec = each.get("spec")
            group, kind = first(spec, ("group",)), first(spec, ("names", "kind"))
            brought |= {f"{group}/{name}/{kind}" for _, name in find(spec, ("versions", None, "name"))}
    return frozenset(brought)
