"""Restores of the database: declared, and what the provider did in the forgotten time."""
