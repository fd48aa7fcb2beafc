"""One enum of reasons, shared by logs, metrics, API and console."""

from schemas.later import Growing


class Reason(Growing):
    """Why not. A refusal is never without one of these, or one that a later release has named."""

    # A cluster that cannot take a workload
    CLUSTER_NOT_SELECTED = "ClusterNotSelected"
    CLUSTER_EXCLUDED = "ClusterExcluded"
    CLUSTER_TAINTED = "ClusterTainted"
    CLUSTER_UNKNOWN = "ClusterUnknown"
    STATE_INCOMPLETE = "StateIncomplete"
    AGENT_AHEAD = "AgentAhead"
    AGENT_HOLDING = "AgentHolding"
    CAPABILITY_MISSING = "CapabilityMissing"
    API_NOT_SERVED = "ApiNotServed"
    TENANT_MAY_NOT = "TenantMayNot"
    NAMESPACE_CLAIMED = "NamespaceClaimed"
    RUNTIME_CLASS_MISSING = "RuntimeClassMissing"
    NETWORK_MISSING = "NetworkMissing"
    DEVICE_CLASS_MISSING = "DeviceClassMissing"
    OVERRIDE_FAILS = "OverrideFails"
    NO_NODE_FITS = "NoNodeFits"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    # A cluster that could, and was not chosen
    NOT_CHOSEN = "NotChosen"
    # What is placed in a cluster that is lost, and is not placed again
    SINGLETON = "Singleton"
    HOLDS_DATA = "HoldsData"
    DUPLICATED = "Duplicated"
    TAINT_TOLERATED = "TaintTolerated"
    NETWORK_SUSPECTED = "NetworkSuspected"
    # A workload that cannot be placed
    NO_CLUSTER_FITS = "NoClusterFits"
    TOO_FEW_CLUSTERS = "TooFewClusters"
    ORDER_TOO_LARGE = "OrderTooLarge"
    QUOTA_EXCEEDED = "QuotaExceeded"
    QUOTA_NOT_GRANTED = "QuotaNotGranted"
    QUOTA_AWAITED = "QuotaAwaited"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    PREEMPTED = "Preempted"
    # An order that an agent does not carry out
    SIGNATURE_INVALID = "SignatureInvalid"
    ORDER_OLDER = "OrderOlder"
    ORDER_DIFFERS = "OrderDiffers"
    ORDER_MALFORMED = "OrderMalformed"
    OWNED_BY_OTHER = "OwnedByOther"
    TOO_MANY_REMOVALS = "TooManyRemovals"
    KIND_NOT_SERVED = "KindNotServed"
    REJECTED_BY_CLUSTER = "RejectedByCluster"
    CLUSTER_UNREACHABLE = "ClusterUnreachable"
    AGENT_MAY_NOT = "AgentMayNot"
    # Input that is not taken
    INVALID = "Invalid"
    NOT_FOUND = "NotFound"
    CONFLICT = "Conflict"
    UNAUTHORISED = "Unauthorised"
    BODY_TOO_LARGE = "BodyTooLarge"
    OVER_BOUND = "OverBound"
    MALFORMED = "Malformed"
    # A request that we cannot answer
    UNAVAILABLE = "Unavailable"
    INTERNAL = "Internal"
