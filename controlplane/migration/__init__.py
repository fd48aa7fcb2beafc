"""From what was written for Karmada and for Kueue to what is kept here. Pure.

`objects` reads plain objects, `claims` says which policy has them, `uses` what belongs together, `groups`
puts it together, `karmada` goes through all of it. `kueue` and `federated` make quotas, `onto` puts these
onto what is there.
"""

from controlplane.migration.federated import GivenFederated, converted_federated
from controlplane.migration.karmada import Converted, converted
from controlplane.migration.kueue import GivenKueue, converted_quota
from controlplane.migration.objects import Given, GivenPolicy, given_object
from controlplane.migration.onto import onto

__all__ = [
    "Converted",
    "Given",
    "GivenFederated",
    "GivenKueue",
    "GivenPolicy",
    "converted",
    "converted_federated",
    "converted_quota",
    "given_object",
    "onto",
]
