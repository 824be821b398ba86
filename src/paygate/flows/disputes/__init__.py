"""Disputes: heard of from the provider, answered with evidence or accepted, looked after."""
