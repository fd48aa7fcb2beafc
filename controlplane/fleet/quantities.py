"""Kubernetes quantities as the fleet counts them; they are read the same way on both sides of the wire."""

from schemas.quantities import parse_quantity, quantity_amount, quantity_text

__all__ = ["parse_quantity", "quantity_amount", "quantity_text"]
