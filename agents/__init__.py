"""The member-cluster agent: observes, streams, and carries out orders. Knows the wire, never manifests."""
