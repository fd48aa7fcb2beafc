"""What is charged for one workload already, and what it would need beyond that."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from controlplane.known.charging import beyond
from controlplane.known.holders import added
from controlplane.known.quotas import Quotas
from controlplane.known.records import WorkloadRecord
from controlplane.quota.quota import NOTHING, Amounts, FlavorResource


@dataclass(frozen=True)
class OwnCharges:
    quotas: Quotas
    record: WorkloadRecord

    def lacking(self, asked: Mapping[str, Amounts]) -> dict[FlavorResource, int]:
        """asked: what it is to come to, by cluster."""
        return added(beyond(amounts, self._own(cluster)) for cluster, amounts in asked.items())

    def lacking_anywhere(self, least: Amounts) -> dict[FlavorResource, int]:
        """least: what it comes to wherever it runs."""
        return beyond(least, added(self._own(cluster) for cluster in self._clusters()))

    def taken_again(self, asked: Mapping[str, Amounts] | None) -> dict[FlavorResource, int]:
        """Of what it has left and is charged for still: what it needs, and is not charged a second time.

        What it has left elsewhere stays charged beside what is new, until that is reported gone. asked: None
        while it is not known where it will run.
        """

        def again(cluster: str) -> dict[FlavorResource, int]:
            own = self._own(cluster)
            left = beyond(self._charged(cluster), own)
            if asked is None:
                return left
            wanted = beyond(asked.get(cluster, NOTHING), own)
            return {key: min(amount, wanted.get(key, 0)) for key, amount in left.items()}

        return added(again(cluster) for cluster in self._clusters())

    def _clusters(self) -> Collection[str]:
        return self.quotas.charges.clusters_of(self.record.uid)

    def _charged(self, cluster: str) -> Amounts:
        return self.quotas.charges.of(self.record.uid, cluster, self.record.tenant)

    def _own(self, cluster: str) -> Amounts:
        """What is charged for it there and needs no leave to go on. What it has left is as good as its own,
        unless somebody waits for it.
        """
        charged = self._charged(cluster)
        if not self.quotas.claims:
            return charged
        asked = self.quotas.charges.asked(self.record.uid, cluster, self.record.tenant)
        return {key: min(amount, asked.get(key, 0)) for key, amount in charged.items()}
