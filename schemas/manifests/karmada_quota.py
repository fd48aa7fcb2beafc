"""Karmada's FederatedResourceQuota as it is written for Karmada.

What has no meaning here is refused by name, with what would be right. Source: karmada-io/karmada
pkg/apis/policy/v1alpha1/federatedresourcequota_types.go; keys as in Kubernetes' ResourceQuota.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.manifests.base import Quantity, Strict
from schemas.manifests.karmada import KARMADA_POLICIES, PolicyMetadata
from schemas.manifests.load import validated

KIND = "FederatedResourceQuota"
Amounts = Annotated[dict[str, Quantity], Field(max_length=100)]


class StaticAssignment(Strict):
    cluster_name: str
    hard: Amounts


class FederatedResourceQuotaSpec(Strict):
    overall: Annotated[Amounts, Field(min_length=1)]
    static_assignments: Annotated[list[StaticAssignment], Field(max_length=10_000)] = []


class FederatedResourceQuota(Strict):
    api_version: Literal["policy.karmada.io/v1alpha1"]
    kind: Literal["FederatedResourceQuota"]
    metadata: PolicyMetadata
    spec: FederatedResourceQuotaSpec
    status: Any = None

    @property
    def namespace(self) -> str:
        return self.metadata.namespace or "default"


def is_federated_quota(document: dict[str, Any]) -> bool:
    return (document.get("apiVersion"), document.get("kind")) == (KARMADA_POLICIES, KIND)


def parse_federated_quota(document: dict[str, Any], source: str, index: int = 0) -> FederatedResourceQuota:
    """ManifestError with all that is wrong."""
    return validated(FederatedResourceQuota, document, source, index)
