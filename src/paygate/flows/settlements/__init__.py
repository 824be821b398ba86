"""Settlements: what the provider pays out, held line by line against our records."""
