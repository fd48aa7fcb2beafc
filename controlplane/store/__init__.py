"""Postgres: one module a concept, numbered SQL migrations. Nothing else in Muster speaks SQL."""
