"""From what was written for Karmada to Workloads. Pure.

`objects` reads plain objects, `claims` says which policy has them, `uses` what belongs together, `groups`
puts it together, `karmada` goes through all of it.
"""

from controlplane.migration.karmada import Converted, converted
from controlplane.migration.objects import Given, GivenPolicy, given_object

__all__ = ["Converted", "Given", "GivenPolicy", "converted", "given_object"]
