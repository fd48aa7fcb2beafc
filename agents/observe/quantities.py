"""Resource lists of a cluster as integers. What one quantity is, `schemas.quantities` says."""

from schemas.quantities import quantity_amount


def amounts(quantities: dict[str, str | int | float]) -> dict[str, int]:
    """cpu in millicores, everything else in units, rounded up.

    What is no quantity is left out, for one bad name must not hide a node.
    """
    counted: dict[str, int] = {}
    for resource, quantity in quantities.items():
        try:
            counted[resource] = quantity_amount(resource, quantity)
        except ValueError:
            continue
    return counted
