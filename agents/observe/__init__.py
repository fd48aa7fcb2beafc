"""From watches to reports: what the cluster has, does and says, in the shapes of the wire."""
