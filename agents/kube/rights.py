"""What this agent may do, asked of the API server itself: SelfSubjectAccessReview, SelfSubjectRulesReview."""

from typing import Any

import msgspec

from agents.kube.http import KubeHttp, decoded
from agents.ports import Rule

PATH = "/apis/authorization.k8s.io/v1"
ALL = (Rule(("*",), ("*",), ("*",)),)
NOWHERE = "-"
"""No namespace can have this name: what is allowed there is allowed everywhere."""


class _Access(msgspec.Struct):
    allowed: bool = False


class _AccessReview(msgspec.Struct):
    status: _Access


class _Rule(msgspec.Struct, rename="camel"):
    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()


class _Rules(msgspec.Struct, rename="camel"):
    incomplete: bool = False
    resource_rules: tuple[_Rule, ...] = ()


class _RulesReview(msgspec.Struct):
    status: _Rules


async def allowed(http: KubeHttp, namespace: str) -> tuple[Rule, ...] | None:
    """As `agents.ports.Kube.allowed`. Raises KubeError."""
    if not namespace and await _may_all(http):
        return ALL
    body = await _review(http, "SelfSubjectRulesReview", {"namespace": namespace or NOWHERE})
    status = decoded(body, _RulesReview).status
    if status.incomplete:
        # Another authorizer beside RBAC, of a cloud's accounts for one, cannot list what it allows.
        return None
    return tuple(
        Rule(each.verbs, each.api_groups, each.resources)
        for each in status.resource_rules
        if not each.resource_names
    )


async def _may_all(http: KubeHttp) -> bool:
    everything = {"verb": "*", "group": "*", "resource": "*"}
    body = await _review(http, "SelfSubjectAccessReview", {"resourceAttributes": everything})
    return decoded(body, _AccessReview).status.allowed


async def _review(http: KubeHttp, kind: str, spec: dict[str, Any]) -> bytes:
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    return await http.send("POST", f"{PATH}/{kind.lower()}s", body=review)
