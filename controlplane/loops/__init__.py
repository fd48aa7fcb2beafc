"""Read, decide, commit. Loops know ports, never adapters; each states its steps above its class."""
