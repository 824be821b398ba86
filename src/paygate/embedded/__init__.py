"""A PostgreSQL server of our own, for development and tests; no production process imports it."""
