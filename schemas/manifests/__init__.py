"""What people write: versioned kinds in YAML or JSON. Every error names the field and what would be right."""

from schemas.manifests.alert_rule import AlertRule, AlertRuleSpec
from schemas.manifests.base import API_VERSION, Metadata
from schemas.manifests.cohort import Cohort, CohortSpec, Flavor, FlavorSpec
from schemas.manifests.fleet import Fleet, FleetCluster, FleetNodes, FleetSpec, FleetTaint
from schemas.manifests.interpreter import Interpreter, InterpreterSpec
from schemas.manifests.load import (
    DOCUMENTS,
    KINDS,
    Document,
    Manifest,
    ManifestError,
    Problem,
    load_manifests,
    parse_manifest,
)
from schemas.manifests.placement import (
    ClusterAffinity,
    ClusterToleration,
    FieldRequirement,
    FieldSelector,
    LabelRequirement,
    LabelSelector,
    Placement,
    ReplicaScheduling,
    StaticClusterWeight,
    WeightPreference,
)
from schemas.manifests.tenant import Owner, Tenant, TenantSpec
from schemas.manifests.workload import Workload, WorkloadSpec

__all__ = [
    "API_VERSION",
    "DOCUMENTS",
    "KINDS",
    "AlertRule",
    "AlertRuleSpec",
    "ClusterAffinity",
    "ClusterToleration",
    "Cohort",
    "CohortSpec",
    "Document",
    "FieldRequirement",
    "FieldSelector",
    "Flavor",
    "FlavorSpec",
    "Fleet",
    "FleetCluster",
    "FleetNodes",
    "FleetSpec",
    "FleetTaint",
    "Interpreter",
    "InterpreterSpec",
    "LabelRequirement",
    "LabelSelector",
    "Manifest",
    "ManifestError",
    "Metadata",
    "Owner",
    "Placement",
    "Problem",
    "ReplicaScheduling",
    "StaticClusterWeight",
    "Tenant",
    "TenantSpec",
    "WeightPreference",
    "Workload",
    "WorkloadSpec",
    "load_manifests",
    "parse_manifest",
]
