"""Filtered, sorted, paged reads over what the centre knows; API and console only render them. Pure."""
